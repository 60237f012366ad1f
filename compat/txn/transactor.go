package txn

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/txn/check"
)

// transactor runs transactions without pause, each of which writes its number to every partition of a topic, and keeps what it knows
// of their outcomes. When a transaction fails it goes on with a new producer of the same transactional id.
type transactor struct {
	addrs, topic, id string
	partitions       int32
	client           *kgo.Client // nil until there is one that works; only run uses it
	stop, done       chan struct{}

	mu       sync.Mutex
	outcomes []check.Outcome
	failed   []string // what went wrong, and where
}

// transactTo starts a transactor that ends with finish, or with the process if the test fails before.
func transactTo(addrs, topic, id string, partitions int32) *transactor {
	x := &transactor{addrs: addrs, topic: topic, id: id, partitions: partitions, stop: make(chan struct{}), done: make(chan struct{})}
	go x.run()
	return x
}

func (x *transactor) run() {
	defer close(x.done)
	defer x.drop()
	for i := 0; ; i++ {
		select {
		case <-x.stop:
			return
		default:
		}
		outcome, err := x.once(i)
		x.mu.Lock()
		x.outcomes = append(x.outcomes, outcome)
		if err != nil {
			x.failed = append(x.failed, fmt.Sprintf("%d: %v", i, err))
		}
		x.mu.Unlock()
	}
}

func (x *transactor) drop() {
	if x.client != nil {
		x.client.Close()
		x.client = nil
	}
}

// once runs one transaction. Each fifth is aborted.
func (x *transactor) once(i int) (check.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.connect(ctx); err != nil {
		return check.Aborted, err // nothing was written
	}
	if err := x.client.BeginTransaction(); err != nil {
		x.drop()
		return check.Aborted, fmt.Errorf("begin: %w", err)
	}
	var all []*kgo.Record
	for p := range x.partitions {
		all = append(all, &kgo.Record{Topic: x.topic, Partition: p, Value: fmt.Append(nil, i)})
	}
	err := x.client.ProduceSync(ctx, all...).FirstErr()
	try := kgo.TransactionEndTry(err == nil && i%5 != 4)
	if end := x.client.EndTransaction(ctx, try); end != nil {
		x.drop()
		if try == kgo.TryAbort {
			return check.Aborted, fmt.Errorf("abort: %w", end) // a new producer, or the coordinator, will do it
		}
		return check.Unknown, fmt.Errorf("commit: %w", end)
	}
	if try == kgo.TryAbort {
		return check.Aborted, err
	}
	return check.Committed, nil
}

func (x *transactor) connect(ctx context.Context) error {
	if x.client != nil {
		return nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(x.addrs, ",")...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(x.id), kgo.TransactionTimeout(20*time.Second), kgo.RecordRetries(1<<30), kgo.UnknownTopicRetries(-1))
	if err == nil {
		if _, _, err = c.ProducerID(ctx); err != nil {
			c.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("start producer: %w", err)
	}
	x.client = c
	return nil
}

// count is how many transactions have committed, as the producer knows.
func (x *transactor) count() (committed int, failed []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.outcomes {
		if o == check.Committed {
			committed++
		}
	}
	return committed, x.failed
}

// awaitMore waits until so many more transactions have committed.
func (x *transactor) awaitMore(t *testing.T, more int) {
	t.Helper()
	before, _ := x.count()
	await(t, patience, "transactions", func(context.Context) error {
		now, failed := x.count()
		if now < before+more {
			return fmt.Errorf("%d of %d, failures: %q", now-before, more, failed)
		}
		return nil
	})
}

// finish stops and checks what readers find.
func (x *transactor) finish(t *testing.T) {
	t.Helper()
	close(x.stop)
	<-x.done
	kinds := map[check.Outcome]int{}
	for _, o := range x.outcomes {
		kinds[o]++
	}
	t.Logf("%s: transactions: %v; failures: %q", x.topic, kinds, x.failed)
	committed := readAll(t, x.addrs, x.topic, kgo.ReadCommitted())
	if err := check.Atomic(x.outcomes, int(x.partitions), committed); err != nil {
		t.Errorf("%s: %v", x.topic, err)
	}
	if err := check.Within(committed, readAll(t, x.addrs, x.topic, kgo.ReadUncommitted())); err != nil {
		t.Errorf("%s: %v", x.topic, err)
	}
}
