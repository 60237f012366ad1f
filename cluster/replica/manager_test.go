package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

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
func (e *ear) DirectoryFailed(dir log.DirStatus) { e.said = append(e.said, "failed "+dir.Path) }

func newBroker(t testing.TB, change ...func(*Options)) *broker {
	t.Helper()
	return newBrokerOn(t, vfs.NewMem(), "/data", change...)
}

func newBrokerOn(t testing.TB, fsys vfs.FS, dir string, change ...func(*Options)) *broker {
	t.Helper()
	logs, err := log.Open(log.ManagerOptions{FS: fsys, Dirs: []string{dir}, Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
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

func consumer(wait time.Duration, bytesMin int) *FetchParams {
	return &FetchParams{ReplicaID: -1, BrokerEpoch: -1, Bound: log.ToHighWatermark, WaitMax: wait, BytesMin: bytesMin, BytesMax: 1 << 20}
}

func wantFrom(offset int64) FetchPartition {
	return FetchPartition{TopicPartition: tp0, Offset: offset, LogStart: -1, BytesMax: 1 << 20, LeaderEpoch: cluster.NoEpoch, LastFetchedEpoch: cluster.NoEpoch}
}

// fetchOne fetches tp0 alone and lets its records go.
func (b *broker) fetchOne(ctx context.Context, f *FetchParams, q FetchPartition) FetchResult {
	b.t.Helper()
	r := b.Fetch(ctx, f, []FetchPartition{q}, nil)[0]
	return r
}

// follow fetches as a follower, in the leader's epoch.
func (b *broker) follow(id cluster.BrokerID, offset int64) FetchResult {
	b.t.Helper()
	p, err := b.Partition(tp0)
	if err != nil {
		b.t.Fatal(err)
	}
	q := wantFrom(offset)
	q.LeaderEpoch, q.LogStart = p.View().LeaderEpoch, 0
	r := b.fetchOne(b.t.Context(), &FetchParams{ReplicaID: id, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, BytesMax: 1 << 20}, q)
	r.Release()
	return r
}

func TestProduceAndConsumeAlone(t *testing.T) {
	b := newBroker(t)
	b.lead(0, 1)
	a, err := b.produce(3, AcksAll)
	if err != nil || a.FirstOffset != 0 || a.LastOffset != 2 || !a.Committed || a.LogStartOffset != 0 {
		t.Fatalf("append: %+v, %v; alone in the ISR it is committed at once", a, err)
	}
	r := b.fetchOne(t.Context(), consumer(0, 1), wantFrom(1))
	if r.Err != nil || r.HighWatermark != 3 || r.LastStable != 3 || r.LogStart != 0 || r.Aborted != nil {
		t.Fatalf("fetch: %+v", r)
	}
	records, err := io.ReadAll(io.NewSectionReader(r.Records, 0, int64(r.Len())))
	r.Release()
	if err != nil || protocol.Batch(records).BaseOffset() != 0 || protocol.Batch(records).LeaderEpoch() != 0 {
		t.Errorf("records %v, %v; the whole batch comes that has the offset in it", protocol.Batch(records), err)
	}
}

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

func TestAcksAll(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(b *broker)
		want error
		took time.Duration
	}{
		{"follower has it", func(b *broker) { b.follow(2, 1) }, nil, time.Second},
		{"follower has not", func(b *broker) { b.follow(2, 0) }, ErrTimedOut, 10 * time.Second},
		{"leadership is lost", func(b *broker) {
			s := led(8, 8, ids(1, 2), ids(2))
			s.Leader = 2
			if err := b.tell(s); err != nil {
				b.t.Error(err)
			}
		}, ErrNotLeader, time.Second},
		{"partition is deleted", func(b *broker) {
			b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1, Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: -2, Delete: true}}})
		}, ErrNotLeader, time.Second},
		{"leads on in the next epoch, the follower comes later", func(b *broker) {
			b.lead(8, 1, 2)
			time.Sleep(time.Second)
			b.follow(2, 1)
		}, nil, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t)
				b.live(1, 2)
				b.lead(5, 1, 2)
				a, err := b.produce(1, AcksAll)
				if err != nil || a.Committed {
					t.Fatalf("append: %+v, %v", a, err)
				}
				begin := time.Now()
				go func() {
					time.Sleep(time.Second)
					test.do(b)
				}()
				acks := []Ack{{TopicPartition: tp0, Required: a.LastOffset + 1}}
				b.AwaitAcks(t.Context(), begin.Add(10*time.Second), acks)
				if !errors.Is(acks[0].Err, test.want) || acks[0].Err == nil && test.want != nil {
					t.Errorf("acks: %v, want %v", acks[0].Err, test.want)
				}
				if took := time.Since(begin); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				synctest.Wait()
			})
		})
	}
}

