package log_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// TestTransactionsAtRandom drives a log with transactions of many producers at random, and after each step compares what it says with
// what follows from the list of all batches: where the last stable offset is, what was aborted, and what is known of producers.
func TestTransactionsAtRandom(t *testing.T) {
	for seed := range uint64(40) {
		// Either the log's begin moves, or its end and its life do: a reload forgets transactions all of whose records are deleted.
		for _, deletes := range []bool{true, false} {
			t.Run(fmt.Sprintf("seed=%d/deletes=%v", seed, deletes), func(t *testing.T) {
				r := newTxnRun(t, seed)
				for range 250 {
					r.step(deletes)
					r.check()
				}
			})
		}
	}
}

// txnEntry is one batch, as the model has it.
type txnEntry struct {
	first, last int64
	producer    int64
	epoch       int16
	sequence    int32 // of the last record
	marker      bool
	abort       bool
	coordinator int32
}

type txnRun struct {
	*rand.Rand
	t       *testing.T
	mem     *vfs.Mem
	manager *log.Manager
	log     *log.Log
	entries []txnEntry
	reload  int64 // markers below it may be taken for replicated
	trace   []string
}

func newTxnRun(t *testing.T, seed uint64) *txnRun {
	r := &txnRun{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, mem: vfs.NewMem()}
	r.manager = open(t, r.mem, r.config)
	r.log = logtest.Create(t, r.manager, partition)
	t.Cleanup(func() { r.manager.Close() }) // what it says was said by a restart before
	return r
}

func (r *txnRun) config(c *log.Config) {
	smallSegments(c)
	c.RetentionBytes, c.RetentionMs = 4000, -1
}

func (r *txnRun) step(deletes bool) {
	what := r.IntN(20)
	if what >= 17 && deletes {
		what -= 3
	} else if what >= 14 && what < 17 && !deletes {
		what += 3
	}
	r.trace = append(r.trace, fmt.Sprint(what))
	switch {
	case what < 8:
		r.produce(int64(r.IntN(6)))
	case what < 12:
		r.mark(int64(r.IntN(6)))
	case what < 14:
		r.raise(r.log.HighWatermark().Offset + r.Int64N(8))
	case what < 16:
		r.deleteRecords()
	case what == 16:
		r.retain()
	case what == 17:
		r.truncate()
	case what == 18:
		r.restart()
	case what == 19:
		r.crash()
	}
}

// state is what the entries say of a producer.
func (r *txnRun) state(producer int64) log.ProducerState {
	s := log.ProducerState{ProducerID: producer, Epoch: -1, LastSequence: -1, CoordinatorEpoch: -1, TxnFirstOffset: -1}
	for _, e := range r.entries {
		switch {
		case e.producer != producer:
		case e.marker:
			if e.epoch != s.Epoch {
				s.LastSequence = -1
			}
			s.Epoch, s.CoordinatorEpoch, s.TxnFirstOffset = e.epoch, e.coordinator, -1
		default:
			s.Epoch, s.LastSequence = e.epoch, e.sequence
			if s.TxnFirstOffset < 0 {
				s.TxnFirstOffset = e.first
			}
		}
	}
	return s
}

// produce appends to a producer's transaction, at times the last batch again, in the old epoch, or with a gap.
func (r *txnRun) produce(producer int64) {
	s, n := r.state(producer), 1+r.IntN(4)
	epoch, sequence := max(s.Epoch, 0), s.LastSequence+1
	var want error
	known := s.Epoch >= 0
	switch r.IntN(8) {
	case 0:
		epoch, sequence = epoch+1, 0
	case 1:
		sequence += 3
		if known {
			want = log.ErrOutOfOrderSequence
		}
	case 2:
		if epoch--; epoch < 0 {
			return
		}
		want = log.ErrProducerEpoch
	}
	b := logtest.Batch(r.t, protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: producer, Epoch: epoch, Sequence: sequence}}, now, make([]string, n)...)
	info, err := r.log.AppendAsLeader(slices.Clone(b), 0, log.AppendOptions{})
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		r.fail("producer %d epoch %d sequence %d after %+v: %v, want %v", producer, epoch, sequence, s, err, want)
	}
	if err != nil {
		return
	}
	r.entries = append(r.entries, txnEntry{first: info.FirstOffset, last: info.LastOffset, producer: producer, epoch: epoch, sequence: sequence + int32(n) - 1})
	if again, err := r.log.AppendAsLeader(b, 0, log.AppendOptions{}); err != nil || !again.Duplicate || again.FirstOffset != info.FirstOffset {
		r.fail("the same again: %+v, %v", again, err)
	}
}

