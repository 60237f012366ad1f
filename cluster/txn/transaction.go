package txn

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Producer is a producer id in one epoch. A producer that gets its transactional id anew has a higher epoch, which fences the one
// before it.
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is the absence of a producer.
var NoProducer = Producer{ID: protocol.NoProducerID, Epoch: protocol.NoProducerEpoch}

// epochMax is the last epoch that is given to a producer. One is kept back, so that every producer can be fenced.
const epochMax = math.MaxInt16 - 1

func (p Producer) exhausted() bool { return p.Epoch >= epochMax }

// metadata is what a record of the transaction log says of an id. It is a value: a transition makes the next one.
type metadata struct {
	Producer
	timeoutMillis int32
	state         State
	partitions    partitionSet // of the transaction; what had no marker yet is in Transaction.unmarked
	updatedAt     int64        // milliseconds since the epoch
	startedAt     int64        // when the transaction began, -1 before the first

	// The producer before the last InitProducerID, if that was a producer which went on after an error: its answer may have been
	// lost, so that it asks again (KIP-360). The log does not have this.
	last Producer
}

// Transaction is a transactional id: the producer that has it and its transaction. It is pure: it takes an event and the time, and returns
// the metadata that is to be written to the log. Apply or Revert tells it what became of that; until then it takes no other.
//
// Events also return what the client is told, once the metadata is committed if there is any: nil or one of kerr's.
type Transaction struct {
	id string
	metadata
	pending  *metadata    // on its way to the log, or waiting for markers to be written
	unmarked partitionSet // of a prepared transaction: where its marker is not known to be
}

// newTransaction is an id that has no producer yet.
func newTransaction(id string, producerID, now int64) *Transaction {
	return &Transaction{id: id, metadata: metadata{
		Producer: Producer{ID: producerID, Epoch: protocol.NoProducerEpoch}, updatedAt: now, startedAt: -1, last: NoProducer,
	}}
}

// vacant reports whether nothing came of the id.
func (t *Transaction) vacant() bool { return t.Epoch == protocol.NoProducerEpoch && t.pending == nil }

// InitRequest asks for a producer with a transactional id.
type InitRequest struct {
	TransactionalID string
	TimeoutMillis   int32
	Expected        Producer // what the producer has, which goes on after an error (KIP-360), else NoProducer
}

func (r *InitRequest) continues() bool { return r.Expected != NoProducer }

// noFreshID as the fresh id of Init means that there is none at hand.
const noFreshID = protocol.NoProducerID

// Init gives the id to a producer: with the next epoch, or with a fresh producer id when there is none left; without one at hand the
// answer is errNeedsID. An open transaction is aborted first, and the producer told to come back.
func (t *Transaction) Init(now time.Time, r *InitRequest, fresh int64) (*metadata, error) {
	switch {
	case t.pending != nil || t.state.prepared():
		return nil, kerr.ConcurrentTransactions
	case r.continues() && !t.isHeldBy(r.Expected):
		return nil, kerr.ProducerFenced
	case r.continues() && t.state == Ongoing && r.Expected != t.Producer:
		return nil, kerr.ProducerFenced // it came late: whoever began the transaction has had a later answer
	case t.state == Ongoing:
		// The epoch that this takes is nobody's: the producer gets the one after it, and a zombie gets neither.
		return t.fence(now), kerr.ConcurrentTransactions
	}
	next := metadata{Producer: t.Producer, timeoutMillis: r.TimeoutMillis, state: Empty, updatedAt: now.UnixMilli(), startedAt: -1,
		last: Producer{ID: t.ID, Epoch: protocol.NoProducerEpoch}}
	switch {
	case r.continues() && t.Epoch != protocol.NoProducerEpoch && r.Expected.Epoch != t.Epoch:
		if r.Expected.Epoch != t.last.Epoch {
			return nil, kerr.ProducerFenced
		}
		next.last = t.last // it asks again, and is answered with what it did not hear
		return t.begin(next), nil
	case t.exhausted() && fresh == noFreshID:
		return nil, errNeedsID
	case t.exhausted():
		next.Producer = Producer{ID: fresh}
	default:
		next.Epoch++
	}
	if r.continues() {
		next.last.Epoch = t.Epoch
	}
	return t.begin(next), nil
}

// isHeldBy reports whether a producer that goes on after an error is the one that has the id. It may have used up its producer id, and
// not have heard of the new one.
func (t *Transaction) isHeldBy(p Producer) bool {
	return t.Epoch == protocol.NoProducerEpoch || p.ID == t.ID || p.ID == t.last.ID && p.exhausted()
}

