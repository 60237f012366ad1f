package controller

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Deleting a topic (Apache's TopicDeletionManager): it is queued by its node in /admin/delete_topics; its partitions are declared gone
// and its replicas told to stop, then to delete; when every replica said that it did, the topic's nodes go, the mark last. A replica
// that cannot be deleted makes the topic ineligible until that changes. All of it is found again after a failover.
//
// A reassignment ends where a deletion begins: all replicas are deleted, those that come and those that go. In Apache the deletion waits for
// it, and for ever if the partition has no leader, since nobody is elected for a topic that is being deleted.

// loadDeletions queues what was marked before the topics were read. Topics with a replica offline wait.
func (t *term) loadDeletions(ctx context.Context, names []string) error {
	topics, err := t.deletable(ctx, names)
	if err != nil {
		return err
	}
	for _, of := range topics {
		t.queueDeletion(of)
		of.ineligible = slices.ContainsFunc(replicasOf(partitionsOf(of)), func(r partitionReplica) bool {
			return !t.state.online(r.p, r.id)
		})
	}
	return nil
}

// deletionAsked queues what was marked since. A topic that is not known may be so new that its own event comes only after this one.
func (t *term) deletionAsked(ctx context.Context) error {
	names, err := t.store.TopicsMarkedForDeletion(ctx, t.watcher)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, func(name string) bool { return t.state.topics[name] == nil }) {
		if err := t.topicsChanged(ctx); err != nil {
			return err
		}
	}
	topics, err := t.deletable(ctx, names)
	if err != nil {
		return err
	}
	var fresh []*topic
	moving := len(t.state.reassigning)
	for _, of := range topics {
		if !of.deleting {
			t.queueDeletion(of)
			fresh = append(fresh, of)
		}
	}
	if len(t.state.reassigning) < moving {
		if err := t.editReassignmentNode(ctx, func(tp protocol.TopicPartition, _ []cluster.BrokerID) bool {
			p := t.state.partition(tp)
			return p != nil && p.topic.deleting
		}); err != nil {
			return err
		}
	}
	return t.resumeDeletions(ctx, slices.Values(fresh))
}

// deletable finds the topics that are marked, and removes the marks of others: of unknown ones, or of all if deletion is not allowed.
func (t *term) deletable(ctx context.Context, names []string) ([]*topic, error) {
	var topics []*topic
	var unmark []string
	for _, name := range names {
		if of := t.state.topics[name]; of != nil && t.config.DeleteTopicEnable {
			topics = append(topics, of)
		} else {
			unmark = append(unmark, name)
		}
	}
	if len(unmark) > 0 {
		t.logger.Warn().Strs("topics", unmark).Msg("not deleting topics: unknown, or delete.topic.enable is false")
	}
	return topics, t.store.UnmarkTopics(ctx, t.state.claim, unmark)
}

// queueDeletion begins with a topic, and ends its reassignments.
func (t *term) queueDeletion(of *topic) {
	of.deleting = true
	t.state.deleting[of] = struct{}{}
	for _, p := range of.partitions {
		delete(t.state.reassigning, p)
	}
}

func partitionsOf(topics ...*topic) []*partition {
	var partitions []*partition
	for _, of := range topics {
		for _, p := range of.partitions {
			partitions = append(partitions, p)
		}
	}
	return sorted(slices.Values(partitions))
}

// phases counts the replicas of a topic in each phase.
func (of *topic) phases() (counts map[replicaPhase]int, all int) {
	counts = map[replicaPhase]int{}
	for _, p := range of.partitions {
		for _, id := range p.assignment.Replicas {
			counts[p.replicaPhase(id)]++
			all++
		}
	}
	return counts, all
}

// resumeDeletions takes each of the topics one step further, whichever is due.
func (t *term) resumeDeletions(ctx context.Context, topics iter.Seq[*topic]) error {
	var finished, retry, start []*topic
	for of := range topics {
		if _, queued := t.state.deleting[of]; !queued {
			continue
		}
		counts, all := of.phases()
		switch {
		case counts[replicaDeletionSuccessful] == all:
			finished = append(finished, of)
		case counts[replicaDeletionStarted] == 0 && counts[replicaDeletionIneligible] > 0:
			retry = append(retry, of)
			fallthrough
		default:
			if counts[replicaDeletionStarted] == 0 && !of.ineligible {
				start = append(start, of)
			}
		}
	}
	if err := t.finishDeletion(ctx, finished); err != nil {
		return err
	}
	if err := t.offlineReplicas(ctx, replicasIn(replicaDeletionIneligible, retry)); err != nil {
		return err
	}
	return t.startDeletions(ctx, start)
}

