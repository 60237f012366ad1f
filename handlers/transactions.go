package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// txnCoordinator is the part of the broker that the APIs of transactions ask: txn.Coordinator.
type txnCoordinator interface {
	PartitionFor(transactionalID string) int32

	InitProducerID(ctx context.Context, r *txn.InitRequest) (txn.Producer, error)
	AddPartitions(ctx context.Context, transactionalID string, p txn.Producer, partitions []protocol.TopicPartition) error
	Verify(ctx context.Context, transactionalID string, p txn.Producer, partitions []protocol.TopicPartition) []error
	End(ctx context.Context, transactionalID string, p txn.Producer, commit bool) error

	Describe(ctx context.Context, transactionalID string) (txn.Description, error)
	List(ctx context.Context, f *txn.Filter) ([]txn.Listing, error)
}

// fencedCode is an error's code. Clients that do not know PRODUCER_FENCED yet, below the version that brought it, are told
// INVALID_PRODUCER_EPOCH.
func fencedCode(version, known int16, err error) int16 {
	code := protocol.CodeOf(err)
	if code == kerr.ProducerFenced.Code && version < known {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
