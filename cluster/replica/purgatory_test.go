package replica

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

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
				acks := []Ack{a.Ack(tp0)}
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

// refusing is a controller for which nobody is eligible, as a broker is that shuts down.
type refusing struct{ agreeing }

func (*refusing) AlterPartition(_ context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	resp := &cluster.AlterPartitionResponse{Partitions: map[protocol.TopicPartition]cluster.AlterPartitionResult{}}
	for _, p := range r.Partitions {
		resp.Partitions[p.TopicPartition] = cluster.AlterPartitionResult{Err: kerr.IneligibleReplica}
	}
	return resp, nil
}

// A replica outside the ISR that had everything is waited for, since it is about to join. When it dies, or lags, what waits for it goes on,
// even if the others have everything and have nothing to tell.
func TestAcksGoOnWithoutTheReplicaThatWasToJoin(t *testing.T) {
	for _, test := range []struct {
		name string
		dies bool
		took time.Duration
	}{
		{"it dies", true, time.Second},
		{"it lags", false, 45 * time.Second}, // replica.lag.time.max.ms, and as much as half of it until somebody looks
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, func(o *Options) { o.Proposer = &refusing{} })
				b.live(1, 2, 3)
				if err := b.tell(led(5, 5, ids(1, 2, 3), ids(1, 2))); err != nil {
					t.Fatal(err)
				}
				b.follow(3, 0)
				synctest.Wait()
				a, err := b.produce(1, AcksAll)
				if err != nil {
					t.Fatal(err)
				}
				b.follow(2, 1)
				begin := time.Now()
				go func() {
					if time.Sleep(time.Second); test.dies {
						b.live(1, 2)
					}
				}()
				acks := []Ack{a.Ack(tp0)}
				b.AwaitAcks(t.Context(), begin.Add(time.Hour), acks)
				if took := time.Since(begin); acks[0].Err != nil || took != test.took {
					t.Errorf("%v after %v, want %v", acks[0].Err, took, test.took)
				}
				synctest.Wait()
			})
		})
	}
}

// slow is a controller that takes its time for the first request, and lets nobody in.
type slow struct{ refusing }

func (c *slow) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	if c.asked++; c.asked == 1 {
		time.Sleep(2 * time.Second)
	}
	return c.refusing.AlterPartition(ctx, r)
}

// The answer that a replica does not join is the last that is heard of it, if it died while the controller was asked.
func TestAcksGoOnWhenTheReplicaMayNotJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(o *Options) { o.Proposer = &slow{} })
		b.live(1, 2, 3)
		if err := b.tell(led(5, 5, ids(1, 2, 3), ids(1, 2))); err != nil {
			t.Fatal(err)
		}
		b.follow(3, 0) // the controller is asked
		a, err := b.produce(1, AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		b.follow(2, 1)
		b.live(1, 2)
		begin := time.Now()
		acks := []Ack{a.Ack(tp0)}
		b.AwaitAcks(t.Context(), begin.Add(time.Hour), acks)
		if took := time.Since(begin); acks[0].Err != nil || took > 2*time.Second+alterLinger {
			t.Errorf("%v after %v", acks[0].Err, took)
		}
		synctest.Wait()
	})
}

// What waits for more replicas in sync than there are goes on when the topic's settings demand fewer.
func TestAcksGoOnWithALowerMinISR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		b.config.MinInSyncReplicas = 2
		b.live(1, 2)
		b.lead(5, 1, 2)
		a, err := b.produce(1, AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.tell(led(6, 6, ids(1, 2), ids(1))); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		go func() {
			time.Sleep(time.Second)
			lower := *b.config
			lower.MinInSyncReplicas = 1
			b.host.logs.SetConfig(tp0.Topic, &lower)
			b.TopicChanged(tp0.Topic)
		}()
		acks := []Ack{a.Ack(tp0)}
		b.AwaitAcks(t.Context(), begin.Add(time.Hour), acks)
		if took := time.Since(begin); acks[0].Err != nil || took != time.Second {
			t.Errorf("%v after %v", acks[0].Err, took)
		}
		synctest.Wait()
	})
}

