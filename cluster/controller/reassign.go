package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// Moving a partition (KIP-455): the topic's node gets the target and the old replicas, with what is being added and removed; the added
// ones copy; once the target is within the ISR, the leader is moved into it if need be, the others are stopped and deleted, and the
// topic's node says the target alone. What is under way is found again from the topic's node after a failover.

// Reassignment is one partition's target replicas; nil cancels what is under way.
type Reassignment struct {
	protocol.TopicPartition
	Replicas []cluster.BrokerID
}

// AlterPartitionReassignments begins, replaces and cancels reassignments. The results are in the order asked, nil for what was begun;
// their errors wrap Kafka's.
func (c *Controller) AlterPartitionReassignments(ctx context.Context, wanted []Reassignment) ([]error, error) {
	return ask(ctx, c, "alter reassignments", func(ctx context.Context, t *term) ([]error, error) {
		return t.alterReassignments(ctx, wanted)
	})
}

// ListPartitionReassignments returns the assignments that are on their way: of the partitions asked for, or of all for nil.
func (c *Controller) ListPartitionReassignments(ctx context.Context, of []protocol.TopicPartition) (map[protocol.TopicPartition]cluster.Assignment, error) {
	return ask(ctx, c, "list reassignments", func(_ context.Context, t *term) (map[protocol.TopicPartition]cluster.Assignment, error) {
		return t.listReassignments(of), nil
	})
}

func (t *term) listReassignments(of []protocol.TopicPartition) map[protocol.TopicPartition]cluster.Assignment {
	partitions := sorted(maps.Keys(t.state.reassigning))
	if of != nil {
		partitions = nil
		for _, tp := range of {
			if p := t.state.partition(tp); p != nil {
				partitions = append(partitions, p)
			}
		}
	}
	list := map[protocol.TopicPartition]cluster.Assignment{}
	for _, p := range partitions {
		if isReassigned(p.assignment) {
			list[p.tp] = p.assignment
		}
	}
	return list
}

func (t *term) alterReassignments(ctx context.Context, wanted []Reassignment) ([]error, error) {
	results := make([]error, len(wanted))
	next := make([]cluster.Assignment, len(wanted))
	accepted := set[protocol.TopicPartition]{}
	for i, w := range wanted {
		if next[i], results[i] = t.planReassignment(w); results[i] == nil {
			accepted[w.TopicPartition] = struct{}{}
		}
	}
	// What the old way, by node, asks for the same partitions is overruled.
	if err := t.editReassignmentNode(ctx, func(tp protocol.TopicPartition, _ []cluster.BrokerID) bool {
		_, overruled := accepted[tp]
		return overruled
	}); err != nil {
		return nil, err
	}
	for i, w := range wanted {
		if results[i] != nil {
			continue
		}
		p := t.state.partition(w.TopicPartition)
		results[i] = t.reassign(ctx, p, next[i])
		if errors.Is(results[i], metastore.ErrControllerMoved) {
			return nil, results[i]
		}
		t.logReassignment(p, results[i])
	}
	return results, nil
}

// planReassignment checks what is wanted of a partition and says which assignment leads there.
func (t *term) planReassignment(w Reassignment) (cluster.Assignment, error) {
	p := t.state.partition(w.TopicPartition)
	if w.Replicas != nil {
		if err := t.validReplicas(p, w.Replicas); err != nil {
			return cluster.Assignment{}, err
		}
	}
	switch {
	case p == nil && w.Replicas == nil:
		return cluster.Assignment{}, kerr.NoReassignmentInProgress
	case p == nil || len(p.assignment.Replicas) == 0 || p.topic.deleting:
		return cluster.Assignment{}, fmt.Errorf("%w: The partition does not exist.", kerr.UnknownTopicOrPartition)
	case w.Replicas != nil:
		return reassignTo(p.assignment, w.Replicas), nil
	case isReassigned(p.assignment):
		return reassignTo(p.assignment, origin(p.assignment)), nil
	}
	return cluster.Assignment{}, kerr.NoReassignmentInProgress
}

func (t *term) validReplicas(p *partition, replicas []cluster.BrokerID) error {
	if err := wellFormed(replicas); err != nil {
		return err
	}
	var now cluster.Assignment
	if p != nil {
		now = p.assignment
	}
	for _, id := range reassignTo(now, replicas).Adding {
		if !t.state.live(id) {
			return fmt.Errorf("%w: Replica assignment has brokers that are not alive. Replica list: %v, live broker list: %v",
				kerr.InvalidReplicaAssignment, replicas, t.state.brokerIDs())
		}
	}
	return nil
}

