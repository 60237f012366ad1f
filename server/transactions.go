package server

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// noTransactions stands where the transaction coordinators will: no transaction is open, so none includes any partition.
type noTransactions struct{}

func (noTransactions) Verify(_ context.Context, _ cluster.TxnProducer, partitions []protocol.TopicPartition) []error {
	errs := make([]error, len(partitions))
	for i := range errs {
		errs[i] = kerr.TransactionAbortable
	}
	return errs
}
