package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

var now = time.Now().UnixMilli()

var partition = protocol.TopicPartition{Topic: "t"}

// smallSegments makes logs roll every few batches.
func smallSegments(c *log.Config) {
	c.SegmentBytesMax = 1000
	c.IndexIntervalBytes = 150
}

func appendBatch(t testing.TB, l *log.Log, epoch int32, o protocol.BatchOptions, values ...string) log.AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(logtest.Batch(t, o, now, values...), epoch, log.AppendOptions{})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return info
}

// contents reads the whole log: every batch as a string without what the log stamps.
func contents(t testing.TB, l *log.Log) (list []string) {
	t.Helper()
	for at := l.LogStartOffset(); at < l.LogEndOffset().Offset; {
		s, err := l.Read(at, 1<<20, log.ToLogEnd, true)
		if err != nil {
			t.Fatalf("read at %d: %v", at, err)
		}
		b := make([]byte, s.Len())
		if len(b) == 0 {
			t.Fatalf("nothing to read at %d", at)
		}
		if _, err := s.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		s.Release()
		for batch, err := range protocol.Batches(b) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprint(batch))
			at = batch.NextOffset()
		}
	}
	return list
}

// open opens the logs of a file system without a check at the end of the test.
func open(t testing.TB, fsys vfs.FS, config func(*log.Config)) *log.Manager {
	t.Helper()
	m, err := tryOpen(fsys, config)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tryOpen(fsys vfs.FS, config func(*log.Config)) (*log.Manager, error) {
	c := log.DefaultConfig()
	if config != nil {
		config(c)
	}
	return log.Open(log.ManagerOptions{FS: fsys, Dirs: []string{"/logs"}, Identity: logtest.Identity, Defaults: c})
}

// workload does random things to a log, and knows what must be in it.
type workload struct {
	t       testing.TB
	rnd     *rand.Rand
	log     *log.Log
	epoch   int32
	batches []string        // of the log
	ends    []int64         // offset after each
	flushed int64           // below it everything is durable
	seqs    map[int64]int32 // next sequence of each producer
}

func (w *workload) step() {
	switch n := w.rnd.IntN(100); {
	case n < 60:
		w.append(int64(w.rnd.IntN(3)))
	case n < 75:
		w.append(-1)
	case n < 85:
		if err := w.log.Flush(); err != nil {
			w.t.Fatal(err)
		}
		w.flushed = w.log.LogEndOffset().Offset
	case n < 90:
		w.epoch++
		w.log.AssignEpoch(w.epoch, w.log.LogEndOffset().Offset)
	case n < 94 && len(w.batches) > 3:
		w.truncate(len(w.batches) - 1 - w.rnd.IntN(3))
	default:
		w.log.RaiseHighWatermark(w.log.LogEndOffset())
	}
}

func (w *workload) append(producer int64) {
	o := protocol.BatchOptions{}
	n := 1 + w.rnd.IntN(5)
	if producer >= 0 {
		o.Producer = &protocol.Producer{ID: producer, Sequence: w.seqs[producer]}
		w.seqs[producer] += int32(n)
	}
	values := make([]string, n)
	for i := range values {
		values[i] = strings.Repeat("x", w.rnd.IntN(60))
	}
	b := logtest.Batch(w.t, o, now+int64(len(w.batches)), values...)
	info, err := w.log.AppendAsLeader(b, w.epoch, log.AppendOptions{})
	if err != nil {
		w.t.Fatalf("append: %v", err)
	}
	w.batches = append(w.batches, fmt.Sprint(protocol.Batch(b)))
	w.ends = append(w.ends, info.LastOffset+1)
}

func (w *workload) truncate(keep int) {
	if _, err := w.log.TruncateTo(w.ends[keep-1]); err != nil {
		w.t.Fatal(err)
	}
	w.flushed = min(w.flushed, w.ends[keep-1])
	w.batches, w.ends = w.batches[:keep], w.ends[:keep]
	clear(w.seqs)
	for _, p := range w.log.ActiveProducers() {
		w.seqs[p.ProducerID] = p.LastSequence + 1
	}
}

// TestCrash cuts the power at random moments. What was flushed must be there, and what is there must be a prefix of what was written.
func TestCrash(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			mem := vfs.NewMem()
			m := open(t, mem, smallSegments)
			w := &workload{t: t, rnd: rnd, log: logtest.Create(t, m, partition), seqs: map[int64]int32{}}
			for range 60 {
				w.step()
				if rnd.IntN(6) == 0 {
					w.crash(mem.Crash(rnd, rnd.Float64()))
				}
			}
			logtest.Check(t, m)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// crash looks at what a power cut left.
func (w *workload) crash(left *vfs.Mem) {
	w.t.Helper()
	m := open(w.t, left, smallSegments)
	defer m.Close()
	l, ok := m.Log(partition)
	if !ok {
		if w.flushed > 0 {
			w.t.Fatalf("log is gone, and %d offsets were flushed\n%s", w.flushed, left.Tree())
		}
		return
	}
	if err := l.Check(); err != nil {
		w.t.Fatalf("%v\n%s", err, left.Tree())
	}
	if end := l.LogEndOffset().Offset; end < w.flushed {
		w.t.Fatalf("log ends at %d, and was flushed to %d\n%s", end, w.flushed, left.Tree())
	}
	w.comparePrefix(contents(w.t, l))
}

// comparePrefix allows for batches that were truncated and whose removal got lost: from the flushed end on these may be back.
func (w *workload) comparePrefix(got []string) {
	w.t.Helper()
	for i, b := range got {
		if i < len(w.ends) && w.ends[i] <= w.flushed && b != w.batches[i] {
			w.t.Fatalf("batch %d is %s, want %s", i, b, w.batches[i])
		}
	}
}

// TestLastBatchesOutliveACrash: a producer that had five batches under way when the broker was killed sends all of them again. Whichever
// of them are in the log must be recognised, though a snapshot keeps only the last batch of each producer.
func TestLastBatchesOutliveACrash(t *testing.T) {
	mem := vfs.NewMem()
	l := logtest.Create(t, open(t, mem, nil), partition)
	for sequence := range int32(7) {
		if _, err := produce(l, 1, 0, sequence, t, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	m := open(t, mem.Crash(rand.New(rand.NewPCG(1, 1)), 1), nil)
	defer m.Close()
	again, ok := m.Log(partition)
	if !ok {
		t.Fatal("log is gone")
	}
	for sequence := int32(2); sequence < 7; sequence++ {
		if info, err := produce(again, 1, 0, sequence, t, 1); err != nil || !info.Duplicate || info.FirstOffset != int64(sequence) {
			t.Errorf("batch %d, again after the crash: %+v, %v", sequence, info, err)
		}
	}
	if info, err := produce(again, 1, 0, 7, t, 1); err != nil || info.Duplicate || info.FirstOffset != 7 {
		t.Errorf("the next batch: %+v, %v", info, err)
	}
}

// TestCut cuts the log at every byte of its last three batches, and puts garbage or zeros behind it. Recovery keeps exactly the whole batches.
func TestCut(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, nil)
	l := logtest.Create(t, m, partition)
	var ends, positions []int64
	for i := range 5 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", i*10), "w")
		ends, positions = append(ends, l.LogEndOffset().Offset), append(positions, int64(l.LogEndOffset().Byte))
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	name := "/logs/t-0/00000000000000000000.log"
	tails := map[string][]byte{"nothing": nil, "random": make([]byte, 100), "zeros": make([]byte, 64<<10)}
	for i := range tails["random"] {
		tails["random"][i] = byte(rnd.Uint32())
	}
	whole := mustRead(t, mem, name)
	for at := positions[1]; at <= positions[4]; at++ {
		for what, tail := range tails {
			left := mem.Crash(rnd, 1)
			damaged := append(slices.Clone(whole[:at]), tail...)
			want := int64(0)
			for i, p := range positions {
				// The tail may happen to begin with the bytes that were cut.
				if int(p) <= len(damaged) && bytes.Equal(damaged[:p], whole[:p]) {
					want = ends[i]
				}
			}
			overwrite(t, left, name, damaged)
			got := open(t, left, nil)
			cut, _ := got.Log(partition)
			if end := cut.LogEndOffset().Offset; end != want {
				t.Fatalf("cut at %d and %s: log ends at %d, want %d", at, what, end, want)
			}
			logtest.Check(t, got)
			got.Close()
		}
	}
}

func mustRead(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func overwrite(t testing.TB, fsys vfs.FS, name string, content []byte) {
	t.Helper()
	if err := vfs.WriteFile(fsys, name, content, true); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBit damages a batch in the middle of an unflushed log: it is cut there, and the segments after it go.
func TestFlippedBit(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, func(c *log.Config) { c.SegmentBytesMax = 400 })
	l := logtest.Create(t, m, partition)
	for range 20 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, "some value")
	}
	second := l.Segments()[1].BaseOffset()
	left := mem.Crash(rand.New(rand.NewPCG(1, 1)), 1)
	left.Remove("/logs/recovery-point-offset-checkpoint")
	name := fmt.Sprintf("/logs/t-0/%020d.log", second)
	b := mustRead(t, left, name)
	b[len(b)-1] ^= 1
	overwrite(t, left, name, b)
	got := open(t, left, nil)
	defer got.Close()
	logtest.Check(t, got)
	cut, _ := got.Log(partition)
	if n := len(cut.Segments()); n != 2 {
		t.Errorf("%d segments are left", n)
	}
	if end := cut.LogEndOffset().Offset; end != l.Segments()[2].BaseOffset()-1 {
		t.Errorf("log ends at %d", end)
	}
}

// TestGap removes the last batch of a segment whole: what comes after it is not the same log any more, unless compaction did it.
func TestGap(t *testing.T) {
	for _, cleaned := range []bool{false, true} {
		mem := vfs.NewMem()
		m := open(t, mem, smallSegments)
		l := logtest.Create(t, m, partition)
		for range 20 {
			appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 100))
		}
		left := mem.Crash(nil, 1)
		name := "/logs/t-0/00000000000000000000.log"
		whole := mustRead(t, left, name)
		batch, _, err := protocol.NextBatch(whole)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, left, name, whole[:len(whole)-len(batch)])
		want := l.Segments()[1].BaseOffset() - 1
		if cleaned {
			overwrite(t, left, "/logs/cleaner-offset-checkpoint", []byte("0\n1\nt 0 15\n"))
			want = 20
		}
		m = open(t, left, smallSegments)
		l, _ = m.Log(partition)
		if end := l.LogEndOffset().Offset; end != want {
			t.Errorf("cleaned %v: log ends at %d, want %d", cleaned, end, want)
		}
		logtest.Check(t, m)
		m.Close()
	}
}

