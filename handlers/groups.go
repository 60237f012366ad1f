package handlers

import (
	"context"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/group"
	"gokafka/protocol"
)

// groupCoordinator is the part of the broker that the APIs of consumer groups ask: group.Coordinator.
type groupCoordinator interface {
	PartitionFor(group string) int32

	Join(ctx context.Context, r *group.JoinRequest) group.JoinResult
	Sync(ctx context.Context, r *group.SyncRequest) group.SyncResult
	Heartbeat(ctx context.Context, r *group.HeartbeatRequest) error
	Leave(ctx context.Context, group string, leaving []group.LeavingMember) ([]error, error)

	Describe(ctx context.Context, group string) (group.Description, error)
	List(ctx context.Context) ([]group.Listing, error)
	Delete(ctx context.Context, group string) error

	Commit(ctx context.Context, r *group.CommitRequest) []error
	FetchOffsets(ctx context.Context, group string, partitions []protocol.TopicPartition, requireStable bool) ([]group.FetchedOffset, error)
	DeleteOffsets(ctx context.Context, group string, partitions []protocol.TopicPartition) ([]error, error)
}

// clusterImage is the broker's view of the cluster.
type clusterImage interface{ Metadata() *cluster.Metadata }

// legacyOffsets is where version 0 of OffsetCommit and OffsetFetch keep offsets: in ZooKeeper under /consumers, apart from
// those of the group coordinator. metastore.Store has them.
type legacyOffsets interface {
	// ConsumerOffset returns a group's offset, or metastore.ErrNoNode.
	ConsumerOffset(ctx context.Context, group, topic string, partition int32) (int64, error)
	// SetConsumerOffset stores it.
	SetConsumerOffset(ctx context.Context, group, topic string, partition int32, offset int64) error
}

// nullable is a string that is null when empty.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orEmpty is a string that may be null.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func milliseconds[T int32 | int64](n T) time.Duration { return time.Duration(n) * time.Millisecond }

// shapeByTopic gathers answers per partition under their topics, in the order in which the topics come first.
func shapeByTopic[T, P any](n int, topicOf func(int) string, partition func(int) P, topic func(string, []P) T) []T {
	var order []string
	gathered := map[string][]P{}
	for i := range n {
		name := topicOf(i)
		if _, ok := gathered[name]; !ok {
			order = append(order, name)
		}
		gathered[name] = append(gathered[name], partition(i))
	}
	shaped := make([]T, len(order))
	for i, name := range order {
		shaped[i] = topic(name, gathered[name])
	}
	return shaped
}
