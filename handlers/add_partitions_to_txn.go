package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// AddPartitionsToTxn, v0 to v5.
//
// Behaviour: a producer adds the partitions that it is about to write to. They are added all or none: when one does not exist, the others
// carry OPERATION_NOT_ATTEMPTED. The topics of brokers are refused with TOPIC_AUTHORIZATION_FAILED. Brokers, since version 4, send
// many transactions at once, and may ask only whether partitions were added (KIP-890).
//
// Versions: 2 PRODUCER_FENCED; 3 flexible; 4 several transactions, for brokers alone; 5 TRANSACTION_ABORTABLE.
func addPartitionsToTxn(txns txnCoordinator, image clusterImage) API {
	a := partitionAdder{txns, image}
	return on(0, 5, func(ctx context.Context, c *Call, r *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
		resp := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		if c.Version < txnBrokersSince {
			resp.Topics = a.one(ctx, r)
			return resp, nil
		}
		for i := range r.Transactions {
			resp.Transactions = append(resp.Transactions, a.transaction(ctx, &r.Transactions[i]))
		}
		return resp, nil
	}, ClusterActionSince(txnBrokersSince))
}

// txnBrokersSince is the first version of AddPartitionsToTxn that is for brokers.
const txnBrokersSince = 4

type partitionAdder struct {
	txns  txnCoordinator
	image clusterImage
}

// one answers a producer.
func (a partitionAdder) one(ctx context.Context, r *kmsg.AddPartitionsToTxnRequest) []kmsg.AddPartitionsToTxnResponseTopic {
	const fencedSince = 2
	var all []protocol.TopicPartition
	for _, t := range r.Topics {
		all = appendPartitions(all, t.Topic, t.Partitions)
	}
	errs := a.refusals(all, true)
	if errs == nil {
		errs = repeat(len(all), a.txns.AddPartitions(ctx, r.TransactionalID, txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}, all))
	}
	return shapeByTopic(len(all), func(i int) string { return all[i].Topic },
		func(i int) kmsg.AddPartitionsToTxnResponseTopicPartition {
			return kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: all[i].Partition, ErrorCode: fencedCode(r.Version, fencedSince, errs[i])}
		},
		func(name string, partitions []kmsg.AddPartitionsToTxnResponseTopicPartition) kmsg.AddPartitionsToTxnResponseTopic {
			return kmsg.AddPartitionsToTxnResponseTopic{Topic: name, Partitions: partitions}
		})
}

// transaction answers a broker about one of its producers.
func (a partitionAdder) transaction(
	ctx context.Context, r *kmsg.AddPartitionsToTxnRequestTransaction,
) kmsg.AddPartitionsToTxnResponseTransaction {
	var all []protocol.TopicPartition
	for _, t := range r.Topics {
		all = appendPartitions(all, t.Topic, t.Partitions)
	}
	p := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	errs := a.refusals(all, false)
	switch {
	case errs != nil:
	case r.VerifyOnly:
		errs = a.txns.Verify(ctx, r.TransactionalID, p, all)
	default:
		errs = repeat(len(all), a.txns.AddPartitions(ctx, r.TransactionalID, p, all))
	}
	out := kmsg.AddPartitionsToTxnResponseTransaction{TransactionalID: r.TransactionalID}
	out.Topics = shapeByTopic(len(all), func(i int) string { return all[i].Topic },
		func(i int) kmsg.AddPartitionsToTxnResponseTransactionTopicPartition {
			return kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: all[i].Partition, ErrorCode: protocol.CodeOf(errs[i])}
		},
		func(name string, partitions []kmsg.AddPartitionsToTxnResponseTransactionTopicPartition) kmsg.AddPartitionsToTxnResponseTransactionTopic {
			return kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: name, Partitions: partitions}
		})
	return out
}

// refusals says why none of the partitions is added; nil if nothing stands against it.
func (a partitionAdder) refusals(all []protocol.TopicPartition, fromClient bool) []error {
	image := a.image.Metadata()
	errs := repeat(len(all), kerr.OperationNotAttempted)
	refused := false
	for i, tp := range all {
		switch {
		case fromClient && cluster.InternalTopic(tp.Topic):
			errs[i], refused = kerr.TopicAuthorizationFailed, true
		case image.Partition(tp) == nil:
			errs[i], refused = kerr.UnknownTopicOrPartition, true
		}
	}
	if !refused {
		return nil
	}
	return errs
}

func appendPartitions(all []protocol.TopicPartition, topic string, numbers []int32) []protocol.TopicPartition {
	for _, n := range numbers {
		all = append(all, protocol.TopicPartition{Topic: topic, Partition: n})
	}
	return all
}

func repeat(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
