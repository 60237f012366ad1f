package handlers

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/protocol"
)

// fixedImage is an image that does not change.
type fixedImage struct{ m *cluster.Metadata }

func (f fixedImage) Metadata() *cluster.Metadata { return f.m }

// AwaitMetadata has nothing to wait for.
func (f fixedImage) AwaitMetadata(context.Context, func(*cluster.Metadata) bool) error { return nil }

// bigImage has topics with partitions, on three brokers.
func bigImage(topics, partitions int) fixedImage {
	r := &cluster.UpdateMetadataRequest{ControllerID: 1}
	for id := range cluster.BrokerID(3) {
		r.LiveBrokers = append(r.LiveBrokers, cluster.Broker{ID: id + 1, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}})
	}
	ids := []cluster.BrokerID{1, 2, 3}
	for t := range topics {
		id := protocol.NewTopicID()
		for p := range int32(partitions) {
			r.States = append(r.States, cluster.PartitionState{
				TopicPartition: protocol.TopicPartition{Topic: fmt.Sprintf("topic-%d", t), Partition: p}, TopicID: id,
				LeaderAndISR: cluster.LeaderAndISR{Leader: ids[p%3], ISR: ids}, Assignment: cluster.Assignment{Replicas: ids},
			})
		}
	}
	m, _ := cluster.NewMetadata("c").With(r)
	return fixedImage{m}
}

func BenchmarkMetadata(b *testing.B) {
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ topics, partitions int }{{1, 1}, {1, 10_000}, {10_000, 1}} {
		b.Run(fmt.Sprintf("%dx%d", c.topics, c.partitions), func(b *testing.B) {
			api := metadata(cfg, bigImage(c.topics, c.partitions), nil)
			req := kmsg.NewPtrMetadataRequest()
			req.Version = 12
			buf := make([]byte, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				a, _, err := api.Begin(context.Background(), &Call{Listener: "PLAINTEXT"}, req)
				if err != nil {
					b.Fatal(err)
				}
				buf = a.Response.AppendTo(buf[:0])
			}
		})
	}
}