// TestMarkerIsGoneAtOnce: a crash while a cleanly stopped log is loaded must not look like a clean stop.
func TestMarkerIsGoneAtOnce(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, nil)
	appendBatch(t, logtest.Create(t, m, partition), 0, protocol.BatchOptions{}, "v")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Stat("/logs/.kafka_cleanshutdown"); err != nil {
		t.Fatal("no marker after a clean stop:", err)
	}
	m = open(t, mem, nil)
	defer m.Close()
	left := mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)
	if _, err := left.Stat("/logs/.kafka_cleanshutdown"); err == nil {
		t.Error("the marker is back after a crash")
	}
}

// TestCrashAtEverySync crashes before each sync of a run that rolls, truncates, deletes and closes.
func TestCrashAtEverySync(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	mem := vfs.NewMem()
	var mu sync.Mutex // the background work syncs as well
	crashes := 0
	faulty := vfs.Faulty{FS: mem, Fail: func(op vfs.Op, name string) error {
		if op != vfs.OpSync && op != vfs.OpSyncDir && op != vfs.OpRename {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		crashes++
		m := open(t, mem.Crash(rnd, rnd.Float64()), smallSegments)
		logtest.Check(t, m)
		m.Close()
		return nil
	}}
	m := open(t, faulty, smallSegments)
	l := logtest.Create(t, m, partition)
	for i := range 40 {
		appendBatch(t, l, int32(i/10), protocol.BatchOptions{}, "a value", "another value")
	}
	if _, err := l.TruncateTo(30); err != nil {
		t.Fatal(err)
	}
	l.RaiseHighWatermark(l.LogEndOffset())
	if _, err := l.IncrementLogStartOffset(20); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DeleteOldSegments(); err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateFullyAndStartAt(100); err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 5, protocol.BatchOptions{}, "v")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if crashes < 20 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestDiskErrors: after an error of the disk nothing is acknowledged any more, the directory is offline, a retry is no duplicate, and what
// was acknowledged before is there after a restart.
func TestDiskErrors(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync} {
		t.Run(string(op), func(t *testing.T) {
			mem := vfs.NewMem()
			broken := false
			faulty := vfs.Faulty{FS: mem, Fail: func(o vfs.Op, name string) error {
				if broken && o == op && filepath.Ext(name) == ".log" {
					return syscall.EIO
				}
				return nil
			}}
			m := open(t, faulty, func(c *log.Config) { c.FlushMessages = 1 })
			l := logtest.Create(t, m, partition)
			producer := func(sequence int32) protocol.BatchOptions {
				return protocol.BatchOptions{Producer: &protocol.Producer{ID: 1, Sequence: sequence}}
			}
			appendBatch(t, l, 0, producer(0), "first")
			broken = true
			if _, err := l.AppendAsLeader(logtest.Batch(t, producer(1), now, "second"), 0, log.AppendOptions{}); !errors.Is(err, log.ErrStorage) {
				t.Errorf("append on a broken disk: %v", err)
			}
			broken = false
			if _, err := l.AppendAsLeader(logtest.Batch(t, producer(1), now, "second"), 0, log.AppendOptions{}); !errors.Is(err, log.ErrStorage) {
				t.Errorf("append after the error: %v", err)
			}
			if d := <-m.Failures(); !errors.Is(d.Err, syscall.EIO) || d.Path != "/logs" {
				t.Errorf("reported %+v", d)
			}
			m.Close()
			if _, err := mem.Stat("/logs/.kafka_cleanshutdown"); err == nil {
				t.Error("the stop of a broken directory counts as clean")
			}
			m = open(t, mem, nil)
			defer m.Close()
			logtest.Check(t, m)
			l, _ = m.Log(partition)
			if list := contents(t, l); len(list) == 0 {
				t.Error("the acknowledged batch is gone")
			}
			info, err := l.AppendAsLeader(logtest.Batch(t, producer(1), now, "second"), 0, log.AppendOptions{})
			if err != nil || info.FirstOffset != 1 || info.Duplicate != (op == vfs.OpSync) {
				t.Errorf("retry after the restart: %+v, %v", info, err)
			}
		})
	}
}

