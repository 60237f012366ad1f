package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// firstAbortableProduce is the first version of Produce whose clients know TRANSACTION_ABORTABLE.
const firstAbortableProduce = 11

// verifyTxn asks about all partitions of a request whose records are transactional.
func verifyTxn(ctx context.Context, v txnVerifier, p *production) map[protocol.TopicPartition]*replica.TxnAppend {
	appends := p.transactional()
	v.Verify(ctx, cluster.TxnProducer{TransactionalID: *p.request.TransactionID, ID: p.producer, Epoch: p.epoch,
		Abortable: p.request.Version >= firstAbortableProduce}, appends)
	verified := make(map[protocol.TopicPartition]*replica.TxnAppend, len(appends))
	for i := range appends {
		a := &appends[i]
		a.Err = produceError(a.Err)
		verified[a.TopicPartition] = a
	}
	return verified
}

// transactional lists the partitions that exist, with records of a transaction in a form that the request's version allows.
func (p *production) transactional() []replica.TxnAppend {
	var appends []replica.TxnAppend
	image := p.appender.Metadata()
	for i := range p.request.Topics {
		t := &p.request.Topics[i]
		for j := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: t.Partitions[j].Partition}
			records := t.Partitions[j].Records
			b, _, err := protocol.NextBatch(records)
			if err != nil || b == nil || !b.Transactional() || !b.HasProducerID() || image.Partition(tp) == nil ||
				protocol.CheckProduceRecords(p.request.Version, records) != nil {
				continue
			}
			appends = append(appends, replica.TxnAppend{TopicPartition: tp, Sequence: b.BaseSequence()})
		}
	}
	return appends
}

// unverified is an error of verification with the text that goes to the client.
type unverified struct {
	text string
	err  *kerr.Error
}

func (u *unverified) Error() string { return u.text }

func (u *unverified) Unwrap() error { return u.err }

func isUnverified(err error) bool {
	_, ok := errors.AsType[*unverified](err)
	return ok
}

// produceError is what a producer is told of a failed verification. What may go away by itself becomes NOT_ENOUGH_REPLICAS, on which
// also old clients try again, and without asking for new metadata.
func produceError(err error) error {
	if errors.Is(err, kerr.InvalidTxnState) {
		return &unverified{"Partition was not added to the transaction", kerr.InvalidTxnState}
	}
	for _, passing := range []*kerr.Error{
		kerr.ConcurrentTransactions, kerr.NetworkException, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
	} {
		if errors.Is(err, passing) {
			text := fmt.Sprintf("Unable to verify the partition has been added to the transaction. Underlying error: %s", passing.Message)
			return &unverified{text, kerr.NotEnoughReplicas}
		}
	}
	return err
}
