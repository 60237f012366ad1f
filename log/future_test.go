package log_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

func openTwo(t testing.TB, fsys vfs.FS) *log.Manager {
	t.Helper()
	c := log.DefaultConfig()
	smallSegments(c)
	m, err := log.Open(log.ManagerOptions{FS: fsys, Dirs: []string{"/a", "/b"}, Identity: logtest.Identity, Defaults: c})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func otherDir(l *log.Log) string {
	if l.Dir() == "/a" {
		return "/b"
	}
	return "/a"
}

// copyTo appends to the future log what it lacks.
func copyTo(t testing.TB, l, future *log.Log) {
	t.Helper()
	for at := future.LogEndOffset().Offset; at < l.LogEndOffset().Offset; at = future.LogEndOffset().Offset {
		s, err := l.Read(at, 1<<20, log.ToLogEnd, true)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, s.Len())
		if _, err := s.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		s.Release()
		if _, err := future.AppendAsFollower(b, 1000); err != nil {
			t.Fatal(err)
		}
	}
}

func createFuture(t testing.TB, m *log.Manager, l *log.Log) *log.Log {
	t.Helper()
	future, err := m.CreateFuture(partition, otherDir(l))
	if err != nil {
		t.Fatal(err)
	}
	return future
}

func TestFutureTakesThePlaceOfTheLog(t *testing.T) {
	mem := vfs.NewMem()
	m := openTwo(t, mem)
	l := logtest.Create(t, m, partition)
	for i := range 20 {
		appendBatch(t, l, int32(i/7), protocol.BatchOptions{Producer: &protocol.Producer{ID: 5, Sequence: int32(i)}}, strings.Repeat("v", 90))
	}
	l.RaiseHighWatermark(l.LogEndOffset())
	if _, err := l.IncrementLogStartOffset(3); err != nil {
		t.Fatal(err)
	}
	l.AssignEpoch(9, l.LogEndOffset().Offset)
	from, to, id, want := l.Dir(), otherDir(l), l.TopicID(), contents(t, l)
	future := createFuture(t, m, l)
	if again := createFuture(t, m, l); again != future || !future.IsFuture() || l.IsFuture() {
		t.Error("there is one future log, and it is known as such")
	}
	copyTo(t, l, future)
	if found, ok := m.Future(partition); !ok || found != future {
		t.Error("the future log is not found")
	}
	dirs := map[string][]string{}
	for _, d := range m.Dirs() {
		for _, l := range d.Logs {
			dirs[d.Path] = append(dirs[d.Path], fmt.Sprintf("%v future=%v", l.TopicPartition(), l.IsFuture()))
		}
	}
	if got, want := fmt.Sprint(dirs[from], dirs[to]), "[t-0 future=false] [t-0 future=true]"; got != want {
		t.Errorf("directories have %s, want %s", got, want)
	}
	moved, err := m.Promote(future)
	if err != nil {
		t.Fatal(err)
	}
	if err := moved.AdoptEpoch(l); err != nil {
		t.Fatal(err)
	}
	check := func(m *log.Manager, name string, lastEpoch int32) {
		t.Helper()
		l, ok := m.Log(partition)
		if !ok || l.Dir() != to || l.IsFuture() {
			t.Fatalf("%s: the log is not in %s\n%s", name, to, mem.Tree())
		}
		if _, ok := m.Future(partition); ok {
			t.Errorf("%s: there still is a future log", name)
		}
		if got := contents(t, l); !slices.Equal(got, want) {
			t.Errorf("%s: it has %d batches, want %d", name, len(got), len(want))
		}
		if l.LogStartOffset() != 3 || l.TopicID() != id || l.HighWatermark().Offset != 20 {
			t.Errorf("%s: starts at %d, high watermark %d, topic %v", name, l.LogStartOffset(), l.HighWatermark().Offset, l.TopicID())
		}
		if epoch, _ := l.EpochCache().Latest(); epoch != lastEpoch {
			t.Errorf("%s: last epoch %d, want %d", name, epoch, lastEpoch)
		}
		if p := l.ActiveProducers(); len(p) != 1 || p[0].LastSequence != 19 {
			t.Errorf("%s: producers %+v", name, p)
		}
	}
	check(m, "moved", 9)
	if _, err := l.AppendAsLeader(logtest.Batch(t, protocol.BatchOptions{}, now, "v"), 9, log.AppendOptions{}); !errors.Is(err, log.ErrStorage) {
		t.Errorf("append to the log that has moved: %v", err)
	}
	if _, err := m.Promote(future); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a second time: %v", err)
	}
	logtest.Check(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openTwo(t, mem)
	check(m, "after a restart", 2)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// A restart goes on with the future log that there was, also with one of Apache's.
func TestFutureOutlivesARestart(t *testing.T) {
	mem := vfs.NewMem()
	m := openTwo(t, mem)
	l := logtest.Create(t, m, partition)
	for range 10 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 90))
	}
	future := createFuture(t, m, l)
	copyTo(t, l, future)
	to := future.Dir()
	appendBatch(t, l, 0, protocol.BatchOptions{}, "later")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openTwo(t, mem)
	l, _ = m.Log(partition)
	future, ok := m.Future(partition)
	if !ok || future.Dir() != to || future.LogEndOffset().Offset != 10 || l.LogEndOffset().Offset != 11 {
		t.Fatalf("future log: %v\n%s", ok, mem.Tree())
	}
	if err := m.DropFuture(partition); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Future(partition); ok {
		t.Error("the future log was not given up")
	}
	createFuture(t, m, l)
	if failed := m.Delete(partition); len(failed) > 0 {
		t.Fatal(failed)
	}
	if _, ok := m.Future(partition); ok {
		t.Error("the future log outlives the log")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openTwo(t, mem)
	if all := m.Logs(); len(all) > 0 {
		t.Errorf("a restart brings back %v", all[0].TopicPartition())
	}
	m.Close()
}

