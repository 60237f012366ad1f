package server

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

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
