package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/txn"
)

// EndTxn, v0 to v4.
//
// Behaviour: commits or aborts a transaction. It answers when the coordinator has that for good in its log. The markers follow, and what
// comes for the id meanwhile is told to come again (CONCURRENT_TRANSACTIONS).
//
// Versions: 2 PRODUCER_FENCED; 3 flexible; 4 TRANSACTION_ABORTABLE.
func endTxn(txns txnCoordinator) API {
	return on(0, 4, func(ctx context.Context, c *Call, r *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
		const fencedSince = 2
		err := txns.End(ctx, r.TransactionalID, txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}, r.Commit)
		resp := r.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = fencedCode(c.Version, fencedSince, err)
		return resp, nil
	})
}