// wellFormed says why replicas cannot be those of any partition.
func wellFormed(replicas []cluster.BrokerID) error {
	distinct := set[cluster.BrokerID]{}
	for _, id := range replicas {
		distinct[id] = struct{}{}
	}
	switch {
	case len(replicas) == 0:
		return fmt.Errorf("%w: Empty replica list specified in partition reassignment.", kerr.InvalidReplicaAssignment)
	case len(distinct) != len(replicas):
		return fmt.Errorf("%w: Duplicate replica ids in partition reassignment replica list: %v", kerr.InvalidReplicaAssignment, replicas)
	case slices.Min(replicas) < 0:
		return fmt.Errorf("%w: Invalid broker id in replica list: %v", kerr.InvalidReplicaAssignment, replicas)
	}
	return nil
}

// reassign takes a partition as far towards the assignment as it can go now.
func (t *term) reassign(ctx context.Context, p *partition, to cluster.Assignment) error {
	if err := t.setReassignment(ctx, p, to); err != nil {
		return err
	}
	if !p.hasState {
		if err := t.beginWith(ctx, p); err != nil || !p.hasState {
			return err
		}
	}
	complete, err := t.reassignmentComplete(ctx, p)
	if err != nil {
		return err
	}
	if complete {
		return t.finishReassignment(ctx, p)
	}
	if err := t.announceAssignment(ctx, p); err != nil {
		return err
	}
	t.addReplicas(p)
	return nil
}

// addReplicas creates the replicas that are being added, unless they were.
func (t *term) addReplicas(p *partition) {
	for _, id := range p.assignment.Adding {
		if p.replicaPhase(id) == replicaNonExistent {
			t.newReplicas([]partitionReplica{{p, id}})
		}
	}
}

// beginWith gives a partition that nobody ever led a leader, which may be one of those being added: there is nothing to copy. Without a live
// replica it waits for one. (Apache answers an error, and the added replicas are never taken for created.)
func (t *term) beginWith(ctx context.Context, p *partition) error {
	t.addReplicas(p)
	results, err := t.onlinePartitions(ctx, []*partition{p}, electOffline)
	if err != nil {
		return err
	}
	return results[p]
}

// setReassignment writes the assignment if it is another than the one under way, and stops replicas that only that one needed. It
// refuses to stop all that are in sync: what was acknowledged since the others fell behind would be deleted. (Apache's ZooKeeper controller
// does that, KRaft's refuses.)
func (t *term) setReassignment(ctx context.Context, p *partition, to cluster.Assignment) error {
	from := p.assignment
	unneeded := without(from.Replicas, to.Replicas...)
	if len(unneeded) > 0 && p.hasState && len(t.state.onlineOf(p, without(p.state.ISR, unneeded...))) == 0 {
		return fmt.Errorf("%w: Unable to revert partition assignment for %s because it would require an unclean leader election.", kerr.InvalidReplicaAssignment, p.tp)
	}
	if !sameAssignment(from, to) {
		if err := t.writeAssignment(ctx, p, to); err != nil {
			return err
		}
		t.state.assign(p, to)
		if err := t.dropUnneeded(ctx, p, unneeded); err != nil {
			return err
		}
	}
	t.state.reassigning[p] = struct{}{}
	return nil
}

// dropUnneeded stops replicas of a reassignment that was replaced. If one of them leads, another that is in sync takes over first: nobody would
// be elected later, since the partition did not lose its leader to a failure.
func (t *term) dropUnneeded(ctx context.Context, p *partition, unneeded []cluster.BrokerID) error {
	if slices.Contains(unneeded, p.state.Leader) {
		if _, err := t.onlinePartitions(ctx, []*partition{p}, electOffline); err != nil {
			return err
		}
	}
	return t.removeReplicas(ctx, p, unneeded)
}

// dropUnassigned stops replicas that are in sync and not assigned: the controller before ended after it had written the assignment that takes
// a reassignment back, or replaces it. Left alone, one that leads would not be replaced when it dies, and stays in the ISR without
// hearing of the others. As in setReassignment, the last ones in sync stay.
func (t *term) dropUnassigned(ctx context.Context) error {
	for _, p := range t.state.allPartitions() {
		if !p.hasState || p.topic.deleting {
			continue
		}
		unassigned := without(p.state.ISR, p.assignment.Replicas...)
		if len(unassigned) == 0 || len(t.state.onlineOf(p, without(p.state.ISR, unassigned...))) == 0 {
			continue
		}
		for _, id := range unassigned {
			p.setReplicaPhase(id, replicaOnline)
		}
		if err := t.dropUnneeded(ctx, p, unassigned); err != nil {
			return err
		}
	}
	return nil
}

