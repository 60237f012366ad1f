package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// world is a cluster for an Admin: an embedded store, and an image that a test moves on by calling control.
type world struct {
	t     testing.TB
	admin *Admin
	store *metastore.Store
	tree  metastore.Tree

	mu      sync.Mutex
	image   *cluster.Metadata
	changed chan struct{}
}

func newWorld(t testing.TB, brokers int, settings map[string]string) *world {
	t.Helper()
	cfg, err := config.Load(config.Sources{File: settings})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	session := tree.Connect()
	w := &world{t: t, store: metastore.New(session), tree: session, image: cluster.NewMetadata("c"), changed: make(chan struct{})}
	ctx := context.Background()
	if err := w.store.CreatePersistentPaths(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range brokers {
		if _, err := w.store.RegisterBroker(ctx, cluster.Broker{ID: cluster.BrokerID(i + 1)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.store.ClaimController(ctx, 1); err != nil {
		t.Fatal(err)
	}
	w.admin = New(Options{Config: cfg, Store: w.store, Image: w, Controller: w, Logger: zerolog.Nop()})
	w.control()
	return w
}

func (w *world) IsActive() bool { return true }

func (w *world) Metadata() *cluster.Metadata {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.image
}

func (w *world) AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error {
	for {
		w.mu.Lock()
		image, changed := w.image, w.changed
		w.mu.Unlock()
		if satisfied(image) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// control is what the controller does: every partition in the store gets its first replica as leader, and the image shows it.
func (w *world) control() {
	w.t.Helper()
	ctx := context.Background()
	if err := w.store.DeleteTopics(ctx, metastore.Claim{ID: 1, Epoch: 1, Version: 1}, try(w, w.store.TopicsMarkedForDeletion)(ctx, nil)); err != nil {
		w.t.Error(err)
	}
	brokers, err := w.store.Brokers(ctx, nil, nil)
	if err != nil {
		w.t.Error(err)
	}
	r := &cluster.UpdateMetadataRequest{ControllerID: 1, LiveBrokers: brokers}
	found, err := w.store.TopicAssignments(ctx, try(w, w.store.Topics)(ctx, nil), nil)
	if err != nil {
		w.t.Error(err)
	}
	for _, f := range found {
		for p, a := range f.Topic.Partitions {
			r.States = append(r.States, cluster.PartitionState{TopicPartition: protocol.TopicPartition{Topic: f.Topic.Name, Partition: p},
				TopicID: f.Topic.ID, Assignment: a, LeaderAndISR: cluster.LeaderAndISR{Leader: a.Replicas[0], ISR: a.Replicas}})
		}
	}
	next, _ := cluster.NewMetadata("c").With(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.image = next
	close(w.changed)
	w.changed = make(chan struct{})
}

func try[T any](w *world, f func(context.Context, *metastore.Watcher) (T, error)) func(context.Context, *metastore.Watcher) T {
	return func(ctx context.Context, watcher *metastore.Watcher) T {
		v, err := f(ctx, watcher)
		if err != nil {
			w.t.Error(err)
		}
		return v
	}
}

func (w *world) create(names ...string) {
	w.t.Helper()
	var topics []NewTopic
	for _, n := range names {
		topics = append(topics, NewTopic{Name: n, Partitions: 2, ReplicationFactor: 1})
	}
	for _, r := range w.admin.CreateTopics(context.Background(), topics, CreateOptions{}) {
		if !errors.Is(r.Err, kerr.RequestTimedOut) {
			w.t.Fatal(r.Err)
		}
	}
	w.control()
}

func TestCreateWaitsForLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		began := time.Now()
		time.AfterFunc(3*time.Second, w.control)
		r := w.admin.CreateTopics(t.Context(), []NewTopic{{Name: "a", Partitions: 3, ReplicationFactor: 1}}, CreateOptions{Timeout: time.Minute})
		if r[0].Err != nil || r[0].Partitions != 3 || r[0].ID.IsZero() || time.Since(began) != 3*time.Second {
			t.Errorf("%+v after %v", r[0], time.Since(began))
		}
	})
}

func TestCreateTimesOutAndTheTopicComesToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		began := time.Now()
		r := w.admin.CreateTopics(t.Context(), []NewTopic{{Name: "a", Partitions: 1, ReplicationFactor: 1}}, CreateOptions{Timeout: time.Second})
		if !errors.Is(r[0].Err, kerr.RequestTimedOut) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", r[0].Err, time.Since(began))
		}
		w.control()
		if w.Metadata().Topic("a") == nil {
			t.Error("the topic is not there")
		}
	})
}

func TestDeleteWaitsUntilGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.create("a", "b")
		time.AfterFunc(2*time.Second, w.control)
		errs := w.admin.DeleteTopics(t.Context(), []string{"a", "nosuch"}, time.Minute)
		if errs[0] != nil || protocol.CodeOf(errs[1]) != kerr.UnknownTopicOrPartition.Code || w.Metadata().Topic("a") != nil {
			t.Errorf("%v", errs)
		}
		errs = w.admin.DeleteTopics(t.Context(), []string{"b"}, time.Second)
		if !errors.Is(errs[0], kerr.RequestTimedOut) {
			t.Errorf("%v", errs)
		}
		time.AfterFunc(time.Second, w.control)
		if errs := w.admin.DeleteTopics(t.Context(), []string{"b"}, time.Minute); errs[0] != nil { // marked already, and waited for
			t.Errorf("%v", errs)
		}
	})
}

func TestGrow(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.create("a")
	ctx := context.Background()
	errs := w.admin.CreatePartitions(ctx, []MorePartitions{{Topic: "a", Count: 5}}, 0, false)
	if !errors.Is(errs[0], kerr.RequestTimedOut) {
		t.Fatal(errs)
	}
	topic, err := w.store.Topic(ctx, "a", nil)
	if err != nil || len(topic.Partitions) != 5 || topic.ID.IsZero() {
		t.Fatalf("%+v, %v", topic, err)
	}
	led := map[cluster.BrokerID]int{}
	for _, a := range topic.Partitions {
		led[a.Replicas[0]]++
	}
	if len(led) != 3 {
		t.Errorf("partitions are on %v", led)
	}
	topic.Partitions[0] = cluster.Assignment{Replicas: topic.Partitions[0].Replicas, Adding: []cluster.BrokerID{2}}
	if err := w.store.SetTopic(ctx, topic); err != nil {
		t.Fatal(err)
	}
	if errs := w.admin.CreatePartitions(ctx, []MorePartitions{{Topic: "a", Count: 9}}, 0, false); protocol.CodeOf(errs[0]) != kerr.ReassignmentInProgress.Code {
		t.Errorf("while replicas move: %v", errs)
	}
	w.control()
	w.admin.DeleteTopics(ctx, []string{"a"}, 0)
	if errs := w.admin.CreatePartitions(ctx, []MorePartitions{{Topic: "a", Count: 9}}, 0, false); protocol.CodeOf(errs[0]) != kerr.InvalidTopicException.Code {
		t.Errorf("of a topic being deleted: %v", errs)
	}
}

// meddler is a tree in which something else happens right before the first write.
type meddler struct {
	metastore.Tree
	meddle func()
}

func (m *meddler) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if f := m.meddle; f != nil {
		m.meddle = nil
		f()
	}
	return m.Tree.Write(ctx, txns)
}

// What the controller notes down of a reassignment stays, and so does what another request has added.
func TestGrowWhileTheTopicChanges(t *testing.T) {
	for name, test := range map[string]struct {
		change func(topic *metastore.Topic)
		want   error
	}{
		"reassignment": {func(topic *metastore.Topic) {
			topic.Partitions[0] = cluster.Assignment{Replicas: topic.Partitions[0].Replicas, Adding: []cluster.BrokerID{2}}
		}, kerr.ReassignmentInProgress},
		"growth": {func(topic *metastore.Topic) {
			topic.Partitions[1], topic.Partitions[2] = topic.Partitions[0], topic.Partitions[0]
		}, kerr.InvalidPartitions},
		"configuration": {func(*metastore.Topic) {}, kerr.RequestTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, nil)
			w.create("a")
			ctx := context.Background()
			var changed metastore.Topic
			w.admin.Store = metastore.New(&meddler{w.tree, func() {
				topic, err := w.store.Topic(ctx, "a", nil)
				if err != nil {
					t.Fatal(err)
				}
				test.change(&topic)
				if err := w.store.SetTopic(ctx, topic); err != nil {
					t.Fatal(err)
				}
				changed = topic
			}})
			errs := w.admin.CreatePartitions(ctx, []MorePartitions{{Topic: "a", Count: 3}}, 0, false)
			if protocol.CodeOf(errs[0]) != protocol.CodeOf(test.want) {
				t.Errorf("answer %v, want %v", errs[0], test.want)
			}
			now, err := w.store.Topic(ctx, "a", nil)
			if err != nil || len(changed.Partitions) == 0 || test.want == kerr.RequestTimedOut && len(now.Partitions) != 3 {
				t.Fatalf("%+v, changed to %+v in between, %v", now, changed, err)
			}
			for p, a := range changed.Partitions {
				if !reflect.DeepEqual(now.Partitions[p], a) {
					t.Errorf("partition %d is %+v, was %+v", p, now.Partitions[p], a)
				}
			}
		})
	}
}

