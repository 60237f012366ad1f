package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// InitProducerID, v0 to v5.
//
// Behaviour: an idempotent producer gets a new id with epoch 0. Which id and epoch it had before does not matter without a
// transactional id. There is no transaction coordinator yet, so a producer with a transactional id is refused with
// UNSUPPORTED_VERSION, which stock clients take as fatal at once; they do not try again for minutes, as they would with a
// coordinator that is not available.
//
// Versions: 2 flexible; 3 the producer's current id and epoch (KIP-360); 4 PRODUCER_FENCED; 5 TRANSACTION_ABORTABLE.

// producerIDs hands out ids that no other producer of the cluster has.
type producerIDs interface {
	Next(ctx context.Context) (int64, error)
}

var (
	errHalfProducer = fmt.Errorf("producer id and epoch only make sense together: %w", kerr.InvalidRequest)
	errEmptyTxnID   = fmt.Errorf("transactional id is empty: %w", kerr.InvalidRequest)
)

func initProducerID(ids producerIDs) API {
	return on(0, 5, func(ctx context.Context, _ *Call, r *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
		resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		id, err := nextProducerID(ctx, ids, r)
		if err != nil {
			resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = protocol.CodeOf(err), protocol.NoProducerID, protocol.NoProducerEpoch
			return resp, nil
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return resp, nil
	})
}

func nextProducerID(ctx context.Context, ids producerIDs, r *kmsg.InitProducerIDRequest) (int64, error) {
	switch {
	case (r.ProducerID == protocol.NoProducerID) != (r.ProducerEpoch == protocol.NoProducerEpoch):
		return 0, errHalfProducer
	case r.TransactionalID != nil && *r.TransactionalID == "":
		return 0, errEmptyTxnID
	case r.TransactionalID != nil:
		return 0, errNoTransactions
	}
	return ids.Next(ctx)
}
