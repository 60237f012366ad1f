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
	Partitions []int32          // those that were found; others are not made up
}

// Adopt makes topics known whose logs this broker found on its disk while the store is new: the directories were written by an Apache
// broker, or the embedded store's file was lost. Without this the data would lie there unseen. The settings of the topics are lost, except
// those that the brokers' own topics always have. A topic that is known stays as it is, so that an adoption that was cut off can be repeated.
func (a *Admin) Adopt(ctx context.Context, found []FoundTopic) error {
	self := cluster.Assignment{Replicas: []cluster.BrokerID{cluster.BrokerID(a.Config.ID())}}
	topics := make([]metastore.NewTopic, len(found))
	for i, f := range found {
		if f.ID.IsZero() {
			f.ID = protocol.NewTopicID()
		}
		t := &topics[i]
		t.Config = settingsMap(autoTopic(f.Name, a.Config.Current()).Settings)
		t.Topic = metastore.Topic{Name: f.Name, ID: f.ID, Partitions: map[int32]cluster.Assignment{}}
		for _, p := range f.Partitions {
			t.Topic.Partitions[p] = self
		}
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

func settingsMap(settings []Setting) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		m[s.Name] = *s.Value
	}
	return m
}