// repeater is a tree whose connection breaks after each write, so that it is made again.
type repeater struct{ metastore.Tree }

func (r repeater) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if _, err := r.Tree.Write(ctx, txns); err != nil {
		return nil, err
	}
	return r.Tree.Write(ctx, txns)
}

func TestGrowThatIsWrittenTwice(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.create("a")
	w.admin.Store = metastore.New(repeater{w.tree})
	if errs := w.admin.CreatePartitions(context.Background(), []MorePartitions{{Topic: "a", Count: 5}}, 0, false); protocol.CodeOf(errs[0]) != kerr.RequestTimedOut.Code {
		t.Errorf("answer %v, want that the leaders are missing", errs[0])
	}
}

// Case 106: a small request for very many partitions, alone or in sum, costs nothing.
func TestMorePartitionsThanARequestMayMake(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.create("a")
	ctx := context.Background()
	topics := []NewTopic{
		{Name: "huge", Partitions: math.MaxInt32, ReplicationFactor: 1},
		{Name: "most", Partitions: partitionsMax - 1, ReplicationFactor: 1},
		{Name: "last", Partitions: 1, ReplicationFactor: 1},
		{Name: "none", Partitions: 1, ReplicationFactor: 1},
	}
	r := w.admin.CreateTopics(ctx, topics, CreateOptions{ValidateOnly: true})
	for i, want := range []error{kerr.PolicyViolation, nil, nil, kerr.PolicyViolation} {
		if protocol.CodeOf(r[i].Err) != protocol.CodeOf(want) {
			t.Errorf("%s: %v, want %v", topics[i].Name, r[i].Err, want)
		}
	}
	errs := w.admin.CreatePartitions(ctx, []MorePartitions{{Topic: "a", Count: math.MaxInt32}, {Topic: "a", Count: 5}}, 0, true)
	if protocol.CodeOf(errs[0]) != kerr.PolicyViolation.Code || errs[1] != nil {
		t.Errorf("grow: %v", errs)
	}
}

func TestCollisionsWithinOneRequest(t *testing.T) {
	w := newWorld(t, 1, nil)
	topics := []NewTopic{{Name: "a.b", Partitions: 1, ReplicationFactor: 1}, {Name: "a_b", Partitions: 1, ReplicationFactor: 1}}
	r := w.admin.CreateTopics(context.Background(), topics, CreateOptions{})
	if !errors.Is(r[0].Err, kerr.RequestTimedOut) || !errors.Is(r[1].Err, kerr.InvalidTopicException) {
		t.Errorf("%v, %v", r[0].Err, r[1].Err)
	}
}

func TestCollisions(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.create("a.b_c", "plain", strings.Repeat("_", 30))
	for name, want := range map[string]*kerr.Error{
		"a_b.c": kerr.InvalidTopicException, "a.b.c": kerr.InvalidTopicException, "a.b_c": kerr.TopicAlreadyExists, "a-b_c": kerr.RequestTimedOut,
		"a.b": kerr.RequestTimedOut, "plain": kerr.TopicAlreadyExists, "other": kerr.RequestTimedOut, strings.Repeat(".", 30): kerr.InvalidTopicException,
	} {
		r := w.admin.CreateTopics(context.Background(), []NewTopic{{Name: name, Partitions: 1, ReplicationFactor: 1}}, CreateOptions{})
		if !errors.Is(r[0].Err, want) {
			t.Errorf("%s: %v, want %v", name, r[0].Err, want)
		}
	}
}

func TestAutoCreate(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"num.partitions": "4", "offsets.topic.num.partitions": "7"})
	ctx := context.Background()
	errs := w.admin.AutoCreate(ctx, []string{"a", "b b", offsetsTopic, transactionTopic})
	if !errors.Is(errs[0], kerr.LeaderNotAvailable) || !errors.Is(errs[1], kerr.InvalidTopicException) || !errors.Is(errs[2], kerr.LeaderNotAvailable) {
		t.Fatal(errs)
	}
	if err := w.admin.CreateInternal(ctx, offsetsTopic); err != nil {
		t.Errorf("one that is on its way: %v", err)
	}
	w.control()
	m := w.Metadata()
	if len(m.Topic("a").Partitions) != 4 || len(m.Topic(offsetsTopic).Partitions) != 7 || len(m.Topic(transactionTopic).Partitions) != 50 {
		t.Error("wrong numbers of partitions")
	}
	got, err := w.store.Config(ctx, metastore.TopicEntity(transactionTopic))
	want := map[string]string{"compression.type": "uncompressed", "cleanup.policy": "compact", "min.insync.replicas": "1", "segment.bytes": "104857600", "unclean.leader.election.enable": "false"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if !w.admin.creatingNone() {
		t.Error("names are still claimed")
	}
}

