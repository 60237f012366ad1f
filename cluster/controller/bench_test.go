package controller

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// sink is a broker that says yes, and counts the partitions that it was given to lead or follow and those that it deleted.
type sink struct{ told chan int }

func (s sink) LeaderAndISR(_ context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	s.told <- len(r.States)
	return &cluster.LeaderAndISRResponse{}, nil
}

func (s sink) UpdateMetadata(context.Context, *cluster.UpdateMetadataRequest) error { return nil }

func (s sink) StopReplica(_ context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	deleted := 0
	for _, p := range r.Partitions {
		if p.Delete {
			deleted++
		}
	}
	s.told <- deleted
	return &cluster.StopReplicaResponse{}, nil
}

func (s sink) Close() error { return nil }

// await takes what the sink was told until it was told of n partitions.
func (s sink) await(n int) {
	for n > 0 {
		n -= <-s.told
	}
}

// soloist is a controller alone with a sink, over a tree in a file.
type soloist struct {
	sink
	store *metastore.Store
	c     *Controller
}

func newSoloist(b *testing.B) *soloist {
	tree, err := metastore.OpenEmbedded(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tree.Close() })
	s := &soloist{sink: sink{make(chan int, 1000)}, store: metastore.New(tree.Connect())}
	if err := s.store.CreatePersistentPaths(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := s.store.NewRegistration(cluster.Broker{ID: 1}).Register(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.start()
	b.Cleanup(func() { s.c.Stop() })
	return s
}

func (s *soloist) start() {
	s.c = New(Options{ID: 1, Store: s.store, Dial: func(cluster.Broker) Peer { return s.sink }, Config: DefaultConfig(), Logger: zerolog.Nop()})
	s.c.Start()
}

func newTopic(name string, partitions int) metastore.NewTopic {
	t := metastore.NewTopic{Topic: metastore.Topic{Name: name, ID: protocol.NewTopicID(), Partitions: map[int32]cluster.Assignment{}}}
	for p := range int32(partitions) {
		t.Topic.Partitions[p] = cluster.Assignment{Replicas: []cluster.BrokerID{1}}
	}
	return t
}

func (s *soloist) create(b *testing.B, topics ...metastore.NewTopic) {
	if _, err := s.store.CreateTopics(b.Context(), topics); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScale measures, once each, what a small cluster feels of ten thousand partitions; run it with -benchtime=1x.
func BenchmarkScale(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		s := newSoloist(b)
		measure := func(name string, f func()) {
			begin := time.Now()
			f()
			b.ReportMetric(time.Since(begin).Seconds()*1000, name+"-ms")
		}
		measure("one-topic", func() { s.create(b, newTopic("wide", n)); s.await(n) })
		measure("many-topics", func() {
			var topics []metastore.NewTopic
			for i := range n {
				topics = append(topics, newTopic(fmt.Sprint("batch", i), 1))
			}
			s.create(b, topics...)
			s.await(n)
		})
		measure("one-by-one-1000", func() {
			for i := range n / 10 {
				s.create(b, newTopic(fmt.Sprint("single", i), 1))
				s.await(1)
			}
		})
		measure("failover", func() { s.c.Stop(); s.start(); s.await(2*n + n/10) })
		measure("delete-wide", func() {
			if err := s.store.MarkTopicForDeletion(b.Context(), "wide"); err != nil {
				b.Fatal(err)
			}
			s.await(n)
			for there := true; there; {
				there, _ = s.store.TopicExists(b.Context(), "wide")
			}
		})
	}
}