// The power is cut before each operation of the move's end: there is one log, with all that was flushed.
func TestPromoteOutlivesACrash(t *testing.T) {
	mem := vfs.NewMem()
	rnd := rand.New(rand.NewPCG(1, 1))
	var mu sync.Mutex // rolled segments are flushed in the background
	var clones []*vfs.Mem
	ends := false
	setEnds := func(now bool) {
		mu.Lock()
		defer mu.Unlock()
		ends = now
	}
	m := openTwo(t, vfs.Faulty{FS: mem, Fail: func(vfs.Op, string) error {
		mu.Lock()
		defer mu.Unlock()
		if ends {
			for _, keep := range []float64{0, 0.5, 1} {
				clones = append(clones, mem.Crash(rnd, keep))
			}
		}
		return nil
	}})
	l := logtest.Create(t, m, partition)
	for i := range 20 {
		appendBatch(t, l, int32(i/7), protocol.BatchOptions{}, strings.Repeat("v", 90))
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	want := contents(t, l)
	future := createFuture(t, m, l)
	copyTo(t, l, future)
	setEnds(true)
	if _, err := m.Promote(future); err != nil {
		t.Fatal(err)
	}
	setEnds(false)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	clones = append(clones, mem.Crash(rnd, 0))
	dirs := map[string]int{}
	for i, clone := range clones {
		m := openTwo(t, clone)
		l, ok := m.Log(partition)
		if !ok {
			t.Fatalf("clone %d: the log is gone\n%s", i, clone.Tree())
		}
		dirs[l.Dir()]++
		if got := contents(t, l); !slices.Equal(got, want) {
			t.Errorf("clone %d: %d batches, want %d\n%s", i, len(got), len(want), clone.Tree())
		}
		logtest.Check(t, m)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(dirs) != 2 {
		t.Errorf("of %d crashes all left the log in %v", len(clones), dirs)
	}
}

// A partition that is in two directories for another reason stays there.
func TestTwoDirectoriesThatDiffer(t *testing.T) {
	mem := vfs.NewMem()
	for i, dir := range []string{"/a", "/b"} {
		m, err := log.Open(log.ManagerOptions{FS: mem, Dirs: []string{dir}, Identity: logtest.Identity})
		if err != nil {
			t.Fatal(err)
		}
		l, err := m.Create(partition, log.CreateOptions{TopicID: protocol.TopicID{15: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			appendBatch(t, l, int32(i), protocol.BatchOptions{}, "v")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := log.Open(log.ManagerOptions{FS: mem, Dirs: []string{"/a", "/b"}, Identity: logtest.Identity}); err == nil {
		m.Close()
		t.Error("one of two logs that differ was chosen")
	}
}

func TestMovesThatCannotBe(t *testing.T) {
	m := openTwo(t, vfs.NewMem())
	defer m.Close()
	long := protocol.TopicPartition{Topic: strings.Repeat("t", 249)}
	for _, test := range []struct {
		tp   protocol.TopicPartition
		dir  string
		want error
	}{
		{partition, "/a", nil},
		{partition, "/a/", kerr.LogDirNotFound},
		{partition, "/c", kerr.LogDirNotFound},
		{long, "/a", kerr.InvalidTopicException},
		{long, "/c", kerr.InvalidTopicException},
	} {
		if err := m.CheckMove(test.tp, test.dir); !errors.Is(err, test.want) {
			t.Errorf("%.10v to %s: %v, want %v", test.tp, test.dir, err, test.want)
		}
	}
	m.Prefer(partition, "/b")
	if l := logtest.Create(t, m, partition); l.Dir() != "/b" {
		t.Errorf("the log was made in %s", l.Dir())
	}
}

// A future log whose log's directory was taken out of log.dirs is a copy of nothing: the log that is made then gets its name, wherever it is.
func TestFutureWithoutItsLog(t *testing.T) {
	mem := vfs.NewMem()
	m := openTwo(t, mem)
	l := logtest.Create(t, m, partition)
	appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
	future := createFuture(t, m, l)
	copyTo(t, l, future)
	left := future.Dir()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := log.Open(log.ManagerOptions{FS: mem, Dirs: []string{left}, Identity: logtest.Identity})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if l = logtest.Create(t, m, partition); l.LogEndOffset().Offset != 0 {
		t.Errorf("the new log ends at %d", l.LogEndOffset().Offset)
	}
	if _, ok := m.Future(partition); ok || !strings.Contains(mem.Tree(), "-stray/00000000000000000000.log") {
		t.Errorf("what was on its way is not set aside:\n%s", mem.Tree())
	}
}

// How far the log is compacted holds for the copy only as far as both were the same.
func TestFutureIsAsCleanAsTheLog(t *testing.T) {
	mem := vfs.NewMem()
	m := openTwo(t, mem)
	l := logtest.Create(t, m, partition)
	for range 10 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for truncateTo, want := range map[int64]string{10: "0\n1\nt 0 8\n", 5: "0\n1\nt 0 5\n"} {
		disk := mem.Crash(nil, 1)
		overwrite(t, disk, l.Dir()+"/cleaner-offset-checkpoint", []byte("0\n1\nt 0 8\n"))
		m := openTwo(t, disk)
		l, _ := m.Log(partition)
		future := createFuture(t, m, l)
		copyTo(t, l, future)
		if _, err := l.TruncateTo(truncateTo); err != nil {
			t.Fatal(err)
		}
		if _, err := future.TruncateTo(truncateTo); err != nil {
			t.Fatal(err)
		}
		moved, err := m.Promote(future)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(mustRead(t, disk, moved.Dir()+"/cleaner-offset-checkpoint")); got != want {
			t.Errorf("truncated to %d: %q, want %q", truncateTo, got, want)
		}
		m.Close()
	}
}
