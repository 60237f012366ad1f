package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// ElectionResult is what ElectLeaders did for one partition: its leader, and since which epoch, or an error that wraps Kafka's.
type ElectionResult struct {
	Leader cluster.BrokerID
	Epoch  cluster.LeaderEpoch
	Err    error
}

// ElectLeaders makes the first replica of each partition its leader (KIP-183), or, if unclean, any live replica of partitions without a
// leader (KIP-460). nil partitions means all. Kafka's ELECTION_NOT_NEEDED is a result too; for all partitions such are left out.
func (c *Controller) ElectLeaders(ctx context.Context, partitions []protocol.TopicPartition, unclean bool) (map[protocol.TopicPartition]ElectionResult, error) {
	return ask(ctx, c, "elect leaders", func(ctx context.Context, t *term) (map[protocol.TopicPartition]ElectionResult, error) {
		e := electPreferred
		if unclean {
			e = electUnclean
		}
		if partitions != nil {
			return t.electLeaders(ctx, partitions, e)
		}
		var all []protocol.TopicPartition
		for _, p := range t.state.allPartitions() {
			all = append(all, p.tp)
		}
		results, err := t.electLeaders(ctx, all, e)
		maps.DeleteFunc(results, func(_ protocol.TopicPartition, r ElectionResult) bool {
			return errors.Is(r.Err, kerr.ElectionNotNeeded)
		})
		return results, err
	})
}

// EnableUncleanElection is called when unclean.leader.election.enable became true, of one topic or, with an empty name, of the broker:
// partitions without a leader are looked at again.
func (c *Controller) EnableUncleanElection(ctx context.Context, topicName string) error {
	if topicName == "" {
		c.unclean.Store(true)
	}
	_, err := ask(ctx, c, "unclean election enabled", func(ctx context.Context, t *term) (struct{}, error) {
		var of *topic
		if topicName != "" {
			if of = t.state.topics[topicName]; of == nil {
				return struct{}{}, nil
			}
		}
		if _, err := t.electLeaderless(ctx, of); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, t.completeElected(ctx)
	})
	if errors.Is(err, ErrNotController) {
		return nil // the controller hears of the change itself
	}
	return err
}

// DisableUncleanElection is called when the broker's unclean.leader.election.enable became false.
func (c *Controller) DisableUncleanElection() { c.unclean.Store(false) }

func (t *term) electLeaders(ctx context.Context, tps []protocol.TopicPartition, e election) (map[protocol.TopicPartition]ElectionResult, error) {
	results := make(map[protocol.TopicPartition]ElectionResult, len(tps))
	var partitions []*partition
	for _, tp := range tps {
		p := t.state.partition(tp)
		if err := t.electable(p, e); err != nil {
			results[tp] = ElectionResult{Leader: cluster.NoLeader, Err: err}
		} else {
			partitions = append(partitions, p)
		}
	}
	outcomes, err := t.onlinePartitions(ctx, partitions, e)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		failure, elected := outcomes[p]
		switch {
		case failure != nil:
			results[p.tp] = ElectionResult{Leader: cluster.NoLeader, Err: electionError(failure, e)}
		case elected || p.hasState:
			results[p.tp] = ElectionResult{Leader: p.state.Leader, Epoch: p.state.LeaderEpoch}
		default:
			results[p.tp] = ElectionResult{Leader: cluster.NoLeader, Err: electionError(errNoState, e)}
		}
	}
	return results, t.completeElected(ctx)
}

// electable says why a partition is not to be elected.
func (t *term) electable(p *partition, e election) error {
	switch {
	case p == nil:
		return fmt.Errorf("%w: The partition does not exist.", kerr.UnknownTopicOrPartition)
	case p.topic.deleting:
		return fmt.Errorf("%w: The topic is being deleted", kerr.InvalidTopicException)
	case e == electPreferred && p.hasState && p.state.Leader == preferred(p):
		return kerr.ElectionNotNeeded
	case e == electUnclean && p.hasState && t.state.live(p.state.Leader):
		return kerr.ElectionNotNeeded
	}
	return nil
}

// preferred is the partition's first replica.
func preferred(p *partition) cluster.BrokerID {
	if len(p.assignment.Replicas) == 0 {
		return cluster.NoLeader
	}
	return p.assignment.Replicas[0]
}

// electByNode does what /admin/preferred_replica_election asks, by which old tools ask, and removes it, whatever came of it. Where there was
// none it removes none: a tool may ask again any time.
func (t *term) electByNode(ctx context.Context) error {
	tps, asked, err := t.store.PreferredElection(ctx, t.watcher)
	if errors.Is(err, metastore.ErrUnreadable) {
		t.logger.Warn().Err(err).Msg("ignoring preferred election node")
	} else if err != nil {
		return err
	}
	if !asked {
		return nil
	}
	results, err := t.electLeaders(ctx, tps, electPreferred)
	if err != nil {
		return err
	}
	for tp, r := range results {
		if r.Err != nil && !errors.Is(r.Err, kerr.ElectionNotNeeded) {
			t.logger.Warn().Err(r.Err).Stringer("partition", tp).Msg("preferred leader was not elected")
		}
	}
	return t.store.DeletePreferredElection(ctx, t.state.claim)
}

// rebalance moves leaderships back to the preferred replicas of brokers that lead too few of their own.
func (t *term) rebalance(ctx context.Context) error {
	t.balance.Reset(t.config.LeaderImbalanceCheckInterval)
	for _, id := range t.state.brokerIDs() {
		if err := t.rebalanceBroker(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (t *term) rebalanceBroker(ctx context.Context, id cluster.BrokerID) error {
	own := 0
	var lost []*partition
	for p := range t.state.assigned[id] {
		if preferred(p) != id || p.topic.deleting {
			continue
		}
		own++
		if p.hasState && p.state.Leader != id {
			lost = append(lost, p)
		}
	}
	if len(lost)*100 <= own*t.config.LeaderImbalancePerBrokerPercentage {
		return nil
	}
	able := slices.DeleteFunc(sorted(slices.Values(lost)), func(p *partition) bool { return !t.state.online(p, id) || !slices.Contains(p.state.ISR, id) })
	_, err := t.onlinePartitions(ctx, able, electPreferred)
	return err
}

// sortedNames orders partitions' names by topic and index.
func sortedNames(tps iter.Seq[protocol.TopicPartition]) []protocol.TopicPartition {
	return slices.SortedFunc(tps, func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}
