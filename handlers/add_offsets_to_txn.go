package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// AddOffsetsToTxn, v0 to v4.
//
// Behaviour: AddPartitionsToTxn with the partition of __consumer_offsets that holds the group, which may not exist yet.
//
// Versions: 2 PRODUCER_FENCED; 3 flexible; 4 TRANSACTION_ABORTABLE.
func addOffsetsToTxn(txns txnCoordinator, groups groupCoordinator) API {
	return on(0, 4, func(ctx context.Context, c *Call, r *kmsg.AddOffsetsToTxnRequest) (*kmsg.AddOffsetsToTxnResponse, error) {
		const fencedSince = 2
		tp := protocol.TopicPartition{Topic: cluster.OffsetsTopic, Partition: groups.PartitionFor(r.Group)}
		err := txns.AddPartitions(ctx, r.TransactionalID, txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}, []protocol.TopicPartition{tp})
		resp := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		resp.ErrorCode = fencedCode(c.Version, fencedSince, err)
		return resp, nil
	})
}
