package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/protocol"
)

// ListOffsets, v0 to v9.
//
// Behaviour: an offset by a timestamp, or by one of the special ones: latest as far as the reader may see, earliest, and the
// record with the largest timestamp. v0 knows segments only: it lists their base offsets, latest first.
//
// Versions: 1 one offset with its timestamp; 2 isolation level; 4 leader epochs; 5 OFFSET_NOT_AVAILABLE, which older clients
// get as LEADER_NOT_AVAILABLE; 7 the largest timestamp (-3); 8 the earliest local offset (-4); 9 the latest tiered one (-5).

// offsetLister is what ListOffsets asks of the replicas.
type offsetLister interface {
	ListOffset(q *replica.OffsetQuery) (log.TimestampOffset, error)
	SegmentOffsets(q *replica.OffsetQuery, count int) ([]int64, error)
}

var (
	errTimestampVersion = fmt.Errorf("timestamp needs a newer request: %w", kerr.UnsupportedVersion)
	errNamedTwice       = fmt.Errorf("partition is named twice: %w", kerr.InvalidRequest)
)

// timestampVersions are the first versions that know a special timestamp.
var timestampVersions = map[int64]int16{
	replica.LatestTimestamp: 1, replica.EarliestTimestamp: 1, replica.MaxTimestamp: 7,
	replica.EarliestLocalTimestamp: 8, replica.LatestTieredTimestamp: 9,
}

func listOffsets(l offsetLister) API {
	return on(0, 9, func(_ context.Context, _ *Call, r *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
		resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(r.Topics))
		var twice map[protocol.TopicPartition]bool
		if r.Version > 0 {
			twice = namedTwice(r)
		}
		named := mentions[protocol.TopicPartition]{}
		for i := range r.Topics {
			in, out := &r.Topics[i], &resp.Topics[i]
			out.Topic = in.Topic
			out.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(in.Partitions))
			for j := range in.Partitions {
				q := offsetQuery(r, in.Topic, &in.Partitions[j])
				if r.Version == 0 {
					listSegments(l, q, int(in.Partitions[j].MaxNumOffsets), named.add(q.TopicPartition), &out.Partitions[j])
				} else {
					listOffset(l, r, q, twice[q.TopicPartition], &out.Partitions[j])
				}
			}
		}
		return resp, nil
	})
}

func offsetQuery(r *kmsg.ListOffsetsRequest, topic string, p *kmsg.ListOffsetsRequestTopicPartition) *replica.OffsetQuery {
	q := &replica.OffsetQuery{TopicPartition: protocol.TopicPartition{Topic: topic, Partition: p.Partition}, Timestamp: p.Timestamp,
		LeaderEpoch: cluster.LeaderEpoch(p.CurrentLeaderEpoch), Bound: log.ToLogEnd, LeaderOnly: r.ReplicaID != debugReplica}
	if r.ReplicaID == consumerReplica {
		q.Bound = boundOf(consumerReplica, r.IsolationLevel)
	}
	return q
}

// The replica ids of those who are no brokers.
const (
	consumerReplica = -1
	debugReplica    = -2 // may ask any replica
)

func listOffset(l offsetLister, r *kmsg.ListOffsetsRequest, q *replica.OffsetQuery, twice bool, out *kmsg.ListOffsetsResponseTopicPartition) {
	out.Default()
	out.Partition = q.Partition
	first, special := timestampVersions[q.Timestamp]
	var found log.TimestampOffset
	var err error
	switch {
	case twice:
		err = errNamedTwice
	case q.Timestamp < 0 && (!special || r.Version < first):
		err = errTimestampVersion
	case r.ReplicaID == consumerReplica && unknownIsolation(r.IsolationLevel):
		err = kerr.UnknownServerError
	default:
		found, err = l.ListOffset(q)
	}
	if err != nil {
		out.ErrorCode = protocol.CodeOf(err)
		if out.ErrorCode == kerr.OffsetNotAvailable.Code && r.Version < 5 {
			out.ErrorCode = kerr.LeaderNotAvailable.Code
		}
		return
	}
	out.Timestamp, out.Offset, out.LeaderEpoch = found.Timestamp, found.Offset, found.LeaderEpoch
}

func listSegments(l offsetLister, q *replica.OffsetQuery, count int, err error, out *kmsg.ListOffsetsResponseTopicPartition) {
	out.Partition = q.Partition
	if q.Timestamp < replica.EarliestTimestamp {
		err = kerr.UnsupportedVersion
	}
	if err == nil {
		out.OldStyleOffsets, err = l.SegmentOffsets(q, count)
	}
	out.ErrorCode = protocol.CodeOf(err)
}

// namedTwice finds the partitions that a request names more than once.
func namedTwice(r *kmsg.ListOffsetsRequest) map[protocol.TopicPartition]bool {
	seen := map[protocol.TopicPartition]bool{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			_, again := seen[tp]
			seen[tp] = again
		}
	}
	return seen
}
