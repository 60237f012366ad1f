package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// OffsetForLeaderEpoch, v0 to v4.
//
// Behaviour: where a leader epoch ends in the leader's log. Followers and consumers compare it with what they have read, and
// so find out that they must truncate, or that records which they saw are gone (KIP-101, KIP-279, KIP-320).
//
// Versions: 1 the epoch that the offset belongs to; 2 the caller's own leader epoch; 3 the replica's id; 4 flexible.

// epochs is what OffsetForLeaderEpoch asks of the replicas.
type epochs interface {
	EndOffsetForEpoch(tp protocol.TopicPartition, current, requested cluster.LeaderEpoch) (cluster.LeaderEpoch, int64, error)
}

func offsetForLeaderEpoch(e epochs) API {
	return on(0, 4, func(_ context.Context, _ *Call, r *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
		resp := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		resp.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, len(r.Topics))
		for i, t := range r.Topics {
			out := &resp.Topics[i]
			out.Topic = t.Topic
			out.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(t.Partitions))
			for j, p := range t.Partitions {
				tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				epoch, end, err := e.EndOffsetForEpoch(tp, cluster.LeaderEpoch(p.CurrentLeaderEpoch), cluster.LeaderEpoch(p.LeaderEpoch))
				out.Partitions[j] = kmsg.OffsetForLeaderEpochResponseTopicPartition{
					Partition: p.Partition, ErrorCode: protocol.CodeOf(err), LeaderEpoch: int32(epoch), EndOffset: end}
			}
		}
		return resp, nil
	})
}