// Case 16: records that were committed count as not safe enough when the ISR shrank before the producer was told.
func TestISRShrinksAfterTheAppend(t *testing.T) {
	b := newBroker(t)
	b.config.MinInSyncReplicas = 2
	b.live(1, 2)
	b.lead(5, 1, 2)
	a, err := b.produce(1, AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := b.Partition(tp0)
	if done, err := p.acked(a.LastOffset + 1); done || err != nil {
		t.Errorf("before the follower has it: %v, %v", done, err)
	}
	b.follow(2, 1)
	if done, err := p.acked(a.LastOffset + 1); !done || err != nil {
		t.Errorf("once the follower has it: %v, %v", done, err)
	}
	if err := b.tell(led(8, 8, ids(1, 2), ids(1))); err != nil {
		t.Fatal(err)
	}
	if done, err := p.acked(a.LastOffset + 1); !done || !errors.Is(err, ErrNotEnoughReplicasAfterAppend) {
		t.Errorf("after the ISR has shrunk: %v, %v", done, err)
	}
}

func TestAcksEndWithTheBrokerAndTheClient(t *testing.T) {
	for _, name := range []string{"closing", "client"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t)
				b.live(1, 2)
				b.lead(5, 1, 2)
				b.mustProduce(1)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() {
					acks := []Ack{{TopicPartition: tp0, Required: 1}}
					b.AwaitAcks(ctx, time.Now().Add(time.Hour), acks)
					done <- acks[0].Err
				}()
				synctest.Wait()
				if name == "client" {
					cancel()
				} else {
					b.Close()
				}
				if err := <-done; !errors.Is(err, ErrTimedOut) {
					t.Errorf("acks: %v", err)
				}
				cancel()
			})
		})
	}
}

func TestLongPoll(t *testing.T) {
	one := len(batch(t, 1))
	for _, test := range []struct {
		name     string
		bytesMin int
		do       func(b *broker)
		bytes    int
		took     time.Duration
	}{
		{"nothing comes", 1, func(*broker) {}, 0, 10 * time.Second},
		{"a record is enough", 1, func(b *broker) { b.mustProduce(1) }, one, time.Second},
		{"it waits for enough", 3 * one, func(b *broker) {
			b.mustProduce(1)
			for range 2 {
				time.Sleep(time.Second)
				b.mustProduce(1)
			}
		}, 3 * one, 3 * time.Second},
		{"too little by the deadline", 3 * one, func(b *broker) { b.mustProduce(1) }, one, 10 * time.Second},
		{"leadership is lost", 1, func(b *broker) {
			s := led(8, 8, ids(1, 2), ids(2))
			s.Leader = 2
			b.live(1, 2)
			if err := b.tell(s); err != nil {
				b.t.Error(err)
			}
		}, 0, time.Second},
		{"the partition is deleted", 1, func(b *broker) {
			b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1, Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: -2, Delete: true}}})
		}, 0, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t)
				b.lead(5, 1)
				begin := time.Now()
				go func() {
					time.Sleep(time.Second)
					test.do(b)
				}()
				f := consumer(10*time.Second, test.bytesMin)
				f.LeaderOnly = true
				r := b.fetchOne(t.Context(), f, wantFrom(0))
				if took := time.Since(begin); r.Len() != test.bytes || took != test.took {
					t.Errorf("%d bytes after %v (%v), want %d after %v", r.Len(), took, r.Err, test.bytes, test.took)
				}
				r.Release()
				synctest.Wait()
			})
		})
	}
}