// replicasIn lists the replicas of topics that are in one phase.
func replicasIn(phase replicaPhase, topics []*topic) []partitionReplica {
	return slices.DeleteFunc(replicasOf(partitionsOf(topics...)), func(r partitionReplica) bool { return r.p.replicaPhase(r.id) != phase })
}

// startDeletions declares the partitions gone, the first time, and tells every replica that can hear it to stop and to delete.
func (t *term) startDeletions(ctx context.Context, topics []*topic) error {
	if len(topics) == 0 {
		return nil
	}
	slices.SortFunc(topics, func(a, b *topic) int { return strings.Compare(a.name, b.name) })
	unseen := slices.DeleteFunc(slices.Clone(topics), func(of *topic) bool { return of.deletionStarted })
	t.offlinePartitions(partitionsOf(unseen...))
	t.dropPartitions(partitionsOf(unseen...))
	for _, of := range unseen {
		of.deletionStarted = true
	}
	partitions := partitionsOf(topics...)
	t.sendMetadata(partitions...)
	return t.deleteReplicas(ctx, partitions)
}

func (t *term) deleteReplicas(ctx context.Context, partitions []*partition) error {
	var dead, alive []partitionReplica
	for _, r := range replicasOf(partitions) {
		switch {
		case !t.state.online(r.p, r.id):
			dead = append(dead, r)
		case r.p.replicaPhase(r.id) != replicaDeletionSuccessful:
			alive = append(alive, r)
		}
	}
	t.setReplicaPhases(slices.DeleteFunc(slices.Clone(dead), func(r partitionReplica) bool {
		return r.p.replicaPhase(r.id) == replicaDeletionIneligible
	}), replicaDeletionIneligible)
	if err := t.offlineReplicas(ctx, alive); err != nil {
		return err
	}
	t.startDeletion(alive)
	for _, r := range dead {
		r.p.topic.ineligible = true
	}
	return nil
}

// finishDeletion removes topics whose replicas are all deleted.
func (t *term) finishDeletion(ctx context.Context, topics []*topic) error {
	if len(topics) == 0 {
		return nil
	}
	t.dropReplicas(replicasIn(replicaDeletionSuccessful, topics))
	names := make([]string, len(topics))
	for i, of := range topics {
		names[i] = of.name
	}
	slices.Sort(names)
	if err := t.store.DeleteTopics(ctx, t.state.claim, names); err != nil {
		return err
	}
	for _, of := range topics {
		t.state.removeTopic(of)
	}
	t.logger.Info().Int("topics", len(topics)).Msg("topics deleted")
	return nil
}

// stopReplicaAnswered hears which replicas were deleted.
func (t *term) stopReplicaAnswered(ctx context.Context, from cluster.BrokerID, request *cluster.StopReplicaRequest, response *cluster.StopReplicaResponse) error {
	var deleted, failed []partitionReplica
	for _, stop := range request.Partitions {
		p := t.state.partition(stop.TopicPartition)
		if !stop.Delete || p == nil || !p.topic.deletionStarted {
			continue
		}
		switch {
		case response.Err != nil || response.Partitions[stop.TopicPartition] != nil:
			failed = append(failed, partitionReplica{p, from})
		case replicaDeletionSuccessful.follows(p.replicaPhase(from)): // else it was moved away before, and is not waited for
			deleted = append(deleted, partitionReplica{p, from})
		}
	}
	if err := t.deletionFailed(ctx, failed); err != nil {
		return err
	}
	t.setReplicaPhases(deleted, replicaDeletionSuccessful)
	return t.resumeDeletions(ctx, topicsOf(deleted))
}

// deletionFailed holds topics back whose replicas cannot be deleted now.
func (t *term) deletionFailed(ctx context.Context, replicas []partitionReplica) error {
	if len(replicas) == 0 {
		return nil
	}
	t.setReplicaPhases(slices.DeleteFunc(slices.Clone(replicas), func(r partitionReplica) bool {
		return !replicaDeletionIneligible.follows(r.p.replicaPhase(r.id))
	}), replicaDeletionIneligible)
	for of := range topicsOf(replicas) {
		of.ineligible = true
	}
	return t.resumeDeletions(ctx, topicsOf(replicas))
}

// retryDeletionsOn lets topics go on whose replicas came back.
func (t *term) retryDeletionsOn(ctx context.Context, replicas []partitionReplica) error {
	for of := range topicsOf(replicas) {
		if of.deleting {
			of.ineligible = false
		}
	}
	return t.resumeDeletions(ctx, topicsOf(replicas))
}

// topicsOf lists the topics of replicas, each once.
func topicsOf(replicas []partitionReplica) iter.Seq[*topic] {
	topics := set[*topic]{}
	for _, r := range replicas {
		topics[r.p.topic] = struct{}{}
	}
	return maps.Keys(topics)
}
