package server

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/controller"
	"gokafka/cluster/group"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/protocol"
)

// direct is this broker as its own controller talks to it: by calls instead of a connection.
type direct struct{ replicas *replica.Manager }

func (d direct) LeaderAndISR(_ context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	return d.replicas.ApplyLeaderAndISR(r), nil
}

func (d direct) UpdateMetadata(_ context.Context, r *cluster.UpdateMetadataRequest) error {
	return d.replicas.ApplyUpdateMetadata(r)
}

func (d direct) StopReplica(_ context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	return d.replicas.ApplyStopReplica(r), nil
}

func (direct) Close() error { return nil }

// coordinator lives in the partitions of one internal topic that this broker leads.
type coordinator interface {
	Elected(partition int32, epoch cluster.LeaderEpoch)
	Resigned(partition int32, epoch cluster.LeaderEpoch)
}

// caller waits for answers of other brokers.
type caller interface {
	// BrokersDied ends the wait for those that are not alive any more.
	BrokersDied(ids []cluster.BrokerID)
}

// leadership tells the coordinators which partitions of their topics this broker leads, the controller which directories fail, and callers
// who will not answer.
type leadership struct {
	groups          *group.Coordinator
	txns            *txn.Coordinator
	callers         []caller
	announceFailure func()
}

// coordinator is the one that lives in a topic, or nil.
func (l *leadership) coordinator(topic string) coordinator {
	switch topic {
	case cluster.OffsetsTopic:
		return l.groups
	case cluster.TransactionsTopic:
		return l.txns
	}
	return nil
}

func (l *leadership) LeadershipChanged(led, followed []replica.Leadership) {
	for _, p := range led {
		if c := l.coordinator(p.Topic); c != nil {
			c.Elected(p.Partition, p.Epoch)
		}
	}
	for _, p := range followed {
		l.resigned(p.TopicPartition, p.Epoch)
	}
}

func (l *leadership) resigned(tp protocol.TopicPartition, epoch cluster.LeaderEpoch) {
	if c := l.coordinator(tp.Topic); c != nil {
		c.Resigned(tp.Partition, epoch)
	}
}

func (l *leadership) ReplicasStopped(stopped []cluster.StopReplica) {
	for _, s := range stopped {
		l.resigned(s.TopicPartition, s.LeaderEpoch)
	}
}

func (l *leadership) PartitionsDeleted(gone []protocol.TopicPartition) {
	l.groups.PartitionsDeleted(gone)
}

func (l *leadership) BrokersDied(ids []cluster.BrokerID) {
	for _, c := range l.callers {
		c.BrokersDied(ids)
	}
}

func (l *leadership) DirectoryFailed(_ log.DirStatus, gone []protocol.TopicPartition) {
	for _, tp := range gone {
		l.resigned(tp, cluster.NoEpoch)
	}
	l.announceFailure()
}

// control is this broker's controller as the handlers ask it: by partition, whatever the order.
type control struct {
	*controller.Controller
	image *replica.Manager
}

// ElectLeaders elects, and waits until this broker has heard of the new leaders, so that whoever asked finds them in its metadata, or those that
// have taken over from them since, for whom Apache would wait in vain. As there, the timeout is of that wait, and not of the election.
func (c control) ElectLeaders(ctx context.Context, unclean bool, partitions []protocol.TopicPartition, timeout time.Duration) (map[protocol.TopicPartition]error, error) {
	deadline := time.Now().Add(timeout)
	results, err := c.Controller.ElectLeaders(ctx, partitions, unclean)
	if err != nil {
		return nil, err
	}
	return c.awaitElected(ctx, deadline, results), nil
}

// awaitElected returns what became of elections. Those that this broker has not heard of by the deadline have timed out.
func (c control) awaitElected(ctx context.Context, deadline time.Time, results map[protocol.TopicPartition]controller.ElectionResult) map[protocol.TopicPartition]error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := c.image.AwaitMetadata(ctx, func(m *cluster.Metadata) bool { return shows(m, results) })
	errs := make(map[protocol.TopicPartition]error, len(results))
	for tp, r := range results {
		errs[tp] = r.Err
		if err != nil && !hasHeard(c.image.Metadata(), tp, &r) {
			errs[tp] = kerr.RequestTimedOut
		}
	}
	return errs
}