// A fetch of many partitions is woken by the sum of what comes.
func TestLongPollOverPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		var parts []FetchPartition
		for i := range int32(3) {
			s := led(0, 0, ids(1), ids(1))
			s.Partition = i
			if err := b.tell(s); err != nil {
				t.Fatal(err)
			}
			q := wantFrom(0)
			q.Partition = i
			parts = append(parts, q)
		}
		one := len(batch(t, 1))
		begin := time.Now()
		go func() {
			for i := range int32(3) {
				time.Sleep(time.Second)
				if _, err := b.Append(protocol.TopicPartition{Topic: "t", Partition: i}, batch(t, 1), AcksLeader, log.AppendOptions{}); err != nil {
					t.Error(err)
				}
			}
		}()
		bytes := 0
		for _, r := range b.Fetch(t.Context(), consumer(time.Minute, 2*one+1), parts, nil) {
			bytes += r.Len()
			r.Release()
		}
		if took := time.Since(begin); bytes != 3*one || took != 3*time.Second {
			t.Errorf("%d bytes after %v, want %d after 3s", bytes, took, 3*one)
		}
	})
}

func TestFetchLimits(t *testing.T) {
	b := newBroker(t)
	var parts []FetchPartition
	for i := range int32(3) {
		s := led(0, 0, ids(1), ids(1))
		s.Partition = i
		if err := b.tell(s); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := b.Append(s.TopicPartition, batch(t, 1), AcksLeader, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		q := wantFrom(0)
		q.Partition = i
		parts = append(parts, q)
	}
	one := len(batch(t, 1))
	for _, test := range []struct {
		name           string
		bytesMax, each int
		hard           bool
		want           [3]int
	}{
		{"all fits", 1 << 20, 1 << 20, false, [3]int{3 * one, 3 * one, 3 * one}},
		{"the first batch comes whole, however small the limits", 1, 1, false, [3]int{one, 0, 0}},
		{"then limits are exact", 2*one + 10, 1 << 20, false, [3]int{2*one + 10, 0, 0}},
		{"per partition", 1 << 20, one + 10, false, [3]int{one + 10, one + 10, one + 10}},
		{"what is left for the second partition is less than a batch", 3*one + 10, 1 << 20, false, [3]int{3 * one, 0, 0}},
		{"hard limits of old: a cut batch", 1 << 20, 10, true, [3]int{10, 10, 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := consumer(0, 1)
			f.BytesMax, f.HardLimit = test.bytesMax, test.hard
			for i := range parts {
				parts[i].BytesMax = int32(test.each)
			}
			var got [3]int
			for i, r := range b.Fetch(t.Context(), f, parts, nil) {
				if r.Err != nil {
					t.Error(r.Err)
				}
				got[i] = r.Len()
				r.Release()
			}
			if got != test.want {
				t.Errorf("bytes %v, want %v", got, test.want)
			}
		})
	}
}

func TestFetchErrors(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	id := protocol.NewTopicID()
	s := led(5, 5, ids(1, 2), ids(1, 2))
	s.TopicID = id
	if err := b.tell(s); err != nil {
		t.Fatal(err)
	}
	b.mustProduce(1)
	for _, test := range []struct {
		name     string
		change   func(*FetchPartition)
		follower cluster.BrokerID
		want     error
	}{
		{"as it should be", func(*FetchPartition) {}, -1, nil},
		{"case 8: older epoch", func(q *FetchPartition) { q.LeaderEpoch = 4 }, -1, kerr.FencedLeaderEpoch},
		{"case 8: newer epoch", func(q *FetchPartition) { q.LeaderEpoch = 6 }, -1, kerr.UnknownLeaderEpoch},
		{"its own epoch", func(q *FetchPartition) { q.LeaderEpoch = 5 }, -1, nil},
		{"the topic's id", func(q *FetchPartition) { q.TopicID = id }, -1, nil},
		{"case 38: another id", func(q *FetchPartition) { q.TopicID = protocol.NewTopicID() }, -1, kerr.InconsistentTopicID},
		{"unknown", func(q *FetchPartition) { q.Partition = 7 }, -1, kerr.UnknownTopicOrPartition},
		{"beyond the end", func(q *FetchPartition) { q.Offset = 2 }, -1, kerr.OffsetOutOfRange},
		{"between high watermark and end", func(q *FetchPartition) { q.Offset = 1 }, -1, nil},
		{"before the start", func(q *FetchPartition) { q.Offset = -1 }, -1, kerr.OffsetOutOfRange},
		{"a follower", func(q *FetchPartition) { q.LeaderEpoch = 5 }, 2, nil},
		{"case 9: a follower of the epoch before", func(q *FetchPartition) { q.LeaderEpoch = 4 }, 2, kerr.FencedLeaderEpoch},
		{"a broker that is no replica", func(q *FetchPartition) { q.LeaderEpoch = 5 }, 3, kerr.UnknownLeaderEpoch},
		{"likewise without an epoch", func(*FetchPartition) {}, 3, kerr.NotLeaderForPartition},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := wantFrom(0)
			test.change(&q)
			f := consumer(0, 1)
			if f.ReplicaID = test.follower; test.follower >= 0 {
				f.Bound, f.LeaderOnly = log.ToLogEnd, true
			}
			r := b.fetchOne(t.Context(), f, q)
			defer r.Release()
			if protocol.CodeOf(r.Err) != protocol.CodeOf(test.want) {
				t.Errorf("%v, want %v", r.Err, test.want)
			}
			if r.Err != nil && (r.HighWatermark != -1 || r.LogStart != -1 || r.LastStable != -1) {
				t.Errorf("marks %d %d %d with an error", r.HighWatermark, r.LogStart, r.LastStable)
			}
		})
	}
}