// TestFullDisk: an append that does not fit leaves no trace; the retry after a restart with more space is no duplicate and leaves no gap.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, nil)
	l := logtest.Create(t, m, partition)
	o := func(sequence int32) protocol.BatchOptions {
		return protocol.BatchOptions{Producer: &protocol.Producer{ID: 1, Sequence: sequence}}
	}
	appendBatch(t, l, 0, o(0), "first")
	_, usable, _ := mem.Space("/")
	mem.SetLimit(1<<40 - usable + 30)
	if _, err := l.AppendAsLeader(logtest.Batch(t, o(1), now, "second"), 0, log.AppendOptions{}); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, log.ErrStorage) {
		t.Errorf("append on a full disk: %v", err)
	}
	if end := l.LogEndOffset().Offset; end != 1 {
		t.Errorf("log ends at %d", end)
	}
	m.Close()
	mem.SetLimit(0)
	m = open(t, mem, nil)
	defer m.Close()
	l, _ = m.Log(partition)
	if info := appendBatch(t, l, 0, o(1), "second"); info.FirstOffset != 1 || info.Duplicate {
		t.Errorf("retry: %+v", info)
	}
	logtest.Check(t, m)
}

// lacking is a file system without descriptors for some operations, while it is short of them.
func lacking(fsys vfs.FS, short *atomic.Bool, wants func(op vfs.Op, name string) bool) vfs.Faulty {
	return vfs.Faulty{FS: fsys, Fail: func(op vfs.Op, name string) error {
		if short.Load() && wants(op, name) {
			return &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
		}
		return nil
	}}
}

