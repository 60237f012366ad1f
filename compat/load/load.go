// Package load puts brokers under load and knows afterwards what they acknowledged.
package load

import (
	"context"
	"errors"
	"strings"
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
	Acked
	client *kgo.Client
	pace   time.Duration
	stop   chan struct{}
	done   chan struct{}
}

// own is the number of the producer that runs in this process.
const own = 0

// Start begins to produce to a topic: idempotent, with acks=all, and without giving up.
func Start(t *testing.T, addrs, topic string, opts ...kgo.Opt) *Load {
	t.Helper()
	return StartPaced(t, addrs, topic, 0, opts...)
}

// StartPaced is Start with a pause after each record.
func StartPaced(t *testing.T, addrs, topic string, pace time.Duration, opts ...kgo.Opt) *Load {
	t.Helper()
	opts = append(opts, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerLinger(time.Millisecond),
		kgo.RecordRetries(1<<30), kgo.UnknownTopicRetries(-1), kgo.ProduceRequestTimeout(10*time.Second))
	l := &Load{client: Client(t, addrs, opts...), pace: pace, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run() // ends when Finish closes stop
	return l
}

func (l *Load) run() {
	defer close(l.done)
	for i := int32(0); ; i++ {
		select {
		case <-l.stop:
			return
		default:
		}
		l.client.Produce(context.Background(), &kgo.Record{Value: []byte(id{own, i}.String())}, func(r *kgo.Record, err error) {
			if err != nil {
				l.Fail(err)
				return
			}
			l.Add(string(r.Value), Position{r.Partition, r.Offset})
		})
		if l.pace > 0 {
			time.Sleep(l.pace)
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
	if err := l.Err(); err != nil {
		t.Fatalf("produce: %v", err)
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
func ReadAll(t *testing.T, addrs, topic string) (all []*kgo.Record) {
	t.Helper()
	Each(t, addrs, topic, func(r *kgo.Record) { all = append(all, r) })
	return all
}

// Each goes through a topic from its start to its end.
func Each(t *testing.T, addrs, topic string, visit func(r *kgo.Record)) {
	t.Helper()
	left := EndOffsets(t, addrs, topic)
	c := Client(t, addrs, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			visit(r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
}

// Verify checks a topic that this load alone has filled.
func (l *Load) Verify(t *testing.T, all []*kgo.Record) {
	t.Helper()
	var c Check
	for _, r := range all {
		c.Read(Position{r.Partition, r.Offset}, string(r.Value))
	}
	if err := c.End(&l.Acked); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledged, %d found", l.Count(), c.Found())
}
