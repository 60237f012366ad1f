package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/log"
	"gokafka/protocol"
)

// DescribeProducers, v0.
//
// Behaviour: the idempotent and transactional producers that a partition's log remembers, from any replica (KIP-664).

// producerLister is what DescribeProducers asks of the replicas.
type producerLister interface {
	Metadata() *cluster.Metadata
	ActiveProducers(tp protocol.TopicPartition) ([]log.ProducerState, error)
}

func describeProducers(l producerLister) API {
	return on(0, 0, func(_ context.Context, _ *Call, r *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
		resp := r.ResponseKind().(*kmsg.DescribeProducersResponse)
		named := mentions[protocol.TopicPartition]{}
		for _, t := range r.Topics {
			out := kmsg.DescribeProducersResponseTopic{Topic: t.Topic}
			for _, partition := range t.Partitions {
				tp := protocol.TopicPartition{Topic: t.Topic, Partition: partition}
				out.Partitions = append(out.Partitions, producersOf(l, tp, named.add(tp)))
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	})
}

func producersOf(l producerLister, tp protocol.TopicPartition, err error) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.DescribeProducersResponseTopicPartition{Partition: tp.Partition}
	if err == nil {
		err = admin.CheckTopicName(tp.Topic)
	}
	if err == nil && l.Metadata().Topic(tp.Topic) == nil {
		out.ErrorCode, out.ErrorMessage = kerr.UnknownTopicOrPartition.Code, &kerr.UnknownTopicOrPartition.Description
		return out
	}
	if err != nil {
		text := err.Error()
		out.ErrorCode, out.ErrorMessage = protocol.CodeOf(err), &text
		return out
	}
	producers, err := l.ActiveProducers(tp)
	out.ErrorCode = protocol.CodeOf(err)
	for _, p := range producers {
		out.ActiveProducers = append(out.ActiveProducers, kmsg.DescribeProducersResponseTopicPartitionActiveProducer{
			ProducerID: p.ProducerID, ProducerEpoch: int32(p.Epoch), LastSequence: p.LastSequence, LastTimestamp: p.LastTimestamp,
			CoordinatorEpoch: p.CoordinatorEpoch, CurrentTxnStartOffset: p.TxnFirstOffset})
	}
	return out
}
