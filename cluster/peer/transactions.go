package peer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Later versions are for brokers that bump a producer's epoch with each transaction (the second part of KIP-890).
const (
	writeTxnMarkersMax = 1
	verifyTxnsMin      = 4
	verifyTxnsMax      = 5
)

// WriteTxnMarkers has the broker end transactions in partitions that it leads. It returns what became of each partition, in the order
// of the markers and of their partitions. The error is a failure to reach it.
func (p *Peer) WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	for i := range markers {
		req.Markers = append(req.Markers, marker(&markers[i]))
	}
	resp, err := call[*kmsg.WriteTxnMarkersResponse](ctx, p.Channel, bounds{0, writeTxnMarkersMax}, req)
	if err != nil {
		return nil, err
	}
	found := map[producerPartition]error{}
	for _, m := range resp.Markers {
		for _, t := range m.Topics {
			for _, r := range t.Partitions {
				found[producerPartition{m.ProducerID, t.Topic, r.Partition}] = kerr.ErrorForCode(r.ErrorCode)
			}
		}
	}
	all := make([][]error, len(markers))
	for i := range markers {
		for _, tp := range markers[i].Partitions {
			all[i] = append(all[i], result(found, producerPartition{markers[i].ProducerID, tp.Topic, tp.Partition}))
		}
	}
	return all, nil
}

type producerPartition struct {
	producerID int64
	topic      string
	partition  int32
}

// result finds an answer's entry.
func result[K comparable](found map[K]error, key K) error {
	if err, ok := found[key]; ok {
		return err
	}
	return errBadAnswer
}

func marker(m *cluster.TxnMarker) kmsg.WriteTxnMarkersRequestMarker {
	out := kmsg.NewWriteTxnMarkersRequestMarker()
	out.ProducerID, out.ProducerEpoch, out.Committed = m.ProducerID, m.ProducerEpoch, m.Commit
	out.CoordinatorEpoch = m.CoordinatorEpoch
	out.Topics = grouped(len(m.Partitions), func(i int) string { return m.Partitions[i].Topic },
		func(i int) kmsg.WriteTxnMarkersRequestMarkerTopic {
			t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			t.Topic = m.Partitions[i].Topic
			return t
		},
		func(t *kmsg.WriteTxnMarkersRequestMarkerTopic, i int) {
			t.Partitions = append(t.Partitions, m.Partitions[i].Partition)
		})
	return out
}

// VerifyTxns asks the broker, as coordinator of transactions, whether partitions belong to them. It returns what it thinks of each
// partition, in the order of the transactions, whose ids are all different, and of their partitions. The error is the broker's for
// all of them (it wraps a *kerr.Error), ErrUnsupported from a broker that cannot verify, or a failure to reach it.
func (p *Peer) VerifyTxns(ctx context.Context, txns []cluster.TxnVerification) ([][]error, error) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	for i := range txns {
		req.Transactions = append(req.Transactions, verification(&txns[i]))
	}
	resp, err := call[*kmsg.AddPartitionsToTxnResponse](ctx, p.Channel, bounds{verifyTxnsMin, verifyTxnsMax}, req)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	found := map[txnPartition]error{}
	for _, txn := range resp.Transactions {
		for _, t := range txn.Topics {
			for _, r := range t.Partitions {
				found[txnPartition{txn.TransactionalID, protocol.TopicPartition{Topic: t.Topic, Partition: r.Partition}}] = kerr.ErrorForCode(r.ErrorCode)
			}
		}
	}
	all := make([][]error, len(txns))
	for i := range txns {
		for _, tp := range txns[i].Partitions {
			all[i] = append(all[i], result(found, txnPartition{txns[i].TransactionalID, tp}))
		}
	}
	return all, nil
}

type txnPartition struct {
	transactionalID string
	protocol.TopicPartition
}

func verification(v *cluster.TxnVerification) kmsg.AddPartitionsToTxnRequestTransaction {
	out := kmsg.NewAddPartitionsToTxnRequestTransaction()
	out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.VerifyOnly = v.TransactionalID, v.ID, v.Epoch, true
	out.Topics = grouped(len(v.Partitions), func(i int) string { return v.Partitions[i].Topic },
		func(i int) kmsg.AddPartitionsToTxnRequestTransactionTopic {
			t := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
			t.Topic = v.Partitions[i].Topic
			return t
		},
		func(t *kmsg.AddPartitionsToTxnRequestTransactionTopic, i int) {
			t.Partitions = append(t.Partitions, v.Partitions[i].Partition)
		})
	return out
}
