package txn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
	"gokafka/compat/txn/check"
)

// reader reads topics from their starts on and keeps what it found.
type reader struct {
	client *kgo.Client
	mu     sync.Mutex
	found  map[string][]check.Record // by topic
}

// read starts a reader that ends with the test.
func read(t *testing.T, addrs string, level kgo.IsolationLevel, topics ...string) *reader {
	t.Helper()
	r := &reader{client: follow(t, addrs, level, topics), found: map[string][]check.Record{}}
	done := make(chan struct{})
	go func() { // ends when the client is closed
		defer close(done)
		for r.poll() {
		}
	}()
	t.Cleanup(func() {
		r.client.Close()
		<-done
	})
	return r
}

func follow(t *testing.T, addrs string, level kgo.IsolationLevel, topics []string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	return load.Client(t, addrs, append(more, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level),
		kgo.FetchMaxWait(200*time.Millisecond))...)
}

// poll takes what has come and returns false when the client is closed. Errors of brokers that are away are the client's to retry.
func (r *reader) poll() bool {
	fetches := r.client.PollFetches(context.Background())
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachRecord(func(k *kgo.Record) {
		r.found[k.Topic] = append(r.found[k.Topic], check.Record{Partition: k.Partition, Offset: k.Offset, Value: string(k.Value)})
	})
	return !fetches.IsClientClosed()
}

// of is what the reader has found of a topic, in the order in which it came.
func (r *reader) of(topic string) []check.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found[topic][:len(r.found[topic]):len(r.found[topic])]
}

// readAll reads a topic from its start to its end, once no transaction is open in it. The last record of a partition is then a
// marker, or was not written in a transaction.
func readAll(t *testing.T, addrs, topic string, level kgo.IsolationLevel) (all []check.Record) {
	t.Helper()
	left := ends(t, addrs, topic)
	c := follow(t, addrs, level, []string{topic}, kgo.KeepControlRecords())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v, left are %v", topic, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, check.Record{Partition: r.Partition, Offset: r.Offset, Value: string(r.Value)})
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

// ends waits until all transactions in a topic have come to their end, so that readers of committed records may read all of it,
// and returns the ends of the partitions that hold anything.
func ends(t *testing.T, addrs, topic string) map[int32]int64 {
	t.Helper()
	a := kadm.NewClient(load.Client(t, addrs))
	var out map[int32]int64
	await(t, patience, "end of all transactions in "+topic, func(ctx context.Context) error {
		high, err := a.ListEndOffsets(ctx, topic)
		stable, errStable := a.ListCommittedOffsets(ctx, topic)
		if err := errors.Join(err, errStable, high.Error(), stable.Error()); err != nil {
			return err
		}
		out = map[int32]int64{}
		high.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 {
				out[o.Partition] = o.Offset
			}
			if s := stable[topic][o.Partition]; s.Offset != o.Offset {
				err = fmt.Errorf("partition %d: high watermark %d, last stable offset %d", o.Partition, o.Offset, s.Offset)
			}
		})
		return err
	})
	return out
}
