package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// host is what all partitions of a broker share.
type host struct {
	id      cluster.BrokerID
	lagMax  lag
	now     func() time.Time
	image   atomic.Pointer[cluster.Metadata]
	logs    *log.Manager
	config  func(topic string) *log.Config
	propose func(*Partition, *proposal) // hands an ISR change to the controller's queue; must not block
	sync    func(*Partition, *proposal) // has the log synced, then the change proposed, if any; must not block
	logger  zerolog.Logger

	syncing   Syncing
	rackAware bool // consumers are sent to replicas in their rack
}

// Partition is one replica on this broker: its log, and its part in the replication of it.
//
// Its lock makes changes one at a time. What a change means for others (who is to be woken, what is to be proposed)
// leaves the lock as effects and is carried out after it. Consumers read by the View alone and never take the lock.
type Partition struct {
	protocol.TopicPartition
	host *host

	mu   sync.RWMutex // read-locked by appends: they change the log, whose own lock orders them, but not the core
	core core
	log  *log.Log // nil until the first LeaderAndIsr made or found it
	// synced is how far the log was synced in this leader epoch, when that matters (mustSyncLocked).
	synced log.Position

	view     atomic.Pointer[View]
	watchers watchers
}

// View is what readers may know of a partition without its lock. It is immutable; a change of role makes another.
type View struct {
	Log            *log.Log // nil: none yet
	TopicID        protocol.TopicID
	Leader         cluster.BrokerID
	LeaderEpoch    cluster.LeaderEpoch
	PartitionEpoch cluster.PartitionEpoch
	ISR            []cluster.BrokerID // leader only
	EpochStart     int64              // leader only: log end when its epoch began; -1 on a follower
	leads          bool
}

// effects are what a change means for others.
type effects struct {
	endMoved, highWatermarkMoved, isrChanged, roleChanged bool
	lowWatermark                                          int64 // raised to; 0: no change
	proposal                                              *proposal
	sync                                                  bool // the log must be synced, before the proposal goes out
}

func newPartition(h *host, tp protocol.TopicPartition) *Partition {
	p := &Partition{TopicPartition: tp, host: h, core: newCore(h.id, h.lagMax)}
	p.publishLocked()
	return p
}

// View returns the current one.
func (p *Partition) View() *View { return p.view.Load() }

// Leads reports whether this broker is the leader.
func (v *View) Leads() bool { return v.leads }

// local returns the log for a caller that believes in an epoch, and may demand the leader's.
func (v *View) local(epoch cluster.LeaderEpoch, leaderOnly bool) (*log.Log, error) {
	if err := fence(epoch, v.LeaderEpoch); err != nil {
		return nil, err
	}
	if v.Log == nil || leaderOnly && !v.leads {
		return nil, ErrNotLeader
	}
	return v.Log, nil
}

func (p *Partition) publishLocked() {
	v := &View{Log: p.log, Leader: p.core.leader, LeaderEpoch: p.core.leaderEpoch, PartitionEpoch: p.core.partitionEpoch,
		ISR: p.core.isr.committed, EpochStart: p.core.epochStart, leads: p.core.isLeader()}
	if p.log != nil {
		v.TopicID = p.log.TopicID()
	}
	p.view.Store(v)
}

// apply carries out what a change means for others. The lock is not held.
func (p *Partition) apply(e effects) {
	if e.roleChanged {
		p.watchers.roleChanged()
	} else if e.highWatermarkMoved || e.endMoved {
		p.marksMoved(e.highWatermarkMoved)
	}
	if e.isrChanged {
		p.watchers.reopen()
	}
	if e.lowWatermark > 0 {
		p.watchers.lowWatermarkMoved(e.lowWatermark)
	}
	if e.sync {
		p.host.sync(p, e.proposal)
	} else if e.proposal != nil {
		p.host.propose(p, e.proposal)
	}
}

func (p *Partition) marksMoved(highWatermark bool) {
	v := p.View()
	if v.Log == nil || p.watchers.any.Load() == 0 {
		return
	}
	o := v.Log.Offsets()
	if highWatermark {
		p.watchers.highWatermarkMoved(&o)
	} else {
		p.watchers.endMoved(&o)
	}
}

// Appended is what an append as the leader did.
type Appended struct {
	log.AppendInfo
	LeaderEpoch cluster.LeaderEpoch
	Committed   bool // the high watermark is past it: acks=all needs no wait
}

// AppendAsLeader appends records, whose bytes may change (offsets and epoch are stamped in place). acks=-1 demands
// enough in-sync replicas. With an error only LogStartOffset is told, -1 if this broker does not lead. Errors: ErrNotLeader, ErrNotEnoughReplicas, and those of log.Log.AppendAsLeader.
func (p *Partition) AppendAsLeader(records []byte, acks int16, o log.AppendOptions) (Appended, error) {
	a, e, err := p.append(records, acks, o)
	p.apply(e)
	return a, err
}