// Acked tells beforehand whether AwaitAcks would wait: not when all is committed, nor when the leader is another.
func TestAcked(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	a, err := b.produce(1, AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	first := a.Ack(tp0)
	if a, err = b.produce(1, AcksAll); err != nil {
		t.Fatal(err)
	}
	second := a.Ack(tp0)
	check := func(when string, wantFirst, wantBoth bool) {
		t.Helper()
		if got, both := b.Acked([]Ack{first}), b.Acked([]Ack{first, second}); got != wantFirst || both != wantBoth {
			t.Errorf("%s: the first %v, both %v", when, got, both)
		}
	}
	check("before the follower came", false, false)
	b.follow(2, first.Required)
	check("when it has the first", true, false)
	deposed := led(6, 6, ids(1, 2), ids(1, 2))
	deposed.Leader = 2
	if err := b.tell(deposed); err != nil {
		t.Fatal(err)
	}
	check("when it leads", true, true)
	elsewhere := Ack{TopicPartition: protocol.TopicPartition{Topic: "none"}}
	if !b.Acked([]Ack{elsewhere}) {
		t.Error("a partition that is not here is waited for")
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
	if done, err := p.acked(a.LeaderEpoch, a.LastOffset+1); done || err != nil {
		t.Errorf("before the follower has it: %v, %v", done, err)
	}
	b.follow(2, 1)
	if done, err := p.acked(a.LeaderEpoch, a.LastOffset+1); !done || err != nil {
		t.Errorf("once the follower has it: %v, %v", done, err)
	}
	if err := b.tell(led(8, 8, ids(1, 2), ids(1))); err != nil {
		t.Fatal(err)
	}
	if done, err := p.acked(a.LeaderEpoch, a.LastOffset+1); !done || !errors.Is(err, ErrNotEnoughReplicasAfterAppend) {
		t.Errorf("after the ISR has shrunk: %v, %v", done, err)
	}
}

// An append is lost when another broker led meanwhile, whatever stands at its offset now, also for who was not woken in between.
func TestLeaderAgainAfterTheAppend(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	a, err := b.produce(1, AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := b.Partition(tp0)
	other := led(6, 11, ids(1, 2), ids(1, 2))
	other.Leader = 2
	for _, s := range []*cluster.PartitionState{other, led(7, 12, ids(1, 2), ids(1, 2))} {
		if err := b.tell(s); err != nil {
			t.Fatal(err)
		}
	}
	b.follow(2, p.View().Log.LogEndOffset().Offset)
	if done, err := p.acked(a.LeaderEpoch, a.LastOffset+1); !done || !errors.Is(err, ErrNotLeader) {
		t.Errorf("%v, %v", done, err)
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
					acks := []Ack{{TopicPartition: tp0, Required: 1, LeaderEpoch: 5}}
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

// Who fetches nothing in the name of whatever broker leaves nothing behind.
func TestPollsOfNobodyLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		for id := range cluster.BrokerID(100) {
			b.Fetch(t.Context(), &FetchParams{ReplicaID: id, Bound: log.ToLogEnd, BytesMin: 1, WaitMax: time.Millisecond}, nil, nil)
		}
		if n := len(b.polls.waiting); n != 0 {
			t.Errorf("%d followers are remembered", n)
		}
	})
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
		_, results := b.Fetch(t.Context(), consumer(time.Minute, 2*one+1), parts, nil)
		for _, r := range results {
			bytes += r.Len()
			r.Release()
		}
		if took := time.Since(begin); bytes != 3*one || took != 3*time.Second {
			t.Errorf("%d bytes after %v, want %d after 3s", bytes, took, 3*one)
		}
	})
}

// A follower whose wait one partition ends hears of the others what has happened to them meanwhile, also if that does not end a wait by
// itself.
func TestLongPollTellsWhatHappenedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		b.live(1, 2, 3)
		tps := make([]protocol.TopicPartition, 4)
		states := make([]*cluster.PartitionState, len(tps))
		for i := range tps {
			tps[i] = protocol.TopicPartition{Topic: "t", Partition: int32(i)}
			states[i] = led(1, 1, ids(1, 2, 3), ids(1, 2, 3))
			states[i].TopicPartition = tps[i]
		}
		if err := b.tell(states...); err != nil {
			t.Fatal(err)
		}
		clear(b.polls.patient) // it has led for long
		say := func(i int) {
			if _, err := b.Append(tps[i], batch(t, 1), AcksLeader, log.AppendOptions{}); err != nil {
				t.Error(err)
			}
		}
		fetch := func(id cluster.BrokerID, wait time.Duration, offsets ...int64) []FetchResult {
			var parts []FetchPartition
			for i, offset := range offsets {
				q := wantFrom(offset)
				q.TopicPartition, q.LeaderEpoch, q.LogStart = tps[i], 1, 0
				parts = append(parts, q)
			}
			f := &FetchParams{ReplicaID: id, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, WaitMax: wait, BytesMin: 1, BytesMax: 1 << 20}
			_, results := b.Fetch(t.Context(), f, parts, nil)
			for i := range results {
				results[i].Release()
			}
			return results
		}
		say(1)
		fetch(3, 0, 0, 0, 0, 0)
		go func() {
			time.Sleep(time.Second)
			fetch(3, 0, 0, 1, 0, 0) // the high watermark of partition 1 moves
			time.Sleep(time.Second)
			say(2)
		}()
		began := time.Now()
		results := fetch(2, time.Minute, 0, 1, 0, 0)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("answered after %v", took)
		}
		for i, want := range []int64{0, 1, 0, 0} {
			if r := &results[i]; r.Err != nil || r.HighWatermark != want {
				t.Errorf("partition %d: high watermark %d, want %d (%v)", i, r.HighWatermark, want, r.Err)
			}
		}
		go func() {
			time.Sleep(time.Second)
			s := led(2, 2, ids(1, 2, 3), ids(1, 2, 3))
			s.TopicPartition, s.Leader = tps[3], 3
			if err := b.tell(s); err != nil {
				t.Error(err)
			}
		}()
		results = fetch(2, time.Minute, 0, 1, 1, 0)
		for i, want := range []error{nil, nil, nil, ErrFencedEpoch} {
			if err := results[i].Err; !errors.Is(err, want) {
				t.Errorf("partition %d: %v, want %v", i, err, want)
			}
		}
	})
}