// writeAssignment writes the topic's node with one partition's assignment replaced. Partitions that somebody added, and of which this
// controller has not heard, stay; Apache drops them. A node that cannot be read is written anew.
func (t *term) writeAssignment(ctx context.Context, p *partition, a cluster.Assignment) error {
	for {
		read, err := t.store.TopicAssignments(ctx, []string{p.topic.name}, nil)
		if err != nil {
			return err
		}
		all := make(map[int32]cluster.Assignment, len(p.topic.partitions))
		maps.Copy(all, read[0].Topic.Partitions)
		for index, other := range p.topic.partitions {
			all[index] = other.assignment
		}
		all[p.tp.Partition] = a
		err = t.store.SetTopicFenced(ctx, t.state.claim, metastore.Topic{Name: p.topic.name, ID: p.topic.id, Partitions: all, Version: read[0].Topic.Version})
		if read[0].Err != nil || !errors.Is(err, metastore.ErrBadVersion) {
			return err // a node that stays unreadable would be tried without end
		}
	}
}

// reassignmentComplete reports whether every target replica is in the ISR as it is written now.
func (t *term) reassignmentComplete(ctx context.Context, p *partition) (bool, error) {
	if !isReassigned(p.assignment) {
		return true, nil
	}
	written, err := t.readStates(ctx, []*partition{p}, map[*partition]error{})
	if err != nil || len(written) == 0 {
		return false, err
	}
	return len(without(target(p.assignment), written[0].state.ISR...)) == 0, nil
}

// finishReassignment makes the target the assignment.
func (t *term) finishReassignment(ctx context.Context, p *partition) error {
	var adding []partitionReplica
	for _, id := range p.assignment.Adding {
		adding = append(adding, partitionReplica{p, id})
	}
	removing := p.assignment.Removing
	t.onlineReplicas(adding)
	done := cluster.Assignment{Replicas: target(p.assignment)}
	t.state.assign(p, done)
	if err := t.moveLeaderInto(ctx, p); err != nil {
		return err
	}
	if err := t.removeReplicas(ctx, p, removing); err != nil {
		return err
	}
	if err := t.writeAssignment(ctx, p, done); err != nil {
		return err
	}
	if err := t.editReassignmentNode(ctx, func(tp protocol.TopicPartition, replicas []cluster.BrokerID) bool {
		return tp == p.tp && slices.Equal(replicas, done.Replicas)
	}); err != nil {
		return err
	}
	delete(t.state.reassigning, p)
	t.sendMetadata(p)
	return nil
}

// moveLeaderInto elects a leader among the assigned replicas, or, when they already have one, tells it of the new assignment. If none of
// them lives, one leads when it is back: as in Apache the reassignment does not wait for that.
func (t *term) moveLeaderInto(ctx context.Context, p *partition) error {
	leader := p.state.Leader
	if slices.Contains(p.assignment.Replicas, leader) && t.state.online(p, leader) {
		return t.announceAssignment(ctx, p)
	}
	results, err := t.onlinePartitions(ctx, []*partition{p}, electReassigned)
	if err == nil && !errors.Is(results[p], errNoLeader) {
		err = results[p]
	}
	return err
}

// announceAssignment begins a new leader epoch with the same leader and ISR, and tells the replicas the assignment in it. The added
// ones may be created even where a log directory is offline.
func (t *term) announceAssignment(ctx context.Context, p *partition) error {
	results := map[*partition]error{}
	for again := []*partition{p}; len(again) > 0; {
		written, err := t.readStates(ctx, again, results)
		if err != nil {
			return err
		}
		for i := range written {
			written[i].state = newEpoch(written[i].state, written[i].state.Leader, written[i].state.ISR)
		}
		if again, err = t.writeStates(ctx, written, results, func(change) {}); err != nil {
			return err
		}
	}
	if results[p] != nil {
		return fmt.Errorf("begin leader epoch for new assignment: %w", results[p])
	}
	b := newBatch(t.state, t.link)
	b.addLeaderAndISR(origin(p.assignment), p, false)
	b.addLeaderAndISR(p.assignment.Adding, p, true)
	b.send()
	return nil
}

// removeReplicas stops and deletes replicas that are assigned no more. Whether a broker did delete is not awaited, as in Apache.
func (t *term) removeReplicas(ctx context.Context, p *partition, ids []cluster.BrokerID) error {
	if len(ids) == 0 {
		return nil
	}
	var replicas []partitionReplica
	for _, id := range ids {
		replicas = append(replicas, partitionReplica{p, id})
	}
	if err := t.offlineReplicas(ctx, replicas); err != nil {
		return err
	}
	t.startDeletion(replicas)
	t.setReplicaPhases(replicas, replicaDeletionSuccessful)
	t.dropReplicas(replicas)
	return nil
}

