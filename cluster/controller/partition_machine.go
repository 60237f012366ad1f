package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// states is where partition states are kept. A write is refused as a whole with metastore.ErrControllerMoved when the claim is no
// longer the latest, and per partition with metastore.ErrBadVersion when another wrote in between.
type states interface {
	PartitionStates(ctx context.Context, tps []protocol.TopicPartition) ([]metastore.StateResult, error)
	CreatePartitionStates(ctx context.Context, c metastore.Claim, states []metastore.PartitionState) ([]metastore.StateResult, error)
	SetPartitionStates(ctx context.Context, c metastore.Claim, states []metastore.PartitionState) ([]metastore.StateResult, error)
}

// topicConfigs is where a topic's own settings are kept.
type topicConfigs interface {
	Configs(ctx context.Context, entities []metastore.Entity) ([]metastore.ConfigResult, error)
}

// errNoLeader is the result of an election without a candidate; errNewerController of one that found a later controller's write.
var (
	errNoLeader        = errors.New("no replica can lead")
	errNewerController = errors.New("state was written by a later controller")
	errNoState         = errors.New("partition has no state")
)

// machines move partitions and replicas through their phases: Apache's PartitionStateMachine and ReplicaStateMachine. Each call is
// one batch of requests. An error means that the controller cannot go on (it moved, or the store is out of reach); what fails for
// one partition is logged and leaves that partition as it was.
type machines struct {
	state   *State
	link    *links
	states  states
	configs topicConfigs
	unclean func() bool // unclean.leader.election.enable of the broker
	logger  zerolog.Logger
}

// admit keeps the partitions that may go to the phase, and logs the others.
func (m *machines) admit(partitions []*partition, to partitionPhase) []*partition {
	admitted := make([]*partition, 0, len(partitions))
	for _, p := range partitions {
		if to.follows(p.phase) {
			admitted = append(admitted, p)
		} else {
			m.logger.Error().Stringer("partition", p.tp).Stringer("from", p.phase).Stringer("to", to).Msg("partition cannot change like this")
		}
	}
	return admitted
}

// newPartitions, offlinePartitions and dropPartitions change the phase in memory alone.
func (m *machines) newPartitions(partitions []*partition) {
	m.setPhases(m.admit(partitions, partitionNew), partitionNew)
}

func (m *machines) offlinePartitions(partitions []*partition) {
	m.setPhases(m.admit(partitions, partitionOffline), partitionOffline)
}

func (m *machines) dropPartitions(partitions []*partition) {
	m.setPhases(m.admit(partitions, partitionNonExistent), partitionNonExistent)
}

func (m *machines) setPhases(partitions []*partition, to partitionPhase) {
	for _, p := range partitions {
		m.state.setPhase(p, to)
	}
}

// startPartitions gives every partition its first phase after a failover, and elects where there is no leader.
func (m *machines) startPartitions(ctx context.Context) error {
	for _, p := range m.state.allPartitions() {
		switch {
		case !p.hasState:
			m.state.setPhase(p, partitionNew)
		case m.state.online(p, p.state.Leader):
			m.state.setPhase(p, partitionOnline)
		default:
			m.state.setPhase(p, partitionOffline)
		}
	}
	_, err := m.electLeaderless(ctx, nil)
	return err
}

// electLeaderless tries to find a leader for every partition without one; of one topic alone if it is given. It reports whether any
// partition that had lost its leader got one.
func (m *machines) electLeaderless(ctx context.Context, of *topic) (elected bool, err error) {
	partitions := sorted(func(yield func(*partition) bool) {
		for p := range m.state.leaderless {
			if !p.topic.deleting && (of == nil || p.topic == of) && !yield(p) {
				return
			}
		}
	})
	results, err := m.onlinePartitions(ctx, partitions, electOffline)
	for _, failure := range results {
		elected = elected || failure == nil
	}
	return elected, err
}

// onlinePartitions gives new partitions their first state and elects a leader for the others. The results are those of the elections;
// a partition that is not in them was new, or may not be elected.
func (m *machines) onlinePartitions(ctx context.Context, partitions []*partition, e election) (map[*partition]error, error) {
	if len(partitions) == 0 {
		return nil, nil
	}
	b := newBatch(m.state, m.link)
	var fresh, led []*partition
	for _, p := range m.admit(partitions, partitionOnline) {
		if p.phase == partitionNew {
			fresh = append(fresh, p)
		} else {
			led = append(led, p)
		}
	}
	written, err := m.initialise(ctx, b, fresh)
	if err != nil {
		return nil, err
	}
	results, err := m.electAll(ctx, b, append(led, written...), e)
	if err != nil {
		return nil, err
	}
	b.send()
	return results, nil
}