func (p *Partition) append(records []byte, acks int16, o log.AppendOptions) (a Appended, e effects, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	a.FirstOffset, a.LastOffset, a.AppendTime, a.LogStartOffset = -1, -1, -1, -1
	if p.log == nil || !p.core.isLeader() {
		return a, e, ErrNotLeader
	}
	a.LogStartOffset = p.log.LogStartOffset()
	if acks == AcksAll && p.core.underMinISR(p.log.Config().MinInSyncReplicas) {
		return a, e, ErrNotEnoughReplicas
	}
	a.LeaderEpoch = p.core.leaderEpoch
	info, err := p.log.AppendAsLeader(records, int32(p.core.leaderEpoch), o)
	if err != nil {
		return a, e, err
	}
	a.AppendInfo = info
	e.endMoved = true
	p.raiseHighWatermarkLocked(&e)
	a.Committed = p.log.HighWatermark().Offset > a.LastOffset
	return a, e, nil
}

// raiseHighWatermarkLocked moves the high watermark as far as the replicas that count have come. The log only lets it
// rise, so two appends may do this at once. The clock is read only if there are replicas to judge. What must be synced
// before it counts has to wait for that.
func (p *Partition) raiseHighWatermarkLocked(e *effects) {
	var now time.Time
	if len(p.core.followers) > 0 {
		now = p.host.now()
	}
	e.sync = p.unsyncedLocked()
	end, ok := p.core.committedEnd(p.log.LogEndOffset(), p.log.Config().MinInSyncReplicas, p.host.image.Load(), now)
	if ok && end.Offset > p.synced.Offset && p.mustSyncLocked() {
		end = p.synced
	}
	e.highWatermarkMoved = ok && p.log.RaiseHighWatermark(end)
}

// acked judges an acks=all append of a leader epoch whose last offset is below required: not done when the high watermark has not got
// there yet. Who waits may miss that another broker led meanwhile, and then something else may stand at that offset.
func (p *Partition) acked(appendedIn cluster.LeaderEpoch, required int64) (done bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case p.log == nil || !p.core.isLeader() || appendedIn < p.core.ledSince:
		return true, ErrNotLeader
	case p.log.HighWatermark().Offset < required:
		return false, nil
	case p.core.isr.maximalSize() < p.core.minISR(p.log.Config().MinInSyncReplicas):
		return true, ErrNotEnoughReplicasAfterAppend
	}
	return true, nil
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the last epoch not above the requested one, and the offset at which it
// ends; (-1, -1) if that is not known. Errors: ErrFencedEpoch, ErrUnknownEpoch, ErrNotLeader.
func (p *Partition) EndOffsetForEpoch(current, requested cluster.LeaderEpoch, leaderOnly bool) (cluster.LeaderEpoch, int64, error) {
	l, err := p.View().local(current, leaderOnly)
	if err != nil {
		return -1, -1, err
	}
	epoch, end := l.EpochCache().EndOffset(int32(requested), l.LogEndOffset().Offset)
	return cluster.LeaderEpoch(epoch), end, nil
}

// lead carries out a LeaderAndIsr state in which this broker leads. It reports whether the state applied. The effects are for the caller to apply.
func (p *Partition) lead(s *cluster.PartitionState) (applied bool, e effects, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.openLogLocked(s); err != nil {
		return false, e, err
	}
	end, before := p.log.LogEndOffset().Offset, p.core.leaderEpoch
	if _, applied = p.core.becomeLeader(s, end, p.host.now()); !applied {
		return false, e, nil
	}
	defer p.publishLocked()
	if s.LeaderEpoch > before {
		if err := p.log.AssignEpoch(int32(s.LeaderEpoch), end); err != nil {
			return true, e, fmt.Errorf("record start of epoch %d of %s: %w", s.LeaderEpoch, p, err)
		}
	}
	p.synced = log.Position{}
	p.raiseHighWatermarkLocked(&e)
	e.roleChanged = true
	return true, e, nil
}

// follow carries out a LeaderAndIsr state in which another broker leads. It reports whether the leader epoch grew, so that fetching starts anew.
// The effects are for the caller to apply.
func (p *Partition) follow(s *cluster.PartitionState) (newEpoch bool, e effects, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.openLogLocked(s); err != nil {
		return false, e, err
	}
	newEpoch, applied := p.core.becomeFollower(s)
	if applied {
		p.publishLocked()
	}
	e.roleChanged = newEpoch
	return newEpoch, e, nil
}

