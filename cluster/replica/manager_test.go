package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

func TestProduceErrors(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(3, 1, 2)
	other := led(0, 0, ids(2), ids(2))
	other.Partition, other.Leader = 1, 2
	if err := b.tell(other); !errors.Is(err, errNotReplica) {
		t.Fatalf("a partition of others: %v", err)
	}
	follow := led(0, 0, ids(2, 1), ids(2))
	follow.Partition, follow.Leader = 2, 2
	if err := b.tell(follow); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		partition int32
		want      error
	}{{0, nil}, {1, ErrNotLeader}, {2, ErrNotLeader}, {3, ErrUnknownPartition}} {
		a, err := b.Append(protocol.TopicPartition{Topic: "t", Partition: test.partition}, batch(t, 1), AcksLeader, log.AppendOptions{})
		if !errors.Is(err, test.want) {
			t.Errorf("case 65: partition %d: %v, want %v", test.partition, err, test.want)
		}
		if err != nil && a.LogStartOffset > 0 {
			t.Errorf("partition %d: log start %d", test.partition, a.LogStartOffset)
		}
	}
	a, err := b.Append(tp0, []byte("not a batch at all, but long enough to look like one at first sight........"), AcksLeader, log.AppendOptions{})
	if err == nil || a.LogStartOffset != 0 || a.FirstOffset != -1 {
		t.Errorf("garbage: %+v, %v", a, err)
	}
}

func TestMinISR(t *testing.T) {
	b := newBroker(t)
	b.config.MinInSyncReplicas = 2
	if err := b.tell(led(0, 0, ids(1, 2, 3), ids(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.produce(1, AcksAll); !errors.Is(err, ErrNotEnoughReplicas) {
		t.Errorf("case 16: acks=all with one of two: %v", err)
	}
	a, err := b.produce(1, AcksLeader)
	if err != nil || a.FirstOffset != 0 || a.Committed {
		t.Errorf("acks=1: %+v, %v; it is written and not committed", a, err)
	}
	if r := b.fetchOne(t.Context(), consumer(0, 1), wantFrom(0)); r.Err != nil || r.HighWatermark != 0 || r.Len() != 0 {
		t.Errorf("consumers see %d bytes up to %d before enough replicas have it", r.Len(), r.HighWatermark)
	}
}

func TestControllerFencing(t *testing.T) {
	b := newBroker(t)
	id := protocol.NewTopicID()
	first := led(5, 5, ids(1), ids(1))
	if err := b.tell(first); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*cluster.PartitionState)
		want   error
	}{
		{"the same again", func(*cluster.PartitionState) {}, kerr.StaleControllerEpoch},
		{"case 33: an older leader epoch", func(s *cluster.PartitionState) { s.LeaderEpoch = 4 }, kerr.StaleControllerEpoch},
		{"case 33: not a replica", func(s *cluster.PartitionState) { s.LeaderEpoch, s.Replicas = 6, ids(2) }, kerr.UnknownTopicOrPartition},
		{"an id for a log that has none, in the same epoch", func(s *cluster.PartitionState) { s.TopicID = id }, nil},
		{"case 33: another id", func(s *cluster.PartitionState) { s.LeaderEpoch, s.TopicID = 6, protocol.NewTopicID() }, kerr.InconsistentTopicID},
	} {
		s := *first
		test.change(&s)
		if err := b.tell(&s); protocol.CodeOf(err) != protocol.CodeOf(test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if p, _ := b.Partition(tp0); p.View().TopicID != id {
		t.Errorf("topic id %v, want %v", p.View().TopicID, id)
	}
	old := cluster.ControllerEpoch(0)
	if r := b.ApplyLeaderAndISR(&cluster.LeaderAndISRRequest{ControllerEpoch: old}); !errors.Is(r.Err, kerr.StaleControllerEpoch) {
		t.Errorf("case 32: LeaderAndIsr of the controller before: %v", r.Err)
	}
	if r := b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: old}); !errors.Is(r.Err, kerr.StaleControllerEpoch) {
		t.Errorf("case 32: StopReplica of the controller before: %v", r.Err)
	}
	if err := b.ApplyUpdateMetadata(&cluster.UpdateMetadataRequest{ControllerEpoch: old}); !errors.Is(err, kerr.StaleControllerEpoch) {
		t.Errorf("case 32: UpdateMetadata of the controller before: %v", err)
	}
	stop := func(epoch cluster.LeaderEpoch) error {
		return b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1, Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: epoch}}}).Partitions[tp0]
	}
	for epoch, want := range map[cluster.LeaderEpoch]error{-1: nil, -2: nil, 5: nil, 6: nil, 4: kerr.FencedLeaderEpoch} {
		if err := stop(epoch); protocol.CodeOf(err) != protocol.CodeOf(want) {
			t.Errorf("stop in epoch %d: %v, want %v", epoch, err, want)
		}
	}
}

