package mixed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
	"gokafka/compat/txn/check"
)

// Transactions writes numbers to each of three partitions, a transaction for each number, and aborts every third.
type Transactions struct {
	c        *Cluster
	topic    string
	stop     context.CancelFunc
	done     sync.WaitGroup
	mu       sync.Mutex
	outcomes []check.Outcome
}

// Transact begins transactions that go on until Finish.
func (c *Cluster) Transact(topic, id string) *Transactions {
	ctx, stop := context.WithCancel(context.Background())
	x := &Transactions{c: c, topic: topic, stop: stop}
	x.done.Go(func() { // ends when Finish, or the end of the test, cancels the context
		for ctx.Err() == nil {
			x.session(ctx, id)
		}
	})
	c.t.Cleanup(func() { stop(); x.done.Wait() })
	return x
}

// session is the life of one producer, which ends with the first transaction that fails for good.
func (x *Transactions) session(ctx context.Context, id string) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(addrsOf(x.c)...), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(x.topic), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordRetries(1<<30), kgo.TransactionTimeout(time.Minute))
	if err != nil {
		x.c.t.Error(err)
		return
	}
	defer producer.Close()
	for ctx.Err() == nil {
		if err := x.transaction(producer); err != nil {
			x.c.t.Logf("transaction: %v", err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// transaction is one transaction. Its number is that of its outcome, unknown until the broker has told.
func (x *Transactions) transaction(producer *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	number := x.add()
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	for p := range int32(3) {
		if err := producer.ProduceSync(ctx, &kgo.Record{Partition: p, Value: fmt.Append(nil, number)}).FirstErr(); err != nil {
			return errors.Join(err, producer.EndTransaction(ctx, kgo.TryAbort))
		}
	}
	end, outcome := kgo.TryCommit, check.Committed
	if number%3 == 2 {
		end, outcome = kgo.TryAbort, check.Aborted
	}
	if err := producer.EndTransaction(ctx, end); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.outcomes[number] = outcome
	return nil
}

func (x *Transactions) add() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.outcomes = append(x.outcomes, check.Unknown)
	return len(x.outcomes) - 1
}

// ended is how many transactions were committed or aborted.
func (x *Transactions) ended() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.outcomes {
		if o != check.Unknown {
			n++
		}
	}
	return n
}

// AwaitEnded waits until so many more transactions have ended.
func (x *Transactions) AwaitEnded(more int) {
	x.c.t.Helper()
	target := x.ended() + more
	x.c.await("transactions", func(context.Context) error {
		if n := x.ended(); n < target {
			return fmt.Errorf("%d of %d ended", n, target)
		}
		return nil
	})
}

// AwaitTransactionsEnded waits until the transaction log is at rest, which is when every transaction has ended and every replica has the record of
// it. Before, a coordinator may append while the nodes stop, and who stops with it may have what its successor never fetched.
func (c *Cluster) AwaitTransactionsEnded() {
	c.t.Helper()
	c.await("end of all transactions", func(ctx context.Context) error { return check.Ended(ctx, c.Admin) })
	c.AwaitInSync("__transaction_state")
}

// Finish stops, and checks that transactions are in the topic as a whole or not at all, as far as a reader of what is committed sees.
func (x *Transactions) Finish() {
	x.c.t.Helper()
	x.stop()
	x.done.Wait()
	read := x.c.committed(x.topic)
	if err := check.Atomic(x.outcomes, 3, read); err != nil {
		x.c.t.Error(err)
	}
	x.c.t.Logf("%d transactions, %d of them ended, %d records committed", len(x.outcomes), x.ended(), len(read))
}

// committed reads the first three partitions of a topic up to marks that it puts at their ends.
func (c *Cluster) committed(topic string) (read []check.Record) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	writer := load.Client(c.t, c.Addrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	for p := range int32(3) {
		c.ok(writer.ProduceSync(ctx, &kgo.Record{Partition: p, Value: []byte("end")}).FirstErr())
	}
	reader := load.Client(c.t, c.Addrs(), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for ends := 0; ends < 3; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("an open transaction hides what comes after it: read %d records", len(read))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) == "end" {
				ends++
				return
			}
			read = append(read, check.Record{Partition: r.Partition, Offset: r.Offset, Value: string(r.Value)})
		})
	}
	return read
}
