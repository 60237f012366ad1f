package replica

import (
	"context"
	"time"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// offsetsTxns is who keeps the offsets that transactions commit: the group coordinator.
type offsetsTxns interface {
	// CompleteTransaction tells that a marker is committed at an offset of a partition of __consumer_offsets. Whoever reads the groups
	// after it has returned finds that the offsets before the marker, of its producer's transaction, count or are dropped. It does not
	// wait for a partition that is being loaded.
	CompleteTransaction(ctx context.Context, partition int32, m *cluster.TxnMarker, offset int64) error
}

// MarkerWriter ends transactions in the partitions that this broker leads, for the coordinator on this broker or another one.
type MarkerWriter struct {
	Manager *Manager
	Offsets offsetsTxns
	Timeout time.Duration // request.timeout.ms: how long a marker may take to be committed
}

// WriteTxnMarkers appends each marker to its partitions, and waits until they are committed. It returns an error for each partition
// of each marker, in their order. Those that may go away by themselves: ErrUnknownPartition from a broker that does not have the
// partition, ErrNotLeader, ErrNotEnoughReplicas, ErrNotEnoughReplicasAfterAppend, ErrTimedOut, log.ErrStorage. Those that will
// not: log.ErrCoordinatorFenced and log.ErrProducerEpoch, which tell that another coordinator or producer has taken over.
//
// A marker whose wait has failed may be in the log all the same. Writing it again does no harm. The last result is always nil: it makes
// this broker one that is asked like the others, which may be out of reach.
func (w *MarkerWriter) WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	deadline := w.Manager.host.now().Add(w.Timeout)
	errs := make([][]error, len(markers))
	var written []writtenMarker
	var acks []Ack
	for i := range markers {
		m := &markers[i]
		errs[i] = make([]error, len(m.Partitions))
		for j, tp := range m.Partitions {
			a, err := w.append(tp, m)
			errs[i][j] = err
			if err == nil {
				written = append(written, writtenMarker{marker: m, offset: a.LastOffset, err: &errs[i][j]})
				acks = append(acks, a.Ack(tp))
			}
		}
	}
	w.Manager.AwaitAcks(ctx, deadline, acks)
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	for i, a := range acks {
		if *written[i].err = a.Err; a.Err == nil && a.Topic == cluster.OffsetsTopic {
			*written[i].err = w.Offsets.CompleteTransaction(ctx, a.Partition, written[i].marker, written[i].offset)
		}
	}
	return errs, nil
}

// writtenMarker is a marker in one partition's log, and where to say what becomes of it.
type writtenMarker struct {
	marker *cluster.TxnMarker
	offset int64
	err    *error
}

// append writes a marker. A partition that is not here at all is unknown, whatever the cluster has: so Apache Kafka's coordinator,
// which reads the answer, expects it.
func (w *MarkerWriter) append(tp protocol.TopicPartition, m *cluster.TxnMarker) (Appended, error) {
	h := w.Manager.registry.get(tp)
	if !h.online() || h.partition.View().Log == nil {
		return Appended{}, ErrUnknownPartition
	}
	if m.ProducerID < 0 || m.ProducerEpoch < 0 {
		return Appended{}, errNoProducer
	}
	marker := protocol.Marker{Type: protocol.MarkerAbort, CoordinatorEpoch: m.CoordinatorEpoch}
	if m.Commit {
		marker.Type = protocol.MarkerCommit
	}
	batch, err := protocol.MarkerBatch(m.ProducerID, m.ProducerEpoch, marker, w.Manager.host.now().UnixMilli())
	if err != nil {
		return Appended{}, err
	}
	return h.partition.AppendAsLeader(batch, AcksAll, log.AppendOptions{Origin: log.OriginCoordinator})
}
