package replica

import (
	"fmt"
	"slices"
	"time"

	"gokafka/cluster"
	"gokafka/log"
)

// core is the state of leadership and replication of one replica, as a pure machine: it reads no clock, opens nothing and
// knows the log only by the positions that its caller passes. Partition guards it with a lock and carries out what it says.
//
// Its invariants, which check walks: the leader is in its own ISR, something is known of each follower that is assigned or in
// the ISR and of no other, and the three epochs (controller, leader, partition) only grow.
type core struct {
	self   cluster.BrokerID
	lagMax lag

	leader          cluster.BrokerID
	leaderEpoch     cluster.LeaderEpoch    // -1 until the first LeaderAndIsr, which therefore always applies
	partitionEpoch  cluster.PartitionEpoch // -1 likewise
	controllerEpoch cluster.ControllerEpoch
	assignment      cluster.Assignment

	// The rest is the leader's.
	epochStart int64               // log end at the moment at which this leader epoch began; unknownOffset on a follower
	ledSince   cluster.LeaderEpoch // the first of the epochs that this broker leads without a break
	isr        isr
	followers  []Progress
}

func newCore(self cluster.BrokerID, lagMax lag) core {
	return core{self: self, lagMax: lagMax, leader: cluster.NoLeader, leaderEpoch: -1, partitionEpoch: -1, epochStart: unknownOffset}
}

func (c *core) isLeader() bool { return c.leader == c.self }

// fence compares the leader epoch that a caller believes in with the current one; cluster.NoEpoch is not checked.
func (c *core) fence(epoch cluster.LeaderEpoch) error { return fence(epoch, c.leaderEpoch) }

func fence(callers, current cluster.LeaderEpoch) error {
	switch {
	case callers == cluster.NoEpoch || callers == current:
		return nil
	case callers < current:
		return ErrFencedEpoch
	}
	return ErrUnknownEpoch
}

// admits reports how a LeaderAndIsr state relates to the current one. Only a grown leader epoch changes a replica's role.
func (c *core) admits(s *cluster.PartitionState) error {
	switch {
	case s.LeaderEpoch <= c.leaderEpoch:
		return ErrStaleControllerEpoch
	case !slices.Contains(s.Replicas, c.self):
		return errNotReplica
	}
	return nil
}

// becomeLeader takes a state in which this broker leads. end is the local log's end, where the new leader epoch starts.
// It reports whether leadership is new to this broker; applied is false for a state with an older partition epoch.
func (c *core) becomeLeader(s *cluster.PartitionState, end int64, now time.Time) (newLeader, applied bool) {
	if s.PartitionEpoch < c.partitionEpoch {
		return false, false
	}
	newLeader = !c.isLeader()
	newEpoch := s.LeaderEpoch > c.leaderEpoch
	c.take(s)
	if newLeader {
		c.ledSince = s.LeaderEpoch
	}
	c.isr = isr{committed: slices.Clone(s.ISR)}
	c.keepFollowers()
	if newEpoch {
		c.epochStart = end
		for i := range c.followers {
			p := &c.followers[i]
			p.reset(end, newLeader, c.isr.contains(p.ID), now)
		}
	}
	return newLeader, true
}

// becomeFollower takes a state in which another broker leads. It reports whether the leader epoch grew, which is when
// fetching starts anew.
func (c *core) becomeFollower(s *cluster.PartitionState) (newEpoch, applied bool) {
	if s.PartitionEpoch < c.partitionEpoch {
		return false, false
	}
	newEpoch = s.LeaderEpoch > c.leaderEpoch
	c.take(s)
	c.isr, c.followers, c.epochStart = isr{}, nil, unknownOffset
	return newEpoch, true
}

func (c *core) take(s *cluster.PartitionState) {
	c.leader, c.leaderEpoch = s.Leader, s.LeaderEpoch
	c.partitionEpoch, c.controllerEpoch = s.PartitionEpoch, s.ControllerEpoch
	c.assignment = cluster.Assignment{
		Replicas: slices.Clone(s.Replicas), Adding: slices.Clone(s.Adding), Removing: slices.Clone(s.Removing)}
}

// keepFollowers makes followers match the assignment, keeping what is known of those that stay. A member of the ISR stays even
// without being assigned: a reassignment takes it out of the one before the other, and as long as it may be elected it must have
// what is committed.
func (c *core) keepFollowers() {
	var next []Progress
	keep := func(id cluster.BrokerID) {
		if p := c.follower(id); p != nil {
			next = append(next, *p)
		} else {
			next = append(next, newProgress(id))
		}
	}
	for _, id := range c.assignment.Replicas {
		if id != c.self {
			keep(id)
		}
	}
	for _, id := range c.isr.committed {
		if id != c.self && !slices.Contains(c.assignment.Replicas, id) {
			keep(id)
		}
	}
	c.followers = next
}

func (c *core) follower(id cluster.BrokerID) *Progress {
	for i := range c.followers {
		if c.followers[i].ID == id {
			return &c.followers[i]
		}
	}
	return nil
}

// minISR is min.insync.replicas, but never more than there are replicas: a topic with one replica stays writable.
func (c *core) minISR(configured int) int { return min(configured, len(c.assignment.Replicas)) }

// underMinISR reports whether too few replicas are in sync for an acks=all append, and for the high watermark to move.
func (c *core) underMinISR(configured int) bool { return c.isr.size() < c.minISR(configured) }

