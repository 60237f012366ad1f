package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// startBroker starts a whole broker that is alone, in a directory.
func startBroker(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	b, stop := bootBroker(t, dir)
	return b.server.Addr("PLAINTEXT").String(), stop
}

func bootBroker(t *testing.T, dir string, settings ...string) (b *Broker, stop func()) {
	t.Helper()
	c, err := config.Load(config.Sources{DataDir: dir, Overrides: append(settings,
		"listeners=PLAINTEXT://127.0.0.1:0", "offsets.topic.num.partitions=2", "transaction.state.log.num.partitions=2",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=100",
	)})
	if err != nil {
		t.Fatal(err)
	}
	b = NewBroker(c, zerolog.Nop())
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, func() {
		if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

func newClient(t *testing.T, addr string, o ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("t"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// transact writes one record in a transaction and ends it.
func transact(t *testing.T, c *kgo.Client, value string, commit kgo.TransactionEndTry) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(value, err)
	}
	if err := c.EndTransaction(t.Context(), commit); err != nil {
		t.Fatal(value, err)
	}
}

// committed reads the topic up to a record that no transaction wrote.
func committed(t *testing.T, addr string) []string {
	t.Helper()
	plain := newClient(t, addr)
	if err := plain.ProduceSync(t.Context(), kgo.StringRecord("end")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reader := newClient(t, addr, kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var values []string
	for !slices.Contains(values, "end") {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return slices.DeleteFunc(values, func(v string) bool { return v == "end" })
}

// A stock client's transactions on one broker: what is committed is read, what is aborted is not, also when the broker was started
// anew in between, and the producer before a new one is fenced.
func TestTransactions(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	addr, stop := startBroker(t, dir)
	first := newClient(t, addr, kgo.TransactionalID("x"))
	var want []string
	for i := range 5 {
		transact(t, first, fmt.Sprint("committed ", i), kgo.TryCommit)
		transact(t, first, fmt.Sprint("aborted ", i), kgo.TryAbort)
		want = append(want, fmt.Sprint("committed ", i))
	}
	if err := first.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := first.ProduceSync(ctx, kgo.StringRecord("left open")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	second := newClient(t, addr, kgo.TransactionalID("x"))
	transact(t, second, "second's", kgo.TryCommit)
	want = append(want, "second's")
	if err := first.ProduceSync(ctx, kgo.StringRecord("zombie's")).FirstErr(); !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
		t.Errorf("the fenced producer's record: %v", err)
	}
	if got := committed(t, addr); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	stop()
	addr, stop = startBroker(t, dir)
	defer stop()
	third := newClient(t, addr, kgo.TransactionalID("x"))
	transact(t, third, "after the restart", kgo.TryCommit)
	if got := committed(t, addr); !slices.Equal(got, append(want, "after the restart")) {
		t.Errorf("read after the restart %q", got)
	}
}

// A transaction whose producer is gone is aborted when its time is over, and hides nothing any more.
func TestTransactionsTimeOut(t *testing.T) {
	addr, stop := startBroker(t, t.TempDir())
	defer stop()
	gone := newClient(t, addr, kgo.TransactionalID("x"), kgo.TransactionTimeout(300*time.Millisecond))
	if err := gone.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := gone.ProduceSync(t.Context(), kgo.StringRecord("never committed")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, addr); len(got) > 0 {
		t.Errorf("read %q", got)
	}
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{"x"}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp, err := r.RequestWith(t.Context(), gone)
		if err != nil {
			t.Fatal(err)
		}
		if s := resp.TransactionStates[0]; s.State == "CompleteAbort" && s.ProducerEpoch == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("still %+v", s)
		}
	}
}

// A broker that takes over directories gives nobody the producer id of a transactional id, which the logs of its topics may have forgotten by then.
func TestAdoptedTransactionalIDsKeepTheirProducerIDs(t *testing.T) {
	dir := t.TempDir()
	idOf := func(b *Broker, transactionalID string) int64 {
		t.Helper()
		c := newClient(t, b.server.Addr("PLAINTEXT").String(), kgo.TransactionalID(transactionalID))
		defer c.Close()
		id, _, err := c.ProducerID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	b, stop := bootBroker(t, dir)
	if _, err := b.store.AllocateProducerIDs(t.Context(), 1, 2*producerIDMargin); err != nil {
		t.Fatal(err)
	}
	x := idOf(b, "x")
	stop()
	if err := os.Remove(filepath.Join(dir, "metastore.db")); err != nil {
		t.Fatal(err)
	}
	b, stop = bootBroker(t, dir, "producer.id.expiration.ms=1")
	defer stop()
	if again := idOf(b, "x"); again != x {
		t.Errorf("x has producer id %d now, and had %d", again, x)
	}
	if y := idOf(b, "y"); y <= x {
		t.Errorf("a new producer got %d, and x has %d", y, x)
	}
}

// The nodes of a topic that is being deleted stay while a broker with a replica of it is away; transactions do not wait for that.
func TestPartitionsOfTopicsBeingDeletedDoNotExist(t *testing.T) {
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	b := &Broker{store: metastore.New(tree.Connect())}
	tp := protocol.TopicPartition{Topic: "t"}
	exists := func(want bool) {
		t.Helper()
		if got, err := b.partitionExists(t.Context(), tp); err != nil || got != want {
			t.Errorf("exists: %v, %v", got, err)
		}
	}
	exists(false)
	if err := b.store.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := metastore.Topic{Name: "t", Partitions: map[int32]cluster.Assignment{0: {Replicas: []cluster.BrokerID{1}}}}
	if errs, err := b.store.CreateTopics(t.Context(), []metastore.NewTopic{{Topic: topic}}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	exists(true)
	if err := b.store.MarkTopicForDeletion(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	exists(false)
}
