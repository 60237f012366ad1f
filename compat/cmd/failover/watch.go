package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// led asks one broker which partitions it leads, by the offsets that only a leader tells.
func (r *rig) led(ctx context.Context, id int32, found func(partition int32)) error {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for n := range r.partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.Timestamp = n, -1, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	answer, err := r.clients[id].SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 || p.ErrorCode == kerr.OffsetNotAvailable.Code {
				found(p.Partition)
			}
		}
	}
	return nil
}

// awaitLed waits until these brokers lead all partitions, and returns how long that was after a moment.
func (r *rig) awaitLed(ids []int32, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	first := true
	for ctx.Err() == nil {
		led := map[int32]bool{}
		for _, id := range ids {
			if err := r.led(ctx, id, func(p int32) { led[p] = true }); err != nil {
				return 0, fmt.Errorf("ask broker %d: %w", id, err)
			}
		}
		if len(led) == int(r.partitions) {
			return time.Since(began), nil
		}
		if first && len(led) > 0 && len(led) < int(r.partitions) {
			first = false
			say("some led after %v: %d", since(began), len(led))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0, fmt.Errorf("brokers %s do not lead all partitions", join(ids))
}

// awaitInSync waits until the brokers say that every partition has all its replicas in sync.
func (r *rig) awaitInSync(ids []int32) error {
	return r.awaitMetadata(ids, func(m *kmsg.MetadataResponse) error {
		in := 0
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if p.Leader >= 0 && len(p.ISR) == len(p.Replicas) {
					in++
				}
			}
		}
		if in < int(r.partitions) {
			return fmt.Errorf("%d of %d in sync", in, r.partitions)
		}
		return nil
	})
}

// awaitAlive waits until the brokers know of so many.
func (r *rig) awaitAlive(ids []int32, n int) error {
	return r.awaitMetadata(ids, func(m *kmsg.MetadataResponse) error {
		if len(m.Brokers) != n {
			return fmt.Errorf("%d brokers", len(m.Brokers))
		}
		return nil
	})
}

func (r *rig) awaitMetadata(ids []int32, holds func(*kmsg.MetadataResponse) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	for _, id := range ids {
		for {
			err := r.holds(ctx, id, holds)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("broker %d: %w", id, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

func (r *rig) holds(ctx context.Context, id int32, holds func(*kmsg.MetadataResponse) error) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	name := topic
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	answer, err := r.clients[id].SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	return holds(answer.(*kmsg.MetadataResponse))
}

// watching looks all the time who leads what. A partition is without a leader from the moment at which the broker that led it says that
// it does not, until any broker says that it does. A broker that is slow to answer says neither.
type watching struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	leader  []int32         // who was last seen leading a partition
	denied  []time.Time     // when it said that it leads no more; zero: it did not
	gaps    []time.Duration // the longest time without a leader
	rounds  int
	elapsed time.Duration
}

// watch begins to look, at every broker in a goroutine of its own, until end.
func (r *rig) watch(ids []int32) *watching {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{cancel: cancel, leader: make([]int32, r.partitions), denied: make([]time.Time, r.partitions), gaps: make([]time.Duration, r.partitions)}
	for _, id := range ids {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				led := make([]bool, r.partitions)
				if err := r.led(ctx, id, func(p int32) { led[p] = true }); err == nil {
					w.saw(id, led, asked, time.Now())
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return w
}

// saw notes what a broker led at some moment between asking and the answer.
func (w *watching) saw(id int32, led []bool, asked, answered time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rounds++
	w.elapsed += answered.Sub(asked)
	for p := range led {
		switch denied := w.denied[p]; {
		case led[p]:
			if !denied.IsZero() {
				w.gaps[p] = max(w.gaps[p], answered.Sub(denied))
			}
			w.leader[p], w.denied[p] = id, time.Time{}
		case w.leader[p] == id && denied.IsZero():
			w.denied[p] = asked
		}
	}
}

// end returns the longest gap of any partition, and how long one question took on average.
func (w *watching) end() (longest, round time.Duration) {
	w.cancel()
	w.wg.Wait()
	for _, g := range w.gaps {
		longest = max(longest, g)
	}
	return longest, w.elapsed / time.Duration(max(1, w.rounds))
}

// load produces with acks=all to partition after partition, with the client's default retries.
type load struct {
	client       *kgo.Client
	cancel       context.CancelFunc
	wg           sync.WaitGroup
	sent, failed atomic.Int64
}

func startLoad(addrs []string) (*load, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{client: c, cancel: cancel}
	l.wg.Go(func() {
		for ctx.Err() == nil {
			c.Produce(context.Background(), &kgo.Record{Value: []byte("x")}, func(_ *kgo.Record, err error) {
				if err != nil {
					l.failed.Add(1)
				} else {
					l.sent.Add(1)
				}
			})
			time.Sleep(time.Millisecond)
		}
	})
	return l, nil
}

func (l *load) end() (sent, failed int64) {
	l.cancel()
	l.wg.Wait()
	_ = l.client.Flush(context.Background())
	l.client.Close()
	return l.sent.Load(), l.failed.Load()
}
