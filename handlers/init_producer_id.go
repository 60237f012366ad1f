package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// InitProducerID, v0 to v5.
//
// Behaviour: an idempotent producer gets a new id with epoch 0, from any broker; which id and epoch it had before does not matter. A
// transactional one gets what its transactional id has, in the next epoch, from the id's coordinator: whoever had it before is fenced, and
// its open transaction is aborted first, which the new producer waits for by asking again (CONCURRENT_TRANSACTIONS). One that
// goes on after an error tells what it has, and is fenced if another has come meanwhile.
//
// Versions: 2 flexible; 3 the producer's current id and epoch (KIP-360); 4 PRODUCER_FENCED; 5 TRANSACTION_ABORTABLE.

// producerIDs hands out ids that no other producer of the cluster has.
type producerIDs interface {
	Next(ctx context.Context) (int64, error)
}

var errHalfProducer = fmt.Errorf("producer id and epoch only make sense together: %w", kerr.InvalidRequest)

func initProducerID(ids producerIDs, txns txnCoordinator) API {
	return on(0, 5, func(ctx context.Context, c *Call, r *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
		const fencedSince = 4
		resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		p, err := newProducer(ctx, ids, txns, r)
		if err != nil {
			p = txn.NoProducer
		}
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = fencedCode(c.Version, fencedSince, err), p.ID, p.Epoch
		return resp, nil
	})
}

func newProducer(ctx context.Context, ids producerIDs, txns txnCoordinator, r *kmsg.InitProducerIDRequest) (txn.Producer, error) {
	has := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	switch {
	case (has.ID == protocol.NoProducerID) != (has.Epoch == protocol.NoProducerEpoch):
		return txn.NoProducer, errHalfProducer
	case r.TransactionalID != nil:
		return txns.InitProducerID(ctx, &txn.InitRequest{TransactionalID: *r.TransactionalID, TimeoutMillis: r.TransactionTimeoutMillis, Expected: has})
	}
	id, err := ids.Next(ctx)
	return txn.Producer{ID: id}, err
}
