package log

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// The leader epochs are written by the minute's checkpoint, by flushes and at the end. Two at a time took the file away from each other, and the
// directory went offline.
func TestEpochsHaveOneWriterAtATime(t *testing.T) {
	fsys := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
		if op == vfs.OpRename && strings.Contains(name, leaderEpochFile) {
			for range 10 {
				runtime.Gosched() // what an fsync does
			}
		}
		return nil
	}}
	m, err := Open(ManagerOptions{FS: fsys, Dirs: []string{"/logs"}, Identity: Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	l, err := m.Create(protocol.TopicPartition{Topic: "t"}, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	ended := make(chan struct{})
	writers.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				m.checkpoint(m.volumes[0])
			}
		}
	})
	for epoch := range int32(300) {
		batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, protocol.Record{Value: []byte("v")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsLeader(batch, epoch, AppendOptions{}); err != nil {
			t.Errorf("epoch %d: %v", epoch, err)
			break
		}
		if err := l.Flush(); err != nil {
			t.Errorf("epoch %d: %v", epoch, err)
			break
		}
		entries, err := readEpochs(fsys, l.dir.join(leaderEpochFile))
		if err != nil || len(entries) == 0 || entries[len(entries)-1].epoch != epoch {
			t.Errorf("after the flush of epoch %d the file has %v, %v", epoch, entries, err)
			break
		}
	}
	close(ended)
	writers.Wait()
	if s := m.Dirs()[0]; s.Offline {
		t.Error(s.Err)
	}
}