// committedEnd is how far the log is on all replicas that count: the high watermark's next candidate. Replicas count that
// are in the maximal ISR, and those that are live and caught up and thus will be in it soon. There is no candidate while
// the ISR is under its minimum.
func (c *core) committedEnd(end log.Position, minISR int, image *cluster.Metadata, now time.Time) (log.Position, bool) {
	if c.underMinISR(minISR) {
		return log.Position{}, false
	}
	candidate := end
	for i := range c.followers {
		p := &c.followers[i]
		if p.End.Offset >= candidate.Offset {
			continue
		}
		if c.isr.maximalContains(p.ID) || p.caughtUp(end.Offset, now, c.lagMax) && image.Broker(p.ID) != nil {
			candidate = p.End
		}
	}
	return candidate, candidate.Offset != unknownOffset
}

// lowWatermark is the least log start over the live replicas: what DeleteRecords waits for.
func (c *core) lowWatermark(logStart int64, image *cluster.Metadata) int64 {
	for i := range c.followers {
		if p := &c.followers[i]; p.LogStart < logStart && image.Broker(p.ID) != nil {
			logStart = p.LogStart
		}
	}
	return logStart
}

// expansion proposes that a follower joins the ISR, if it may: it has all that is committed and at least the start of this
// leader's epoch (else it could still truncate what it counts for), would not have to leave at once, is live, and no other change
// is under way.
func (c *core) expansion(p *Progress, highWatermark, leaderEnd int64, image *cluster.Metadata) *proposal {
	if c.isr.pending != nil || c.isr.contains(p.ID) || image.Broker(p.ID) == nil {
		return nil
	}
	if p.End.Offset < highWatermark || c.epochStart == unknownOffset || p.End.Offset < c.epochStart || p.tooFarBehind(leaderEnd, c.lagMax) {
		return nil
	}
	return c.propose(c.isr.with(p.ID), p.ID)
}

// shrinking proposes to drop all members of the ISR that lag too long or too far.
func (c *core) shrinking(leaderEnd int64, now time.Time) *proposal {
	if !c.isLeader() || c.isr.pending != nil {
		return nil
	}
	var gone []cluster.BrokerID
	for _, id := range c.isr.committed {
		if id == c.self {
			continue
		}
		if p := c.follower(id); p == nil || !p.caughtUp(leaderEnd, now, c.lagMax) {
			gone = append(gone, id)
		}
	}
	if gone == nil {
		return nil
	}
	return c.propose(c.isr.without(gone), noBroker)
}

func (c *core) propose(members []cluster.BrokerID, joins cluster.BrokerID) *proposal {
	c.isr.pending = &proposal{isr: members, joins: joins, leaderEpoch: c.leaderEpoch, partitionEpoch: c.partitionEpoch}
	return c.isr.pending
}

// answered takes the controller's answer to a proposal. An answer to a proposal that is no longer the pending one, or
// one that tells of an older state, changes nothing. again is true when the same proposal must be sent once more.
func (c *core) answered(p *proposal, r cluster.AlterPartitionResult, now time.Time) (changed, again bool) {
	if c.isr.pending != p {
		return false, false
	}
	if r.Err != nil {
		return false, c.refused(p, judge(r.Err), now)
	}
	if r.State.LeaderEpoch != c.leaderEpoch || r.State.PartitionEpoch < c.partitionEpoch {
		return false, false
	}
	c.isr = isr{committed: slices.Clone(r.State.ISR)}
	c.keepFollowers()
	c.partitionEpoch = r.State.PartitionEpoch
	return true, false
}

// refused decides whether a refused proposal is sent again. One that was sent before and not answered may yet be done, by a controller to
// which the earlier request is still on its way: until that is out of the question the members that it would add are waited for. To put
// it out of the question the proposal is taken back; if it turns out to have been done first, it stands again.
func (c *core) refused(p *proposal, v verdict, now time.Time) (again bool) {
	switch {
	case v == verdictRetry:
		c.unanswered(p, now)
		return true
	case v == verdictDrop && now.Before(p.doubtUntil):
		p.back = reordered(c.isr.committed)
		return true
	case v == verdictOver && p.back != nil:
		p.back = nil
		return true
	case v == verdictDrop:
		c.isr.pending = nil
	}
	return false
}

// unanswered notes that nobody knows what became of a proposal.
func (c *core) unanswered(p *proposal, now time.Time) { p.doubtUntil = now.Add(doubtMax) }

// addsReplica reports whether a replica is being added by a reassignment.
func (c *core) addsReplica(id cluster.BrokerID) bool { return slices.Contains(c.assignment.Adding, id) }

// check returns what is wrong with the state, or nil. Tests and the invariants build run it after every change.
func (c *core) check() error {
	if !c.isLeader() {
		if c.isr.committed != nil || c.followers != nil || c.epochStart != unknownOffset {
			return fmt.Errorf("follower of %d has a leader's state", c.leader)
		}
		return nil
	}
	if !c.isr.contains(c.self) {
		return fmt.Errorf("leader %d is not in its ISR %v", c.self, c.isr.committed)
	}
	for _, id := range slices.Concat(c.isr.committed, c.assignment.Replicas) {
		if id != c.self && c.follower(id) == nil {
			return fmt.Errorf("nothing is known of %d, which is in the ISR %v or the assignment %v", id, c.isr.committed, c.assignment.Replicas)
		}
	}
	for i := range c.followers {
		if id := c.followers[i].ID; !c.isr.contains(id) && !slices.Contains(c.assignment.Replicas, id) {
			return fmt.Errorf("follower %d is neither in the ISR %v nor in the assignment %v", id, c.isr.committed, c.assignment.Replicas)
		}
	}
	return nil
}
