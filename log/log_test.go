package log_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

func produce(l *log.Log, id int64, epoch int16, sequence int32, t testing.TB, n int) (log.AppendInfo, error) {
	values := make([]string, n)
	o := protocol.BatchOptions{Producer: &protocol.Producer{ID: id, Epoch: epoch, Sequence: sequence}}
	return l.AppendAsLeader(logtest.Batch(t, o, now, values...), 0, log.AppendOptions{})
}

// TestSequences is the table of what a producer may send after five batches of two, 0 to 9, in epoch 1.
func TestSequences(t *testing.T) {
	tests := []struct {
		name     string
		epoch    int16
		sequence int32
		n        int
		want     int64 // first offset
		err      error
	}{
		{"next", 1, 10, 1, 10, nil},
		{"last again", 1, 8, 2, 8, nil},
		{"fifth last again", 1, 0, 2, 0, nil},
		{"last again, cut", 1, 8, 1, 0, log.ErrOutOfOrderSequence},
		{"gap", 1, 11, 1, 0, log.ErrOutOfOrderSequence},
		{"new epoch from 0", 2, 0, 1, 10, nil},
		{"new epoch not from 0", 2, 10, 1, 0, log.ErrOutOfOrderSequence},
		{"old epoch", 0, 10, 1, 0, log.ErrProducerEpoch},
	}
	// The same answers whatever happened in between.
	between := map[string]func(testing.TB, *vfs.Mem, *log.Manager) *log.Manager{
		"nothing": func(_ testing.TB, _ *vfs.Mem, m *log.Manager) *log.Manager { return m },
		"restart": func(t testing.TB, mem *vfs.Mem, m *log.Manager) *log.Manager {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, mem, nil)
		},
		"kill": func(t testing.TB, mem *vfs.Mem, _ *log.Manager) *log.Manager { return open(t, mem.Crash(nil, 1), nil) },
		"delete records": func(t testing.TB, _ *vfs.Mem, m *log.Manager) *log.Manager {
			l, _ := m.Log(partition)
			l.RaiseHighWatermark(l.LogEndOffset())
			if _, err := l.IncrementLogStartOffset(10); err != nil {
				t.Fatal(err)
			}
			if _, err := l.DeleteOldSegments(); err != nil {
				t.Fatal(err)
			}
			return m
		},
		"roll": func(t testing.TB, _ *vfs.Mem, m *log.Manager) *log.Manager {
			l, _ := m.Log(partition)
			c := *l.Config()
			c.SegmentBytesMax = 400 // the next batch begins a segment
			l.SetConfig(&c)
			return m
		},
		"retention": func(t testing.TB, _ *vfs.Mem, m *log.Manager) *log.Manager {
			l, _ := m.Log(partition)
			c := *l.Config()
			c.RetentionBytes = 0
			l.SetConfig(&c)
			l.RaiseHighWatermark(l.LogEndOffset())
			if n, err := l.DeleteOldSegments(); err != nil || n == 0 {
				t.Fatalf("%d segments are deleted, %v", n, err)
			}
			return m
		},
		"leader change": func(t testing.TB, _ *vfs.Mem, m *log.Manager) *log.Manager {
			leader, _ := m.Log(partition)
			next := open(t, vfs.NewMem(), nil)
			follow(t, leader, logtest.Create(t, next, partition))
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			return next
		},
	}
	for what, happen := range between {
		for _, test := range tests {
			t.Run(what+"/"+test.name, func(t *testing.T) {
				mem := vfs.NewMem()
				m := open(t, mem, nil)
				l := logtest.Create(t, m, partition)
				for i := range int32(5) {
					if _, err := produce(l, 7, 1, 2*i, t, 2); err != nil {
						t.Fatal(err)
					}
				}
				m = happen(t, mem, m)
				defer m.Close()
				if (what == "restart" || what == "kill") && test.sequence == 0 && test.epoch == 1 {
					return // a snapshot only has the last batch
				}
				l, _ = m.Log(partition)
				info, err := produce(l, 7, test.epoch, test.sequence, t, test.n)
				if !errors.Is(err, test.err) || err == nil && info.FirstOffset != test.want {
					t.Errorf("%+v, %v; want %d, %v", info, err, test.want, test.err)
				}
				if err == nil && info.Duplicate != (test.want < 10) {
					t.Errorf("duplicate: %v", info.Duplicate)
				}
				logtest.Check(t, m)
			})
		}
	}
}

