package admin

import (
	"context"
	"errors"
	"fmt"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// FoundTopic is a topic whose logs were found on a broker's disk.
type FoundTopic struct {
	Name       string
	ID         protocol.TopicID // zero: its files do not say
	Compacted  bool             // a cleaner came to one of its logs
	Partitions []FoundPartition // those that were found; others are not made up
}

// FoundPartition is a partition whose log was found.
type FoundPartition struct {
	ID          int32
	LeaderEpoch cluster.LeaderEpoch // of its last record; below 0: none
}

// Adopt makes topics known whose logs this broker found on its disk while the store is new: the directories were written by an Apache
// broker, or the embedded store's file was lost. Without this the data would lie there unseen. Leader epochs go on from those of the
// records, which consumers compare with what they have committed. A topic that is known stays as it is, so that an adoption that was cut
// off can be repeated.
//
// The settings of the topics are lost, and with them how long records are to be kept. So they are kept, until somebody says otherwise:
// what is deleted by a default that was never meant for a topic cannot be had back.
func (a *Admin) Adopt(ctx context.Context, found []FoundTopic) error {
	topics := make([]metastore.NewTopic, len(found))
	for i := range found {
		topics[i] = a.adopted(&found[i])
	}
	results, err := a.Store.CreateTopics(ctx, topics)
	for _, r := range results {
		if !errors.Is(r, metastore.ErrNodeExists) {
			err = errors.Join(err, r)
		}
	}
	if err != nil {
		return fmt.Errorf("adopt topics found on disk: %w", err)
	}
	return nil
}

func (a *Admin) adopted(f *FoundTopic) metastore.NewTopic {
	self := []cluster.BrokerID{cluster.BrokerID(a.Config.ID())}
	t := metastore.NewTopic{
		Topic:  metastore.Topic{Name: f.Name, ID: f.ID, Partitions: map[int32]cluster.Assignment{}},
		Config: settingsMap(autoTopic(f.Name, a.Config.Current()).Settings),
	}
	if f.ID.IsZero() {
		t.Topic.ID = protocol.NewTopicID()
	}
	switch {
	case len(t.Config) > 0: // one of the brokers' own, of which all is known
	case f.Compacted:
		t.Config["cleanup.policy"] = "compact"
	default:
		t.Config["retention.ms"], t.Config["retention.bytes"] = "-1", "-1"
	}
	for _, p := range f.Partitions {
		t.Topic.Partitions[p.ID] = cluster.Assignment{Replicas: self}
		if p.LeaderEpoch >= 0 {
			t.States = append(t.States, metastore.PartitionState{
				TopicPartition: protocol.TopicPartition{Topic: f.Name, Partition: p.ID},
				LeaderAndISR:   cluster.LeaderAndISR{Leader: cluster.NoLeader, LeaderEpoch: p.LeaderEpoch, ISR: self},
			})
		}
	}
	return t
}

func settingsMap(settings []Setting) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		m[s.Name] = *s.Value
	}
	return m
}
