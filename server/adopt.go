package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/protocol"
)

// adopt tells a new store of the topics whose logs lie in the directories, and then gives it the cluster's id, by which it is not new any
// more. A store that is not new is right about its topics: what it does not list was deleted.
func (b *Broker) adopt(ctx context.Context, clusterID string) error {
	if found := b.foundTopics(); len(found) > 0 {
		if err := b.admin.Adopt(ctx, found); err != nil {
			return err
		}
		names := make([]string, len(found))
		for i, f := range found {
			names[i] = f.Name
		}
		values, err := b.admin.TopicValues(ctx, names)
		if err != nil {
			return fmt.Errorf("read settings of adopted topics: %w", err)
		}
		for i, v := range values { // the logs were loaded with the defaults, by which they might be cut
			b.logs.SetConfig(names[i], v.LogConfig())
		}
		b.logger.Info().Strs("topics", names).Msg("topics that were found in the log directories are known from now on; " +
			"their own settings are not kept there, so they keep all records until retention.ms and retention.bytes are set again")
	}
	if err := b.skipProducerIDs(ctx); err != nil {
		return err
	}
	if _, err := b.store.EnsureClusterID(ctx, clusterID); err != nil {
		return fmt.Errorf("store the cluster's id: %w", err)
	}
	return nil
}

func order(x, y protocol.TopicPartition) int {
	return cmp.Or(strings.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
}

// foundTopics lists the topics of all logs, in order, with what the logs tell of them.
func (b *Broker) foundTopics() []admin.FoundTopic {
	var found []admin.FoundTopic
	logs := b.logs.Logs()
	slices.SortFunc(logs, func(x, y *log.Log) int { return order(x.TopicPartition(), y.TopicPartition()) })
	for _, l := range logs {
		tp := l.TopicPartition()
		if n := len(found); n == 0 || found[n-1].Name != tp.Topic {
			found = append(found, admin.FoundTopic{Name: tp.Topic})
		}
		f := &found[len(found)-1]
		epoch, _ := l.EpochCache().Latest()
		f.Partitions = append(f.Partitions, admin.FoundPartition{ID: tp.Partition, LeaderEpoch: cluster.LeaderEpoch(epoch)})
		f.Compacted = f.Compacted || b.logs.Cleaned(l)
		if f.ID.IsZero() {
			f.ID = l.TopicID()
		}
	}
	return found
}

const (
	producerIDMargin    = 1_000_000 // for the ids that were given out and left no trace, or none any more
	producerIDBlockSize = 1000      // as producers get them, so that the blocks after this one begin at round numbers
	producerIDMax       = 1 << 62   // no broker gave out what is above; a client made it up
)

// skipProducerIDs makes the ids that the logs know, and some more, one block that was given out. A producer that got one of them again would have
// its first batches taken for repeated ones, and lose them, or be fenced by whoever has the id.
func (b *Broker) skipProducerIDs(ctx context.Context) error {
	logs := b.logs.Logs()
	if len(logs) == 0 {
		return nil
	}
	used := int64(protocol.NoProducerID)
	for _, l := range logs {
		for _, p := range l.ActiveProducers() {
			if p.ProducerID < producerIDMax {
				used = max(used, p.ProducerID)
			}
		}
		if l.TopicPartition().Topic != cluster.TransactionsTopic {
			continue
		}
		// Transactional ids keep theirs for longer than logs know their producers.
		id, err := largestProducerID(ctx, l)
		if err != nil {
			b.logger.Error().Err(err).Stringer("partition", l.TopicPartition()).Msg("producer ids could not all be read: new producers may get some of them")
		}
		if id < producerIDMax {
			used = max(used, id)
		}
	}
	count := (used + producerIDMargin) / producerIDBlockSize * producerIDBlockSize
	if _, err := b.store.AllocateProducerIDs(ctx, b.id(), count); err != nil {
		return fmt.Errorf("skip producer ids in use: %w", err)
	}
	return nil
}

// largestProducerID reads a partition of the transaction log. With an error it is that of what could be read.
func largestProducerID(ctx context.Context, l *log.Log) (int64, error) {
	largest := int64(protocol.NoProducerID)
	err := l.Replay(ctx, 1<<20, func(batches []byte) error {
		id, err := txn.LargestProducerID(batches)
		largest = max(largest, id)
		return err
	})
	return largest, err
}