// follow copies a log to a follower's.
func follow(t testing.TB, leader, follower *log.Log) {
	t.Helper()
	s, err := leader.Read(leader.LogStartOffset(), 1<<20, log.ToLogEnd, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	b := make([]byte, s.Len())
	if _, err := s.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := follower.AppendAsFollower(b, 0); err != nil {
		t.Fatal(err)
	}
}

func TestSixthLastBatchIsForgotten(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	for i := range int32(6) {
		if _, err := produce(l, 1, 0, i, t, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := produce(l, 1, 0, 0, t, 1); !errors.Is(err, log.ErrOutOfOrderSequence) {
		t.Errorf("sixth last again: %v", err)
	}
	if got := protocol.CodeOf(log.ErrOutOfOrderSequence); got != kerr.OutOfOrderSequenceNumber.Code {
		t.Errorf("code %d", got)
	}
}

func TestSequencesWrap(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	for _, sequence := range []int32{math.MaxInt32 - 3, math.MaxInt32 - 1, 0, 2} {
		if _, err := produce(l, 1, 0, sequence, t, 2); err != nil {
			t.Fatalf("sequence %d: %v", sequence, err)
		}
	}
	if info, err := produce(l, 1, 0, math.MaxInt32-1, t, 2); err != nil || !info.Duplicate || info.FirstOffset != 2 {
		t.Errorf("batch that wraps, again: %+v, %v", info, err)
	}
}

// testClock is a clock that stands still; it is read by the logs' background work, too.
type testClock struct{ sinceNow atomic.Int64 }

func (c *testClock) now() time.Time          { return time.UnixMilli(now).Add(time.Duration(c.sinceNow.Load())) }
func (c *testClock) set(later time.Duration) { c.sinceNow.Store(int64(later)) }

func TestIdleProducersAreForgotten(t *testing.T) {
	var clock testClock
	m := logtest.OpenManager(t, logtest.Options{Now: clock.now})
	l := logtest.Create(t, m, partition)
	if _, err := produce(l, 1, 3, 0, t, 1); err != nil {
		t.Fatal(err)
	}
	transactional(t, l, 2, 0)
	guard := l.StartVerification(3, 0, 0)
	clock.set(23 * time.Hour)
	l.RemoveExpiredProducers()
	if known := l.ActiveProducers(); len(known) != 2 || l.StartVerification(3, 0, 0) != guard {
		t.Errorf("too early: %+v", known)
	}
	clock.set(25 * time.Hour)
	m.SetProducerIDExpiration(26 * time.Hour)
	l.RemoveExpiredProducers()
	if known := l.ActiveProducers(); len(known) != 2 {
		t.Errorf("too early by a new setting: %+v", known)
	}
	m.SetProducerIDExpiration(24 * time.Hour)
	l.RemoveExpiredProducers()
	if known := l.ActiveProducers(); len(known) != 1 || known[0].ProducerID != 2 {
		t.Errorf("only that with an open transaction stays: %+v", known)
	}
	if l.StartVerification(3, 0, 0) == guard {
		t.Error("the verification stays")
	}
	if _, err := produce(l, 1, 0, 77, t, 1); err != nil {
		t.Errorf("a forgotten producer may begin anywhere: %v", err)
	}
}

// transactional appends one record of a transaction.
func transactional(t testing.TB, l *log.Log, id int64, sequence int32) log.AppendInfo {
	t.Helper()
	o := protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: id, Sequence: sequence}}
	return appendBatch(t, l, 0, o, "v")
}

func TestLastStableOffset(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	expect := func(stable int64) {
		t.Helper()
		if got := l.LastStableOffset().Offset; got != stable {
			t.Errorf("last stable offset %d, want %d", got, stable)
		}
	}
	transactional(t, l, 1, 0) // 0
	transactional(t, l, 2, 0) // 1
	expect(0)
	l.RaiseHighWatermark(l.LogEndOffset())
	expect(0)
	appendMarker(t, l, 1, protocol.MarkerAbort) // 2
	expect(0)                                   // the marker is not committed yet
	l.RaiseHighWatermark(l.LogEndOffset())
	expect(1)
	appendBatch(t, l, 0, protocol.BatchOptions{}, "plain") // 3
	appendMarker(t, l, 2, protocol.MarkerCommit)           // 4
	transactional(t, l, 1, 1)                              // 5
	l.RaiseHighWatermark(l.LogEndOffset())
	expect(5)
	aborted, err := l.AbortedTransactions(0, 6)
	if err != nil || len(aborted) != 1 || aborted[0] != (log.AbortedTransaction{ProducerID: 1}) {
		t.Errorf("aborted %v, %v", aborted, err)
	}
	if aborted, _ := l.AbortedTransactions(3, 6); len(aborted) != 0 {
		t.Errorf("aborted after its marker: %v", aborted)
	}
	s, err := l.Read(0, 1<<20, log.ToLastStable, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if end := s.Start().Byte + int32(s.Len()); end != l.LastStableOffset().Byte {
		t.Errorf("read up to byte %d of %+v", end, l.LastStableOffset())
	}
}

func TestTransactionRules(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	transactional(t, l, 1, 0)
	if _, err := produce(l, 1, 0, 1, t, 1); !errors.Is(err, log.ErrTransactionState) {
		t.Errorf("plain batch in a transaction: %v", err)
	}
	marker := func(epoch int16, coordinator int32) error {
		b, err := protocol.MarkerBatch(1, epoch, protocol.Marker{Type: protocol.MarkerCommit, CoordinatorEpoch: coordinator}, now)
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.AppendAsLeader(b, 0, log.AppendOptions{Origin: log.OriginCoordinator})
		return err
	}
	if err := marker(5, 7); err != nil {
		t.Fatal(err)
	}
	if err := marker(5, 6); !errors.Is(err, log.ErrCoordinatorFenced) {
		t.Errorf("marker of an old coordinator: %v", err)
	}
	if _, err := produce(l, 1, 4, 0, t, 1); !errors.Is(err, log.ErrProducerEpoch) {
		t.Errorf("batch of a fenced producer: %v", err)
	}
}

func TestVerification(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	b := func(sequence int32) []byte {
		return logtest.Batch(t, protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: 1, Sequence: sequence}}, now, "v")
	}
	if _, err := l.AppendAsLeader(b(0), 0, log.AppendOptions{Verify: true}); !errors.Is(err, log.ErrTransactionState) {
		t.Errorf("without a guard: %v", err)
	}
	guard := l.StartVerification(1, 1, 0)
	if again := l.StartVerification(1, 0, 0); again != guard || guard == 0 {
		t.Errorf("guards %d and %d", guard, again)
	}
	if _, err := l.AppendAsLeader(b(1), 0, log.AppendOptions{Verify: true, Verification: guard}); !errors.Is(err, log.ErrOutOfOrderSequence) {
		t.Errorf("a later batch before the first: %v", err)
	}
	if _, err := l.AppendAsLeader(b(0), 0, log.AppendOptions{Verify: true, Verification: guard}); err != nil {
		t.Errorf("with the guard: %v", err)
	}
	if again := l.StartVerification(1, 1, 0); again != 0 {
		t.Errorf("guard %d in an open transaction", again)
	}
	if _, err := l.AppendAsLeader(b(1), 0, log.AppendOptions{Verify: true}); err != nil {
		t.Errorf("in the open transaction: %v", err)
	}
}

