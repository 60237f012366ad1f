package log_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// answers is what clients can learn from a log.
type answers struct {
	Batches   []string
	Offsets   log.Offsets
	Aborted   []log.AbortedTransaction
	Times     []log.TimestampOffset
	Max       log.TimestampOffset
	Producers []log.ProducerState
	Epochs    []int64
}

func ask(t testing.TB, l *log.Log) answers {
	t.Helper()
	a := answers{Batches: contents(t, l), Offsets: l.Offsets(), Producers: l.ActiveProducers()}
	var err error
	if a.Aborted, err = l.AbortedTransactions(0, a.Offsets.End.Offset); err != nil {
		t.Fatal(err)
	}
	for ts := int64(0); ts < 50; ts += 7 {
		at, _, err := l.OffsetForTimestamp(now + ts)
		if err != nil {
			t.Fatal(err)
		}
		a.Times = append(a.Times, at)
	}
	if a.Max, _, err = l.OffsetOfMaxTimestamp(); err != nil {
		t.Fatal(err)
	}
	for epoch := range int32(6) {
		_, end := l.EpochCache().EndOffset(epoch, a.Offsets.End.Offset)
		a.Epochs = append(a.Epochs, end)
	}
	return a
}

// mixedLog writes a log with everything in it: segments, epochs, sequences, transactions of both outcomes and an open one.
func mixedLog(t testing.TB, l *log.Log) {
	t.Helper()
	sequences := map[int64]int32{}
	for i := range 40 {
		id := int64(i % 3)
		o := protocol.BatchOptions{Producer: &protocol.Producer{ID: id, Sequence: sequences[id]}, Transactional: id > 0}
		sequences[id] += 2
		b := logtest.Batch(t, o, now+int64(i), "a value", "another value")
		if _, err := l.AppendAsLeader(b, int32(i/10), log.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
		if i%9 == 4 || i%9 == 8 {
			appendMarker(t, l, id, protocol.MarkerType(i%2))
		}
	}
	l.RaiseHighWatermark(l.LogEndOffset())
}

func appendMarker(t testing.TB, l *log.Log, producer int64, kind protocol.MarkerType) log.AppendInfo {
	t.Helper()
	b, err := protocol.MarkerBatch(producer, 0, protocol.Marker{Type: kind}, now)
	if err != nil {
		t.Fatal(err)
	}
	epoch, _ := l.EpochCache().Latest()
	info, err := l.AppendAsLeader(b, epoch, log.AppendOptions{Origin: log.OriginCoordinator})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestDamagedFiles cuts, lengthens, overwrites or removes every file beside the batches, after a clean stop and after a crash: the log answers
// everything as before, or, where that file was the only place, as a log that never knew.
func TestDamagedFiles(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, smallSegments)
	l := logtest.Create(t, m, partition)
	mixedLog(t, l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	want := ask(t, l)
	rnd := rand.New(rand.NewPCG(1, 1))
	entries, err := mem.ReadDir("/logs/t-0")
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(b []byte) []byte{
		"removed":    nil,
		"emptied":    func([]byte) []byte { return nil },
		"cut":        func(b []byte) []byte { return b[:len(b)*2/3] },
		"lengthened": func(b []byte) []byte { return append(b, 1, 2, 3) },
		"overwritten": func(b []byte) []byte {
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			return b
		},
		"zeroed": func(b []byte) []byte { clear(b); return b },
	}
	for _, e := range entries {
		for what, damage := range damages {
			for _, clean := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/clean=%v", e.Name(), what, clean), func(t *testing.T) {
					left := mem.Crash(rnd, 1)
					damageFile(t, left, "/logs/t-0/"+e.Name(), damage)
					if !clean {
						left.Remove("/logs/.kafka_cleanshutdown")
						left.Remove("/logs/recovery-point-offset-checkpoint")
					}
					compareDamaged(t, left, e.Name(), what, clean, want)
				})
			}
		}
	}
}

func damageFile(t *testing.T, fsys vfs.FS, name string, damage func([]byte) []byte) {
	t.Helper()
	if damage == nil {
		if err := fsys.Remove(name); err != nil {
			t.Fatal(err)
		}
		return
	}
	overwrite(t, fsys, name, damage(mustRead(t, fsys, name)))
}

