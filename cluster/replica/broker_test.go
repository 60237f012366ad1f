package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// broker is a Manager over logs in memory, as broker 1, told by a controller in epoch 1.
type broker struct {
	*Manager
	t      testing.TB
	config *log.Config
	heard  *ear
}

// ear is a Listener that remembers.
type ear struct{ said []string }

func (e *ear) LeadershipChanged(led, followed []Leadership) {
	for _, l := range led {
		e.said = append(e.said, fmt.Sprintf("led %v in epoch %d", l.TopicPartition, l.Epoch))
	}
	for _, l := range followed {
		e.said = append(e.said, fmt.Sprintf("followed %v in epoch %d", l.TopicPartition, l.Epoch))
	}
}

func (e *ear) ReplicasStopped(stopped []cluster.StopReplica) {
	e.said = append(e.said, fmt.Sprintf("stopped %d", len(stopped)))
}

func (e *ear) PartitionsDeleted(gone []protocol.TopicPartition) {
	e.said = append(e.said, fmt.Sprintf("deleted %v", gone))
}

func (e *ear) BrokersDied(ids []cluster.BrokerID) {
	e.said = append(e.said, fmt.Sprintf("dead %v", ids))
}

func (e *ear) DirectoryFailed(dir log.DirStatus, gone []protocol.TopicPartition) {
	e.said = append(e.said, fmt.Sprintf("failed %s with %v", dir.Path, gone))
}

func newBroker(t testing.TB, change ...func(*Options)) *broker {
	t.Helper()
	return newBrokerOn(t, vfs.NewMem(), "/data", change...)
}

func newBrokerOn(t testing.TB, fsys vfs.FS, dir string, change ...func(*Options)) *broker {
	t.Helper()
	return newBrokerIn(t, fsys, []string{dir}, change...)
}

func newBrokerIn(t testing.TB, fsys vfs.FS, dirs []string, change ...func(*Options)) *broker {
	t.Helper()
	logs, err := log.Open(log.ManagerOptions{FS: fsys, Dirs: dirs, Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, config: log.DefaultConfig(), heard: &ear{}}
	o := Options{BrokerID: 1, ClusterID: "c", Logs: logs, Config: func(string) *log.Config { return b.config }, LagTimeMax: lagMax,
		CheckpointInterval: 5 * time.Second, Listener: b.heard, Logger: zerolog.Nop()}
	for _, f := range change {
		f(&o)
	}
	b.Manager = New(o)
	t.Cleanup(func() {
		b.check()
		b.Manager.Close()
		if err := logs.Close(); err != nil {
			t.Errorf("close logs: %v", err)
		}
	})
	b.live(1)
	return b
}

// check walks the invariants of every partition.
func (b *broker) check() {
	for _, p := range b.registry.online() {
		p.mu.Lock()
		if err := p.core.check(); err != nil {
			b.t.Errorf("%v: %v", p, err)
		}
		if p.log != nil {
			if o := p.log.Offsets(); o.Start > o.LastStable.Offset || o.LastStable.Offset > o.HighWatermark.Offset || o.HighWatermark.Offset > o.End.Offset {
				b.t.Errorf("%v: marks out of order: %+v", p, o)
			}
		}
		if n := p.watchers.any.Load(); n != 0 && b.fetchers == nil {
			b.t.Errorf("%v: %d watches stay behind", p, n)
		}
		p.mu.Unlock()
	}
}

// live tells which brokers are alive.
func (b *broker) live(ids ...cluster.BrokerID) {
	b.t.Helper()
	r := &cluster.UpdateMetadataRequest{ControllerID: 1, ControllerEpoch: 1}
	for _, id := range ids {
		r.LiveBrokers = append(r.LiveBrokers, cluster.Broker{ID: id})
	}
	if err := b.ApplyUpdateMetadata(r); err != nil {
		b.t.Fatal(err)
	}
}

// tell has the controller make states known and apply them; it returns the first refusal.
func (b *broker) tell(states ...*cluster.PartitionState) error {
	b.t.Helper()
	r := &cluster.LeaderAndISRRequest{ControllerID: 1, ControllerEpoch: 1}
	image := &cluster.UpdateMetadataRequest{ControllerID: 1, ControllerEpoch: 1}
	for _, broker := range b.Metadata().Brokers() {
		image.LiveBrokers = append(image.LiveBrokers, *broker)
	}
	for _, s := range states {
		r.States, image.States = append(r.States, *s), append(image.States, *s)
	}
	if err := b.ApplyUpdateMetadata(image); err != nil {
		b.t.Fatal(err)
	}
	resp := b.ApplyLeaderAndISR(r)
	for _, err := range resp.Partitions {
		return err
	}
	return resp.Err
}

// lead makes this broker the leader of tp0 with these replicas, all in sync.
func (b *broker) lead(epoch cluster.LeaderEpoch, replicas ...cluster.BrokerID) {
	b.t.Helper()
	if err := b.tell(led(epoch, cluster.PartitionEpoch(epoch), replicas, replicas)); err != nil {
		b.t.Fatal(err)
	}
}

// batch is an encoded batch of n records of about 100 bytes.
func batch(t testing.TB, n int) []byte {
	t.Helper()
	records := make([]protocol.Record, n)
	for i := range records {
		records[i] = protocol.Record{Timestamp: 1000, Value: make([]byte, 90)}
	}
	b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, records...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *broker) produce(n int, acks int16) (Appended, error) {
	b.t.Helper()
	return b.Append(tp0, batch(b.t, n), acks, log.AppendOptions{})
}

func (b *broker) mustProduce(n int) Appended {
	b.t.Helper()
	a, err := b.produce(n, AcksLeader)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}