func TestRetention(t *testing.T) {
	var clock testClock
	fill := func(c *log.Config) *log.Log {
		m := logtest.OpenManager(t, logtest.Options{Now: clock.now, Config: func(d *log.Config) { *d = *c }})
		l := logtest.Create(t, m, partition)
		for range 10 {
			appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 200))
		}
		l.SetHighWatermark(8)
		return l
	}
	config := func(change func(*log.Config)) *log.Config {
		c := log.DefaultConfig()
		c.SegmentBytesMax = 600 // two batches
		change(c)
		return c
	}
	tests := []struct {
		name   string
		config *log.Config
		later  time.Duration
		start  int64
	}{
		{"nothing to do", config(func(*log.Config) {}), 0, 0},
		{"size", config(func(c *log.Config) { c.RetentionBytes = 1200 }), 0, 4},
		{"size, not above the high watermark", config(func(c *log.Config) { c.RetentionBytes = 0 }), 0, 8},
		{"age, not above the high watermark", config(func(c *log.Config) { c.RetentionMs = 1000 }), time.Minute, 8},
		{"without cleanup.policy=delete", config(func(c *log.Config) { c.RetentionMs, c.Delete = 1000, false }), time.Minute, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock.set(0)
			l := fill(test.config)
			clock.set(test.later)
			if _, err := l.DeleteOldSegments(); err != nil {
				t.Fatal(err)
			}
			if start := l.LogStartOffset(); start != test.start {
				t.Errorf("log starts at %d, want %d", start, test.start)
			}
			if _, err := l.Read(test.start-1, 100, log.ToLogEnd, true); !errors.Is(err, log.ErrOffsetOutOfRange) {
				t.Errorf("read before the start: %v", err)
			}
		})
	}
	t.Run("everything", func(t *testing.T) {
		clock.set(0)
		l := fill(config(func(c *log.Config) { c.RetentionMs = 1000 }))
		l.RaiseHighWatermark(l.LogEndOffset())
		clock.set(time.Minute)
		if n, err := l.DeleteOldSegments(); n != 5 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
		if o := l.Offsets(); o.Start != 10 || o.End.Offset != 10 || o.End.Byte != 0 {
			t.Errorf("offsets %+v", o)
		}
		appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
	})
}

