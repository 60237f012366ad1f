package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

func newStore(t *testing.T, tree metastore.Tree) *metastore.Store {
	t.Helper()
	s := metastore.New(tree)
	if err := s.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func broker(id cluster.BrokerID) cluster.Broker {
	return cluster.Broker{ID: id, Rack: "r", Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}}
}

func ok[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestClusterID(t *testing.T) {
	e := open(t, "")
	a, b := newStore(t, e.Connect()), newStore(t, e.Connect())
	for _, s := range []*metastore.Store{a, b} {
		if id, err := s.EnsureClusterID(t.Context(), "first"); err != nil || id != "first" {
			t.Fatalf("%q, %v", id, err)
		}
		if id, err := b.EnsureClusterID(t.Context(), "second"); err != nil || id != "first" {
			t.Fatalf("a later proposal: %q, %v", id, err)
		}
	}
}

func TestRegisterBroker(t *testing.T) {
	e := open(t, "")
	mine, foreign := e.Connect(), e.Connect()
	s, other := newStore(t, mine), newStore(t, foreign)
	epoch := ok[cluster.BrokerEpoch](t)(s.RegisterBroker(t.Context(), broker(1), 0))
	if again, err := s.RegisterBroker(t.Context(), broker(1), 0); err != nil || again != epoch {
		t.Fatalf("our own registration: epoch %d, %v; want %d", again, err, epoch)
	}
	if _, err := other.RegisterBroker(t.Context(), broker(1), 0); !errors.Is(err, metastore.ErrBrokerIDTaken) {
		t.Fatalf("another live broker's id: %v", err)
	}
	replaced := ok[cluster.BrokerEpoch](t)(other.RegisterBroker(t.Context(), broker(1), mine.Session()))
	if replaced <= epoch {
		t.Fatalf("epoch %d after %d", replaced, epoch)
	}
	want := broker(1)
	want.Epoch = replaced
	got := ok[[]cluster.Broker](t)(s.Brokers(t.Context(), nil, nil))
	if !reflect.DeepEqual(got, []cluster.Broker{want}) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

func TestNextBrokerID(t *testing.T) {
	s := newStore(t, open(t, "").Connect())
	for want := cluster.BrokerID(1001); want < 1004; want++ {
		if id, err := s.NextBrokerID(t.Context(), 1000); err != nil || id != want {
			t.Fatalf("%d, %v; want %d", id, err, want)
		}
	}
}

// TestElectionRace is case 29: of many that claim at once one wins, and no epoch comes twice.
func TestElectionRace(t *testing.T) {
	const brokers, rounds = 4, 1000
	e := open(t, "")
	stores := make([]*metastore.Store, brokers)
	for i := range stores {
		stores[i] = newStore(t, e.Connect())
	}
	for round := range rounds {
		var mu sync.Mutex
		var won []metastore.Claim
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				claim, err := s.ClaimController(t.Context(), cluster.BrokerID(i))
				if err != nil && !errors.Is(err, metastore.ErrNotElected) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					won = append(won, claim)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || won[0].Epoch != cluster.ControllerEpoch(round+1) {
			t.Fatalf("round %d: winners %+v", round, won)
		}
		if err := stores[0].ReleaseController(t.Context(), won[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// lostAnswer is a tree whose connection breaks after the next write was done.
type lostAnswer struct {
	metastore.Tree
	lose bool
}

var errLost = errors.New("connection lost")

// Write does as ZooKeeper's client does after a lost connection: it sends the request again.
func (l *lostAnswer) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if l.lose {
		l.lose = false
		if _, err := l.Tree.Write(ctx, txns); err != nil {
			return nil, errors.Join(errLost, err)
		}
	}
	return l.Tree.Write(ctx, txns)
}

// TestLostAnswers is cases 30 and 31: the write was done, its answer was lost, and the second try is refused.
func TestLostAnswers(t *testing.T) {
	tree := &lostAnswer{Tree: open(t, "").Connect()}
	s := newStore(t, tree)
	tree.lose = true
	claim := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	if claim.Epoch != 1 || claim.Version != 1 {
		t.Fatalf("claim %+v", claim)
	}
	tree.lose = true
	epoch := ok[cluster.BrokerEpoch](t)(s.RegisterBroker(t.Context(), broker(1), 0))
	if b := ok[cluster.Broker](t)(s.Broker(t.Context(), 1, nil)); b.Epoch != epoch {
		t.Fatalf("epoch %d, registered %d", epoch, b.Epoch)
	}
	block := ok[metastore.ProducerIDBlock](t)(s.AllocateProducerIDs(t.Context(), 1, 1000))
	tree.lose = true
	next := ok[metastore.ProducerIDBlock](t)(s.AllocateProducerIDs(t.Context(), 1, 1000))
	if block.First != 0 || block.Last != 999 || next.First <= block.Last {
		t.Fatalf("blocks %+v, %+v", block, next)
	}
}

var alpha0 = protocol.TopicPartition{Topic: "alpha"}

func alpha() metastore.NewTopic {
	return metastore.NewTopic{
		Topic: metastore.Topic{Name: "alpha", ID: protocol.TopicID{1}, Partitions: map[int32]cluster.Assignment{
			0: {Replicas: []cluster.BrokerID{1, 2}}, 1: {Replicas: []cluster.BrokerID{2, 1}, Adding: []cluster.BrokerID{2}},
		}},
		Config: map[string]string{"retention.ms": "<1&2>"},
	}
}

func TestTopics(t *testing.T) {
	e := open(t, "")
	s := newStore(t, e.Connect())
	w := metastore.NewWatcher()
	if names, err := s.Topics(t.Context(), w); err != nil || len(names) > 0 {
		t.Fatal(names, err)
	}
	errs := ok[[]error](t)(s.CreateTopics(t.Context(), []metastore.NewTopic{alpha(), alpha()}))
	if errs[0] != nil || !errors.Is(errs[1], metastore.ErrNodeExists) {
		t.Fatal(errs)
	}
	if got := w.Take(); !slices.Equal(got, []metastore.Event{{Type: metastore.NodeChildrenChanged, Path: metastore.PathTopics}}) {
		t.Fatal(got)
	}
	got := ok[metastore.Topic](t)(s.Topic(t.Context(), "alpha", nil))
	if want := alpha().Topic; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if _, err := s.Topic(t.Context(), "beta", nil); !errors.Is(err, metastore.ErrNoNode) {
		t.Fatal(err)
	}
	config := ok[map[string]string](t)(s.Config(t.Context(), metastore.TopicEntity("alpha")))
	if config["retention.ms"] != "<1&2>" {
		t.Fatal(config)
	}
	claim := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	if err := s.MarkTopicForDeletion(t.Context(), "alpha"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreatePartitionStates(t.Context(), claim, []metastore.PartitionState{{TopicPartition: alpha0}}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTopics(t.Context(), claim, []string{"alpha"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{metastore.PathTopic("alpha"), "/config/topics/alpha", metastore.PathDeleteTopic("alpha")} {
		r, err := e.Connect().Read(t.Context(), []metastore.Read{{Path: path}})
		if err != nil || !errors.Is(r[0].Err, metastore.ErrNoNode) {
			t.Errorf("%s after deletion: %v, %v", path, r, err)
		}
	}
}

func TestPartitionStates(t *testing.T) {
	s := newStore(t, open(t, "").Connect())
	ok[[]error](t)(s.CreateTopics(t.Context(), []metastore.NewTopic{alpha()}))
	claim := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	alpha1 := protocol.TopicPartition{Topic: "alpha", Partition: 1}
	first := []metastore.PartitionState{
		{TopicPartition: alpha0, LeaderAndISR: cluster.LeaderAndISR{Leader: 1, ISR: []cluster.BrokerID{1, 2}, ControllerEpoch: 1}},
		{TopicPartition: alpha1, LeaderAndISR: cluster.LeaderAndISR{Leader: 2, ISR: []cluster.BrokerID{2}, ControllerEpoch: 1}},
	}
	for i, r := range ok[[]metastore.StateResult](t)(s.CreatePartitionStates(t.Context(), claim, first)) {
		if r.Err != nil || r.State.PartitionEpoch != 0 {
			t.Fatalf("created %d: %+v", i, r)
		}
	}
	again := ok[[]metastore.StateResult](t)(s.CreatePartitionStates(t.Context(), claim, first[:1]))
	if !errors.Is(again[0].Err, metastore.ErrNodeExists) {
		t.Fatalf("created twice: %+v", again)
	}
	next := slices.Clone(first)
	next[0].ISR, next[1].PartitionEpoch = []cluster.BrokerID{1}, 7
	results := ok[[]metastore.StateResult](t)(s.SetPartitionStates(t.Context(), claim, next))
	if results[0].Err != nil || results[0].State.PartitionEpoch != 1 || !errors.Is(results[1].Err, metastore.ErrBadVersion) {
		t.Fatalf("%+v", results)
	}
	read := ok[[]metastore.StateResult](t)(s.PartitionStates(t.Context(), []protocol.TopicPartition{alpha0, alpha1, {Topic: "beta"}}))
	if !reflect.DeepEqual(read[0], results[0]) || read[1].Err != nil || !errors.Is(read[2].Err, metastore.ErrNoNode) {
		t.Fatalf("%+v", read)
	}
}

// TestFencedWrites is the store's part of case 32: a controller that was deposed changes nothing, whatever it writes.
func TestFencedWrites(t *testing.T) {
	e := open(t, "")
	zombie := e.Connect()
	s, heir := newStore(t, zombie), newStore(t, e.Connect())
	ok[[]error](t)(s.CreateTopics(t.Context(), []metastore.NewTopic{alpha()}))
	old := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	state := []metastore.PartitionState{{TopicPartition: alpha0, LeaderAndISR: cluster.LeaderAndISR{Leader: 1, ISR: []cluster.BrokerID{1}}}}
	ok[[]metastore.StateResult](t)(s.CreatePartitionStates(t.Context(), old, state))
	zombie.Expire()
	ok[metastore.Claim](t)(heir.ClaimController(t.Context(), 2))
	ctx := t.Context()
	for name, write := range map[string]func() error{
		"states":       func() error { _, err := s.SetPartitionStates(ctx, old, state); return err },
		"new states":   func() error { _, err := s.CreatePartitionStates(ctx, old, state); return err },
		"topic":        func() error { return s.SetTopicFenced(ctx, old, alpha().Topic) },
		"delete":       func() error { return s.DeleteTopics(ctx, old, []string{"alpha"}) },
		"unmark":       func() error { return s.UnmarkTopics(ctx, old, []string{"alpha"}) },
		"reassignment": func() error { return s.SetReassignments(ctx, old, nil) },
		"preferred":    func() error { return s.DeletePreferredElection(ctx, old) },
		"release":      func() error { return s.ReleaseController(ctx, old) },
	} {
		if err := write(); !errors.Is(err, metastore.ErrControllerMoved) || !errors.Is(err, kerr.NotController) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id, elected, err := s.Controller(ctx, nil); err != nil || !elected || id != 2 {
		t.Fatal(id, elected, err)
	}
}

func TestRequestNodes(t *testing.T) {
	tree := open(t, "").Connect()
	s := newStore(t, tree)
	claim := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	w := metastore.NewWatcher()
	if m, id, err := s.Reassignments(t.Context(), w); err != nil || len(m) > 0 || id != 0 {
		t.Fatal(m, id, err)
	}
	want := map[protocol.TopicPartition][]cluster.BrokerID{alpha0: {3, 1}}
	if err := s.SetReassignments(t.Context(), claim, want); err != nil {
		t.Fatal(err)
	}
	if got := w.Take(); !slices.Equal(got, []metastore.Event{{Type: metastore.NodeCreated, Path: metastore.PathReassignPartitions}}) {
		t.Fatal(got)
	}
	got, first, err := s.Reassignments(t.Context(), nil)
	if err != nil || !reflect.DeepEqual(got, want) || first == 0 {
		t.Fatal(got, first, err)
	}
	if err := s.SetReassignments(t.Context(), claim, nil); err != nil {
		t.Fatal(err)
	}
	write(t, tree, metastore.Create(metastore.PathReassignPartitions, []byte("{nonsense"), metastore.Persistent))
	if _, id, err := s.Reassignments(t.Context(), nil); !errors.Is(err, metastore.ErrUnreadable) || id <= first {
		t.Fatal(id, err)
	}
	write(t, tree, metastore.Create(metastore.PathPreferredElection, []byte(`{"version":1,"partitions":[{"topic":"alpha","partition":0}]}`), metastore.Persistent))
	if got, asked, err := s.PreferredElection(t.Context(), nil); err != nil || !asked || !slices.Equal(got, []protocol.TopicPartition{alpha0}) {
		t.Fatal(got, err)
	}
}

func TestNotices(t *testing.T) {
	tree := open(t, "").Connect()
	s := newStore(t, tree)
	claim := ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	for _, id := range []cluster.BrokerID{3, 1} {
		if err := s.AnnounceLogDirFailure(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	write(t, tree, metastore.Create(metastore.PathLogDirEvents+"/log_dir_event_0000000009", []byte("nonsense"), metastore.Persistent))
	write(t, tree, metastore.Create(metastore.PathISRChanges+"/isr_change_", []byte(`{"version":1,"partitions":[{"topic":"alpha","partition":0}]}`), metastore.PersistentSequential))
	events := ok[[]metastore.Notice](t)(s.LogDirEvents(t.Context(), nil))
	if len(events) != 3 || events[0].Broker != 3 || events[1].Broker != 1 || events[2].Broker != -1 {
		t.Fatalf("%+v", events)
	}
	changes := ok[[]metastore.Notice](t)(s.ISRChanges(t.Context(), nil))
	if len(changes) != 1 || !slices.Equal(changes[0].Partitions, []protocol.TopicPartition{alpha0}) {
		t.Fatalf("%+v", changes)
	}
	if err := s.DeleteNotices(t.Context(), claim, slices.Concat(events, changes)); err != nil {
		t.Fatal(err)
	}
	if left := ok[[]metastore.Notice](t)(s.LogDirEvents(t.Context(), nil)); len(left) > 0 {
		t.Fatalf("%+v", left)
	}
}

// TestMissingDirectory has somebody remove directories while they are empty: the watch hears of their return, and those that write there make them.
func TestMissingDirectory(t *testing.T) {
	tree := open(t, "").Connect()
	s := newStore(t, tree)
	w := metastore.NewWatcher()
	s.Subscribe(w)
	if errs, err := s.CreateTopics(t.Context(), []metastore.NewTopic{alpha()}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	for _, dir := range []string{metastore.PathDeleteTopics, metastore.PathLogDirEvents} {
		write(t, tree, metastore.Delete(dir, metastore.AnyVersion))
	}
	if names, err := s.TopicsMarkedForDeletion(t.Context(), w); err != nil || names != nil {
		t.Fatal(names, err)
	}
	if errs, err := s.MarkTopicsForDeletion(t.Context(), []string{"alpha"}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	if got := w.Take(); !slices.Equal(got, []metastore.Event{{Type: metastore.NodeCreated, Path: metastore.PathDeleteTopics}}) {
		t.Fatal(got)
	}
	if names, err := s.TopicsMarkedForDeletion(t.Context(), w); err != nil || !slices.Equal(names, []string{"alpha"}) {
		t.Fatal(names, err)
	}
	if err := s.AnnounceLogDirFailure(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
}

func TestConfigs(t *testing.T) {
	tree := open(t, "").Connect()
	s := newStore(t, tree)
	settings := map[string]string{"a": "1"}
	if err := s.SetConfig(t.Context(), metastore.BrokerEntity(1), settings); !errors.Is(err, metastore.ErrControllerMoved) {
		t.Fatalf("without a controller: %v", err)
	}
	ok[metastore.Claim](t)(s.ClaimController(t.Context(), 1))
	w := metastore.NewWatcher()
	if changes, err := s.ConfigChanges(t.Context(), -1, w); err != nil || len(changes) > 0 {
		t.Fatal(changes, err)
	}
	entities := []metastore.Entity{metastore.BrokerEntity(1), metastore.DefaultBrokers, "users/alice/clients/app1"}
	for _, e := range entities {
		if err := s.SetConfig(t.Context(), e, settings); err != nil {
			t.Fatal(err)
		}
		if got := ok[map[string]string](t)(s.Config(t.Context(), e)); !reflect.DeepEqual(got, settings) {
			t.Fatalf("%s: %v", e, got)
		}
	}
	if len(w.Take()) != 1 {
		t.Fatal("the change was not announced")
	}
	changes := ok[[]metastore.ConfigChange](t)(s.ConfigChanges(t.Context(), 0, nil))
	if len(changes) != 2 || changes[0] != (metastore.ConfigChange{Sequence: 1, Entity: entities[1]}) || changes[1].Entity != entities[2] {
		t.Fatalf("%+v", changes)
	}
	if names, err := s.ConfigEntities(t.Context(), "users/alice/clients"); err != nil || !slices.Equal(names, []string{"app1"}) {
		t.Fatal(names, err)
	}
	for _, e := range entities {
		if err := s.SetConfig(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{"/config/brokers/1": nil, "/config/users/alice": metastore.ErrNoNode, "/config/users": nil} {
		if r := get(t, tree, path); !errors.Is(r.Err, want) {
			t.Errorf("%s after its last setting went: %v", path, r.Err)
		}
	}
}

func TestConsumerOffsets(t *testing.T) {
	s := newStore(t, open(t, "").Connect())
	if _, err := s.ConsumerOffset(t.Context(), "g", "t", 3); !errors.Is(err, metastore.ErrNoNode) {
		t.Fatal(err)
	}
	for _, want := range []int64{5, 7} {
		if err := s.SetConsumerOffset(t.Context(), "g", "t", 3, want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ConsumerOffset(t.Context(), "g", "t", 3); err != nil || got != want {
			t.Fatal(got, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	tree := open(t, "").Connect()
	s := newStore(t, tree)
	for range 2 {
		if err := s.EnsureFeatures(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r := get(t, tree, metastore.PathFeature); string(r.Data) != `{"features":{},"version":2,"status":1}` || r.Stat.Version != 0 {
		t.Fatalf("%s, version %d", r.Data, r.Stat.Version)
	}
	write(t, tree, metastore.Set(metastore.PathFeature, []byte(`{"features":{},"version":1,"status":0}`), -1))
	if err := s.EnsureFeatures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := get(t, tree, metastore.PathFeature); string(r.Data) != `{"features":{},"version":2,"status":1}` {
		t.Fatalf("%s", r.Data)
	}
}

// BenchmarkCreatePartitions writes what the creation of one topic with ten thousand partitions writes.
func BenchmarkCreatePartitions(b *testing.B) {
	const partitions = 10_000
	s := metastore.New(open(b, b.TempDir()+"/store").Connect())
	if err := s.CreatePersistentPaths(b.Context()); err != nil {
		b.Fatal(err)
	}
	claim, err := s.ClaimController(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		topic := metastore.NewTopic{Topic: metastore.Topic{Name: fmt.Sprint("t", i), Partitions: map[int32]cluster.Assignment{}}}
		var states []metastore.PartitionState
		for p := range int32(partitions) {
			topic.Topic.Partitions[p] = cluster.Assignment{Replicas: []cluster.BrokerID{1}}
			states = append(states, metastore.PartitionState{TopicPartition: protocol.TopicPartition{Topic: topic.Topic.Name, Partition: p}, LeaderAndISR: cluster.LeaderAndISR{Leader: 1, ISR: []cluster.BrokerID{1}}})
		}
		if _, err := s.CreateTopics(b.Context(), []metastore.NewTopic{topic}); err != nil {
			b.Fatal(err)
		}
		if _, err := s.CreatePartitionStates(b.Context(), claim, states); err != nil {
			b.Fatal(err)
		}
	}
}