func (r *txnRun) mark(producer int64) {
	s := r.state(producer)
	e := txnEntry{producer: producer, epoch: max(s.Epoch, 0), marker: true, abort: r.IntN(2) == 0, coordinator: max(s.CoordinatorEpoch, 0)}
	if r.IntN(4) == 0 {
		e.epoch++
	}
	if r.IntN(4) == 0 {
		e.coordinator++
	}
	m := protocol.Marker{Type: protocol.MarkerCommit, CoordinatorEpoch: e.coordinator}
	if e.abort {
		m.Type = protocol.MarkerAbort
	}
	b, err := protocol.MarkerBatch(producer, e.epoch, m, now)
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := r.log.AppendAsLeader(b, 0, log.AppendOptions{Origin: log.OriginCoordinator})
	if err != nil {
		r.fail("marker %+v after %+v: %v", e, s, err)
	}
	e.first, e.last = info.FirstOffset, info.LastOffset
	r.entries = append(r.entries, e)
}

func (r *txnRun) raise(offset int64) {
	offset = min(offset, r.log.LogEndOffset().Offset)
	for _, e := range r.entries { // high watermarks are the ends of batches
		if e.first < offset && offset <= e.last {
			offset = e.last + 1
		}
	}
	r.log.RaiseHighWatermark(log.OffsetOnly(offset))
	if offset == r.log.LogEndOffset().Offset {
		r.reload = 0
	}
}

