//go:build zookeeper

package zktest_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/metastore/treetest"
	"gokafka/cluster/metastore/zktest"
	"gokafka/protocol"
)

func connect(t *testing.T, address string) *metastore.ZooKeeper {
	t.Helper()
	z, err := metastore.ConnectZooKeeper(t.Context(), metastore.ZooKeeperOptions{Connect: address, SessionTimeout: 2 * time.Second,
		ConnectionTimeout: 10 * time.Second, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close() })
	return z
}

// TestConformance plays the script that the embedded tree passes, each part below a chroot of its own.
func TestConformance(t *testing.T) {
	server := zktest.Start(t)
	var chroots atomic.Int32
	treetest.Run(t, func(t *testing.T) treetest.Connect {
		address := fmt.Sprintf("%s/tests/part%d", server.Address, chroots.Add(1))
		return func(t *testing.T) metastore.Tree { return connect(t, address) }
	})
}

func await(t *testing.T, w *metastore.Watcher, want metastore.EventType) {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case <-w.Ready():
		case <-deadline:
			t.Fatalf("%s did not come", want)
		}
		for _, e := range w.Take() {
			if e.Type == want {
				return
			}
		}
	}
}

// TestRestart breaks the connection: what is asked meanwhile waits, watches stay armed, ephemeral nodes stay.
func TestRestart(t *testing.T) {
	server := zktest.Start(t)
	z := connect(t, server.Address)
	s := metastore.New(z)
	if err := s.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	session, w := z.Session(), metastore.NewWatcher()
	s.Subscribe(w)
	epoch, err := s.RegisterBroker(t.Context(), cluster.Broker{ID: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Topics(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	created := make(chan error)
	go func() {
		await(t, w, metastore.SessionDisconnected)
		_, err := s.CreateTopics(t.Context(), []metastore.NewTopic{{Topic: metastore.Topic{Name: "alpha"}}})
		created <- err
	}()
	server.Restart(t)
	if err := <-created; err != nil {
		t.Fatal(err)
	}
	await(t, w, metastore.NodeChildrenChanged)
	b, err := s.Broker(t.Context(), 1, nil)
	if err != nil || b.Epoch != epoch || z.Session() != session {
		t.Fatalf("broker %+v, %v; session %x, was %x", b, err, z.Session(), session)
	}
}

// TestExpiry cuts one client off for longer than its session lives: it hears of the end, and registers anew.
func TestExpiry(t *testing.T) {
	server := zktest.Start(t)
	proxy := zktest.NewProxy(t, server.Address)
	z := connect(t, proxy.Address)
	s := metastore.New(z)
	if err := s.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := metastore.NewWatcher()
	s.Subscribe(w)
	registration := s.NewRegistration(cluster.Broker{ID: 1})
	first, err := registration.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := metastore.New(connect(t, server.Address))
	gone := metastore.NewWatcher()
	if _, err := other.BrokerIDs(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	await(t, gone, metastore.NodeChildrenChanged) // the server gave the session up
	proxy.Heal()
	await(t, w, metastore.SessionExpired)
	await(t, w, metastore.SessionConnected)
	second, err := registration.Register(t.Context())
	if err != nil || second <= first {
		t.Fatalf("epoch %d after %d, %v", second, first, err)
	}
}

// TestElectionRace is case 29 over real sessions: of those that claim at once one wins, and no epoch comes twice.
func TestElectionRace(t *testing.T) {
	const brokers, rounds = 3, 50
	server := zktest.Start(t)
	stores := make([]*metastore.Store, brokers)
	for i := range stores {
		stores[i] = metastore.New(connect(t, server.Address))
	}
	for round := range rounds {
		claims := make(chan metastore.Claim, brokers)
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				claim, err := s.ClaimController(t.Context(), cluster.BrokerID(i))
				if err == nil {
					claims <- claim
				} else if !errors.Is(err, metastore.ErrNotElected) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(claims)
		won := <-claims
		if second, more := <-claims; more || won.Epoch != cluster.ControllerEpoch(round+1) {
			t.Fatalf("round %d: %+v and %+v", round, won, second)
		}
		if err := stores[won.ID].ReleaseController(t.Context(), won); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTenThousandPartitions writes and reads what a large topic needs, and deletes it.
func TestTenThousandPartitions(t *testing.T) {
	const partitions = 10_000
	server := zktest.Start(t)
	s := metastore.New(connect(t, server.Address))
	if err := s.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	claim, err := s.ClaimController(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	topic := metastore.Topic{Name: "wide", ID: protocol.NewTopicID(), Partitions: map[int32]cluster.Assignment{}}
	var states []metastore.PartitionState
	var tps []protocol.TopicPartition
	for p := range int32(partitions) {
		topic.Partitions[p] = cluster.Assignment{Replicas: []cluster.BrokerID{1, 2, 3}}
		tps = append(tps, protocol.TopicPartition{Topic: "wide", Partition: p})
		states = append(states, metastore.PartitionState{TopicPartition: tps[p], LeaderAndISR: cluster.LeaderAndISR{Leader: 1, ISR: []cluster.BrokerID{1, 2, 3}}})
	}
	begin := time.Now()
	if errs, err := s.CreateTopics(t.Context(), []metastore.NewTopic{{Topic: topic}}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	results, err := s.CreatePartitionStates(t.Context(), claim, states)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("created in %s", time.Since(begin))
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("partition %d: %v", i, r.Err)
		}
	}
	begin = time.Now()
	read, err := s.PartitionStates(t.Context(), tps)
	if err != nil || read[partitions-1].Err != nil {
		t.Fatal(err, read[partitions-1])
	}
	t.Logf("read in %s", time.Since(begin))
	begin = time.Now()
	if err := s.DeleteTopics(t.Context(), claim, []string{"wide"}); err != nil {
		t.Fatal(err)
	}
	t.Logf("deleted in %s", time.Since(begin))
	if there, err := s.TopicExists(t.Context(), "wide"); err != nil || there {
		t.Fatal(there, err)
	}
}

// TestConnectRefused has nobody listen.
func TestConnectRefused(t *testing.T) {
	_, err := metastore.ConnectZooKeeper(t.Context(), metastore.ZooKeeperOptions{Connect: "127.0.0.1:1", ConnectionTimeout: time.Second, Logger: zerolog.Nop()})
	if err == nil {
		t.Fatal("connected to nothing")
	}
	if _, err := metastore.ConnectZooKeeper(t.Context(), metastore.ZooKeeperOptions{Connect: "h:1/a//b"}); err == nil || errors.Is(err, metastore.ErrClosed) {
		t.Fatalf("malformed connect string: %v", err)
	}
}

// TestACL has nodes belong to a user; others may read, but not settings of users.
func TestACL(t *testing.T) {
	server := zktest.StartWithUser(t, "kafka", "secret")
	login := &metastore.Credentials{User: "kafka", Password: "secret"}
	// One of the hosts is not there, and the chroot is to be made.
	owner, err := metastore.ConnectZooKeeper(t.Context(), metastore.ZooKeeperOptions{Connect: "127.0.0.1:1," + server.Address + "/sec/deep",
		Credentials: login, SetACL: true, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	s := metastore.New(owner)
	if err := s.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClaimController(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.SetConfig(t.Context(), "users/alice", map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	checkACLs(t, server.Address, "/sec/deep", map[string]string{
		"": "31 sasl:kafka, 1 world:anyone", "/controller": "31 sasl:kafka, 1 world:anyone", "/brokers/topics": "31 sasl:kafka, 1 world:anyone",
		"/config/topics": "31 sasl:kafka, 1 world:anyone", "/config/users": "", "/config/users/alice": "", "/config/brokers": "", "/consumers": "31 world:anyone",
	})
	anyone := metastore.New(connect(t, server.Address+"/sec/deep"))
	if id, ok, err := anyone.Controller(t.Context(), nil); err != nil || !ok || id != 1 {
		t.Fatalf("controller %d, %v, %v", id, ok, err)
	}
	if _, err := anyone.Config(t.Context(), "users/alice"); err == nil {
		t.Fatal("anyone may read a user's settings")
	}
	if err := anyone.MarkTopicForDeletion(t.Context(), "alpha"); err == nil {
		t.Fatal("anyone may delete topics")
	}
}

// checkACLs compares who may do what, written as perms scheme:id; empty: not even that may be read by anyone.
func checkACLs(t *testing.T, address, chroot string, want map[string]string) {
	t.Helper()
	conn, _, err := zk.Connect([]string{address}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for path, acl := range want {
		entries, _, err := conn.GetACL(chroot + path)
		if err != nil && (acl != "" || !errors.Is(err, zk.ErrNoAuth)) {
			t.Fatalf("%s: %v", path, err)
		}
		var words []string
		for _, e := range entries {
			words = append(words, fmt.Sprintf("%d %s:%s", e.Perms, e.Scheme, e.ID))
		}
		if got := strings.Join(words, ", "); got != acl {
			t.Errorf("%s has %q, Apache's has %q", path, got, acl)
		}
	}
}

// Case 119: a wrong password is an error at the start, a lost connection logs in again.
func TestLogin(t *testing.T) {
	server := zktest.StartWithUser(t, "kafka", "secret")
	options := metastore.ZooKeeperOptions{Connect: server.Address, Credentials: &metastore.Credentials{User: "kafka", Password: "guessed"}, Logger: zerolog.Nop()}
	if _, err := metastore.ConnectZooKeeper(t.Context(), options); !errors.Is(err, metastore.ErrAuthFailed) {
		t.Fatalf("a wrong password: %v", err)
	}
	options.Credentials.Password, options.SetACL = "secret", true
	z, err := metastore.ConnectZooKeeper(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	write := func(path string) {
		t.Helper()
		results, err := z.Write(t.Context(), []metastore.Txn{{metastore.Create(path, nil, metastore.Persistent)}})
		if err != nil || results[0].Err != nil {
			t.Fatal(path, err, results)
		}
	}
	write("/owned")
	server.Restart(t)
	write("/owned/again")
}