// TestNoDescriptors: a process that has no file descriptors left refuses appends, and goes on when it has some again.
func TestNoDescriptors(t *testing.T) {
	var short atomic.Bool
	faulty := lacking(vfs.NewMem(), &short, func(op vfs.Op, _ string) bool { return op == vfs.OpOpen || op == vfs.OpCreate })
	m := open(t, faulty, smallSegments)
	l := logtest.Create(t, m, partition)
	for i := range 40 {
		short.Store(i%4 > 1)
		want := l.LogEndOffset().Offset
		info, err := l.AppendAsLeader(logtest.Batch(t, protocol.BatchOptions{}, now, "a value", "another value"), 0, log.AppendOptions{})
		if err == nil && info.FirstOffset != want || err != nil && !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("append at %d: %+v, %v", want, info, err)
		}
		if err != nil && l.LogEndOffset().Offset != want {
			t.Fatalf("a failed append moved the end to %d", l.LogEndOffset().Offset)
		}
	}
	short.Store(false)
	appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
	logtest.Check(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// A segment that could not be begun for want of descriptors leaves no file: the next start would take it for the end of the log, and hide the
// records that went into the old segment meanwhile.
func TestASegmentThatCannotBeginLeavesNothing(t *testing.T) {
	for _, suffix := range []string{".index", ".timeindex"} {
		t.Run(suffix, func(t *testing.T) {
			var short atomic.Bool
			mem := vfs.NewMem()
			fsys := lacking(mem, &short, func(op vfs.Op, name string) bool {
				return op == vfs.OpCreate && strings.HasSuffix(name, suffix) && !strings.HasSuffix(name, "/00000000000000000000"+suffix)
			})
			m := open(t, fsys, smallSegments)
			l := logtest.Create(t, m, partition)
			appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 500))
			short.Store(true)
			large := logtest.Batch(t, protocol.BatchOptions{}, now, strings.Repeat("v", 500))
			if _, err := l.AppendAsLeader(large, 0, log.AppendOptions{}); !errors.Is(err, syscall.EMFILE) {
				t.Fatalf("append that needs a new segment: %v", err)
			}
			appendBatch(t, l, 0, protocol.BatchOptions{}, "it fits into the old one")
			short.Store(false)
			want := contents(t, l)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			m = open(t, fsys, smallSegments)
			defer m.Close()
			l, _ = m.Log(partition)
			if end := l.LogEndOffset().Offset; end != 2 || !slices.Equal(contents(t, l), want) {
				t.Errorf("after a restart the log ends at %d, with %q, want %q\n%s", end, contents(t, l), want, mem.Tree())
			}
		})
	}
}

