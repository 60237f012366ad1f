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

// writer is an application that writes in transactions. When its client gives up, it starts anew under the same transactional id, as any
// application does: that aborts what was open.
type writer struct {
	t      *testing.T
	addrs  string
	client *kgo.Client
}

func startWriter(t *testing.T, addrs string) *writer {
	t.Helper()
	w := &writer{t: t, addrs: addrs}
	w.start()
	return w
}

func (w *writer) start() {
	w.t.Helper()
	w.client = load.Client(w.t, w.addrs, kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1<<30),
		kgo.TransactionTimeout(3*time.Minute))
}

// transact writes a value to each of three partitions in a transaction and ends it, at the same time as something else happens. It tells
// whether the transaction ended as it should: a client that does not reach the coordinator in time cannot know.
func (w *writer) transact(value string, end kgo.TransactionEndTry, meanwhile func()) (sure bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for err := w.write(ctx, value); err != nil; err = w.write(ctx, value) {
		if ctx.Err() != nil {
			w.t.Fatal(value, err)
		}
		w.t.Logf("%s: %v", value, err)
		if err := w.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
			w.t.Logf("abort of %s: %v", value, err)
			w.restart()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- w.client.EndTransaction(ctx, end) }()
	meanwhile()
	if err := <-ended; err != nil {
		w.t.Logf("end of %s: %v", value, err)
		w.restart()
		return end == kgo.TryAbort // what is not committed by now will not be
	}
	return true
}

func (w *writer) restart() {
	w.t.Helper()
	w.client.Close()
	w.start()
}

// write begins a transaction and writes to each partition. It fails, for example, when the client retries a request to a coordinator that has
// gone from the metadata meanwhile.
func (w *writer) write(ctx context.Context, value string) error {
	if err := w.client.BeginTransaction(); err != nil {
		w.t.Logf("%s: %v", value, err)
		w.restart() // or it would fail for ever
		if err := w.client.BeginTransaction(); err != nil {
			return err
		}
	}
	for partition := range int32(3) {
		r := &kgo.Record{Topic: "out", Partition: partition, Value: []byte(value)}
		if err := w.client.ProduceSync(ctx, r).FirstErr(); err != nil {
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
	w := startWriter(t, c.Addrs())
	var want []string
	unsure := map[string]bool{} // whether these are there is open, but not whether as a whole
	transact := func(value string, end kgo.TransactionEndTry, meanwhile func()) {
		unsure[value] = !w.transact(value, end, meanwhile)
		if end == kgo.TryCommit {
			want = append(want, value)
		}
	}
	for i := range 20 {
		value, end := fmt.Sprint("transaction ", i), kgo.TryCommit
		if i%3 == 2 {
			end = kgo.TryAbort
		}
		if i%5 < 4 {
			transact(value, end, func() {})
			continue
		}
		c.AwaitInSync("__transaction_state")
		victim := c.coordinator("x")
		transact(value, end, func() {
			time.Sleep(time.Duration(i) * time.Millisecond / 4)
			c.Brokers[victim].Kill()
		})
		transact(value+" is over", kgo.TryCommit, func() {})
		if err := c.Brokers[victim].Start(); err != nil {
			t.Fatal(err)
		}
	}
	read := committed(t, c)
	want = slices.DeleteFunc(want, func(value string) bool { return unsure[value] && !slices.Contains(read[0], value) })
	for partition, values := range read {
		if !slices.Equal(values, want) {
			t.Errorf("partition %d: read %q, want %q", partition, values, want)
		}
	}
	c.await("end of all transactions", func(ctx context.Context) error { return check.Ended(ctx, c.admin) })
	c.AwaitInSync("out")
	c.AwaitInSync("__transaction_state")
	c.Stop()
	c.SameLogs("out")
	c.SameLogs("__transaction_state")
}
