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
	Partitions int32            // one more than the highest that was found
}

// Adopt makes topics known whose logs this broker found on its disk while the store knows of no topic at all: the directories
// were written by an Apache broker, or the embedded store's file was lost. Without this the data would lie there unseen. The settings
// of the topics are lost, except those that the brokers' own topics always have. It reports how many topics it made known: none when the
// store knows of any, since that is then right about what was deleted.
func (a *Admin) Adopt(ctx context.Context, found []FoundTopic) (int, error) {
	known, err := a.Store.Topics(ctx, nil)
	if err != nil || len(known) > 0 || len(found) == 0 {
		return 0, err
	}
	self := cluster.Assignment{Replicas: []cluster.BrokerID{cluster.BrokerID(a.Config.ID())}}
	topics := make([]metastore.NewTopic, len(found))
	for i, f := range found {
		if f.ID.IsZero() {
			f.ID = protocol.NewTopicID()
		}
		t := &topics[i]
		t.Config = settingsMap(autoTopic(f.Name, a.Config.Current()).Settings)
		t.Topic = metastore.Topic{Name: f.Name, ID: f.ID, Partitions: map[int32]cluster.Assignment{}}
		for p := range f.Partitions {
			t.Topic.Partitions[p] = self
		}
	}
	results, err := a.Store.CreateTopics(ctx, topics)
	if err = errors.Join(append(results, err)...); err != nil {
		return 0, fmt.Errorf("adopt topics found on disk: %w", err)
	}
	return len(topics), nil
}

func settingsMap(settings []Setting) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		m[s.Name] = *s.Value
	}
	return m
}
