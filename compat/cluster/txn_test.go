package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
	"gokafka/compat/txn/check"
)

// coordinator is the id of the broker that coordinates a transactional id.
func (c *Cluster) coordinator(id string) (broker int32) {
	c.t.Helper()
	c.await("coordinator of "+id, func(ctx context.Context) error {
		found := c.admin.FindTxnCoordinators(ctx, id)[id]
		broker = found.NodeID
		if found.Err == nil && c.Brokers[broker] == nil {
			return fmt.Errorf("it is broker %d", broker)
		}
		return found.Err
	})
	return broker
}

// transact writes a value to each of three partitions in a transaction and ends it, at the same time as something else happens.
func transact(t *testing.T, producer *kgo.Client, value string, commit kgo.TransactionEndTry, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for err := write(ctx, producer, value); err != nil; err = write(ctx, producer, value) {
		t.Logf("%s: %v", value, err)
		for err := producer.EndTransaction(ctx, kgo.TryAbort); err != nil; err = producer.EndTransaction(ctx, kgo.TryAbort) {
			if ctx.Err() != nil {
				t.Fatal(value, err)
			}
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- producer.EndTransaction(ctx, commit) }()
	meanwhile()
	if err := <-ended; err != nil {
		t.Fatal(value, err)
	}
}

// write begins a transaction and writes to each partition. The client gives up at once when brokers tell it different things about a
// coordinator that has just gone; what it wrote is to be aborted then.
func write(ctx context.Context, producer *kgo.Client, value string) error {
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	for partition := range int32(3) {
		r := &kgo.Record{Topic: "out", Partition: partition, Value: []byte(value)}
		if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// committed reads each partition up to the record that ends it.
func committed(t *testing.T, c *Cluster) map[int32][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	plain := load.Client(t, c.Addrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition := range int32(3) {
		if err := plain.ProduceSync(ctx, &kgo.Record{Topic: "out", Partition: partition, Value: []byte("end")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	reader := load.Client(t, c.Addrs(), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	read := map[int32][]string{}
	for ends := 0; ends < 3; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("an open transaction hides what comes after it: read %v", read)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) == "end" {
				ends++
				return
			}
			read[r.Partition] = append(read[r.Partition], string(r.Value))
		})
	}
	return read
}

// The coordinator of a transaction is killed while the transaction ends, over and over: its successor brings to an end what was
// decided, and every transaction is read as a whole or not at all.
func TestTransactionsOutliveTheirCoordinator(t *testing.T) {
	c := Start(t, 3, map[string]string{"transaction.state.log.num.partitions": "4"})
	c.Create("out", 3)
	producer := load.Client(t, c.Addrs(), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1<<30),
		kgo.TransactionTimeout(3*time.Minute))
	var want []string
	for i := range 20 {
		value, commit := fmt.Sprint("transaction ", i), kgo.TryCommit
		if i%3 == 2 {
			commit = kgo.TryAbort
		} else {
			want = append(want, value)
		}
		if i%5 < 4 {
			transact(t, producer, value, commit, func() {})
			continue
		}
		c.AwaitInSync("__transaction_state")
		victim := c.coordinator("x")
		transact(t, producer, value, commit, func() {
			time.Sleep(time.Duration(i) * time.Millisecond / 4)
			c.Brokers[victim].Kill()
		})
		transact(t, producer, value+" is over", kgo.TryCommit, func() {})
		want = append(want, value+" is over")
		if err := c.Brokers[victim].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for partition, read := range committed(t, c) {
		if !slices.Equal(read, want) {
			t.Errorf("partition %d: read %q, want %q", partition, read, want)
		}
	}
	c.await("end of all transactions", func(ctx context.Context) error { return check.Ended(ctx, c.admin) })
	c.AwaitInSync("out")
	c.AwaitInSync("__transaction_state")
	c.Stop()
	c.SameLogs("out")
	c.SameLogs("__transaction_state")
}