func (r *txnRun) deleteRecords() {
	o := r.log.Offsets()
	if _, err := r.log.IncrementLogStartOffset(min(o.Start+r.Int64N(12), o.HighWatermark.Offset)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *txnRun) retain() {
	r.raise(r.log.LogEndOffset().Offset)
	if _, err := r.log.DeleteOldSegments(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *txnRun) truncate() {
	o := r.log.Offsets()
	at := o.HighWatermark.Offset + r.Int64N(o.End.Offset-o.HighWatermark.Offset+1)
	for _, e := range r.entries {
		if e.first < at && at <= e.last {
			at = e.first
		}
	}
	if _, err := r.log.TruncateTo(at); err != nil {
		r.t.Fatal(err)
	}
	r.entries = slices.DeleteFunc(r.entries, func(e txnEntry) bool { return e.first >= at })
	r.reload = at
}

func (r *txnRun) restart() {
	if err := r.manager.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.reopen()
}

// crash loses all that was in memory only, and at times what was not synced, or the newest snapshot is damaged. The entries then are
// those that the log still has.
func (r *txnRun) crash() {
	defer r.manager.Close()
	switch r.IntN(4) {
	case 0, 1:
		r.mem = r.mem.Crash(r.Rand, r.Float64())
	case 2:
		r.mem = r.mem.Crash(nil, 1)
		r.damageSnapshot()
	default:
		r.mem = r.mem.Crash(nil, 1)
	}
	if r.reopen(); r.log != nil {
		r.reread()
		return
	}
	r.log, r.entries, r.reload = logtest.Create(r.t, r.manager, partition), nil, 0
}

// reread makes the entries anew from the log's batches.
func (r *txnRun) reread() {
	r.entries = nil
	for at := r.log.LogStartOffset(); at < r.log.LogEndOffset().Offset; {
		s, err := r.log.Read(at, 1<<20, log.ToLogEnd, true)
		if err != nil {
			r.t.Fatal(err)
		}
		buf := make([]byte, s.Len())
		if _, err := s.ReadAt(buf, 0); err != nil {
			r.t.Fatal(err)
		}
		s.Release()
		for b := range protocol.Batches(buf) {
			r.entries = append(r.entries, r.entryOf(b))
			at = b.NextOffset()
		}
	}
}

func (r *txnRun) entryOf(b protocol.Batch) txnEntry {
	e := txnEntry{first: b.BaseOffset(), last: b.LastOffset(), producer: b.ProducerID(), epoch: b.ProducerEpoch(), sequence: b.LastSequence(), marker: b.Control()}
	for record, err := range protocol.Records(b) {
		if err != nil || !e.marker {
			return e
		}
		m, err := protocol.ParseMarker(record)
		if err != nil {
			r.t.Fatal(err)
		}
		e.abort, e.coordinator = m.Type == protocol.MarkerAbort, m.CoordinatorEpoch
	}
	return e
}

func (r *txnRun) damageSnapshot() {
	entries, err := r.mem.ReadDir("/logs/t-0")
	if errors.Is(err, fs.ErrNotExist) {
		return
	} else if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		if name := "/logs/t-0/" + e.Name(); strings.HasSuffix(name, ".snapshot") {
			b := append(mustRead(r.t, r.mem, name), 0)
			overwrite(r.t, r.mem, name, b)
			return
		}
	}
}

func (r *txnRun) reopen() {
	highWatermark := r.log.HighWatermark().Offset
	r.manager = open(r.t, r.mem, r.config)
	if r.log, _ = r.manager.Log(partition); r.log == nil {
		return
	}
	r.log.SetHighWatermark(highWatermark)
	r.reload = r.log.LogEndOffset().Offset
}

// check compares the log with the entries.
func (r *txnRun) check() {
	if err := r.log.Check(); err != nil {
		r.fail("%v", err)
	}
	o := r.log.Offsets()
	strict, loose := r.lastStable(o, 0), r.lastStable(o, r.reload)
	if got := o.LastStable.Offset; got < strict || got > loose {
		r.fail("last stable offset %d, want %d to %d (%+v)", got, strict, loose, o)
	}
	from := o.Start + r.Int64N(o.End.Offset-o.Start+1)
	to := from + r.Int64N(o.End.Offset-from+1)
	got, err := r.log.AbortedTransactions(from, to)
	if err != nil {
		r.t.Fatal(err)
	}
	if want := r.aborted(from, to); !slices.Equal(got, want) {
		r.fail("aborted in [%d, %d): %v, want %v", from, to, got, want)
	}
	for _, p := range r.log.ActiveProducers() {
		p.LastTimestamp = 0
		if want := r.state(p.ProducerID); p != want {
			r.fail("producer %+v, want %+v", p, want)
		}
	}
}

// lastStable is where the first transaction begins that is open, or whose marker is not below the high watermark. Markers below
// reloaded may count as decided already.
func (r *txnRun) lastStable(o log.Offsets, reloaded int64) int64 {
	stable, first := o.HighWatermark.Offset, map[int64]int64{}
	for _, e := range r.entries {
		at, isOpen := first[e.producer]
		switch {
		case !e.marker && !isOpen:
			first[e.producer] = e.first
		case e.marker && isOpen:
			delete(first, e.producer)
			if e.first >= o.HighWatermark.Offset && e.first >= reloaded {
				stable = min(stable, at)
			}
		}
	}
	for _, at := range first {
		stable = min(stable, at)
	}
	return max(stable, o.Start)
}

func (r *txnRun) aborted(from, to int64) []log.AbortedTransaction {
	list, first := []log.AbortedTransaction{}, map[int64]int64{}
	for _, e := range r.entries {
		at, isOpen := first[e.producer]
		switch {
		case !e.marker && !isOpen:
			first[e.producer] = e.first
		case e.marker && isOpen:
			delete(first, e.producer)
			if e.abort && e.first >= from && at < to {
				list = append(list, log.AbortedTransaction{ProducerID: e.producer, FirstOffset: at})
			}
		}
	}
	return list
}

func (r *txnRun) fail(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("%s\nafter steps %v", fmt.Sprintf(format, args...), r.trace)
}
