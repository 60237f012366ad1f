package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// TxnCoordinators is the transaction coordinators of the cluster, on this broker or others.
type TxnCoordinators interface {
	// Verify asks the coordinator of the producer's transactional id whether the transaction that is open includes partitions.
	// It returns an error for each, in their order: nil; TRANSACTION_ABORTABLE for one that was not added; what else the
	// coordinator answers (INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, COORDINATOR_LOAD_IN_PROGRESS,
	// NOT_COORDINATOR); COORDINATOR_NOT_AVAILABLE when none is known; NETWORK_EXCEPTION when it cannot be reached. A coordinator
	// that is too old to be asked is taken to have said yes. It ends with its context.
	Verify(ctx context.Context, p cluster.TxnProducer, partitions []protocol.TopicPartition) []error
}

// Verification keeps records out of partitions that their transaction does not include, where no marker would ever end it and readers
// would wait forever (KIP-890). Before the first records of a transaction are appended to a partition the coordinator is asked;
// a guard ties its answer to this transaction, so that the answer is worth nothing once a marker was written meanwhile.
type Verification struct {
	Manager      *Manager
	Coordinators TxnCoordinators
	Enabled      func() bool // transaction.partition.verification.enable
}

// TxnAppend is a partition that a transaction is about to write to.
type TxnAppend struct {
	protocol.TopicPartition
	Sequence int32             // of the first batch
	Options  log.AppendOptions // what to append with, unless there is an Err
	Err      error
}

// Verify fills in Options and Err of each append. Errors are the coordinator's as producers know them, ErrNotLeader, ErrOffline and
// ErrUnknownPartition.
func (v *Verification) Verify(ctx context.Context, p cluster.TxnProducer, appends []TxnAppend) {
	if !v.Enabled() {
		return
	}
	var asked []*TxnAppend
	var partitions []protocol.TopicPartition
	for i := range appends {
		a := &appends[i]
		a.Options.Verify = true
		if a.Options.Verification, a.Err = v.Manager.startVerification(a.TopicPartition, p, a.Sequence); a.Options.Verification != 0 {
			asked, partitions = append(asked, a), append(partitions, a.TopicPartition)
		}
	}
	if len(asked) == 0 {
		return // all have seen records of the transaction
	}
	for i, err := range v.Coordinators.Verify(ctx, p, partitions) {
		asked[i].Err = producerError(err, p.Abortable)
	}
}

// startVerification gives the guard for the first batch of a transaction, zero if the partition has one already.
func (m *Manager) startVerification(tp protocol.TopicPartition, p cluster.TxnProducer, sequence int32) (log.VerificationGuard, error) {
	partition, err := m.online(tp)
	if err != nil {
		return 0, err
	}
	l, err := partition.View().local(cluster.NoEpoch, true)
	if err != nil {
		return 0, err
	}
	return l.StartVerification(p.ID, sequence, p.Epoch), nil
}

// producerError is what a producer is told of the coordinator's answer, in words that it knows.
func producerError(err error, abortable bool) error {
	switch {
	case errors.Is(err, kerr.ProducerFenced):
		return fmt.Errorf("verify transaction: %w", kerr.InvalidProducerEpoch)
	case errors.Is(err, kerr.TransactionAbortable) && !abortable, errors.Is(err, kerr.ClusterAuthorizationFailed):
		return errNotInTransaction
	case err != nil:
		return fmt.Errorf("verify transaction: %w", err)
	}
	return nil
}