func shows(m *cluster.Metadata, elected map[protocol.TopicPartition]controller.ElectionResult) bool {
	for tp, r := range elected {
		if !hasHeard(m, tp, &r) {
			return false
		}
	}
	return true
}

func hasHeard(m *cluster.Metadata, tp protocol.TopicPartition, r *controller.ElectionResult) bool {
	s := m.Partition(tp)
	return r.Err != nil || s != nil && s.LeaderEpoch >= r.Epoch
}

func (c control) AlterPartitionReassignments(ctx context.Context, wanted map[protocol.TopicPartition][]cluster.BrokerID) (map[protocol.TopicPartition]error, error) {
	var list []controller.Reassignment
	for tp, replicas := range wanted {
		list = append(list, controller.Reassignment{TopicPartition: tp, Replicas: replicas})
	}
	errs, err := c.Controller.AlterPartitionReassignments(ctx, list)
	if err != nil {
		return nil, err
	}
	byName := map[protocol.TopicPartition]error{}
	for i, e := range errs {
		byName[list[i].TopicPartition] = e
	}
	return byName, nil
}

// hostedTopics are the topics that this broker has replicas of.
func (b *Broker) hostedTopics() []string {
	var topics []string
	for _, l := range b.logs.Logs() {
		topics = append(topics, l.TopicPartition().Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// topicChanged gives a topic's new settings to its logs and to the controller.
func (b *Broker) topicChanged(topic string, v *config.Values) {
	c := v.LogConfig()
	b.logs.SetConfig(topic, c)
	b.replicas.TopicChanged(topic)
	throttleTopic(b.throttles, b.id(), topic, v)
	if c.UncleanElection && b.controller.IsActive() {
		if err := b.controller.EnableUncleanElection(b.ctx, topic); err != nil {
			b.logger.Error().Err(err).Str("topic", topic).Msg("unclean elections were allowed, but not held")
		}
	}
}

// settingsChanged gives the broker's new settings to those parts that can follow.
func (b *Broker) settingsChanged(old, v *config.Values) {
	if limits, err := connectionLimits(v, b.config.Network()); err != nil {
		b.logger.Error().Err(err).Msg("limits of connections stay as they were")
	} else {
		b.server.SetLimits(limits)
	}
	if defaults, err := v.TopicValues(nil); err != nil {
		b.logger.Error().Err(err).Msg("defaults of topics stay as they were")
	} else {
		b.logs.SetDefaults(defaults.LogConfig())
	}
	throttleRates(b.throttles, v)
	b.logs.SetProducerIDExpiration(v.Millis("producer.id.expiration.ms"))
	if cleaner := cleanerOptions(v); cleaner != cleanerOptions(old) {
		b.logs.SetCleaner(cleaner)
	}
	if unclean := v.Bool("unclean.leader.election.enable"); unclean != old.Bool("unclean.leader.election.enable") {
		b.allowUncleanElection(unclean)
	}
}

// allowUncleanElection tells the controller whether partitions may get leaders that lack records, where their topics do not say.
func (b *Broker) allowUncleanElection(allowed bool) {
	if !allowed {
		b.controller.DisableUncleanElection()
		return
	}
	if err := b.controller.EnableUncleanElection(b.ctx, ""); err != nil {
		b.logger.Error().Err(err).Msg("unclean elections were allowed, but not held")
	}
}

func (b *Broker) advertised() []cluster.Endpoint {
	return b.config.Network().AdvertisedAt(func(listener string) int32 { return int32(b.server.Addr(listener).Port()) })
}

// addresses are the advertised endpoints, for people.
func (b *Broker) addresses() []string {
	var all []string
	for _, e := range b.advertised() {
		all = append(all, e.Listener+"://"+net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	}
	return all
}
