package cluster

import (
	"fmt"
	"testing"

	"gokafka/protocol"
)

func state(topic string, p int32, id protocol.TopicID, leader BrokerID) PartitionState {
	return PartitionState{
		TopicPartition: protocol.TopicPartition{Topic: topic, Partition: p},
		TopicID:        id,
		LeaderAndISR:   LeaderAndISR{Leader: leader},
	}
}

func update(m *Metadata, states ...PartitionState) (*Metadata, []protocol.TopicPartition) {
	return m.With(&UpdateMetadataRequest{ControllerID: 7, LiveBrokers: []Broker{{ID: 7}, {ID: 3}}, States: states})
}

func TestMetadataIsReplacedNotChanged(t *testing.T) {
	id := protocol.NewTopicID()
	m0 := NewMetadata("c")
	m1, _ := update(m0, state("a", 0, id, 7), state("a", 1, id, 3))
	m2, _ := update(m1, state("a", 1, id, 7))

	if m0.Topic("a") != nil || m0.ControllerID != -1 {
		t.Error("the first image changed")
	}
	if got := m1.Partition(protocol.TopicPartition{Topic: "a", Partition: 1}).Leader; got != 3 {
		t.Errorf("the second image changed: leader %d, want 3", got)
	}
	if got := m2.TopicByID(id).Partitions[1].Leader; got != 7 {
		t.Errorf("leader by id %d, want 7", got)
	}
	if got := len(m2.Topic("a").Partitions); got != 2 {
		t.Errorf("%d partitions, want both", got)
	}
	if b := m2.Brokers(); len(b) != 2 || b[0].ID != 3 {
		t.Errorf("brokers %v, want 3 and 7 in order", b)
	}
}

func TestMetadataForgetsDeletedTopics(t *testing.T) {
	id := protocol.NewTopicID()
	m, _ := update(NewMetadata("c"), state("a", 0, id, 7), state("a", 1, id, 7))
	m, removed := update(m, state("a", 0, id, LeaderDuringDelete))
	if len(removed) != 1 || len(m.Topic("a").Partitions) != 1 {
		t.Fatalf("removed %v, left %v", removed, m.Topic("a"))
	}
	m, removed = update(m, state("a", 1, id, LeaderDuringDelete), state("b", 0, id, LeaderDuringDelete))
	if len(removed) != 1 || m.Topic("a") != nil || m.TopicByID(id) != nil {
		t.Errorf("removed %v; topic %v, by id %v: want it gone", removed, m.Topic("a"), m.TopicByID(id))
	}
}

func TestMetadataOfATopicMadeAgain(t *testing.T) {
	older, newer := protocol.NewTopicID(), protocol.NewTopicID()
	m, _ := update(NewMetadata("c"), state("a", 0, older, 7), state("a", 1, older, 7))
	m, _ = update(m, state("a", 0, newer, 3))
	if len(m.Topic("a").Partitions) != 1 || m.TopicByID(older) != nil || m.TopicByID(newer) == nil {
		t.Errorf("the old topic is still seen: %+v", m.Topic("a"))
	}
}

func TestMetadataLearnsAnIDLater(t *testing.T) {
	id := protocol.NewTopicID()
	m, _ := update(NewMetadata("c"), state("a", 0, protocol.TopicID{}, 7), state("a", 1, protocol.TopicID{}, 7))
	m, _ = update(m, state("a", 0, id, 7))
	if len(m.Topic("a").Partitions) != 2 || m.TopicByID(id) == nil {
		t.Errorf("topic %+v, want both partitions under the id", m.Topic("a"))
	}
}

func BenchmarkMetadataOneMoreTopic(b *testing.B) {
	m := NewMetadata("c")
	for i := range 10_000 {
		m, _ = update(m, state(fmt.Sprint("topic-", i), 0, protocol.NewTopicID(), 7))
	}
	b.ReportAllocs()
	for b.Loop() {
		update(m, state("one-more", 0, protocol.NewTopicID(), 7))
	}
}
