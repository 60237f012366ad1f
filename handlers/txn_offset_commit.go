package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/group"
	"gokafka/protocol"
)

// TxnOffsetCommit, v0 to v4.
//
// Behaviour: stores a group's offsets in a transaction, by whose marker they begin to count. The coordinator of the transaction is asked
// first whether the group was added to it. Partitions that do not exist are refused one by one, the rest is one batch.
//
// Versions: 2 the leader epoch, and a client that understands COORDINATOR_LOAD_IN_PROGRESS; 3 flexible, and who commits: member,
// generation, static instance (KIP-447); 4 TRANSACTION_ABORTABLE (KIP-890).
func txnOffsetCommit(groups groupCoordinator, image clusterImage) API {
	return on(0, 4, func(ctx context.Context, c *Call, req *kmsg.TxnOffsetCommitRequest) (*kmsg.TxnOffsetCommitResponse, error) {
		offsets := transactionalOffsets(req)
		errs := make([]error, len(offsets))
		if known := existing(image.Metadata(), offsets, errs); len(known) > 0 {
			commitKnown(ctx, groups, transactionalCommit(req), offsets, known, errs)
		}
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		resp.Topics = shapeByTopic(len(offsets), func(i int) string { return offsets[i].Topic },
			func(i int) kmsg.TxnOffsetCommitResponseTopicPartition {
				return kmsg.TxnOffsetCommitResponseTopicPartition{Partition: offsets[i].Partition, ErrorCode: txnCommitCode(c.Version, errs[i])}
			},
			func(name string, partitions []kmsg.TxnOffsetCommitResponseTopicPartition) kmsg.TxnOffsetCommitResponseTopic {
				return kmsg.TxnOffsetCommitResponseTopic{Topic: name, Partitions: partitions}
			})
		return resp, nil
	})
}

// txnCommitCode spares old producers an error that they do not survive (KAFKA-7296).
func txnCommitCode(version int16, err error) int16 {
	code := protocol.CodeOf(err)
	if version < 2 && code == kerr.CoordinatorLoadInProgress.Code {
		return kerr.CoordinatorNotAvailable.Code
	}
	return code
}

// transactionalCommit is the request but for the offsets. Before version 3 the group's members are out of it.
func transactionalCommit(req *kmsg.TxnOffsetCommitRequest) *group.CommitRequest {
	const firstWithMember, firstAbortable = 3, 4
	r := &group.CommitRequest{Group: req.Group, Generation: -1, Producer: &cluster.TxnProducer{
		TransactionalID: req.TransactionalID, ID: req.ProducerID, Epoch: req.ProducerEpoch, Abortable: req.Version >= firstAbortable}}
	if req.Version >= firstWithMember {
		r.MemberID, r.InstanceID, r.Generation = req.MemberID, req.InstanceID, req.Generation
	}
	return r
}

func transactionalOffsets(req *kmsg.TxnOffsetCommitRequest) []group.PartitionOffset {
	now := time.Now().UnixMilli()
	var offsets []group.PartitionOffset
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			offsets = append(offsets, group.PartitionOffset{
				TopicPartition: protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition},
				CommittedOffset: group.CommittedOffset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata),
					CommitTimestamp: now, ExpireTimestamp: -1},
			})
		}
	}
	return offsets
}