// initialise writes the first state: the first live replica leads, all live ones are in sync. Without a live replica the partition
// stays new until a broker comes. It returns the partitions that have a state already: by this very write if the connection broke before
// its answer, or from the time before the topic's node became unreadable. They want an election. (In Apache they are stuck until the
// next controller.)
func (m *machines) initialise(ctx context.Context, b *batch, partitions []*partition) (written []*partition, err error) {
	var first []metastore.PartitionState
	var of []*partition
	failures := map[*partition]error{}
	for _, p := range partitions {
		live := m.state.onlineOf(p, p.assignment.Replicas)
		if len(live) == 0 {
			failures[p] = errNoLeader
			continue
		}
		of = append(of, p)
		first = append(first, metastore.PartitionState{TopicPartition: p.tp,
			LeaderAndISR: cluster.LeaderAndISR{Leader: live[0], ISR: live, ControllerEpoch: m.state.claim.Epoch}})
	}
	defer m.failedAll(failures)
	if len(first) == 0 {
		return nil, nil
	}
	results, err := m.states.CreatePartitionStates(ctx, m.state.claim, first)
	if err != nil {
		return nil, fmt.Errorf("create partition states: %w", err)
	}
	for i, p := range of {
		if errors.Is(results[i].Err, metastore.ErrNodeExists) {
			written = append(written, p)
			continue
		}
		if results[i].Err != nil {
			failures[p] = results[i].Err
			continue
		}
		p.setState(results[i].State)
		m.state.setPhase(p, partitionOnline)
		b.addLeaderAndISR(p.state.ISR, p, true)
	}
	return written, nil
}

// electAll elects until no partition was written by another in between. It begins with the states that are remembered: a write that
// another was faster than is refused, and only such a partition, and one that seems to have no candidate, is worth a look at what is
// written.
func (m *machines) electAll(ctx context.Context, b *batch, partitions []*partition, e election) (map[*partition]error, error) {
	results := make(map[*partition]error, len(partitions))
	if _, err := m.electOnce(ctx, b, remembered(partitions), e, results); err != nil {
		return nil, err
	}
	var again []*partition
	for _, p := range partitions {
		if failure, done := results[p]; !done || failure == errNoLeader {
			again = append(again, p)
		}
	}
	for len(again) > 0 {
		written, err := m.readStates(ctx, again, results)
		if err != nil {
			return nil, err
		}
		if again, err = m.electOnce(ctx, b, written, e, results); err != nil {
			return nil, err
		}
	}
	m.failedAll(results)
	return results, nil
}

// remembered are the states of those partitions that have one, as this controller last read or wrote them.
func remembered(partitions []*partition) []change {
	known := make([]change, 0, len(partitions))
	for _, p := range partitions {
		if p.hasState {
			known = append(known, change{p: p, state: p.state})
		}
	}
	return known
}

// electOnce elects and writes. It returns the partitions that were changed in between.
func (m *machines) electOnce(ctx context.Context, b *batch, written []change, e election, results map[*partition]error) (again []*partition, err error) {
	unclean, err := m.uncleanAllowed(ctx, written, e)
	if err != nil {
		return nil, err
	}
	next := make([]change, 0, len(written))
	for _, w := range written {
		r, ok := m.state.elect(e, w.p, w.state, unclean[w.p.topic])
		if !ok {
			results[w.p] = errNoLeader
			continue
		}
		next = append(next, change{p: w.p, state: r.state, recipients: r.recipients})
	}
	return m.writeStates(ctx, next, results, func(c change) {
		m.state.setPhase(c.p, partitionOnline)
		b.addLeaderAndISR(c.recipients, c.p, false)
	})
}

// change is a partition's state, read or to be written, and who is to be told.
type change struct {
	p          *partition
	state      cluster.LeaderAndISR
	recipients []cluster.BrokerID
}

