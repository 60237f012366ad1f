package replica

import (
	"context"
	"sync/atomic"
	"time"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// Append appends records to a partition that this broker leads. Errors: those of Partition.AppendAsLeader, ErrOffline and
// ErrUnknownPartition.
func (m *Manager) Append(tp protocol.TopicPartition, records []byte, acks int16, o log.AppendOptions) (Appended, error) {
	p, err := m.online(tp)
	if err != nil {
		return Appended{}, err
	}
	return p.AppendAsLeader(records, acks, o)
}

// Ack is one partition's part of an acks=all produce that is not committed yet.
type Ack struct {
	protocol.TopicPartition
	Required    int64               // the high watermark that commits it: the offset after its last record
	LeaderEpoch cluster.LeaderEpoch // in which it was appended
	Err         error               // what became of it, when AwaitAcks returns
}

// Ack is what to wait for until the append to that partition is committed.
func (a Appended) Ack(tp protocol.TopicPartition) Ack {
	return Ack{TopicPartition: tp, Required: a.LastOffset + 1, LeaderEpoch: a.LeaderEpoch}
}

// Acked reports whether AwaitAcks would return without waiting.
func (m *Manager) Acked(acks []Ack) bool {
	for i := range acks {
		a := &acks[i]
		if p, err := m.online(a.TopicPartition); err == nil {
			if done, _ := p.acked(a.LeaderEpoch, a.Required); !done {
				return false
			}
		}
	}
	return true
}

// AwaitAcks blocks until each append is committed or lost. Err says which: nil, ErrNotLeader, ErrNotEnoughReplicasAfterAppend,
// or ErrTimedOut at the deadline, when ctx is done and when the broker closes. The records stay in any case.
func (m *Manager) AwaitAcks(ctx context.Context, deadline time.Time, acks []Ack) {
	waits := make([]offsetWait, 0, len(acks))
	for i := range acks {
		a := &acks[i]
		p, err := m.online(a.TopicPartition)
		if err != nil {
			a.Err = err
			continue
		}
		a.Err = ErrTimedOut // unless something else becomes of it
		over := func() bool {
			done, err := p.acked(a.LeaderEpoch, a.Required)
			if done {
				a.Err = err
			}
			return done
		}
		if !over() {
			waits = append(waits, newOffsetWait(p, &p.watchers.acks, a.Required, over))
		}
	}
	m.awaitOffsets(ctx, deadline, waits)
}

// Deletion is one partition's part of a DeleteRecords request.
type Deletion struct {
	protocol.TopicPartition
	Offset       int64 // records below it go; ToHighWatermark means all that are committed
	LowWatermark int64 // the least log start over the live replicas, when DeleteRecords returns; -1 with an error
	Err          error
}

// ToHighWatermark as the offset of a Deletion deletes all committed records.
const ToHighWatermark = -1

// DeleteRecords moves the log starts up, and blocks until all live replicas have done so. Err of each says what became of
// it: nil, an error at once, or ErrTimedOut and what else can end the wait.
func (m *Manager) DeleteRecords(ctx context.Context, deadline time.Time, deletions []Deletion) {
	waits := make([]offsetWait, 0, len(deletions))
	for i := range deletions {
		d := &deletions[i]
		p, required, err := m.deleteRecords(d)
		if err != nil {
			d.LowWatermark, d.Err = -1, err
			continue
		}
		if d.LowWatermark >= required {
			continue
		}
		d.Err = ErrTimedOut // unless something else becomes of it
		waits = append(waits, newOffsetWait(p, &p.watchers.deletes, required, func() bool {
			low, err := p.lowWatermark()
			if err == nil && low < required {
				return false
			}
			d.LowWatermark, d.Err = low, err
			return true
		}))
	}
	m.awaitOffsets(ctx, deadline, waits)
}

func (m *Manager) deleteRecords(d *Deletion) (p *Partition, required int64, err error) {
	if cluster.InternalTopic(d.Topic) {
		return nil, 0, errInternalTopic
	}
	if p, err = m.online(d.TopicPartition); err != nil {
		return nil, 0, err
	}
	required, d.LowWatermark, err = p.deleteRecords(d.Offset)
	return p, required, err
}

// deleteRecords moves this leader's log start up to offset, and has the followers hear of it. In Apache that waits for the end of their
// fetches.
func (p *Partition) deleteRecords(offset int64) (required, lowWatermark int64, err error) {
	if required, lowWatermark, err = p.deleteHere(offset); err == nil {
		p.watchers.logStartMoved(required)
	}
	return required, lowWatermark, err
}

func (p *Partition) deleteHere(offset int64) (required, lowWatermark int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil || !p.core.isLeader() {
		return 0, -1, ErrNotLeader
	}
	if !p.log.Config().Delete {
		return 0, -1, errNotDeletable
	}
	if offset == ToHighWatermark {
		offset = p.log.HighWatermark().Offset
	}
	if offset < 0 {
		return 0, -1, errOutOfRange
	}
	if _, err := p.log.IncrementLogStartOffset(offset); err != nil {
		return 0, -1, err
	}
	return offset, p.core.lowWatermark(p.log.LogStartOffset(), p.host.image.Load()), nil
}

func (p *Partition) lowWatermark() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil || !p.core.isLeader() {
		return -1, ErrNotLeader
	}
	return p.core.lowWatermark(p.log.LogStartOffset(), p.host.image.Load()), nil
}

// offsetWait is one partition that a request waits for.
type offsetWait struct {
	partition *Partition
	set       *watchSet[offsetWatch]
	watch     offsetWatch
	over      func() bool // asked when the watch fires
	done      bool
}

// newOffsetWait makes a wait that is asked once before anything has happened.
func newOffsetWait(p *Partition, set *watchSet[offsetWatch], required int64, over func() bool) (w offsetWait) {
	w.partition, w.set, w.over, w.watch.required = p, set, over, required
	w.watch.fired = 1
	return w
}

func (w *offsetWait) settle() {
	if !w.done && atomic.SwapInt32(&w.watch.fired, 0) == 1 {
		w.done = w.over()
	}
}

// awaitOffsets blocks until every wait is over, or for as long as there is patience.
func (m *Manager) awaitOffsets(ctx context.Context, deadline time.Time, waits []offsetWait) {
	if len(waits) == 0 {
		return
	}
	waiter := newWaiter()
	for i := range waits {
		w := &waits[i]
		w.watch.waiter = waiter
		add(&w.partition.watchers, w.set, &w.watch)
		defer remove(&w.partition.watchers, w.set, &w.watch)
	}
	timer := time.NewTimer(deadline.Sub(m.host.now()))
	defer timer.Stop()
	for {
		open := false
		for i := range waits {
			waits[i].settle()
			open = open || !waits[i].done
		}
		if !open || !waiter.await(ctx, timer.C, m.closing) {
			return
		}
	}
}
