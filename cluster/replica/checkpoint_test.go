package replica

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// The high watermarks of one disk are written while another hangs.
func TestCheckpointsWhileADiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled atomic.Bool
		release := make(chan struct{})
		mem := vfs.NewMem()
		logs, err := log.Open(log.ManagerOptions{Dirs: []string{"/slow", "/fast"}, FS: vfs.Faulty{FS: mem, Fail: func(op vfs.Op, name string) error {
			if op == vfs.OpWrite && strings.HasPrefix(name, "/slow") && stalled.Load() {
				<-release
			}
			return nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		m := New(Options{Logs: logs, LagTimeMax: lagMax, CheckpointInterval: 5 * time.Second})
		for p := range int32(2) { // one in each directory
			l, err := logs.Create(protocol.TopicPartition{Topic: "t", Partition: p}, log.CreateOptions{IsNew: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.AppendAsLeader(batch(t, 3), 0, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		stalled.Store(true)
		for high := range int64(3) {
			for _, l := range logs.Logs() {
				l.SetHighWatermark(high + 1)
			}
			time.Sleep(6 * time.Second)
			if b, err := vfs.ReadFile(mem, "/fast/replication-offset-checkpoint"); err != nil || !strings.Contains(string(b), fmt.Sprintf("t 1 %d\n", high+1)) {
				t.Errorf("high watermark %d: %q, %v", high+1, b, err)
			}
		}
		close(release)
		m.Close()
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What has no interval is not done again, as in Apache.
func TestIntervalsOfNothing(t *testing.T) {
	logs, err := log.Open(log.ManagerOptions{Dirs: []string{"/data"}, FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	for _, interval := range []time.Duration{0, -time.Millisecond} {
		New(Options{Logs: logs, LagTimeMax: interval, CheckpointInterval: interval}).Close()
	}
	if err := logs.Close(); err != nil {
		t.Error(err)
	}
}