// check refuses producers that are not the one that has the id.
func (t *Transaction) check(p Producer) error {
	switch {
	case t.ID != p.ID:
		return kerr.InvalidProducerIDMapping
	case t.Epoch != p.Epoch:
		return kerr.ProducerFenced
	}
	return nil
}

// AddPartitions has the producer's transaction include partitions. The first begins it.
func (t *Transaction) AddPartitions(now time.Time, p Producer, partitions []protocol.TopicPartition) (*metadata, error) {
	err := t.check(p)
	switch {
	case err != nil:
		return nil, err
	case t.pending != nil || t.state.prepared():
		return nil, kerr.ConcurrentTransactions
	case t.state == Ongoing && t.partitions.hasAll(partitions):
		return nil, nil
	}
	next := t.metadata
	next.state, next.partitions, next.updatedAt = Ongoing, t.partitions.with(partitions), now.UnixMilli()
	if t.state != Ongoing {
		next.startedAt = next.updatedAt
	}
	return t.begin(next), nil
}

// Verify returns for each partition whether the producer's transaction includes it: nil, or TRANSACTION_ABORTABLE. An error is of all.
//
// That the transaction is about to end does not matter: the partition's leader looks again when it appends.
func (t *Transaction) Verify(p Producer, partitions []protocol.TopicPartition) ([]error, error) {
	if err := t.check(p); err != nil {
		return nil, err
	}
	if t.state.prepared() {
		return nil, kerr.ConcurrentTransactions
	}
	errs := make([]error, len(partitions))
	for i, tp := range partitions {
		if !t.partitions.has(tp) {
			errs[i] = kerr.TransactionAbortable
		}
	}
	return errs, nil
}

// End commits or aborts the producer's transaction. The answer does not wait for the markers.
func (t *Transaction) End(now time.Time, p Producer, commit bool) (*metadata, error) {
	err := t.check(p)
	switch {
	case err != nil:
		return nil, err
	case t.pending != nil || t.state.prepared():
		return nil, kerr.ConcurrentTransactions
	case t.state == CompleteCommit && commit, t.state == CompleteAbort && !commit:
		return nil, nil // asked again
	case t.state != Ongoing:
		return nil, kerr.InvalidTxnState
	}
	next := t.metadata
	next.state, next.updatedAt = PrepareAbort, now.UnixMilli()
	if commit {
		next.state = PrepareCommit
	}
	return t.begin(next), nil
}

// Overdue reports whether the transaction is open for longer than its producer wanted.
func (t *Transaction) Overdue(now time.Time) bool {
	return t.pending == nil && t.state == Ongoing && t.startedAt+int64(t.timeoutMillis) < now.UnixMilli()
}

// fence aborts the transaction in an epoch that no producer has: its producer may be about to commit.
func (t *Transaction) fence(now time.Time) *metadata {
	next := t.metadata
	next.state, next.updatedAt, next.last.Epoch = PrepareAbort, now.UnixMilli(), protocol.NoProducerEpoch
	if next.Epoch < math.MaxInt16 {
		next.Epoch++
	}
	return t.begin(next)
}

// Die reports whether the id was idle for so long that it is forgotten. If so it takes no other event until Revert.
func (t *Transaction) Die(now time.Time, expiration time.Duration) bool {
	if t.pending != nil || !t.state.idle() || t.updatedAt > now.Add(-expiration).UnixMilli() {
		return false
	}
	t.begin(metadata{state: Dead})
	return true
}

func (t *Transaction) begin(next metadata) *metadata {
	t.pending = &next
	return t.pending
}

// Apply makes what was pending count: it is committed in the log. When it decided the transaction, which it reports, markers are to
// be written to the partitions in unmarked.
func (t *Transaction) Apply(now time.Time) (decided bool) {
	t.metadata, t.pending = *t.pending, nil
	return t.Resume(now)
}

// Resume goes on with a transaction that the log has: when that is decided it prepares its completion, and reports so.
func (t *Transaction) Resume(now time.Time) (decided bool) {
	if !t.state.prepared() {
		return false
	}
	t.unmarked = t.partitions
	next := t.metadata
	next.state, next.partitions, next.updatedAt = CompleteAbort, nil, now.UnixMilli()
	if t.state == PrepareCommit {
		next.state = CompleteCommit
	}
	t.begin(next)
	return true
}

// Revert forgets what was pending: it is not in the log.
func (t *Transaction) Revert() { t.pending = nil }

// Marked tells that partitions have the transaction's marker, or do not need it. It returns the completion that is to be written when
// no other partition is left.
func (t *Transaction) Marked(partitions []protocol.TopicPartition) *metadata {
	t.unmarked = t.unmarked.without(partitions)
	if len(t.unmarked) > 0 {
		return nil
	}
	return t.pending
}
