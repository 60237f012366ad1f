package server

import (
	"context"
	"fmt"

	"gokafka/cluster/admin"
)

// adopt tells a new store of the topics whose logs lie in the directories, and then gives it the cluster's id, by which it is not new any
// more. A store that is not new is right about its topics: what it does not list was deleted.
func (b *Broker) adopt(ctx context.Context, clusterID string) error {
	var found []admin.FoundTopic
	index := map[string]int{}
	for _, l := range b.logs.Logs() {
		tp := l.TopicPartition()
		i, ok := index[tp.Topic]
		if !ok {
			i = len(found)
			index[tp.Topic] = i
			found = append(found, admin.FoundTopic{Name: tp.Topic})
		}
		f := &found[i]
		f.Partitions = append(f.Partitions, tp.Partition)
		if f.ID.IsZero() {
			f.ID = l.TopicID()
		}
	}
	if len(found) > 0 {
		if err := b.admin.Adopt(ctx, found); err != nil {
			return err
		}
		b.logger.Info().Int("topics", len(found)).Msg("made topics known that were found in the log directories; settings of their own are not kept there")
	}
	if _, err := b.store.EnsureClusterID(ctx, clusterID); err != nil {
		return fmt.Errorf("store the cluster's id: %w", err)
	}
	return nil
}