// TestReadersDuringTruncation reads while a follower truncates and appends other records: a slice that is current never holds a mixture.
func TestReadersDuringTruncation(t *testing.T) {
	l := logtest.Open(t, logtest.Options{Config: func(c *log.Config) { c.SegmentBytesMax, c.IndexIntervalBytes = 2000, 100 }})
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				readSome(t, l)
			}
		})
	}
	for epoch := range int32(150) {
		for range 5 {
			appendBatch(t, l, epoch, protocol.BatchOptions{}, fmt.Sprint("epoch ", epoch), strings.Repeat("v", int(epoch)))
		}
		if epoch%3 == 1 {
			if _, err := l.TruncateTo(l.LogEndOffset().Offset - 7); err != nil {
				t.Error(err)
			}
		}
		l.RaiseHighWatermark(l.LogEndOffset())
		if epoch%20 == 19 {
			if _, err := l.IncrementLogStartOffset(l.LogEndOffset().Offset - 30); err != nil {
				t.Error(err)
			}
			if _, err := l.DeleteOldSegments(); err != nil {
				t.Error(err)
			}
		}
	}
	close(done)
	readers.Wait()
}

func readSome(t testing.TB, l *log.Log) {
	o := l.Offsets()
	s, err := l.Read((o.Start+o.End.Offset)/2, 1000, log.ToLogEnd, true)
	if errors.Is(err, log.ErrOffsetOutOfRange) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Release()
	b := make([]byte, s.Len())
	_, err = s.ReadAt(b, 0)
	if !s.Current() {
		return
	}
	if err != nil && s.Len() > 0 {
		t.Error(err)
	}
	for batch, err := range protocol.Batches(b) {
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			t.Errorf("current slice: %v", err)
			return
		}
	}
}

func TestReadBounds(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	for range 4 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, "a", "b", "c")
	}
	l.SetHighWatermark(6)
	size := int(l.LogEndOffset().Byte) / 4
	tests := []struct {
		name     string
		offset   int64
		bytesMax int
		bound    log.Bound
		minOne   bool
		from     int32
		length   int
		cut      bool
	}{
		{"from the begin", 0, 1 << 20, log.ToLogEnd, false, 0, 4 * size, false},
		{"within a batch", 4, 1 << 20, log.ToLogEnd, false, int32(size), 3 * size, false},
		{"up to the high watermark", 0, 1 << 20, log.ToHighWatermark, false, 0, 2 * size, false},
		{"at the high watermark", 6, 1 << 20, log.ToHighWatermark, true, int32(2 * size), 0, false},
		{"above the high watermark", 10, 1 << 20, log.ToHighWatermark, true, int32(3 * size), 0, false},
		{"at the end", 12, 1 << 20, log.ToLogEnd, true, int32(4 * size), 0, false},
		{"cut", 0, size + 10, log.ToLogEnd, false, 0, size + 10, false},
		{"first batch cut", 0, 10, log.ToLogEnd, false, 0, 10, true},
		{"one batch at least", 0, 10, log.ToLogEnd, true, 0, size, false},
		{"no bytes", 0, 0, log.ToLogEnd, false, 0, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := l.Read(test.offset, test.bytesMax, test.bound, test.minOne)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			if s.Start() != (log.Position{Offset: test.offset, Byte: test.from}) || s.Len() != test.length || s.FirstBatchCut() != test.cut {
				t.Errorf("start %+v, %d bytes, cut %v", s.Start(), s.Len(), s.FirstBatchCut())
			}
		})
	}
	for _, offset := range []int64{-1, 13} {
		if _, err := l.Read(offset, 100, log.ToLogEnd, true); !errors.Is(err, log.ErrOffsetOutOfRange) {
			t.Errorf("read at %d: %v", offset, err)
		}
	}
}

