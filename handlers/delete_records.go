package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// DeleteRecords, v0 to v2.
//
// Behaviour: moves the start of partitions up to an offset, or to the high watermark (-1), and waits until all live replicas
// have done so. Offsets beyond the high watermark are out of range; compacted topics are not cut (POLICY_VIOLATION).
//
// Versions: 2 flexible.

// recordDeleter is what DeleteRecords asks of the replicas.
type recordDeleter interface {
	Metadata() *cluster.Metadata
	DeleteRecords(ctx context.Context, deadline time.Time, deletions []replica.Deletion)
}

func deleteRecords(d recordDeleter) API {
	return on(0, 2, func(ctx context.Context, _ *Call, r *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
		known, unknown := deletions(r, d.Metadata())
		d.DeleteRecords(ctx, time.Now().Add(millis(r.TimeoutMillis)), known)
		resp := r.ResponseKind().(*kmsg.DeleteRecordsResponse)
		for _, x := range append(known, unknown...) {
			addDeletion(resp, &x)
		}
		return resp, nil
	})
}

// deletions lists what a request wants, apart from what does not exist.
func deletions(r *kmsg.DeleteRecordsRequest, image *cluster.Metadata) (known, unknown []replica.Deletion) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			d := replica.Deletion{TopicPartition: protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}, Offset: p.Offset}
			if image.Partition(d.TopicPartition) != nil {
				known = append(known, d)
				continue
			}
			d.LowWatermark, d.Err = -1, errNoSuchTopic
			unknown = append(unknown, d)
		}
	}
	return known, unknown
}

func addDeletion(resp *kmsg.DeleteRecordsResponse, d *replica.Deletion) {
	n := len(resp.Topics)
	if n == 0 || resp.Topics[n-1].Topic != d.Topic {
		resp.Topics = append(resp.Topics, kmsg.DeleteRecordsResponseTopic{Topic: d.Topic})
		n++
	}
	t := &resp.Topics[n-1]
	t.Partitions = append(t.Partitions, kmsg.DeleteRecordsResponseTopicPartition{
		Partition: d.Partition, LowWatermark: d.LowWatermark, ErrorCode: protocol.CodeOf(d.Err)})
}
