package log_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// stalling is a file system on which one directory hangs: writes and syncs below it wait until it is released.
type stalling struct {
	*vfs.Mem
	dir     string
	stalled atomic.Bool
	release chan struct{}

	mu      sync.Mutex
	waiting []string
}

func (s *stalling) fs() vfs.FS {
	return vfs.Faulty{FS: s.Mem, Fail: func(op vfs.Op, name string) error {
		hangs := op == vfs.OpWrite || op == vfs.OpSync || op == vfs.OpSyncDir
		if hangs && strings.HasPrefix(name, s.dir) && s.stalled.Load() {
			s.mu.Lock()
			s.waiting = append(s.waiting, name)
			s.mu.Unlock()
			<-s.release
		}
		return nil
	}}
}

// waits reports whether something waits for a file or directory whose name contains the text.
func (s *stalling) waits(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.waiting, "\n"), text)
}

// eventually waits for a condition, as long as a disk may hang.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not while the other disk hangs", what)
		}
	}
}

// A disk that hangs for seconds on writes and fsyncs does not hold up the logs of another, in the foreground or the background.
func TestADiskThatHangsHoldsUpNoOther(t *testing.T) {
	s := &stalling{Mem: vfs.NewMem(), dir: "/slow", release: make(chan struct{})}
	c := log.DefaultConfig()
	smallSegments(c)
	c.FileDeleteDelayMs = 0
	m, err := log.Open(log.ManagerOptions{
		FS: s.fs(), Dirs: []string{"/slow", "/fast"}, Identity: logtest.Identity, Defaults: c,
		InitialDelay: 5 * time.Millisecond, RetentionInterval: 5 * time.Millisecond, FlushInterval: 5 * time.Millisecond,
		CheckpointInterval: 5 * time.Millisecond, ProducerExpiryInterval: 5 * time.Millisecond, Cleaner: log.CleanerOptions{Backoff: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Each new log goes to the directory with the fewest, which is the one that does not hang when it comes to it.
	logs := map[string][]*log.Log{}
	for i := range int32(7) {
		l := logtest.Create(t, m, protocol.TopicPartition{Topic: "t", Partition: i})
		logs[l.Dir()] = append(logs[l.Dir()], l)
		appendBatch(t, l, 0, protocol.BatchOptions{}, "a", "b", "c")
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	slow, fast := logs["/slow"], logs["/fast"]
	point := func(l *log.Log) string {
		b, _ := vfs.ReadFile(s.Mem, filepath.Join(l.Dir(), "recovery-point-offset-checkpoint"))
		_, rest, _ := strings.Cut(string(b), fmt.Sprintf("t %d ", l.TopicPartition().Partition))
		offset, _, _ := strings.Cut(rest, "\n")
		return offset
	}
	for _, l := range append(slow, fast...) {
		eventually(t, "checkpoint", func() bool { return point(l) == "3" })
	}

	s.stalled.Store(true)
	var held sync.WaitGroup
	held.Go(func() { appendBatch(t, slow[0], 0, protocol.BatchOptions{}, "d") })
	eventually(t, "stall of an append", func() bool { return s.waits("00.log") })
	compacted := *c
	compacted.Compact = true
	slow[0].SetConfig(&compacted)
	held.Go(func() {
		if _, err := slow[1].TruncateTo(1); err != nil {
			t.Error(err)
		}
	})
	held.Go(func() {
		if failed := m.Delete(slow[2].TopicPartition()); len(failed) > 0 {
			t.Error(failed)
		}
	})
	held.Go(func() {
		if err := m.CheckpointHighWatermarks("/slow"); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "stall of a deletion", func() bool { _, ok := m.Log(slow[2].TopicPartition()); return !ok })
	time.Sleep(50 * time.Millisecond) // now all background work has come to the disk that hangs

	var went sync.WaitGroup
	went.Go(func() {
		l := fast[0]
		if _, err := l.TruncateTo(1); err != nil {
			t.Error(err)
		}
		for range 20 {
			appendBatch(t, l, 0, protocol.BatchOptions{}, "value", "value", "value")
		}
	})
	went.Go(func() {
		tp := fast[1].TopicPartition()
		if failed := m.Delete(tp); len(failed) > 0 {
			t.Error(failed)
		}
		if l := logtest.Create(t, m, tp); l.Dir() != "/fast" {
			t.Errorf("made in %s", l.Dir())
		}
		if err := m.CheckpointHighWatermarks("/fast"); err != nil {
			t.Error(err)
		}
	})
	done := make(chan struct{})
	go func() { went.Wait(); close(done) }()
	eventually(t, "truncation, append, deletion, creation, checkpoint", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	l, dir := fast[0], fast[0].TopicPartition().String()
	eventually(t, "flush of rolled segments, checkpoint", func() bool { return point(l) == fmt.Sprint(l.RecoveryPoint()) && l.RecoveryPoint() > 3 })
	l.RaiseHighWatermark(l.LogEndOffset())
	if _, err := l.IncrementLogStartOffset(l.LogEndOffset().Offset); err != nil {
		t.Fatal(err)
	}
	eventually(t, "retention", func() bool { return len(l.Segments()) == 1 })
	eventually(t, "removal", func() bool { return !strings.Contains(s.Tree(), "/fast/"+dir+"/00000000000000000000.") })

	close(s.release)
	held.Wait()
	logtest.Check(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