func TestFollowersRaiseTheHighWatermark(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2, 3)
	b.lead(5, 1, 2, 3)
	for range 4 {
		b.mustProduce(1)
	}
	p, _ := b.Partition(tp0)
	for _, step := range []struct {
		follower     cluster.BrokerID
		offset, want int64
	}{{2, 2, 0}, {3, 1, 1}, {3, 4, 2}, {2, 3, 3}, {2, 3, 3}, {2, 4, 4}} {
		r := b.follow(step.follower, step.offset)
		if r.Err != nil || p.View().Log.HighWatermark().Offset != step.want {
			t.Fatalf("%d fetches at %d: high watermark %d, want %d (%v)", step.follower, step.offset, p.View().Log.HighWatermark().Offset, step.want, r.Err)
		}
	}
}

// Case 11, the leader's side: what a follower has that must truncate says nothing about its progress.
func TestDivergingFetchIsNoProgress(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	b.mustProduce(2)
	b.lead(7, 1, 2)
	b.mustProduce(2)
	p, _ := b.Partition(tp0)
	fetch := func(offset int64, last cluster.LeaderEpoch) FetchResult {
		q := wantFrom(offset)
		q.LeaderEpoch, q.LastFetchedEpoch, q.LogStart = 7, last, 0
		r := b.fetchOne(t.Context(), &FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, LeaderOnly: true, BytesMax: 1 << 20}, q)
		r.Release()
		return r
	}
	if r := fetch(3, 6); r.Err != nil || r.Diverging != (EpochEnd{5, 2}) || p.core.follower(2).End.Offset >= 0 {
		t.Errorf("diverging %+v (%v), progress %+v", r.Diverging, r.Err, p.core.follower(2))
	}
	if r := fetch(3, 5); r.Diverging != (EpochEnd{5, 2}) {
		t.Errorf("beyond the end of its epoch: diverging %+v", r.Diverging)
	}
	if r := fetch(2, 5); r.Diverging.Epoch >= 0 || p.core.follower(2).End.Offset != 2 || p.View().Log.HighWatermark().Offset != 2 {
		t.Errorf("agreeing: diverging %+v, progress %+v, high watermark %d", r.Diverging, p.core.follower(2), p.View().Log.HighWatermark().Offset)
	}
	if r := fetch(0, 9); !errors.Is(r.Err, kerr.OffsetOutOfRange) {
		t.Errorf("an epoch that nobody knows: %v", r.Err)
	}
}

