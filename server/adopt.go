package server

import (
	"context"

	"gokafka/cluster/admin"
)

// adopt tells a store that knows no topics of those whose logs lie in the directories.
func (b *Broker) adopt(ctx context.Context) error {
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
		f.Partitions = max(f.Partitions, tp.Partition+1)
		if f.ID.IsZero() {
			f.ID = l.TopicID()
		}
	}
	n, err := b.admin.Adopt(ctx, found)
	if err == nil && n > 0 {
		b.logger.Info().Int("topics", n).Msg("made topics known that were found in the log directories; settings of their own are not kept there")
	}
	return err
}
