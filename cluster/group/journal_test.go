package group

import (
	"context"
	"sync"

	"gokafka/cluster"
	"gokafka/protocol"
)

// memJournal is a journal in memory: a log whose batches commit when they are released, or at once.
type memJournal struct {
	mu         sync.Mutex
	log        []byte
	next       int64
	held       bool
	released   chan struct{} // closed when what was held is committed
	refuse     error         // of appends
	outcome    error         // of what was held
	unread     error         // of replays
	stalled    chan struct{} // replays that have read the log wait until it is closed
	unverified error         // of transactions
	appends    int
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
	j.appends++
	if !j.held {
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

func (j *memJournal) Verify(context.Context, protocol.TopicPartition, cluster.TxnProducer) (cluster.TxnGuard, error) {
	return 0, j.unverified
}

func (j *memJournal) AppendVerified(tp protocol.TopicPartition, batch []byte, _ cluster.TxnGuard) (int64, func(context.Context) error, error) {
	return j.Append(tp, batch)
}

// mark appends a marker, whether commits are held or not, and returns its offset.
func (j *memJournal) mark(m *cluster.TxnMarker) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	marker := protocol.Marker{Type: protocol.MarkerAbort}
	if m.Commit {
		marker.Type = protocol.MarkerCommit
	}
	b, err := protocol.MarkerBatch(m.ProducerID, 0, marker, 0)
	if err != nil {
		panic(err) // of nothing that a test can vary
	}
	batch, base := protocol.Batch(b), j.next
	batch.SetBaseOffset(base)
	j.next = batch.NextOffset()
	j.log = append(j.log, b...)
	return base
}

func (j *memJournal) Replay(ctx context.Context, _ protocol.TopicPartition, _ int, visit func([]byte) error) error {
	if err := j.read(visit); err != nil || j.stalled == nil {
		return err
	}
	select {
	case <-j.stalled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *memJournal) read(visit func([]byte) error) error {
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

// refusing sets what appends fail with.
func (j *memJournal) refusing(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refuse = err
}

// readable lets replays work again.
func (j *memJournal) readable() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unread = nil
}

func (j *memJournal) hold() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held, j.released = true, make(chan struct{})
}

func (j *memJournal) release(outcome error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held, j.outcome = false, outcome
	close(j.released)
}
