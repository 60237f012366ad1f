package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// DescribeTransactions, v0 (KIP-664).
//
// Behaviour: shows where transactional ids stand that this broker coordinates. Of a decided transaction it shows the partitions that have no
// marker yet.
func describeTransactions(txns txnCoordinator) API {
	return on(0, 0, func(ctx context.Context, _ *Call, r *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		named := mentions[string]{}
		for _, id := range r.TransactionalIDs {
			s := kmsg.DescribeTransactionsResponseTransactionState{TransactionalID: id}
			err := named.add(id)
			if err == nil {
				err = describeTransaction(ctx, txns, &s)
			}
			s.ErrorCode = protocol.CodeOf(err)
			resp.TransactionStates = append(resp.TransactionStates, s)
		}
		return resp, nil
	})
}

func describeTransaction(ctx context.Context, txns txnCoordinator, s *kmsg.DescribeTransactionsResponseTransactionState) error {
	d, err := txns.Describe(ctx, s.TransactionalID)
	if err != nil {
		return err
	}
	s.State, s.TimeoutMillis, s.StartTimestamp = d.State.String(), d.TimeoutMillis, d.StartedAt
	s.ProducerID, s.ProducerEpoch = d.ID, d.Epoch
	s.Topics = shapeByTopic(len(d.Partitions), func(i int) string { return d.Partitions[i].Topic },
		func(i int) int32 { return d.Partitions[i].Partition },
		func(name string, partitions []int32) kmsg.DescribeTransactionsResponseTransactionStateTopic {
			return kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: name, Partitions: partitions}
		})
	return nil
}
