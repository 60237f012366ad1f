package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// term is the time during which this broker is the controller, with all that exists only then. When it ends everything goes at once:
// what was remembered, the watches, the channels and what waited in them.
type term struct {
	machines
	store   *metastore.Store
	config  Config
	watcher *metastore.Watcher
	balance *time.Timer // nil without auto.leader.rebalance.enable

	reassignment metastore.RequestID // the last that was begun by node
}

func newTerm(c *Controller, claim metastore.Claim) *term {
	logger := c.logger.With().Int32("epoch", int32(claim.Epoch)).Logger()
	state := newState()
	state.claim = claim
	m := machines{state: state, link: newLinks(c.options.Dial, logger), states: c.options.Store, configs: c.options.Store, unclean: c.unclean.Load, logger: logger}
	return &term{machines: m, store: c.options.Store, config: c.options.Config, watcher: metastore.NewWatcher()}
}

// rebalanceDelay is when the leaders are first looked at after an election, as in Apache.
const rebalanceDelay = 5 * time.Second

// start takes the cluster over. Every read arms its watch, so that nothing is missed; brokers hear who is alive before they hear
// who leads, because a follower ignores a leader that it does not know. Unlike Apache, partitions without a leader get one before
// anything is said of the others, because for them it is urgent.
func (t *term) start(ctx context.Context) error {
	if err := t.store.EnsureFeatures(ctx); errors.Is(err, metastore.ErrUnreadable) {
		t.logger.Error().Err(err).Msg("ignoring finalized features")
	} else if err != nil {
		return err
	}
	if err := t.dropNotices(ctx); err != nil {
		return err
	}
	if err := t.load(ctx); err != nil {
		return err
	}
	for _, b := range t.state.registered() {
		t.link.add(ctx, b)
	}
	t.sendMetadata()
	if err := t.startPartitions(ctx); err != nil {
		return err
	}
	if err := t.startReplicas(ctx); err != nil {
		return err
	}
	if err := t.resumeAll(ctx); err != nil {
		return err
	}
	if t.config.AutoLeaderRebalanceEnable {
		t.balance = time.NewTimer(rebalanceDelay)
	}
	t.logger.Info().Int("brokers", len(t.state.brokers)).Int("topics", len(t.state.topics)).Msg("controller is ready")
	return nil
}

// resumeAll goes on with what the controller before left unfinished.
func (t *term) resumeAll(ctx context.Context) error {
	if err := t.dropUnassigned(ctx); err != nil {
		return err
	}
	byNode, err := t.reassignByNode(ctx)
	if err != nil {
		return err
	}
	for _, p := range sorted(maps.Keys(t.state.reassigning)) {
		if _, done := byNode[p.tp]; done {
			continue
		}
		if err := t.reassignOrLog(ctx, p, p.assignment); err != nil {
			return err
		}
	}
	if err := t.resumeDeletions(ctx, maps.Keys(t.state.deleting)); err != nil {
		return err
	}
	return t.electByNode(ctx)
}

// end closes what the term opened.
func (t *term) end() {
	t.store.Unsubscribe(t.watcher)
	t.link.removeAll()
	if t.balance != nil {
		t.balance.Stop()
	}
}

// The channels on which a term hears; nil without a term.
func (t *term) watched() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.watcher.Ready()
}

func (t *term) answers() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.link.answers.ready
}

func (t *term) behind() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.link.behind
}

func (t *term) rebalanceDue() <-chan time.Time {
	if t == nil || t.balance == nil {
		return nil
	}
	return t.balance.C
}

// eventOf is what one of the term's watches means.
func (t *term) eventOf(e metastore.Event) event {
	switch e.Path {
	case metastore.PathBrokerIDs:
		return event{"broker change", t.brokersChanged}
	case metastore.PathTopics:
		return event{"topic change", t.topicsChanged}
	case metastore.PathDeleteTopics:
		return event{"topic deletion", t.deletionAsked}
	case metastore.PathLogDirEvents:
		return event{"log directory failure", t.logDirsFailed}
	case metastore.PathISRChanges:
		return event{"ISR change", t.isrsChanged}
	case metastore.PathReassignPartitions:
		return event{"reassignment node", t.reassignmentNodeChanged}
	case metastore.PathPreferredElection:
		return event{"preferred election node", t.electByNode}
	}
	if id, ok := metastore.BrokerOf(e.Path); ok && e.Type == metastore.NodeDataChanged {
		return event{"broker modification", func(ctx context.Context) error { return t.brokerModified(ctx, id) }}
	}
	if name, ok := metastore.TopicOf(e.Path); ok && e.Type == metastore.NodeDataChanged {
		return event{"partition modification", func(ctx context.Context) error { return t.partitionsModified(ctx, name) }}
	}
	return event{}
}

