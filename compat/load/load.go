// Package load puts brokers under load and knows afterwards what they acknowledged.
package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is a client that looks for leaders often, and is closed at the end of the test. addrs are one or more, parted by commas.
func Client(t *testing.T, addrs string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(addrs, ",")...), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Load produces numbered values without pause until it is stopped, and keeps what was acknowledged.
type Load struct {
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

// Start begins to produce to a topic: idempotent, with acks=all, and without giving up.
func Start(t *testing.T, addrs, topic string, opts ...kgo.Opt) *Load {
	t.Helper()
	opts = append(opts, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerLinger(time.Millisecond),
		kgo.RecordRetries(1<<30), kgo.UnknownTopicRetries(-1), kgo.ProduceRequestTimeout(10*time.Second))
	l := &Load{client: Client(t, addrs, opts...), topic: topic, acked: map[int]position{}, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run() // ends when finish closes stop
	return l
}

func (l *Load) run() {
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

// AwaitAcked waits until so many more records were acknowledged.
func (l *Load) AwaitAcked(t *testing.T, more int64) {
	t.Helper()
	target := l.count.Load() + more
	for end := time.Now().Add(2 * time.Minute); l.count.Load() < target; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d records acknowledged, want %d", l.count.Load(), target)
		}
	}
}

// Finish stops and waits until everything was acknowledged.
func (l *Load) Finish(t *testing.T) {
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

// EndOffsets are the ends of the partitions that hold anything. A broker that has just come back may not know them yet.
func EndOffsets(t *testing.T, addrs, topic string) map[int32]int64 {
	t.Helper()
	a := kadm.NewClient(Client(t, addrs))
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

// ReadAll reads a topic from its start to its end.
func ReadAll(t *testing.T, addrs, topic string) []*kgo.Record {
	t.Helper()
	left := EndOffsets(t, addrs, topic)
	c := Client(t, addrs, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
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

// Verify checks that every acknowledged record is at its offset, that no number is there twice, and that offsets are dense.
func (l *Load) Verify(t *testing.T, all []*kgo.Record) {
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
