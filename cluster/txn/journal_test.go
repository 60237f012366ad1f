package txn

import (
	"context"
	"sync"
	"time"

	"gokafka/protocol"
)

// memJournal is a journal in memory: a log whose batches commit when they are released, or at once.
type memJournal struct {
	mu       sync.Mutex
	log      []byte
	next     int64
	released chan struct{} // closed when what was held is committed; nil if nothing is held
	refuse   error         // of appends
	outcome  error         // of what was held
	unread   error         // of replays
	takes    time.Duration // until a batch is committed that is not held
}

func (j *memJournal) Append(_ protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse != nil {
		return 0, nil, j.refuse
	}
	b := protocol.Batch(batch)
	base := j.next
	b.SetBaseOffset(base)
	j.next = b.NextOffset()
	j.log = append(j.log, batch...)
	switch {
	case j.released == nil && j.takes > 0:
		return base, func(context.Context) error { time.Sleep(j.takes); return nil }, nil
	case j.released == nil:
		return base, nil, nil
	}
	released := j.released
	return base, func(ctx context.Context) error {
		select {
		case <-released:
			return j.outcome
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

func (j *memJournal) Replay(_ context.Context, _ protocol.TopicPartition, _ int, visit func([]byte) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unread != nil {
		return j.unread
	}
	for b := range protocol.Batches(j.log) {
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
}

func (j *memJournal) AwaitCommitted(ctx context.Context, _ protocol.TopicPartition) error {
	j.mu.Lock()
	released := j.released
	j.mu.Unlock()
	if released == nil {
		return nil
	}
	select {
	case <-released:
		return j.outcome
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *memJournal) hold() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.released = make(chan struct{})
}

func (j *memJournal) release(outcome error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	released := j.released
	j.released, j.outcome = nil, outcome
	close(released)
}