func (a *Admin) creatingNone() bool { return len(a.creating) == 0 }

func TestAutoCreateIsNotDoneTwiceAtOnce(t *testing.T) {
	w := newWorld(t, 1, nil)
	if err := w.admin.claim("a"); err != nil {
		t.Fatal(err)
	}
	if errs := w.admin.AutoCreate(context.Background(), []string{"a"}); !errors.Is(errs[0], kerr.UnknownTopicOrPartition) {
		t.Error(errs)
	}
}

func TestTooFewBrokersForAutoCreate(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"default.replication.factor": "2"})
	if errs := w.admin.AutoCreate(context.Background(), []string{"a"}); !errors.Is(errs[0], kerr.InvalidReplicationFactor) {
		t.Error(errs)
	}
}

func TestApplierTellsOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.create("a", "b")
		var heard []string
		p := NewApplier(ApplierOptions{Admin: w.admin, Logger: zerolog.Nop(), Topics: func() []string { return []string{"a", "b"} },
			OnTopic: func(topic string, v *config.Values) {
				heard = append(heard, fmt.Sprint(topic, "=", v.Int64("segment.ms")))
			}})
		p.Start()
		set := func(r Resource, name, value string) {
			t.Helper()
			if err := w.admin.IncrementalAlter(t.Context(), r, []AlterOp{{Name: name, Value: value}}, false); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set(Resource{TopicResource, "a"}, "segment.ms", "100")
		set(Resource{BrokerResource, ""}, "log.roll.ms", "200")
		set(Resource{BrokerResource, "1"}, "log.roll.ms", "300")
		set(Resource{BrokerResource, "1"}, "log.roll.ms", "300") // nothing new
		p.Stop()
		set(Resource{TopicResource, "b"}, "segment.ms", "400") // nobody listens
		if got := strings.Join(heard, " "); got != "a=100 a=100 b=200 a=100 b=300" {
			t.Error(got)
		}
		if w.admin.Config.Current().Int64("log.roll.ms") != 300 {
			t.Error("the broker's own settings were not applied")
		}
	})
}

func TestAlterChecksBeforeItWrites(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"password.encoder.secret": "s"})
	w.create("a")
	ctx := context.Background()
	topic, broker := Resource{TopicResource, "a"}, Resource{BrokerResource, "1"}
	if err := w.admin.IncrementalAlter(ctx, topic, []AlterOp{{Name: "segment.ms", Value: "100"}}, true); err != nil {
		t.Error(err)
	}
	if err := w.admin.IncrementalAlter(ctx, topic, []AlterOp{{Name: "segment.ms", Value: "1"}, {Name: "retention.ms", Value: "x"}}, false); err == nil {
		t.Error("a malformed value was accepted")
	}
	if got, err := w.store.Config(ctx, metastore.TopicEntity("a")); err != nil || len(got) > 0 {
		t.Errorf("%v was written, %v", got, err)
	}
	const secret = "listener.name.plaintext.ssl.key.password"
	if err := w.admin.IncrementalAlter(ctx, broker, []AlterOp{{Name: secret, Value: "geheim"}}, false); err != nil {
		t.Fatal(err)
	}
	stored, err := w.store.Config(ctx, metastore.BrokerEntity(1))
	if err != nil || strings.Contains(stored[secret], "geheim") || stored[secret] == "" {
		t.Errorf("%v, %v", stored, err)
	}
	if err := w.admin.IncrementalAlter(ctx, broker, []AlterOp{{Name: "log.roll.ms", Value: "5"}}, false); err != nil {
		t.Fatal(err)
	}
	if stored, _ := w.store.Config(ctx, metastore.BrokerEntity(1)); stored["log.roll.ms"] != "5" || stored[secret] == "" {
		t.Errorf("a later change lost the secret: %v", stored)
	}
}

func BenchmarkCreateTenThousandTopics(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 1, nil)
		topics := make([]NewTopic, 10_000)
		for i := range topics {
			topics[i] = NewTopic{Name: fmt.Sprintf("topic-%d", i), Partitions: 1, ReplicationFactor: 1}
		}
		w.admin.CreateTopics(context.Background(), topics, CreateOptions{Describe: true})
	}
}

func BenchmarkCreateTenThousandPartitions(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 3, nil)
		w.admin.CreateTopics(context.Background(), []NewTopic{{Name: "wide", Partitions: 10_000, ReplicationFactor: 3}}, CreateOptions{Describe: true})
	}
}