func TestFollowerOfADeadLeaderWaits(t *testing.T) {
	b := newBroker(t)
	s := led(5, 5, ids(2, 1), ids(2))
	s.Leader = 2
	if err := b.tell(s); err != nil {
		t.Fatal(err)
	}
	p, err := b.Partition(tp0)
	if err != nil || p.View().Log == nil || p.View().LeaderEpoch != -1 {
		t.Fatalf("the log is made, the epoch is not taken: %+v, %v", p.View(), err)
	}
	b.live(1, 2)
	if err := b.tell(s); err != nil || p.View().LeaderEpoch != 5 || p.View().Leader != 2 {
		t.Errorf("once the leader lives: %+v, %v", p.View(), err)
	}
}

// The settings of a log that is on disk are known. Those of a new one are in ZooKeeper, which may be away; that must not keep a broker from
// retiring.
func TestSettingsAreAskedForOnce(t *testing.T) {
	asked, away := make(chan struct{}), make(chan struct{})
	b := newBroker(t, func(o *Options) {
		o.Config = func(string) *log.Config {
			close(asked)
			<-away
			return log.DefaultConfig()
		}
	})
	if _, err := b.host.logs.Create(tp0, log.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.lead(5, 1)
	done := make(chan error)
	go func() {
		s := led(5, 5, ids(1), ids(1))
		s.Partition = 1
		done <- b.tell(s)
	}()
	<-asked
	b.Retire()
	close(away)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A topic's settings that are changed while its log is being made, before there is a log to give them to, count (KAFKA-8813).
func TestSettingsChangeWhileALogIsMade(t *testing.T) {
	var b *broker
	asked := 0
	b = newBroker(t, func(o *Options) {
		o.Config = func(topic string) *log.Config {
			asked++
			changed := log.DefaultConfig()
			changed.MinInSyncReplicas = 2
			if asked > 1 {
				return changed
			}
			b.host.logs.SetConfig(topic, changed)
			return log.DefaultConfig()
		}
	})
	b.lead(1, 1, 2)
	p, _ := b.Partition(tp0)
	if got := p.View().Log.Config().MinInSyncReplicas; got != 2 || asked != 2 {
		t.Errorf("min.insync.replicas=%d, asked %d times", got, asked)
	}
}

func TestListenerHears(t *testing.T) {
	b := newBroker(t)
	b.lead(5, 1)
	b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1, Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: -2, Delete: true}}})
	gone := led(0, 0, nil, nil)
	gone.Leader = cluster.LeaderDuringDelete
	if err := b.ApplyUpdateMetadata(&cluster.UpdateMetadataRequest{ControllerEpoch: 1, States: []cluster.PartitionState{*gone}}); err != nil {
		t.Fatal(err)
	}
	want := "[led t-0 in epoch 5 stopped 1 dead [1] deleted [t-0]]"
	if got := fmt.Sprint(b.heard.said); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	if _, ok := b.host.logs.Log(tp0); ok {
		t.Error("the log is still there")
	}
	if _, err := b.Partition(tp0); !errors.Is(err, ErrUnknownPartition) {
		t.Errorf("the deleted partition: %v", err)
	}
}

func TestAwaitMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		go func() {
			time.Sleep(time.Second)
			b.live(1, 2)
			time.Sleep(time.Second)
			b.lead(0, 1)
		}()
		begin := time.Now()
		if err := b.AwaitMetadata(t.Context(), func(m *cluster.Metadata) bool { return m.Topic("t") != nil }); err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.AwaitMetadata(ctx, func(m *cluster.Metadata) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the deadline: %v", err)
		}
		synctest.Wait()
	})
}

func TestISRGoesThroughTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &agreeing{fail: 2}
		b := newBroker(t, func(o *Options) { o.Proposer = c })
		b.live(1, 2)
		b.lead(5, 1, 2)
		b.mustProduce(1)
		p, _ := b.Partition(tp0)
		if high := p.View().Log.HighWatermark().Offset; high != 0 {
			t.Fatalf("high watermark %d before the follower has fetched", high)
		}
		time.Sleep(2 * lagMax)
		synctest.Wait()
		if got := fmt.Sprint(p.View().ISR); got != "[1]" || p.View().Log.HighWatermark().Offset != 1 {
			t.Errorf("ISR %s after the follower was silent, high watermark %d", got, p.View().Log.HighWatermark().Offset)
		}
		if c.asked != 3 {
			t.Errorf("asked %d times; it is asked again after a failure", c.asked)
		}
		b.follow(2, 1)
		time.Sleep(2 * alterLinger)
		if got := fmt.Sprint(p.View().ISR); got != "[1 2]" {
			t.Errorf("ISR %s after the follower came back", got)
		}
	})
}

