// Package durability ends brokers at bad moments and carries their directories about: what was acknowledged is there, once.
package durability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
)

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func create(t *testing.T, addr, topic string, partitions int32, configs ...string) {
	t.Helper()
	m := map[string]*string{}
	for i := 0; i+1 < len(configs); i += 2 {
		m[configs[i]] = &configs[i+1]
	}
	if _, err := kadm.NewClient(client(t, addr)).CreateTopic(context.Background(), partitions, 1, m, topic); err != nil {
		t.Fatal(err)
	}
}

// load produces numbered values without pause until it is stopped, and keeps what was acknowledged.
type load struct {
	client *kgo.Client
	topic  string
	acked  map[int]position // by number; written by the promise callbacks, which the client calls one after another
	count  atomic.Int64
	failed error
	stop   chan struct{}
	done   chan struct{}
}

type position struct {
	partition int32
	offset    int64
}

func start(t *testing.T, addr, topic string, opts ...kgo.Opt) *load {
	t.Helper()
	opts = append(opts, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerLinger(time.Millisecond),
		kgo.RecordRetries(1<<30), kgo.UnknownTopicRetries(-1), kgo.ProduceRequestTimeout(10*time.Second))
	l := &load{client: client(t, addr, opts...), topic: topic, acked: map[int]position{}, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run() // ends when finish closes stop
	return l
}

func (l *load) run() {
	defer close(l.done)
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		default:
		}
		l.client.Produce(context.Background(), &kgo.Record{Value: fmt.Appendf(nil, "%d", i)}, func(r *kgo.Record, err error) {
			if err != nil {
				l.failed = errors.Join(l.failed, err)
				return
			}
			l.acked[i] = position{r.Partition, r.Offset}
			l.count.Add(1)
		})
	}
}

// awaitAcked waits until so many more records were acknowledged.
func (l *load) awaitAcked(t *testing.T, more int64) {
	t.Helper()
	target := l.count.Load() + more
	for end := time.Now().Add(2 * time.Minute); l.count.Load() < target; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d records acknowledged, want %d", l.count.Load(), target)
		}
	}
}

func (l *load) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if l.failed != nil {
		t.Fatalf("produce: %v", l.failed)
	}
}

// endOffsets are the ends of the partitions that hold anything. A broker that has just come back may not know them yet.
func endOffsets(t *testing.T, addr, topic string) map[int32]int64 {
	t.Helper()
	a := kadm.NewClient(client(t, addr))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ends, err := a.ListEndOffsets(context.Background(), topic)
		if err = errors.Join(err, ends.Error()); err == nil {
			out := map[int32]int64{}
			ends.Each(func(o kadm.ListedOffset) {
				if o.Offset > 0 {
					out[o.Partition] = o.Offset
				}
			})
			return out
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// readAll reads a topic from its start to its end.
func readAll(t *testing.T, addr, topic string) []*kgo.Record {
	t.Helper()
	left := endOffsets(t, addr, topic)
	c := client(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

// verify checks that every acknowledged record is at its offset, that no number is there twice, and that offsets are dense.
func (l *load) verify(t *testing.T, all []*kgo.Record) {
	t.Helper()
	found := map[int]position{}
	next := map[int32]int64{}
	for _, r := range all {
		if r.Offset != next[r.Partition] {
			t.Fatalf("partition %d: offset %d after %d", r.Partition, r.Offset, next[r.Partition]-1)
		}
		next[r.Partition]++
		var i int
		if _, err := fmt.Sscan(string(r.Value), &i); err != nil {
			t.Fatal(err)
		}
		if before, twice := found[i]; twice {
			t.Fatalf("%d is at %v and at %d/%d", i, before, r.Partition, r.Offset)
		}
		found[i] = position{r.Partition, r.Offset}
	}
	for i, at := range l.acked {
		if found[i] != at {
			t.Fatalf("%d was acknowledged at %v and is at %v", i, at, found[i])
		}
	}
	t.Logf("%d acknowledged, %d found", len(l.acked), len(found))
}

// Brokers killed in the middle of load lose nothing that they acknowledged, and an idempotent producer that lives through it
// writes nothing twice.
func TestKillUnderLoad(t *testing.T) {
	kills := 2
	if compat.Full() {
		kills = 15
	}
	compat.Each(t, map[string]string{"log.segment.bytes": "1048576"}, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "load", 3)
		l := start(t, b.Addr(), "load")
		for range kills {
			l.awaitAcked(t, 5000+rand.Int64N(5000))
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
		}
		l.awaitAcked(t, 1000)
		l.finish(t)
		l.verify(t, readAll(t, b.Addr(), "load"))
		compat.Restart(t, b)
		l.verify(t, readAll(t, b.Addr(), "load"))
	})
}
