package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// WriteTxnMarkers, v0 and v1: only for brokers.
//
// Behaviour: ends transactions, on behalf of their coordinator, in partitions that this broker leads. It answers when the markers are
// committed, and offsets that the transactions committed are to be seen. What is said of one producer in several markers is
// answered together.
//
// Versions: 1 flexible.

// markerWriter is what WriteTxnMarkers asks: replica.MarkerWriter.
type markerWriter interface {
	WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error)
}

func writeTxnMarkers(w markerWriter) API {
	return on(0, 1, func(ctx context.Context, _ *Call, r *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
		markers := requestedMarkers(r)
		answers := markerAnswers{response: r.ResponseKind().(*kmsg.WriteTxnMarkersResponse)}
		results, err := w.WriteTxnMarkers(ctx, markers)
		if err != nil {
			return nil, err
		}
		for i, errs := range results {
			for j, tp := range markers[i].Partitions {
				answers.add(markers[i].ProducerID, tp, errs[j])
			}
		}
		return answers.response, nil
	}, ClusterAction)
}

func requestedMarkers(r *kmsg.WriteTxnMarkersRequest) []cluster.TxnMarker {
	markers := make([]cluster.TxnMarker, len(r.Markers))
	for i, m := range r.Markers {
		markers[i] = cluster.TxnMarker{ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch,
			Commit: m.Committed}
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				markers[i].Partitions = append(markers[i].Partitions, protocol.TopicPartition{Topic: t.Topic, Partition: p})
			}
		}
	}
	return markers
}

// markerAnswers gathers answers by producer and topic, in the order in which they come first.
type markerAnswers struct {
	response  *kmsg.WriteTxnMarkersResponse
	producers map[int64]int // where in the response
	topics    map[producerTopic]int
}

type producerTopic struct {
	producerID int64
	topic      string
}

func (a *markerAnswers) add(producerID int64, tp protocol.TopicPartition, err error) {
	if a.producers == nil {
		a.producers, a.topics = map[int64]int{}, map[producerTopic]int{}
	}
	p, ok := a.producers[producerID]
	if !ok {
		p = len(a.response.Markers)
		a.producers[producerID] = p
		a.response.Markers = append(a.response.Markers, kmsg.WriteTxnMarkersResponseMarker{ProducerID: producerID})
	}
	marker := &a.response.Markers[p]
	t, ok := a.topics[producerTopic{producerID, tp.Topic}]
	if !ok {
		t = len(marker.Topics)
		a.topics[producerTopic{producerID, tp.Topic}] = t
		marker.Topics = append(marker.Topics, kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: tp.Topic})
	}
	marker.Topics[t].Partitions = append(marker.Topics[t].Partitions,
		kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: tp.Partition, ErrorCode: protocol.CodeOf(err)})
}