// A follower that keeps fetching, and keeps up by the time, leaves the ISR by the messages that it is behind: nothing else need happen.
func TestLagInMessagesIsLookedAtInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(o *Options) { o.Proposer, o.LagMessagesMax = &agreeing{}, 10 })
		b.live(1, 2)
		b.lead(5, 1, 2)
		p, _ := b.Partition(tp0)
		expect := func(when, want string) {
			t.Helper()
			time.Sleep(2 * alterLinger)
			synctest.Wait()
			if got := fmt.Sprint(p.View().ISR); got != want {
				t.Errorf("%s: ISR %s, want %s", when, got, want)
			}
		}
		b.mustProduce(11)
		b.follow(2, 1)
		time.Sleep(lagMax / 2)
		expect("10 behind", "[1 2]")
		b.mustProduce(20)
		b.follow(2, 11) // all that there was at its previous fetch
		time.Sleep(lagMax / 2)
		expect("20 behind", "[1]")
		b.mustProduce(20)
		b.follow(2, 31)
		expect("nearer to what is committed, and still 20 behind", "[1]")
		b.follow(2, 51)
		expect("there", "[1 2]")
	})
}

// agreeing is a controller that agrees to everything, after some failures.
type agreeing struct {
	fail, asked int
	epoch       cluster.PartitionEpoch
}

func (c *agreeing) BrokerEpoch() cluster.BrokerEpoch { return 1 }

func (c *agreeing) AlterPartition(_ context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	if c.asked++; c.asked <= c.fail {
		return nil, kerr.NotController
	}
	resp := &cluster.AlterPartitionResponse{Partitions: map[protocol.TopicPartition]cluster.AlterPartitionResult{}}
	for _, p := range r.Partitions {
		resp.Partitions[p.TopicPartition] = cluster.AlterPartitionResult{State: cluster.LeaderAndISR{
			Leader: 1, LeaderEpoch: p.LeaderEpoch, ISR: p.NewISR, PartitionEpoch: p.PartitionEpoch + 1}}
	}
	return resp, nil
}

// BenchmarkProduce appends batches of 64 KiB to one partition.
func BenchmarkProduce(b *testing.B) {
	m := newBrokerOn(b, vfs.OS{}, b.TempDir())
	m.lead(0, 1)
	records := batch(b, 64<<10/97)
	buf := make([]byte, len(records))
	b.SetBytes(int64(len(records)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, records)
		if _, err := m.Append(tp0, buf, AcksAll, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// Case 51, 52: a directory that cannot be written takes its partitions offline; who waits for them is told.
func TestDirectoryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if broken.Load() && strings.HasSuffix(name, ".log") && op == vfs.OpWrite {
				return errors.New("disk on fire")
			}
			return nil
		}}
		b := newBrokerOn(t, disk, "/data")
		b.live(1, 2)
		b.lead(5, 1, 2)
		b.mustProduce(1)
		fetched := make(chan FetchResult)
		go func() { fetched <- b.fetchOne(t.Context(), consumer(time.Hour, 1), wantFrom(0)) }()
		synctest.Wait()
		broken.Store(true)
		if _, err := b.produce(1, AcksLeader); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("append: %v", err)
		}
		synctest.Wait()
		if r := <-fetched; !errors.Is(r.Err, ErrOffline) {
			t.Errorf("the fetch that waited: %v", r.Err)
		}
		if _, err := b.Partition(tp0); !errors.Is(err, ErrOffline) {
			t.Errorf("the partition: %v", err)
		}
		if err := b.tell(led(6, 6, ids(1, 2), ids(1, 2))); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("case 33: LeaderAndIsr: %v", err)
		}
		if got := b.heard.said[len(b.heard.said)-1]; got != "failed /data with [t-0]" {
			t.Errorf("heard %q", got)
		}
	})
}

// silentFetchers follow nobody.
type silentFetchers struct{}

func (silentFetchers) Follow([]Following)                 {}
func (silentFetchers) Unfollow([]protocol.TopicPartition) {}
func (silentFetchers) StopIdle()                          {}

// BenchmarkRoleChange has a broker take over 1000 partitions, and lose them again; creating them is measured apart.
func BenchmarkRoleChange(b *testing.B) {
	const n = 1000
	m := newBrokerOn(b, vfs.OS{}, b.TempDir(), func(o *Options) { o.Fetchers = silentFetchers{} })
	m.live(1, 2)
	change := func(epoch cluster.LeaderEpoch, leader cluster.BrokerID) {
		r := &cluster.LeaderAndISRRequest{ControllerID: 1, ControllerEpoch: 1}
		for i := range n {
			s := led(epoch, cluster.PartitionEpoch(epoch), ids(leader, 3-leader), ids(leader, 3-leader))
			s.Partition = int32(i)
			r.States = append(r.States, *s)
		}
		if resp := m.ApplyLeaderAndISR(r); resp.Err != nil || len(resp.Partitions) > 0 {
			b.Fatal(resp)
		}
	}
	began := time.Now()
	change(0, 1)
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "create-ms")
	epoch := cluster.LeaderEpoch(0)
	for b.Loop() {
		change(epoch+1, 2)
		change(epoch+2, 1)
		epoch += 2
	}
}