// load reads the whole cluster.
func (t *term) load(ctx context.Context) error {
	brokers, err := t.readBrokers(ctx)
	if err != nil {
		return err
	}
	for _, b := range brokers {
		t.state.addBroker(b)
	}
	marked, err := t.store.TopicsMarkedForDeletion(ctx, t.watcher)
	if err != nil {
		return err
	}
	names, err := t.store.Topics(ctx, t.watcher)
	if err != nil {
		return err
	}
	if _, err := t.loadTopics(ctx, names); err != nil {
		return err
	}
	if err := t.refreshStates(ctx, t.state.allPartitions()); err != nil {
		return err
	}
	return t.loadDeletions(ctx, marked)
}

// loadTopics reads the assignments of topics that are not known yet, and returns their partitions. A topic that cannot be read is
// known without partitions until its node is repaired.
func (t *term) loadTopics(ctx context.Context, names []string) ([]*partition, error) {
	results, err := t.store.TopicAssignments(ctx, names, t.watcher)
	if err != nil {
		return nil, err
	}
	var partitions []*partition
	for _, r := range results {
		if r.Err != nil {
			t.logger.Error().Err(r.Err).Str("topic", r.Topic.Name).Msg("topic is unreadable")
			t.state.addTopic(r.Topic.Name, protocol.TopicID{})
			continue
		}
		if err := t.ensureTopicID(ctx, &r.Topic); err != nil {
			return nil, err
		}
		topic := t.state.addTopic(r.Topic.Name, r.Topic.ID)
		partitions = append(partitions, t.addPartitions(topic, r.Topic)...)
	}
	return partitions, nil
}

// addPartitions makes known those of a topic's partitions that are not, in their order.
func (t *term) addPartitions(of *topic, read metastore.Topic) []*partition {
	var added []*partition
	for index, a := range read.Partitions {
		if of.partitions[index] != nil {
			continue
		}
		p := t.state.addPartition(of, index, a)
		if isReassigned(a) {
			t.state.reassigning[p] = struct{}{}
		}
		added = append(added, p)
	}
	return sorted(slices.Values(added))
}

// ensureTopicID gives an id to a topic that was made before there were ids (KIP-516).
func (t *term) ensureTopicID(ctx context.Context, topic *metastore.Topic) error {
	if !topic.ID.IsZero() {
		return nil
	}
	topic.ID, topic.Version = protocol.NewTopicID(), metastore.AnyVersion
	if err := t.store.SetTopicFenced(ctx, t.state.claim, *topic); err != nil {
		return fmt.Errorf("give topic %s an id: %w", topic.Name, err)
	}
	return nil
}

// refreshStates reads what is written of partitions. One without a state is left as it was.
func (t *term) refreshStates(ctx context.Context, partitions []*partition) error {
	results := map[*partition]error{}
	written, err := t.readStates(ctx, partitions, results)
	if err != nil {
		return err
	}
	for _, w := range written {
		w.p.setState(w.state)
	}
	maps.DeleteFunc(results, func(_ *partition, err error) bool { return err == errNoState })
	t.failedAll(results)
	return nil
}

// sendMetadata tells every registered broker who is alive, and of partitions.
func (t *term) sendMetadata(partitions ...*partition) {
	b := newBatch(t.state, t.link)
	b.addMetadata(partitions...)
	b.send()
}

// dropNotices removes what was announced to the controller before: it reads everything anyway.
func (t *term) dropNotices(ctx context.Context) error {
	dirs, err := t.store.LogDirEvents(ctx, t.watcher)
	if err != nil {
		return err
	}
	isrs, err := t.store.ISRChanges(ctx, t.watcher)
	if err != nil {
		return err
	}
	return t.store.DeleteNotices(ctx, t.state.claim, append(dirs, isrs...))
}
