package admin

import (
	"context"
	"fmt"
	"slices"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// Strays reads which replicas a broker is to have, and returns what tells the logs of others: of partitions that moved away, or of topics that
// were deleted, while the broker was down and somebody else finished without it. A topic that comes again has another id, and a log of
// the former one would be in its way for ever: a broker may well be elected to lead it, and refuse.
func Strays(ctx context.Context, store *metastore.Store, broker cluster.BrokerID) (func(protocol.TopicPartition, protocol.TopicID) bool, error) {
	names, err := store.Topics(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	results, err := store.TopicAssignments(ctx, names, nil)
	if err != nil {
		return nil, err
	}
	topics := make(map[string]metastore.TopicResult, len(results))
	for _, r := range results {
		topics[r.Topic.Name] = r
	}
	return func(tp protocol.TopicPartition, id protocol.TopicID) bool {
		r, ok := topics[tp.Topic]
		switch {
		case !ok:
			return true
		case r.Err != nil: // nobody knows
			return false
		case !id.IsZero() && !r.Topic.ID.IsZero() && id != r.Topic.ID:
			return true
		}
		return !slices.Contains(r.Topic.Partitions[tp.Partition].Replicas, broker)
	}, nil
}