// compareDamaged opens the log and compares its answers, leaving out what nothing but the damaged file could know.
func compareDamaged(t *testing.T, left *vfs.Mem, file, what string, clean bool, want answers) {
	t.Helper()
	suffix := path.Ext(file)
	m, err := tryOpen(left, smallSegments)
	if suffix == ".log" || file == "partition.metadata" {
		if err == nil {
			m.Close()
		}
		return // the batches themselves: TestCut, TestFlippedBit
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	l, ok := m.Log(partition)
	if !ok {
		t.Fatal("the log is offline")
	}
	got := ask(t, l)
	if suffix == ".txnindex" && clean {
		got.Aborted, want.Aborted = nil, nil // nobody misses what a clean stop should have left
	}
	if file == "leader-epoch-checkpoint" && clean && (what == "removed" || what == "emptied") {
		got.Epochs, want.Epochs = nil, nil
	}
	if suffix == ".snapshot" && clean {
		got.Producers, want.Producers = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestDamagedCheckpoints: each of the directory's checkpoints may be unusable without harm.
func TestDamagedCheckpoints(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, smallSegments)
	l := logtest.Create(t, m, partition)
	mixedLog(t, l)
	if _, err := l.IncrementLogStartOffset(20); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint"} {
		left := mem.Crash(rand.New(rand.NewPCG(1, 1)), 1)
		overwrite(t, left, "/logs/"+name, []byte("0\n2\nt 0 "))
		m := open(t, left, smallSegments)
		got, _ := m.Log(partition)
		o := got.Offsets()
		if o.End != l.LogEndOffset() {
			t.Errorf("%s: %+v", name, o)
		}
		if wantStart := int64(20); name != "log-start-offset-checkpoint" && o.Start != wantStart {
			t.Errorf("%s: log starts at %d", name, o.Start)
		}
		if (name == "replication-offset-checkpoint") == (o.HighWatermark.Offset == o.End.Offset) {
			t.Errorf("%s: high watermark %d of %d", name, o.HighWatermark.Offset, o.End.Offset)
		}
		logtest.Check(t, m)
		m.Close()
	}
}

// TestLeftovers: what a crash in the middle of compaction or of a split left is finished or taken back (KAFKA-12520).
func TestLeftovers(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, smallSegments)
	l := logtest.Create(t, m, partition)
	mixedLog(t, l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	want := contents(t, l)
	bases := []int64{}
	for _, s := range l.Segments() {
		bases = append(bases, s.BaseOffset())
	}
	name := func(base int64, suffix string) string { return fmt.Sprintf("/logs/t-0/%020d%s", base, suffix) }
	merged := append(mustRead(t, mem, name(bases[0], ".log")), mustRead(t, mem, name(bases[1], ".log"))...)
	for _, test := range []struct {
		name  string
		files map[string][]byte
		gone  []int64 // segments that are replaced
	}{
		{"nothing", nil, nil},
		{"deleted", map[string][]byte{name(1, ".log.deleted"): {1}, name(1, ".index.deleted"): nil}, nil},
		{"cleaned", map[string][]byte{name(bases[0], ".log.cleaned"): merged[:100]}, nil},
		{"swap", map[string][]byte{name(bases[0], ".log.swap"): merged, name(bases[0], ".index.swap"): nil, name(bases[0], ".timeindex.swap"): nil}, bases[1:2]},
		{"swap after cleaned", map[string][]byte{name(bases[1], ".log.swap"): merged, name(bases[0], ".log.cleaned"): merged[:100]}, nil},
		{"orphan index", map[string][]byte{name(99999, ".index"): {0, 0, 0, 1, 0, 0, 0, 1}}, nil},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/clean=%v", test.name, clean), func(t *testing.T) {
				left := mem.Crash(rand.New(rand.NewPCG(1, 1)), 1)
				for file, content := range test.files {
					overwrite(t, left, file, content)
				}
				if !clean {
					left.Remove("/logs/.kafka_cleanshutdown")
				}
				m := open(t, left, smallSegments)
				defer m.Close()
				got, _ := m.Log(partition)
				if !slices.Equal(contents(t, got), want) {
					t.Errorf("contents differ\n%s", left.Tree())
				}
				for _, s := range got.Segments() {
					if slices.Contains(test.gone, s.BaseOffset()) {
						t.Errorf("segment %d is still there", s.BaseOffset())
					}
				}
				for _, suffix := range []string{".deleted", ".cleaned", ".swap", "99999.index"} {
					if strings.Contains(left.Tree(), suffix) {
						t.Errorf("a file with %s is left\n%s", suffix, left.Tree())
					}
				}
			})
		}
	}
}