// What an index cannot write, or read, for want of descriptors is made good later: an append does not fail when a part of it is indexed, or
// another batch that comes in its place would contradict the index.
func TestIndexesWithoutDescriptors(t *testing.T) {
	for _, suffix := range []string{".index", ".timeindex"} {
		t.Run(suffix, func(t *testing.T) {
			var short atomic.Bool
			mem := vfs.NewMem()
			fsys := lacking(mem, &short, func(op vfs.Op, name string) bool {
				return (op == vfs.OpOpen || op == vfs.OpCreate) && strings.HasSuffix(name, suffix)
			})
			config := func(c *log.Config) { c.IndexIntervalBytes = 1 }
			m := open(t, fsys, config)
			l := logtest.Create(t, m, partition)
			for i := range 1200 { // over two pages of entries in either index
				short.Store(i%500 > 300)
				batch := logtest.Batch(t, protocol.BatchOptions{}, now+int64(i), make([]string, 1+i%3)...)
				if _, err := l.AppendAsLeader(batch, 0, log.AppendOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			short.Store(false)
			for range 2 {
				logtest.Check(t, m)
				for i := range int64(1200) {
					if r, ok, err := l.OffsetForTimestamp(now + i); err != nil || !ok || r.Offset != i/3*6+[]int64{0, 1, 3}[i%3] {
						t.Fatalf("timestamp %d: %+v, %v, %v", i, r, ok, err)
					}
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				m = open(t, fsys, config)
				l, _ = m.Log(partition)
			}
			m.Close()
		})
	}
}

// Case 57: a flush that failed for want of descriptors is made good by the next one, also what was not new any more: the directory is
// synced, or a power cut takes the leader epochs of records that nobody reads again.
func TestAFlushWithoutDescriptorsIsMadeGood(t *testing.T) {
	var short atomic.Bool
	mem := vfs.NewMem()
	m := open(t, lacking(mem, &short, func(op vfs.Op, _ string) bool { return op == vfs.OpSyncDir }), nil)
	defer m.Close()
	l := logtest.Create(t, m, partition)
	appendBatch(t, l, 0, protocol.BatchOptions{}, "a")
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 1, protocol.BatchOptions{}, "b")
	short.Store(true)
	if err := l.Flush(); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("flush without descriptors: %v", err)
	}
	short.Store(false)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	epochs, err := vfs.ReadFile(mem.Crash(rand.New(rand.NewPCG(1, 1)), 0), filepath.Join(l.Dir(), "t-0", "leader-epoch-checkpoint"))
	if err != nil || !strings.Contains(string(epochs), "1 1") {
		t.Errorf("after a power cut: %q, %v", epochs, err)
	}
}

// A deletion that was not made durable for want of descriptors is none until it is, whoever asks again, and is made good by itself.
func TestADeletionWithoutDescriptorsIsMadeGood(t *testing.T) {
	for _, asked := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var short atomic.Bool
			mem := vfs.NewMem()
			m := open(t, lacking(mem, &short, func(op vfs.Op, _ string) bool { return op == vfs.OpSyncDir }), nil)
			defer m.Close()
			l := logtest.Create(t, m, partition)
			appendBatch(t, l, 0, protocol.BatchOptions{}, "a")
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			short.Store(true)
			for range 2 {
				if failed := m.Delete(partition); !errors.Is(failed[partition], syscall.EMFILE) {
					t.Fatalf("deletion without descriptors: %v", failed)
				}
			}
			short.Store(false)
			if !asked {
				time.Sleep(2 * time.Minute)
				synctest.Wait()
			} else if failed := m.Delete(partition); len(failed) > 0 {
				t.Fatal(failed)
			}
			left := mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)
			if _, err := left.Stat("/logs/t-0"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after a power cut: %v\n%s", err, left.Tree())
			}
			if m.Dirs()[0].Offline {
				t.Error("the directory went offline")
			}
		})
	}
}

