package mixed

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

// transactors are producers whose transactional ids have coordinators of both kinds.
type transactors struct {
	c       *Cluster
	clients []*kgo.Client
	want    []string        // committed, in order
	unsure  map[string]bool // the client does not know what became of them
}

func newTransactors(c *Cluster, n int) *transactors {
	ts := &transactors{c: c, unsure: map[string]bool{}}
	for i := range n {
		ts.clients = append(ts.clients, load.Client(c.t, c.Addrs(), kgo.TransactionalID(fmt.Sprint("id-", i)),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1<<30)))
	}
	return ts
}

// round has each producer commit one transaction over all partitions, and abort one.
func (ts *transactors) round(name string) {
	ts.c.t.Helper()
	for i, client := range ts.clients {
		value := fmt.Sprintf("%s, by %d", name, i)
		ts.transact(client, value, kgo.TryCommit)
		ts.want = append(ts.want, value)
		ts.transact(client, value+", aborted", kgo.TryAbort)
	}
}

// transact runs a transaction. When the client gives up, as it does while brokers tell it different things about a coordinator that
// has just gone, it aborts, and does not know what became of the transaction.
func (ts *transactors) transact(client *kgo.Client, value string, end kgo.TransactionEndTry) {
	ts.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	err := attempt(ctx, client, value, end)
	for ; err != nil && ctx.Err() == nil; err = client.EndTransaction(ctx, kgo.TryAbort) {
		ts.c.t.Logf("%s: %v", value, err)
		ts.unsure[value] = true
	}
	ts.c.ok(ctx.Err())
}

func attempt(ctx context.Context, client *kgo.Client, value string, end kgo.TransactionEndTry) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	for partition := range int32(3) {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "out", Partition: partition, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
	}
	return client.EndTransaction(ctx, end)
}

// verify reads each partition up to a record that no transaction wrote.
func (ts *transactors) verify() {
	ts.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	plain := load.Client(ts.c.t, ts.c.Addrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition := range int32(3) {
		ts.c.ok(plain.ProduceSync(ctx, &kgo.Record{Topic: "out", Partition: partition, Value: []byte("end")}).FirstErr())
	}
	reader := load.Client(ts.c.t, ts.c.Addrs(), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	read := map[int32][]string{}
	for ended := 0; ended < 3; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			ts.c.t.Fatalf("an open transaction hides what comes after it: read %q", read)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if read[r.Partition] = append(read[r.Partition], string(r.Value)); string(r.Value) == "end" {
				ended++
			}
		})
	}
	ts.want = slices.DeleteFunc(ts.want, func(v string) bool { return ts.unsure[v] })
	for partition, values := range read {
		values = slices.DeleteFunc(values, func(v string) bool { return ts.unsure[v] })
		if !slices.Equal(values, append(slices.Clone(ts.want), "end")) {
			ts.c.t.Errorf("partition %d: read %q, want %q", partition, values, ts.want)
		}
	}
}

// Coordinators of either kind write markers to leaders of either kind and are asked by them, and take over from each other what the
// transaction log has. Transactions that a producer left open are aborted by whoever coordinates it then.
func TestTransactions(t *testing.T) {
	c := Start(t, nil, Gokafka, Apache, Gokafka)
	c.Create("out", everywhere...)
	ts := newTransactors(c, 8)
	ts.round("all")
	for _, id := range c.IDs() {
		c.AwaitInSync("out", "__transaction_state")
		left := load.Client(t, c.Addrs(), kgo.TransactionalID(fmt.Sprint("left-", id)), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.TransactionTimeout(time.Second))
		c.ok(left.BeginTransaction())
		c.ok(left.ProduceSync(context.Background(), &kgo.Record{Topic: "out", Value: []byte("left open")}).FirstErr())
		c.Stop(id)
		ts.round(fmt.Sprintf("without %d", id))
		c.Begin(id, c.Nodes[id].Kind)
	}
	ts.verify()
	c.AwaitTransactionsEnded()
	c.AwaitInSync("out")
	c.StopAll()
	c.SameLogs("out")
	c.SameLogs("__transaction_state")
}
