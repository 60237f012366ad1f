//go:build zookeeper

package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/metastore/zktest"
	"gokafka/protocol"
)

// member is one broker of a cluster over a real ZooKeeper: a candidate behind a proxy, and what it was told.
type member struct {
	id         cluster.BrokerID
	proxy      *zktest.Proxy
	store      *metastore.Store
	registered *metastore.Registration
	controller *Controller

	mu     sync.Mutex
	image  *cluster.Metadata
	epochs []cluster.ControllerEpoch // of the controllers that it heard
}

type told struct{ *member }

func (m told) LeaderAndISR(_ context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	return &cluster.LeaderAndISRResponse{}, nil
}

func (m told) UpdateMetadata(_ context.Context, r *cluster.UpdateMetadataRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.image, _ = m.image.With(r)
	m.epochs = append(m.epochs, r.ControllerEpoch)
	return nil
}

func (m told) StopReplica(context.Context, *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	return &cluster.StopReplicaResponse{}, nil
}

func (m told) Close() error { return nil }

func join(t *testing.T, server *zktest.Server, members map[cluster.BrokerID]*member, id cluster.BrokerID) {
	t.Helper()
	m := members[id]
	m.proxy = zktest.NewProxy(t, server.Address)
	z, err := metastore.ConnectZooKeeper(t.Context(), metastore.ZooKeeperOptions{Connect: m.proxy.Address + "/cluster", SessionTimeout: 2 * time.Second,
		ConnectionTimeout: 10 * time.Second, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close() })
	m.store = metastore.New(z)
	if err := m.store.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.registered = m.store.NewRegistration(cluster.Broker{ID: id})
	if _, err := m.registered.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.controller = New(Options{ID: id, Store: m.store, Registration: m.registered, Config: DefaultConfig(), Logger: zerolog.Nop(),
		Dial: func(b cluster.Broker) Peer { return told{members[b.ID]} }})
	m.controller.Start()
	t.Cleanup(m.controller.Stop)
}

// eventually waits for a condition that depends on ZooKeeper's own clock.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sees reports whether every one of the brokers was told of a leader among those given.
func sees(members map[cluster.BrokerID]*member, tp protocol.TopicPartition, ids, leaders []cluster.BrokerID) bool {
	for _, id := range ids {
		m := members[id]
		m.mu.Lock()
		s := m.image.Partition(tp)
		m.mu.Unlock()
		if s == nil || !slices.Contains(leaders, s.Leader) {
			return false
		}
	}
	return true
}

// TestFailoverOverZooKeeper cuts the controller off from ZooKeeper and lets it return (cases 32, 35, 36): another takes over with the next
// epoch and moves the leaders; the first resigns, registers anew, and does no harm.
func TestFailoverOverZooKeeper(t *testing.T) {
	server := zktest.Start(t)
	members := map[cluster.BrokerID]*member{}
	all := []cluster.BrokerID{1, 2, 3}
	for _, id := range all {
		members[id] = &member{id: id, image: cluster.NewMetadata("c")}
	}
	for _, id := range all {
		join(t, server, members, id)
	}
	tp := protocol.TopicPartition{Topic: "alpha"}
	topic := metastore.Topic{Name: "alpha", ID: protocol.NewTopicID(), Partitions: map[int32]cluster.Assignment{0: {Replicas: all}}}
	for round := range 3 {
		var active cluster.BrokerID
		eventually(t, "one controller", func() bool {
			active = members[1].controller.ActiveID()
			return active > 0 && members[2].controller.ActiveID() == active && members[3].controller.ActiveID() == active && members[active].controller.IsActive()
		})
		if round == 0 {
			if errs, err := members[active].store.CreateTopics(t.Context(), []metastore.NewTopic{{Topic: topic}}); err != nil || errs[0] != nil {
				t.Fatal(errs, err)
			}
		}
		eventually(t, "a leader", func() bool { return sees(members, tp, all, all) })
		before := members[active].registered.Epoch()
		rest := slices.DeleteFunc(slices.Clone(all), func(id cluster.BrokerID) bool { return id == active })
		members[active].proxy.Cut()
		eventually(t, "the others take over", func() bool {
			return (members[rest[0]].controller.IsActive() || members[rest[1]].controller.IsActive()) && sees(members, tp, rest, rest)
		})
		members[active].proxy.Heal()
		eventually(t, "the first returns", func() bool {
			return members[active].registered.Epoch() > before && !members[active].controller.IsActive()
		})
		for _, id := range rest {
			members[id].mu.Lock()
			if !slices.IsSorted(members[id].epochs) {
				t.Errorf("broker %d heard controllers of epochs %v", id, members[id].epochs)
			}
			members[id].mu.Unlock()
		}
		catchUpISR(t, members, tp)
	}
}

// catchUpISR has the leader take everybody into the ISR again.
func catchUpISR(t *testing.T, members map[cluster.BrokerID]*member, tp protocol.TopicPartition) {
	t.Helper()
	eventually(t, "everybody in sync", func() bool {
		states, err := members[1].store.PartitionStates(t.Context(), []protocol.TopicPartition{tp})
		if err != nil || states[0].Err != nil || states[0].State.Leader < 0 {
			return false
		}
		now := states[0].State
		if len(now.ISR) == len(members) {
			return true
		}
		active := members[members[1].controller.ActiveID()]
		if active == nil {
			return false
		}
		resp, err := active.controller.AlterPartition(t.Context(), &cluster.AlterPartitionRequest{BrokerID: now.Leader, BrokerEpoch: members[now.Leader].registered.Epoch(),
			Partitions: []cluster.AlterPartition{{TopicPartition: tp, LeaderEpoch: now.LeaderEpoch, PartitionEpoch: now.PartitionEpoch,
				NewISR: append(slices.Clone(now.ISR), without([]cluster.BrokerID{1, 2, 3}, now.ISR...)...)}}})
		if err != nil {
			t.Fatal(fmt.Errorf("alter partition: %w", err))
		}
		return resp.Err == nil && resp.Partitions[tp].Err == nil
	})
}
