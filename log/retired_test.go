package log

import (
	"errors"
	"testing"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// What still writes a file of a log whose directory was deleted meanwhile fails, and does not take the other logs with it.
func TestLateWritesOfADeletedLogDoNoHarm(t *testing.T) {
	fs := vfs.NewMem()
	m, err := Open(ManagerOptions{FS: fs, Dirs: []string{"/d"}, Defaults: DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tp := protocol.TopicPartition{Topic: "t"}
	l, err := m.Create(tp, CreateOptions{TopicID: protocol.NewTopicID()})
	if err != nil {
		t.Fatal(err)
	}
	path := l.dir.dirPath()
	if err := m.Delete(tp); len(err) > 0 {
		t.Fatal(err)
	}
	l.dir.name.Store(new("t-0")) // as a writer sees it that asked before the directory was renamed
	if path != l.dir.dirPath() {
		t.Fatalf("%s is not %s", l.dir.dirPath(), path)
	}
	l.epochs.assign(3, 0)
	if err := l.storage("write epochs of", l.saveEpochs()); !errors.Is(err, ErrStorage) {
		t.Errorf("got %v", err)
	}
	if err := l.dir.check(); err != nil {
		t.Errorf("the directory failed: %v", err)
	}
}
