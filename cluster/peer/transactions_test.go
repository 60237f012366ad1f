package peer

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

func partitions(topic string, numbers ...int32) []protocol.TopicPartition {
	var all []protocol.TopicPartition
	for _, n := range numbers {
		all = append(all, protocol.TopicPartition{Topic: topic, Partition: n})
	}
	return all
}

// flexible is an answer with tags in its header, none of them known.
func flexible(id int32, resp kmsg.Response) []byte { return framed(id, resp.AppendTo([]byte{0})) }

// Answers are matched by what they name: brokers are free to answer in any order, and one that leaves something out has not done it.
func TestWriteTxnMarkersMatchesAnswers(t *testing.T) {
	p := New(broker(t, map[int16]int16{27: 9}, func(_, version int16, id int32) []byte {
		resp := &kmsg.WriteTxnMarkersResponse{Version: version}
		for _, producer := range []int64{8, 7} {
			m := kmsg.WriteTxnMarkersResponseMarker{ProducerID: producer}
			m.Topics = append(m.Topics, kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: "t",
				Partitions: []kmsg.WriteTxnMarkersResponseMarkerTopicPartition{{Partition: 1, ErrorCode: kerr.InvalidProducerEpoch.Code}, {Partition: 0}}})
			resp.Markers = append(resp.Markers, m)
		}
		return flexible(id, resp)
	}))
	defer p.Close()
	markers := []cluster.TxnMarker{{ProducerID: 7, Partitions: partitions("t", 0, 1)}, {ProducerID: 8, Partitions: partitions("t", 2, 0)}}
	got, err := p.WriteTxnMarkers(t.Context(), markers)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]error{{nil, kerr.InvalidProducerEpoch}, {errBadAnswer, nil}}
	for i := range want {
		for j := range want[i] {
			if !errors.Is(got[i][j], want[i][j]) {
				t.Errorf("marker %d, partition %d: %v, want %v", i, j, got[i][j], want[i][j])
			}
		}
	}
}

func TestVerifyTxns(t *testing.T) {
	var code int16
	p := New(broker(t, map[int16]int16{24: 5}, func(_, version int16, id int32) []byte {
		resp := &kmsg.AddPartitionsToTxnResponse{Version: version, ErrorCode: code}
		resp.Transactions = []kmsg.AddPartitionsToTxnResponseTransaction{{TransactionalID: "x", Topics: []kmsg.AddPartitionsToTxnResponseTransactionTopic{
			{Topic: "t", Partitions: []kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{{Partition: 0}, {Partition: 1, ErrorCode: kerr.TransactionAbortable.Code}}},
		}}}
		return flexible(id, resp)
	}))
	defer p.Close()
	ask := []cluster.TxnVerification{{TxnProducer: cluster.TxnProducer{TransactionalID: "x", ID: 7}, Partitions: partitions("t", 1, 0)}}
	got, err := p.VerifyTxns(t.Context(), ask)
	if err != nil || len(got) != 1 || !errors.Is(got[0][0], kerr.TransactionAbortable) || got[0][1] != nil {
		t.Errorf("%v, %v", got, err)
	}
	code = kerr.ClusterAuthorizationFailed.Code
	if _, err := p.VerifyTxns(t.Context(), ask); !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Error(err)
	}
	old := New(broker(t, map[int16]int16{24: 3}, nil))
	defer old.Close()
	if _, err := old.VerifyTxns(t.Context(), ask); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