// openLog makes or finds the log without a change of role: for a follower whose leader is unknown or dead, so that its
// high watermark stays in the checkpoint.
func (p *Partition) openLog(s *cluster.PartitionState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.publishLocked()
	return p.openLogLocked(s)
}

func (p *Partition) openLogLocked(s *cluster.PartitionState) error {
	if p.log == nil {
		l, err := p.makeLog(log.CreateOptions{TopicID: s.TopicID, IsNew: s.IsNew})
		if err != nil {
			return fmt.Errorf("open log of %s: %w", p, err)
		}
		p.log = l
	}
	return p.assignTopicIDLocked(s.TopicID)
}

// makeLog finds the log, or makes it. One that is there has its settings, and need not wait for ZooKeeper.
func (p *Partition) makeLog(o log.CreateOptions) (*log.Log, error) {
	logs := p.host.logs
	if _, there := logs.Log(p.TopicPartition); there {
		return logs.Create(p.TopicPartition, o)
	}
	changes := logs.ConfigChanges()
	o.Config = p.host.config(p.Topic)
	l, err := logs.Create(p.TopicPartition, o)
	// Settings that changed in between were given to the logs that there were (KAFKA-8813).
	for now := logs.ConfigChanges(); err == nil && now != changes; now = logs.ConfigChanges() {
		changes = now
		if c := p.host.config(p.Topic); c != nil {
			l.SetConfig(c)
		}
	}
	return l, err
}

// assignTopicID gives a log that has no topic id one (a cluster that was upgraded).
func (p *Partition) assignTopicID(id protocol.TopicID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil {
		return ErrNotLeader
	}
	defer p.publishLocked()
	return p.assignTopicIDLocked(id)
}

func (p *Partition) assignTopicIDLocked(id protocol.TopicID) error {
	if id.IsZero() || p.log.TopicID() == id {
		return nil
	}
	if err := p.log.SetTopicID(id); err != nil {
		return fmt.Errorf("assign topic id to %s: %w", p, err)
	}
	return nil
}

// topicID is that of the log, also of one that is on disk but was not asked for yet.
func (p *Partition) topicID() protocol.TopicID {
	if id := p.View().TopicID; !id.IsZero() {
		return id
	}
	if l, ok := p.host.logs.Log(p.TopicPartition); ok {
		return l.TopicID()
	}
	return protocol.TopicID{}
}

// leave ends the replica's life on this broker: the partition was deleted, or its directory failed. Whoever still holds
// it finds it without a log.
func (p *Partition) leave() {
	p.mu.Lock()
	p.log, p.synced = nil, log.Position{}
	p.core = newCore(p.host.id, p.host.lagMax)
	p.publishLocked()
	p.mu.Unlock()
	p.apply(effects{roleChanged: true})
}

// shrinkISR proposes to drop members that lag too long or too far. What waited for a replica that was about to join goes on when
// that lags, too.
func (p *Partition) shrinkISR() {
	p.mu.Lock()
	var e effects
	if p.log != nil && p.core.isLeader() {
		p.raiseHighWatermarkLocked(&e)
		e.proposal = p.core.shrinking(p.log.LogEndOffset().Offset, p.host.now())
		e.sync = p.unsyncedLocked() // with the proposal
	}
	p.mu.Unlock()
	p.apply(e)
}

// lookAgain has go on what waited for something that followers do not tell: the high watermark for a replica that was about to join the ISR
// and died, or for more replicas in sync than its topic demands now; a deletion of records for a replica that died. Nobody else would look:
// the ones that live may have fetched everything. Apache waits for the next record. The effects are for the caller to apply.
func (p *Partition) lookAgain() (e effects) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log != nil && p.core.isLeader() {
		p.raiseHighWatermarkLocked(&e)
		e.lowWatermark = p.core.lowWatermark(p.log.LogStartOffset(), p.host.image.Load())
	}
	return e
}

// proposalAnswered takes the controller's answer to one of this partition's proposals; again: it is to be sent once more. A replica that does
// not join after all holds up the high watermark no more.
func (p *Partition) proposalAnswered(pr *proposal, r cluster.AlterPartitionResult) (again bool) {
	p.mu.Lock()
	var e effects
	changed, again := p.core.answered(pr, r, p.host.now())
	if p.log != nil && p.core.isLeader() {
		p.raiseHighWatermarkLocked(&e)
		if e.isrChanged = changed; changed {
			p.publishLocked()
		}
	}
	p.mu.Unlock()
	p.apply(e)
	return again
}

// proposalUnanswered notes that a request with a proposal failed, and nobody knows whether it did anything.
func (p *Partition) proposalUnanswered(pr *proposal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.core.unanswered(pr, p.host.now())
}

// isStorage reports whether an error means that the partition's directory failed.
func isStorage(err error) bool { return errors.Is(err, log.ErrStorage) }
