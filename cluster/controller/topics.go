package controller

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// topicsChanged compares the topics with those known, and starts the new ones.
func (t *term) topicsChanged(ctx context.Context) error {
	names, err := t.store.Topics(ctx, t.watcher)
	if err != nil {
		return err
	}
	var added []string
	for _, name := range names {
		if t.state.topics[name] == nil {
			added = append(added, name)
		}
	}
	if len(names)-len(added) < len(t.state.topics) {
		t.forgetTopicsBut(names)
	}
	if len(added) == 0 {
		return nil
	}
	partitions, err := t.loadTopics(ctx, added)
	if err != nil {
		return err
	}
	t.logger.Info().Int("topics", len(added)).Int("partitions", len(partitions)).Msg("new topics")
	return t.startNew(ctx, partitions)
}

// forgetTopicsBut drops topics whose nodes somebody else removed.
func (t *term) forgetTopicsBut(names []string) {
	present := make(set[string], len(names))
	for _, name := range names {
		present[name] = struct{}{}
	}
	for name, known := range t.state.topics {
		if _, ok := present[name]; !ok {
			t.state.removeTopic(known)
		}
	}
}

// startNew brings new partitions into life: state written, replicas told.
func (t *term) startNew(ctx context.Context, partitions []*partition) error {
	t.newPartitions(partitions)
	replicas := replicasOf(partitions)
	t.newReplicas(replicas)
	if _, err := t.onlinePartitions(ctx, partitions, electOffline); err != nil {
		return err
	}
	t.onlineReplicas(replicas)
	return nil
}

// partitionsModified starts partitions that were added to a topic. Other differences are the controller's own writes.
func (t *term) partitionsModified(ctx context.Context, name string) error {
	known := t.state.topics[name]
	read, err := t.store.Topic(ctx, name, t.watcher)
	if err != nil || known == nil {
		return err
	}
	fresh := 0
	for index := range read.Partitions {
		if known.partitions[index] == nil {
			fresh++
		}
	}
	switch {
	case fresh == 0:
		return nil
	case known.deleting:
		return t.restoreAssignment(ctx, known)
	}
	if known.id.IsZero() { // it was unreadable when it was found
		if err := t.ensureTopicID(ctx, &read); err != nil {
			return err
		}
		known.id = read.ID
		t.state.topicsByID[known.id] = known
	}
	t.logger.Info().Str("topic", name).Int("partitions", fresh).Msg("new partitions")
	return t.startNew(ctx, t.addPartitions(known, read))
}

// restoreAssignment takes back partitions that were added to a topic while it is being deleted.
func (t *term) restoreAssignment(ctx context.Context, of *topic) error {
	t.logger.Warn().Str("topic", of.name).Msg("partitions were added to a topic that is being deleted, taking them back")
	names, err := t.store.PartitionNodes(ctx, of.name)
	if err != nil {
		return err
	}
	kept := map[int32]cluster.Assignment{}
	for index, p := range of.partitions {
		if slices.Contains(names, strconv.Itoa(int(index))) {
			kept[index] = p.assignment
		}
	}
	return t.store.SetTopicFenced(ctx, t.state.claim, metastore.Topic{Name: of.name, ID: of.id, Partitions: kept, Version: metastore.AnyVersion})
}

// isrsChanged hears of states that leaders wrote themselves, which brokers with an old inter.broker.protocol.version do.
func (t *term) isrsChanged(ctx context.Context) error {
	notices, err := t.store.ISRChanges(ctx, t.watcher)
	if err != nil || len(notices) == 0 {
		return err
	}
	changed := set[*partition]{}
	for _, n := range notices {
		for _, tp := range n.Partitions {
			if p := t.state.partition(tp); p != nil {
				changed[p] = struct{}{}
			}
		}
	}
	partitions := sorted(maps.Keys(changed))
	if err := t.refreshStates(ctx, partitions); err != nil {
		return err
	}
	if len(partitions) > 0 {
		t.sendMetadata(partitions...)
	}
	if err := t.completeReassignments(ctx, partitions); err != nil {
		return err
	}
	return t.store.DeleteNotices(ctx, t.state.claim, notices)
}