func TestFollowerAppend(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	b := func(offset int64, epoch int32) []byte {
		return logtest.Batch(t, protocol.BatchOptions{BaseOffset: offset, LeaderEpoch: epoch}, now, "v")
	}
	three := append(append(b(10, 1), b(11, 1)...), b(12, 3)...)
	info, err := l.AppendAsFollower(append(three, 1, 2, 3), 2)
	if err != nil || info.FirstOffset != 10 || info.LastOffset != 11 || info.LeaderEpoch != 1 {
		t.Errorf("append: %+v, %v", info, err)
	}
	if _, err := l.AppendAsFollower(b(11, 1), 2); !errors.Is(err, log.ErrUnexpectedOffset) {
		t.Errorf("append below the end: %v", err)
	}
	damaged := b(12, 1)
	damaged[len(damaged)-1] ^= 1
	if _, err := l.AppendAsFollower(damaged, 2); !errors.Is(err, protocol.ErrCorrupt) {
		t.Errorf("append of a damaged batch: %v", err)
	}
	if epoch, start, _ := l.EpochCache().Earliest(); epoch != 1 || start != 10 {
		t.Errorf("epoch %d from %d", epoch, start)
	}
}

// TestFollowerBeginsWithinBatch: the leader's log starts within a batch, and so does the follower's.
func TestFollowerBeginsWithinBatch(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, nil)
	l := logtest.Create(t, m, partition)
	if err := l.TruncateFullyAndStartAt(12); err != nil {
		t.Fatal(err)
	}
	b := logtest.Batch(t, protocol.BatchOptions{BaseOffset: 10, LeaderEpoch: 4}, now, "a", "b", "c", "d")
	if _, err := l.AppendAsFollower(b, 4); err != nil {
		t.Fatal(err)
	}
	expect := func(l *log.Log) {
		t.Helper()
		if o := l.Offsets(); o.Start != 12 || o.HighWatermark.Offset != 12 || o.End.Offset != 14 {
			t.Errorf("offsets %+v", o)
		}
		if err := l.Check(); err != nil {
			t.Error(err)
		}
		s, err := l.Read(12, 1000, log.ToLogEnd, true)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release()
		if s.Len() != len(b) {
			t.Errorf("read %d bytes", s.Len())
		}
	}
	expect(l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(t, mem, nil)
	defer m.Close()
	l, _ = m.Log(partition)
	expect(l)
}

// A compressed set of magic 1 tells only its last offset. A segment that begins with one begins where the log ended, so that recovery sees no gap,
// unless the set's end is out of reach from there.
func TestFollowerRollsBeforeAnOldSet(t *testing.T) {
	mem := vfs.NewMem()
	small := func(c *log.Config) { c.IndexBytesMax = 12 } // any append that does not begin a segment rolls
	m := open(t, mem, small)
	defer m.Close()
	l := logtest.Create(t, m, partition)
	far := 30 + int64(math.MaxInt32) + 20
	for _, base := range []int64{0, 10, 20, far} {
		values := make([]string, 10)
		for i := range values {
			values[i] = fmt.Sprint("a value of its own ", base, i)
		}
		o := protocol.BatchOptions{BaseOffset: base, Compression: protocol.Compression{Codec: protocol.Gzip}}
		old, err := protocol.DownConvert(nil, logtest.Batch(t, o, now, values...), 1, base)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsFollower(old, 5); err != nil {
			t.Fatal(err)
		}
	}
	want := []int64{0, 10, 20, far + 9 - math.MaxInt32}
	if got := bases(l); !slices.Equal(got, want) {
		t.Errorf("segments begin at %d, want %d", got, want)
	}
	if _, err := l.TruncateTo(30); err != nil { // of the gap recovery would make an end
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	m = open(t, mem.Crash(nil, 1), small)
	defer m.Close()
	l, _ = m.Log(partition)
	if end := l.LogEndOffset().Offset; end != 30 {
		t.Errorf("the log ends at %d after a crash", end)
	}
	logtest.Check(t, m)
}

func bases(l *log.Log) (list []int64) {
	for _, s := range l.Segments() {
		list = append(list, s.BaseOffset())
	}
	return list
}

func TestIdentity(t *testing.T) {
	mem := vfs.NewMem()
	open(t, mem, nil).Close()
	for _, id := range []log.Identity{{ClusterID: "other", BrokerID: 1}, {ClusterID: logtest.Identity.ClusterID, BrokerID: 2}} {
		if _, err := log.Open(log.ManagerOptions{FS: mem, Dirs: []string{"/logs"}, Identity: id}); !errors.Is(err, log.ErrIdentity) {
			t.Errorf("open as %+v: %v", id, err)
		}
	}
	got, err := log.ReadIdentity(mem, []string{"/nowhere", "/logs"})
	if err != nil || got != logtest.Identity {
		t.Errorf("read %+v, %v", got, err)
	}
	m := open(t, mem, nil)
	defer m.Close()
	if _, err := tryOpen(mem, nil); !errors.Is(err, log.ErrLocked) {
		t.Errorf("open twice: %v", err)
	}
}

func TestForeignDirectories(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/logs/lost+found"); err != nil {
		t.Fatal(err)
	}
	open(t, mem, nil).Close()
	if err := mem.MkdirAll("/logs/my backup"); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(mem, nil); err == nil || !strings.Contains(err.Error(), "my backup") {
		t.Errorf("open with an unknown directory: %v", err)
	}
}

