// Package logtest opens logs for tests, and checks at the end of the test that they are whole.
package logtest

import (
	"testing"
	"time"

	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Options of a test's logs. The zero value is one directory in a new file system in memory.
type Options struct {
	FS   vfs.FS   // nil: in memory
	Dirs []string // nil: one
	// Config changes the defaults before the logs are opened.
	Config func(*log.Config)
	Now    func() time.Time
}

// Identity is that of the directories.
var Identity = log.Identity{ClusterID: "logtest", BrokerID: 1}

// OpenManager opens a manager. When the test ends it checks every log and closes them.
func OpenManager(t testing.TB, o Options) *log.Manager {
	t.Helper()
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.Dirs == nil {
		o.Dirs = []string{"/logs"}
	}
	c := log.DefaultConfig()
	if o.Config != nil {
		o.Config(c)
	}
	m, err := log.Open(log.ManagerOptions{FS: o.FS, Dirs: o.Dirs, Identity: Identity, Defaults: c, Now: o.Now})
	if err != nil {
		t.Fatalf("open logs: %v", err)
	}
	t.Cleanup(func() { closeManager(t, m) })
	return m
}

func closeManager(t testing.TB, m *log.Manager) {
	Check(t, m)
	if err := m.Close(); err != nil {
		t.Errorf("close logs: %v", err)
	}
}

// Check checks every log that is there.
func Check(t testing.TB, m *log.Manager) {
	t.Helper()
	for _, l := range m.Logs() {
		if err := l.Check(); err != nil {
			t.Error(err)
		}
	}
}

// Open opens a log of its own, of partition 0 of topic "t".
func Open(t testing.TB, o Options) *log.Log {
	t.Helper()
	return Create(t, OpenManager(t, o), protocol.TopicPartition{Topic: "t"})
}

// Create makes a log.
func Create(t testing.TB, m *log.Manager, tp protocol.TopicPartition) *log.Log {
	t.Helper()
	l, err := m.Create(tp, log.CreateOptions{TopicID: protocol.NewTopicID(), IsNew: true})
	if err != nil {
		t.Fatalf("create %v: %v", tp, err)
	}
	return l
}

// Batch builds a batch of records with these values, all with the timestamp.
func Batch(t testing.TB, o protocol.BatchOptions, timestamp int64, values ...string) []byte {
	t.Helper()
	records := make([]protocol.Record, len(values))
	for i, v := range values {
		records[i] = protocol.Record{Timestamp: timestamp, Value: []byte(v)}
	}
	b, err := protocol.AppendBatch(nil, o, records...)
	if err != nil {
		t.Fatalf("build batch: %v", err)
	}
	return b
}