// readStates reads what is written of partitions. What cannot be read, or comes from a later controller, goes to the results.
func (m *machines) readStates(ctx context.Context, partitions []*partition, results map[*partition]error) ([]change, error) {
	tps := make([]protocol.TopicPartition, len(partitions))
	for i, p := range partitions {
		tps[i] = p.tp
	}
	read, err := m.states.PartitionStates(ctx, tps)
	if err != nil {
		return nil, fmt.Errorf("read partition states: %w", err)
	}
	written := make([]change, 0, len(partitions))
	for i, p := range partitions {
		switch r := read[i]; {
		case errors.Is(r.Err, metastore.ErrNoNode):
			results[p] = errNoState
		case r.Err != nil:
			results[p] = r.Err
		case r.State.ControllerEpoch > m.state.claim.Epoch:
			results[p] = errNewerController
		default:
			written = append(written, change{p: p, state: r.State})
		}
	}
	return written, nil
}

// writeStates writes states that were made from those read, and calls done for each that was taken. It returns those partitions that
// another wrote in between, to be read and tried again.
func (m *machines) writeStates(ctx context.Context, next []change, results map[*partition]error, done func(change)) (again []*partition, err error) {
	if len(next) == 0 {
		return nil, nil
	}
	writes := make([]metastore.PartitionState, len(next))
	for i, c := range next {
		writes[i] = metastore.PartitionState{TopicPartition: c.p.tp, LeaderAndISR: c.state}
		writes[i].ControllerEpoch = m.state.claim.Epoch
	}
	written, err := m.states.SetPartitionStates(ctx, m.state.claim, writes)
	if err != nil {
		return nil, fmt.Errorf("write partition states: %w", err)
	}
	for i, c := range next {
		switch r := written[i]; {
		case errors.Is(r.Err, metastore.ErrBadVersion):
			again = append(again, c.p)
		case r.Err != nil:
			results[c.p] = r.Err
		default:
			results[c.p] = nil
			c.p.setState(r.State)
			done(c)
		}
	}
	return again, nil
}

// uncleanAllowed looks up, for the topics of partitions whose in-sync replicas are all gone, whether any live replica may lead: the
// topic's own setting, or the broker's. Other elections never are unclean.
func (m *machines) uncleanAllowed(ctx context.Context, written []change, e election) (map[*topic]bool, error) {
	if e != electOffline && e != electUnclean {
		return nil, nil
	}
	allowed := map[*topic]bool{}
	var topics []*topic
	var entities []metastore.Entity
	for _, w := range written {
		if _, known := allowed[w.p.topic]; known || len(m.state.onlineOf(w.p, w.state.ISR)) > 0 {
			continue
		}
		allowed[w.p.topic] = e == electUnclean || m.unclean()
		topics = append(topics, w.p.topic)
		entities = append(entities, metastore.TopicEntity(w.p.topic.name))
	}
	if e == electUnclean || len(topics) == 0 {
		return allowed, nil
	}
	configs, err := m.configs.Configs(ctx, entities)
	if err != nil {
		return nil, fmt.Errorf("read topic configs: %w", err)
	}
	for i, t := range topics {
		if value, set := configs[i].Config[uncleanElectionKey]; set {
			allowed[t] = strings.EqualFold(strings.TrimSpace(value), "true") // as Java's ConfigDef reads it
		}
		if configs[i].Err != nil {
			allowed[t] = false
			m.logger.Error().Err(configs[i].Err).Msg("topic config is unreadable, no unclean election")
		}
	}
	return allowed, nil
}

const uncleanElectionKey = "unclean.leader.election.enable"

// failedAll logs the failures among results: one line for each kind, however many partitions it met.
func (m *machines) failedAll(results map[*partition]error) {
	kinds := map[string][]*partition{}
	for p, err := range results {
		if err != nil {
			kinds[err.Error()] = append(kinds[err.Error()], p)
		}
	}
	for kind, partitions := range kinds {
		first := sorted(slices.Values(partitions))[0]
		m.logger.Error().Str("error", kind).Int("partitions", len(partitions)).Stringer("first", first.tp).Msg("partitions did not change state")
	}
}

// electionError is what ElectLeaders answers for a partition whose election failed.
func electionError(err error, e election) error {
	if !errors.Is(err, errNoLeader) && !errors.Is(err, errNoState) && !errors.Is(err, errNewerController) {
		return err
	}
	if e == electPreferred {
		return fmt.Errorf("%w: %w", kerr.PreferredLeaderNotAvailable, err)
	}
	return fmt.Errorf("%w: %w", kerr.EligibleLeadersNotAvailable, err)
}