// A topic that comes again has another id, so a replica that comes back from the dead would be in its way for ever.
func TestDeletedLogStaysDeleted(t *testing.T) {
	mem := vfs.NewMem()
	m := logtest.OpenManager(t, logtest.Options{FS: mem})
	logtest.Create(t, m, partition)
	kept := protocol.TopicPartition{Topic: "kept"}
	logtest.Create(t, m, kept)
	if failed := m.Delete(partition); len(failed) > 0 {
		t.Fatal(failed)
	}
	after := logtest.OpenManager(t, logtest.Options{FS: mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)})
	if _, ok := after.Log(partition); ok {
		t.Error("a power cut brought a deleted log back")
	}
	if _, ok := after.Log(kept); !ok {
		t.Error("the other log is gone")
	}
}

// A high watermark in the file of an earlier log of that name would show consumers of the new one what is not committed.
func TestHighWatermarkOfEarlierLogIsForgotten(t *testing.T) {
	mem := vfs.NewMem()
	m := logtest.OpenManager(t, logtest.Options{FS: mem})
	old := logtest.Create(t, m, partition)
	appendBatch(t, old, 0, protocol.BatchOptions{}, "a", "b", "c")
	old.SetHighWatermark(3)
	if err := m.CheckpointHighWatermarks("/logs"); err != nil {
		t.Fatal(err)
	}
	if failed := m.Delete(partition); len(failed) > 0 {
		t.Fatal(failed)
	}
	for range 2 { // the second manager knows of it by the file alone
		appendBatch(t, logtest.Create(t, m, partition), 0, protocol.BatchOptions{}, "d", "e", "f")
		mem = mem.Crash(nil, 1)
		m = logtest.OpenManager(t, logtest.Options{FS: mem})
		l, ok := m.Log(partition)
		if !ok || l.LogEndOffset().Offset != 3 || l.HighWatermark().Offset != 0 {
			t.Fatalf("log is there: %v, high watermark %d of %d", ok, l.HighWatermark().Offset, l.LogEndOffset().Offset)
		}
		l.SetHighWatermark(2)
		if err := m.CheckpointHighWatermarks("/logs"); err != nil {
			t.Fatal(err)
		}
		mem = mem.Crash(nil, 1)
		m = logtest.OpenManager(t, logtest.Options{FS: mem})
		if failed := m.Delete(partition); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
}

// Case 70, by the way that has no admin API before it: a name that is no topic's makes no directory, here or elsewhere, and takes none offline.
func TestNamesThatAreNoTopics(t *testing.T) {
	mem := vfs.NewMem()
	m := logtest.OpenManager(t, logtest.Options{FS: mem})
	before := mem.Tree()
	for _, tp := range []protocol.TopicPartition{
		{}, {Topic: "../t"}, {Topic: "a/b"}, {Topic: "a b"}, {Topic: "a\n0"}, {Topic: "ü"}, {Topic: "\x00"},
		{Topic: strings.Repeat("t", 250)}, {Topic: "t", Partition: -1},
	} {
		if _, err := m.Create(tp, log.CreateOptions{IsNew: true}); !errors.Is(err, kerr.InvalidTopicException) {
			t.Errorf("%v: %v", tp, err)
		}
	}
	if after := mem.Tree(); after != before {
		t.Errorf("something was made:\n%s", after)
	}
	if m.Dirs()[0].Offline {
		t.Errorf("the directory is offline: %v", m.Dirs()[0].Err)
	}
	logtest.Create(t, m, protocol.TopicPartition{Topic: strings.Repeat("t", 249), Partition: 99999})
}

func TestCreateAndDelete(t *testing.T) {
	mem := vfs.NewMem()
	m := logtest.OpenManager(t, logtest.Options{FS: mem, Dirs: []string{"/a", "/b"}, Config: func(c *log.Config) { c.FileDeleteDelayMs = 1 << 40 }})
	dirs := map[string]int{}
	for i := range int32(6) {
		dirs[logtest.Create(t, m, protocol.TopicPartition{Topic: "t", Partition: i}).Dir()]++
	}
	if dirs["/a"] != 3 || dirs["/b"] != 3 {
		t.Errorf("logs per directory: %v", dirs)
	}
	l, _ := m.Log(partition)
	appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
	if err := m.Delete(partition, protocol.TopicPartition{Topic: "nobody"}); len(err) > 0 {
		t.Fatal(err)
	}
	if _, ok := m.Log(partition); ok || !strings.Contains(mem.Tree(), "-delete/") {
		t.Errorf("log is there after its deletion\n%s", mem.Tree())
	}
	if _, err := l.AppendAsLeader(logtest.Batch(t, protocol.BatchOptions{}, now, "v"), 0, log.AppendOptions{}); !errors.Is(err, log.ErrStorage) {
		t.Errorf("append to a deleted log: %v", err)
	}
	if again := logtest.Create(t, m, partition); again.LogEndOffset().Offset != 0 || again.TopicID() == l.TopicID() {
		t.Error("the new log has something of the old one")
	}
	if _, err := m.Create(partition, log.CreateOptions{TopicID: protocol.NewTopicID()}); !errors.Is(err, log.ErrInconsistentTopicID) {
		t.Errorf("create with another id: %v", err)
	}
}

// A log keeps its topic's settings when the broker's change, however it came by them: a compacted topic must not be one with retention for a moment.
func TestNewDefaultsLeaveLogsAlone(t *testing.T) {
	m := open(t, vfs.NewMem(), nil)
	defer m.Close()
	own := log.DefaultConfig()
	own.Compact, own.Delete, own.RetentionMs = true, false, -1
	l, err := m.Create(partition, log.CreateOptions{Config: own})
	if err != nil {
		t.Fatal(err)
	}
	defaults := log.DefaultConfig()
	defaults.RetentionMs = 1
	m.SetDefaults(defaults)
	if l.Config() != own {
		t.Errorf("%+v", l.Config())
	}
	if m.Defaults() != defaults {
		t.Error("the defaults stayed as they were")
	}
}

// After a restart the largest timestamp is that of the whole segment, also when what comes after it is older.
func TestLargestTimestampAfterARestart(t *testing.T) {
	fsys := vfs.NewMem()
	small := func(c *log.Config) { c.IndexIntervalBytes = 200 }
	stamped := func(l *log.Log, timestamp int64, n int) {
		t.Helper()
		for range n {
			b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, protocol.Record{Timestamp: timestamp, Value: make([]byte, 50)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.AppendAsLeader(b, 1, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := open(t, fsys, small)
	stamped(logtest.Create(t, m, partition), 100, 1)
	for restart := range 3 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = open(t, fsys, small)
		l, _ := m.Log(partition)
		if restart == 0 {
			stamped(l, 1000, 20)
			stamped(l, 90, 20)
		}
		if got, ok, err := l.OffsetForTimestamp(500); err != nil || !ok || got.Offset != 1 || got.Timestamp != 1000 {
			t.Errorf("restart %d: 500 is found at %+v, %v, %v", restart, got, ok, err)
		}
		if got, ok, err := l.OffsetOfMaxTimestamp(); err != nil || !ok || got.Offset != 1 || got.Timestamp != 1000 {
			t.Errorf("restart %d: the largest is %+v, %v, %v", restart, got, ok, err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
