package log

import (
	"fmt"
	"testing"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

var tp0 = protocol.TopicPartition{Topic: "t", Partition: 0}

func openManager(t testing.TB, fsys vfs.FS, dirs ...string) *Manager {
	t.Helper()
	if len(dirs) == 0 {
		dirs = []string{"/data"}
	}
	m, err := Open(ManagerOptions{FS: fsys, Dirs: dirs, Identity: Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func batch(t testing.TB, n int, o protocol.BatchOptions) []byte {
	t.Helper()
	var records []protocol.Record
	for i := range n {
		records = append(records, protocol.Record{Timestamp: 1000 + int64(i), Value: fmt.Appendf(nil, "value %d", i)})
	}
	b, err := protocol.AppendBatch(nil, o, records...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAppendReadReopen(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, mem)
	l, err := m.Create(tp0, CreateOptions{TopicID: protocol.NewTopicID(), IsNew: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		info, err := l.AppendAsLeader(batch(t, 3, protocol.BatchOptions{}), 0, AppendOptions{})
		if err != nil || info.FirstOffset != int64(i*3) || info.LastOffset != int64(i*3+2) {
			t.Fatalf("append %d: %+v, %v", i, info, err)
		}
	}
	s, err := l.Read(151, 1000, ToLogEnd, true)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, s.Len())
	if _, err := s.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	if got := protocol.Batch(p).BaseOffset(); got != 150 {
		t.Errorf("read from %d", got)
	}
	s.Release()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, mem)
	l, _ = m.Log(tp0)
	if end := l.LogEndOffset(); end.Offset != 300 {
		t.Errorf("end %+v\n%s", end, mem.Tree())
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