// A stop is clean only if every log of the directory was closed: nothing looks again at what a clean stop left.
func TestAStopThatCouldNotCloseALogIsNotClean(t *testing.T) {
	var short atomic.Bool
	mem := vfs.NewMem()
	m := open(t, lacking(mem, &short, func(op vfs.Op, name string) bool {
		return op == vfs.OpCreate && strings.Contains(name, "leader-epoch-checkpoint")
	}), nil)
	appendBatch(t, logtest.Create(t, m, partition), 0, protocol.BatchOptions{}, "a")
	short.Store(true)
	if err := m.Close(); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("close without descriptors: %v", err)
	}
	if _, err := mem.Stat("/logs/.kafka_cleanshutdown"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stop counts as clean: %v", err)
	}
}

// Case 54: what was deleted before it was ever flushed does not come back, broken, below the recovery point, when the power is cut
// after a checkpoint.
func TestDeletedBeforeFlushedStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		m := open(t, mem, smallSegments)
		defer m.Close()
		l, err := m.Create(partition, log.CreateOptions{IsNew: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			appendBatch(t, l, 0, protocol.BatchOptions{}, "value", "value")
		}
		l.RaiseHighWatermark(l.LogEndOffset())
		l.SetConfig(expired())
		if n, err := l.DeleteOldSegments(); n != 1 || err != nil {
			t.Fatalf("%d segments deleted: %v", n, err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if point := l.RecoveryPoint(); point != 10 {
			t.Fatalf("recovery point %d", point)
		}
		for seed := range uint64(200) {
			after, err := tryOpen(mem.Crash(rand.New(rand.NewPCG(seed, 1)), 0.5), smallSegments)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := after.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// expired is a configuration that keeps nothing.
func expired() *log.Config {
	c := log.DefaultConfig()
	c.RetentionBytes = 0
	return c
}
