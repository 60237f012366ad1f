package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
)

// away is a ZooKeeper that is out of reach.
type away struct{ metastore.Tree }

func (away) Read(ctx context.Context, _ []metastore.Read) ([]metastore.ReadResult, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While ZooKeeper is away the settings of a new log are waited for, with the connection that LeaderAndIsr came in. A broker that stops waits
// for that connection.
func TestShutdownWhileZooKeeperIsAway(t *testing.T) {
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	store := metastore.New(away{tree.Connect()})
	c, err := config.Load(config.Sources{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBroker(c, zerolog.Nop())
	b.admin = admin.New(admin.Options{Config: c, Store: store, Logger: zerolog.Nop()})
	b.applier = admin.NewApplier(admin.ApplierOptions{Admin: b.admin, Logger: zerolog.Nop()})
	b.controller = controller.New(controller.Options{ID: 1, Store: store, Logger: zerolog.Nop()})
	if err := b.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		b.topicConfig("t")
		close(done)
	}()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the settings are still waited for")
	}
}

// expiring is a ZooKeeper whose next calls fail, as those do under which a session expires.
type expiring struct {
	metastore.Tree
	left int
}

func (e *expiring) fails() bool {
	e.left--
	return e.left >= 0
}

func (e *expiring) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	if e.fails() {
		return nil, metastore.ErrSessionExpired
	}
	return e.Tree.Read(ctx, reads)
}

func (e *expiring) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if e.fails() {
		return nil, metastore.ErrSessionExpired
	}
	return e.Tree.Write(ctx, txns)
}

// newExpiring makes a broker over a store that is about to fail. The other store does not.
func newExpiring(t *testing.T, failures int) (b *Broker, other *metastore.Store) {
	t.Helper()
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	other = metastore.New(tree.Connect())
	if err := other.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c.SetID(1)
	b = NewBroker(c, zerolog.Nop())
	b.store = metastore.New(&expiring{tree.Connect(), failures})
	b.admin = admin.New(admin.Options{Config: c, Store: b.store, Logger: zerolog.Nop()})
	b.throttles = throttles(c.Current())
	return b, other
}

// The controller hears of a failed directory, however often the store fails before.
func TestFailedDirectoryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, other := newExpiring(t, 5)
		defer b.cancel()
		b.announceFailure()
		time.Sleep(time.Hour)
		notices, err := other.LogDirEvents(t.Context(), nil)
		if err != nil || len(notices) != 1 || notices[0].Broker != cluster.BrokerID(1) {
			t.Errorf("the controller is told %v, %v", notices, err)
		}
	})
}

// A broker that stops does not go on telling.
func TestFailedDirectoryIsNotToldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, other := newExpiring(t, 10)
		b.announceFailure()
		synctest.Wait()
		b.cancel() // that nothing is left is for synctest to say
		time.Sleep(time.Hour)
		if notices, err := other.LogDirEvents(t.Context(), nil); err != nil || len(notices) > 0 {
			t.Errorf("the controller is told %v, %v", notices, err)
		}
	})
}

// A log that is made while the store fails gets its topic's settings; one whose settings are wrong gets the broker's.
func TestTopicConfigWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, other := newExpiring(t, 5)
		defer b.cancel()
		if _, err := other.ClaimController(t.Context(), b.id()); err != nil { // who changes settings checks that there is a controller
			t.Fatal(err)
		}
		for topic, settings := range map[string]map[string]string{"kept": {"retention.ms": "-1"}, "wrong": {"retention.ms": "soon"}} {
			if err := other.SetConfig(t.Context(), metastore.TopicEntity(topic), settings); err != nil {
				t.Fatal(err)
			}
		}
		if c := b.topicConfig("kept"); c == nil || c.RetentionMs >= 0 {
			t.Errorf("settings %+v", c)
		}
		if c := b.topicConfig("wrong"); c != nil {
			t.Errorf("settings %+v", c)
		}
	})
}
