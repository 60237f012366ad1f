package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

func transactionalBatch(t testing.TB, sequence int32) []byte {
	t.Helper()
	return testBatch(t, protocol.BatchOptions{Producer: &protocol.Producer{ID: 7, Sequence: sequence}, Transactional: true}, "x")
}

func partition(p int32) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: "a", Partition: p}
}

// What the transaction's coordinator answers, as each version of Produce tells it.
func TestProduceIsVerified(t *testing.T) {
	const added, unable = "Partition was not added to the transaction", "Unable to verify the partition has been added to the transaction. Underlying error: "
	for _, test := range []struct {
		answer, old, young *kerr.Error
		text, youngText    string
	}{
		{nil, nil, nil, "", ""},
		{kerr.TransactionAbortable, kerr.InvalidTxnState, kerr.TransactionAbortable, added, ""},
		{kerr.InvalidTxnState, kerr.InvalidTxnState, kerr.InvalidTxnState, added, added},
		{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerEpoch, "", ""},
		{kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping, "", ""},
		{kerr.ConcurrentTransactions, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, unable + "CONCURRENT_TRANSACTIONS", unable + "CONCURRENT_TRANSACTIONS"},
		{kerr.NetworkException, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, unable + "NETWORK_EXCEPTION", unable + "NETWORK_EXCEPTION"},
		{kerr.CoordinatorLoadInProgress, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, unable + "COORDINATOR_LOAD_IN_PROGRESS", unable + "COORDINATOR_LOAD_IN_PROGRESS"},
		{kerr.CoordinatorNotAvailable, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, unable + "COORDINATOR_NOT_AVAILABLE", unable + "COORDINATOR_NOT_AVAILABLE"},
		{kerr.NotCoordinator, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, unable + "NOT_COORDINATOR", unable + "NOT_COORDINATOR"},
	} {
		for version := int16(3); version <= 11; version++ {
			want, text := test.old, test.text
			if version >= firstAbortableProduce {
				want, text = test.young, test.youngText
			}
			t.Run(fmt.Sprintf("%v/v%d", test.answer, version), func(t *testing.T) {
				b := newRecordBroker(t)
				b.answers[partition(0)] = nil
				if test.answer != nil {
					b.answers[partition(0)] = test.answer
				}
				r := produceRequest(version, -1, to(0, transactionalBatch(t, 0)))
				r.TransactionID = kmsg.StringPtr("id")
				resp, err := b.produce(r)
				if err != nil {
					t.Fatal(err)
				}
				p := resp.Topics[0].Partitions[0]
				if got := kerr.TypedErrorForCode(p.ErrorCode); got != want || orEmpty(p.ErrorMessage) != text {
					t.Errorf("%v %q, want %v %q", got, orEmpty(p.ErrorMessage), want, text)
				}
				if want != nil && (p.BaseOffset != -1 || p.LogStartOffset != -1) {
					t.Errorf("offsets of a refusal: %+v", p)
				}
			})
		}
	}
}

// Partitions of one request are verified together, and each has its own fate.
func TestProduceVerifiesEachPartition(t *testing.T) {
	b := newRecordBroker(t)
	b.assign(1, 3, 1)
	b.answers[partition(0)] = nil
	r := produceRequest(9, 1, to(0, transactionalBatch(t, 0)), to(2, transactionalBatch(t, 0)), to(3, transactionalBatch(t, 0)), to(7, transactionalBatch(t, 0)))
	r.TransactionID = kmsg.StringPtr("id")
	resp, err := b.produce(r)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []*kerr.Error{nil, kerr.NotLeaderForPartition, kerr.InvalidTxnState, kerr.UnknownTopicOrPartition} {
		if got := kerr.TypedErrorForCode(resp.Topics[0].Partitions[i].ErrorCode); got != want {
			t.Errorf("partition %d: %v, want %v", i, got, want)
		}
	}
	// In the open transaction nobody is asked, and without a guard nothing of the next one is taken.
	delete(b.answers, partition(0))
	r = produceRequest(9, 1, to(0, transactionalBatch(t, 1)))
	r.TransactionID = kmsg.StringPtr("id")
	if resp, err = b.produce(r); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("in the open transaction: %+v, %v", resp, err)
	}
}

// markedBy is who writes markers: it remembers them and has prepared answers by partition.
type markedBy struct {
	markers []cluster.TxnMarker
	errs    map[int32]error
}

func (m *markedBy) WriteTxnMarkers(_ context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	m.markers = markers
	results := make([][]error, len(markers))
	for i := range markers {
		for _, tp := range markers[i].Partitions {
			results[i] = append(results[i], m.errs[tp.Partition])
		}
	}
	return results, nil
}

func TestWriteTxnMarkersVersions(t *testing.T) {
	w := &markedBy{errs: map[int32]error{1: fmt.Errorf("no: %w", kerr.TransactionCoordinatorFenced), 2: errors.New("strange")}}
	api := writeTxnMarkers(w)
	if !api.ClusterAction {
		t.Error("any client may call it")
	}
	marker := func(producer int64, commit bool, topics ...kmsg.WriteTxnMarkersRequestMarkerTopic) kmsg.WriteTxnMarkersRequestMarker {
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Committed, m.Topics = producer, 3, 5, commit, topics
		return m
	}
	of := func(topic string, partitions ...int32) kmsg.WriteTxnMarkersRequestMarkerTopic {
		return kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: topic, Partitions: partitions}
	}
	for version := api.Min; version <= api.Max; version++ {
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		req.Version = version
		req.Markers = append(req.Markers, marker(7, true, of("a", 0, 1), of("b", 0)), marker(8, false, of("a", 2)), marker(7, false, of("a", 3)))
		resp := answer(t, api, req).(*kmsg.WriteTxnMarkersResponse)
		var got []string
		for _, m := range resp.Markers {
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					got = append(got, fmt.Sprintf("%d %s-%d %d", m.ProducerID, t.Topic, p.Partition, p.ErrorCode))
				}
			}
		}
		want := []string{"7 a-0 0", "7 a-1 52", "7 a-3 0", "7 b-0 0", "8 a-2 -1"}
		if !slices.Equal(got, want) || len(resp.Markers) != 2 {
			t.Errorf("v%d: %v, want %v", version, got, want)
		}
		if m := w.markers[0]; m.ProducerID != 7 || m.ProducerEpoch != 3 || m.CoordinatorEpoch != 5 || !m.Commit || len(m.Partitions) != 3 || w.markers[2].Commit {
			t.Errorf("v%d: asked for %+v", version, w.markers)
		}
	}
}

// KAFKA-7296: producers before version 2 do not survive COORDINATOR_LOAD_IN_PROGRESS.
func TestTxnCommitCodes(t *testing.T) {
	for version, want := range []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress} {
		if got := txnCommitCode(int16(version), kerr.CoordinatorLoadInProgress); got != want.Code {
			t.Errorf("v%d: %d", version, got)
		}
	}
}