func TestReadCommittedFetchHasAList(t *testing.T) {
	b := newBroker(t)
	b.lead(0, 1)
	b.mustProduce(1)
	f := consumer(0, 1)
	f.Bound = log.ToLastStable
	for _, offset := range []int64{0, 1} {
		r := b.fetchOne(t.Context(), f, wantFrom(offset))
		if r.Err != nil || r.Aborted == nil || len(r.Aborted) != 0 {
			t.Errorf("offset %d: aborted %v (%v), want a list without entries", offset, r.Aborted, r.Err)
		}
		r.Release()
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

func TestListenerHears(t *testing.T) {
	b := newBroker(t)
	b.lead(5, 1)
	b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1, Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: -2, Delete: true}}})
	gone := led(0, 0, nil, nil)
	gone.Leader = cluster.LeaderDuringDelete
	if err := b.ApplyUpdateMetadata(&cluster.UpdateMetadataRequest{ControllerEpoch: 1, States: []cluster.PartitionState{*gone}}); err != nil {
		t.Fatal(err)
	}
	want := "[led t-0 in epoch 5 stopped 1 deleted [t-0]]"
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

func TestListOffset(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	for range 3 {
		b.mustProduce(1)
	}
	b.follow(2, 2)
	query := func(timestamp int64, bound log.Bound) (log.TimestampOffset, error) {
		return b.ListOffset(&OffsetQuery{TopicPartition: tp0, Timestamp: timestamp, LeaderEpoch: -1, Bound: bound, LeaderOnly: true})
	}
	for _, test := range []struct {
		name      string
		timestamp int64
		bound     log.Bound
		offset    int64
		epoch     int32
	}{
		{"latest", LatestTimestamp, log.ToHighWatermark, 2, 5},
		{"latest decided", LatestTimestamp, log.ToLastStable, 2, 5},
		{"latest of a broker", LatestTimestamp, log.ToLogEnd, 3, 5},
		{"earliest", EarliestTimestamp, log.ToHighWatermark, 0, 5},
		{"earliest local", EarliestLocalTimestamp, log.ToHighWatermark, 0, 5},
		{"latest tiered", LatestTieredTimestamp, log.ToHighWatermark, -1, -1},
		{"by timestamp", 500, log.ToHighWatermark, 0, 5},
		{"after the last", 1001, log.ToHighWatermark, -1, -1},
		{"the largest timestamp", MaxTimestamp, log.ToHighWatermark, 0, 5},
	} {
		if got, err := query(test.timestamp, test.bound); err != nil || got.Offset != test.offset || got.LeaderEpoch != test.epoch {
			t.Errorf("%s: %+v, %v; want offset %d of epoch %d", test.name, got, err, test.offset, test.epoch)
		}
	}

	b.lead(6, 1, 2) // starts at 3, the high watermark is at 2
	for _, timestamp := range []int64{LatestTimestamp, 5000} {
		if _, err := query(timestamp, log.ToHighWatermark); !errors.Is(err, ErrOffsetNotAvailable) {
			t.Errorf("case 15: timestamp %d right after an election: %v", timestamp, err)
		}
	}
	if got, err := query(LatestTimestamp, log.ToLogEnd); err != nil || got.Offset != 3 {
		t.Errorf("a broker is told the end in any case: %+v, %v", got, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	deleteTo := func(b *broker, offset int64) Deletion {
		d := []Deletion{{TopicPartition: tp0, Offset: offset}}
		b.DeleteRecords(b.t.Context(), time.Now().Add(10*time.Second), d)
		return d[0]
	}
	t.Run("alone", func(t *testing.T) {
		b := newBroker(t)
		b.lead(5, 1)
		for range 4 {
			b.mustProduce(1)
		}
		for _, step := range []struct {
			offset, low int64
			err         error
		}{{2, 2, nil}, {1, 2, nil}, {5, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {ToHighWatermark, 4, nil}} {
			if d := deleteTo(b, step.offset); d.LowWatermark != step.low || protocol.CodeOf(d.Err) != protocol.CodeOf(step.err) {
				t.Errorf("case 60: to %d: low watermark %d, %v; want %d, %v", step.offset, d.LowWatermark, d.Err, step.low, step.err)
			}
		}
	})
	t.Run("with a follower", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t)
			b.live(1, 2)
			b.lead(5, 1, 2)
			b.mustProduce(1)
			b.follow(2, 1)
			begin := time.Now()
			if d := deleteTo(b, 1); !errors.Is(d.Err, ErrTimedOut) || time.Since(begin) != 10*time.Second {
				t.Errorf("the follower keeps its records: %+v after %v", d, time.Since(begin))
			}
			go func() {
				time.Sleep(time.Second)
				q := wantFrom(1)
				q.LeaderEpoch, q.LogStart = 5, 1
				b.fetchOne(t.Context(), &FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, BytesMax: 1}, q)
			}()
			begin = time.Now()
			if d := deleteTo(b, 1); d.Err != nil || d.LowWatermark != 1 || time.Since(begin) != time.Second {
				t.Errorf("the follower deleted, too: %+v after %v", d, time.Since(begin))
			}
			synctest.Wait()
		})
	})
	t.Run("what may not be", func(t *testing.T) {
		b := newBroker(t)
		b.config.Delete, b.config.Compact = false, true
		b.lead(5, 1)
		if d := deleteTo(b, 0); !errors.Is(d.Err, kerr.PolicyViolation) || d.LowWatermark != -1 {
			t.Errorf("compacted: %+v", d)
		}
		d := []Deletion{{TopicPartition: protocol.TopicPartition{Topic: cluster.OffsetsTopic}}}
		if b.DeleteRecords(t.Context(), time.Now(), d); !errors.Is(d[0].Err, kerr.InvalidTopicException) {
			t.Errorf("internal: %+v", d[0])
		}
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
		synctest.Wait()
		if got := fmt.Sprint(p.View().ISR); got != "[1 2]" {
			t.Errorf("ISR %s after the follower came back", got)
		}
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

func TestJournal(t *testing.T) {
	b := newBroker(t)
	b.lead(5, 1)
	j := &Journal{Manager: b.Manager, Acks: AcksAll}
	for i := range 50 {
		base, wait, err := j.Append(tp0, batch(t, 2))
		if base != int64(2*i) || wait != nil || err != nil {
			t.Fatalf("append %d: %d, %v", i, base, err)
		}
	}
	for _, bytesMax := range []int{1, 500, 1 << 20} {
		next, visits := int64(0), 0
		err := j.Replay(t.Context(), tp0, bytesMax, func(batches []byte) error {
			visits++
			for x, err := range protocol.Batches(batches) {
				if err != nil || x.BaseOffset() != next {
					t.Fatalf("batch %v, %v; want offset %d", x, err, next)
				}
				next = x.NextOffset()
			}
			return nil
		})
		if err != nil || next != 100 {
			t.Errorf("replay by %d bytes: up to %d in %d visits, %v", bytesMax, next, visits, err)
		}
	}
	stop := errors.New("enough")
	if err := j.Replay(t.Context(), tp0, 1, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a visitor that has enough: %v", err)
	}
	if _, _, err := j.Append(protocol.TopicPartition{Topic: "other"}, batch(t, 1)); !errors.Is(err, ErrUnknownPartition) {
		t.Errorf("another partition: %v", err)
	}
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

// BenchmarkFetch reads one batch of 64 KiB from one partition.
func BenchmarkFetch(b *testing.B) {
	m := newBrokerOn(b, vfs.OS{}, b.TempDir())
	m.lead(0, 1)
	for range 20 {
		if _, err := m.Append(tp0, batch(b, 64<<10/97), AcksAll, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	parts, results := []FetchPartition{wantFrom(5000)}, make([]FetchResult, 0, 1)
	parts[0].BytesMax = 1
	f := consumer(0, 1)
	b.ReportAllocs()
	for b.Loop() {
		results = m.Fetch(b.Context(), f, parts, results[:0])
		if results[0].Err != nil || results[0].Len() == 0 {
			b.Fatal(results[0].Err)
		}
		results[0].Release()
	}
}