// resumeReassignmentsTo goes on with what waited for brokers to come.
func (t *term) resumeReassignmentsTo(ctx context.Context, ids []cluster.BrokerID) error {
	for _, p := range sorted(maps.Keys(t.state.reassigning)) {
		if len(without(target(p.assignment), ids...)) == len(target(p.assignment)) {
			continue
		}
		if err := t.reassignOrLog(ctx, p, p.assignment); err != nil {
			return err
		}
	}
	return nil
}

// reassignOrLog goes on with a reassignment that nobody waits for: only the end of the term is an error.
func (t *term) reassignOrLog(ctx context.Context, p *partition, to cluster.Assignment) error {
	err := t.reassign(ctx, p, to)
	if errors.Is(err, metastore.ErrControllerMoved) {
		return err
	}
	t.logReassignment(p, err)
	return nil
}

// completeReassignments finishes those of the partitions whose target got into the ISR.
func (t *term) completeReassignments(ctx context.Context, partitions []*partition) error {
	for _, p := range partitions {
		if _, moving := t.state.reassigning[p]; !moving {
			continue
		}
		complete, err := t.reassignmentComplete(ctx, p)
		if err == nil && complete {
			err = t.reassignOrLog(ctx, p, p.assignment)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// completeElected finishes reassignments whose target is in sync by an election: an unclean one may leave an added replica as the only
// one in the ISR, and then its leader has nothing to propose until another comes.
func (t *term) completeElected(ctx context.Context) error {
	var elected []*partition
	for p := range t.state.reassigning {
		if p.hasState && len(without(target(p.assignment), p.state.ISR...)) == 0 {
			elected = append(elected, p)
		}
	}
	return t.completeReassignments(ctx, sorted(slices.Values(elected)))
}

func (t *term) logReassignment(p *partition, err error) {
	if err != nil {
		t.logger.Error().Err(err).Stringer("partition", p.tp).Msg("reassignment failed")
	}
}

// reassignmentNodeChanged looks at /admin/reassign_partitions, by which tools before KIP-455 ask.
func (t *term) reassignmentNodeChanged(ctx context.Context) error {
	_, err := t.reassignByNode(ctx)
	return err
}

// reassignByNode begins what the node asks, and removes from it what cannot be done. It returns the partitions that were begun. Only a new
// node is a request: changes are the controller's own. The brokers need not be alive, as in Apache; what no partition can have is refused,
// where Apache gives a partition no replicas and deletes all it had.
func (t *term) reassignByNode(ctx context.Context) (set[protocol.TopicPartition], error) {
	asked, id, err := t.readReassignmentNode(ctx, t.watcher)
	if err != nil || id == 0 || id == t.reassignment {
		return nil, err
	}
	t.reassignment = id
	begun, failed := set[protocol.TopicPartition]{}, set[protocol.TopicPartition]{}
	for _, tp := range sortedNames(maps.Keys(asked)) {
		p := t.state.partition(tp)
		if p == nil || len(p.assignment.Replicas) == 0 || p.topic.deleting {
			failed[tp] = struct{}{}
			continue
		}
		err := wellFormed(asked[tp])
		if err == nil {
			err = t.reassign(ctx, p, reassignTo(p.assignment, asked[tp]))
		}
		if errors.Is(err, metastore.ErrControllerMoved) {
			return nil, err
		}
		t.logReassignment(p, err)
		if err == nil {
			begun[tp] = struct{}{}
		} else {
			failed[tp] = struct{}{}
		}
	}
	if len(failed) == 0 {
		return begun, nil
	}
	return begun, t.editReassignmentNode(ctx, func(tp protocol.TopicPartition, _ []cluster.BrokerID) bool {
		_, remove := failed[tp]
		return remove
	})
}

// readReassignmentNode reads the node; what cannot be read asks for nothing, and stays.
func (t *term) readReassignmentNode(ctx context.Context, w *metastore.Watcher) (map[protocol.TopicPartition][]cluster.BrokerID, metastore.RequestID, error) {
	asked, id, err := t.store.Reassignments(ctx, w)
	if errors.Is(err, metastore.ErrUnreadable) {
		t.logger.Warn().Err(err).Msg("ignoring reassignment node")
		return nil, id, nil
	}
	return asked, id, err
}

// editReassignmentNode removes partitions from the node, and the node with the last.
func (t *term) editReassignmentNode(ctx context.Context, remove func(protocol.TopicPartition, []cluster.BrokerID) bool) error {
	asked, _, err := t.readReassignmentNode(ctx, nil)
	if err != nil || len(asked) == 0 {
		return err
	}
	before := len(asked)
	maps.DeleteFunc(asked, remove)
	if len(asked) == before {
		return nil
	}
	return t.store.SetReassignments(ctx, t.state.claim, asked)
}
