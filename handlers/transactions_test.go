package handlers

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// oneTxn is a coordinator of one id, "taken", that answers what it is told to.
type oneTxn struct {
	err   error
	added *[]protocol.TopicPartition
}

func (o oneTxn) check(id string) error {
	switch {
	case id == "":
		return kerr.InvalidRequest
	case id != "taken":
		return kerr.NotCoordinator
	}
	return o.err
}

func (oneTxn) PartitionFor(string) int32 { return 0 }

func (o oneTxn) InitProducerID(_ context.Context, r *txn.InitRequest) (txn.Producer, error) {
	return txn.Producer{ID: 77, Epoch: 4}, o.check(r.TransactionalID)
}

func (o oneTxn) AddPartitions(_ context.Context, id string, _ txn.Producer, partitions []protocol.TopicPartition) error {
	if o.added != nil {
		*o.added = append(*o.added, partitions...)
	}
	return o.check(id)
}

func (o oneTxn) Verify(_ context.Context, id string, _ txn.Producer, partitions []protocol.TopicPartition) []error {
	errs := repeat(len(partitions), o.check(id))
	errs[0] = kerr.TransactionAbortable
	return errs
}

func (o oneTxn) End(_ context.Context, id string, _ txn.Producer, _ bool) error { return o.check(id) }

func (o oneTxn) Describe(_ context.Context, id string) (txn.Description, error) {
	return txn.Description{Producer: txn.Producer{ID: 77, Epoch: 4}, State: txn.Ongoing, TimeoutMillis: 60000, StartedAt: 5,
		Partitions: []protocol.TopicPartition{{Topic: "a", Partition: 0}, {Topic: "a", Partition: 2}, {Topic: "b", Partition: 1}}}, o.check(id)
}

func (o oneTxn) List(_ context.Context, f *txn.Filter) ([]txn.Listing, error) {
	if f.States != nil && len(f.States) == 0 {
		return nil, o.err
	}
	return []txn.Listing{{TransactionalID: "taken", ProducerID: 77, State: txn.Ongoing}}, o.err
}

// Old clients know INVALID_PRODUCER_EPOCH, and not the PRODUCER_FENCED that took its place.
func TestFencedByVersion(t *testing.T) {
	fenced := oneTxn{err: kerr.ProducerFenced}
	taken := "taken"
	image := &growingImage{cluster.NewMetadata("")}
	for _, test := range []struct {
		api   API
		known int16
		ask   kmsg.Request
		code  func(kmsg.Response) int16
	}{
		{initProducerID(nil, fenced), 4, &kmsg.InitProducerIDRequest{TransactionalID: &taken, ProducerID: -1, ProducerEpoch: -1},
			func(r kmsg.Response) int16 { return r.(*kmsg.InitProducerIDResponse).ErrorCode }},
		{addOffsetsToTxn(fenced, oneGroup{}), 2, &kmsg.AddOffsetsToTxnRequest{TransactionalID: taken},
			func(r kmsg.Response) int16 { return r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode }},
		{endTxn(fenced), 2, &kmsg.EndTxnRequest{TransactionalID: taken},
			func(r kmsg.Response) int16 { return r.(*kmsg.EndTxnResponse).ErrorCode }},
		{addPartitionsToTxn(fenced, image.with("t", 1)), 2,
			&kmsg.AddPartitionsToTxnRequest{TransactionalID: taken, Topics: []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{0}}}},
			func(r kmsg.Response) int16 {
				if resp := r.(*kmsg.AddPartitionsToTxnResponse); len(resp.Topics) == 1 {
					return resp.Topics[0].Partitions[0].ErrorCode
				}
				return kerr.ProducerFenced.Code // version 4 has no place for it here
			}},
	} {
		for version := test.api.Min; version <= test.api.Max; version++ {
			test.ask.SetVersion(version)
			want := kerr.ProducerFenced.Code
			if version < test.known {
				want = kerr.InvalidProducerEpoch.Code
			}
			if got := test.code(answer(t, test.api, test.ask)); got != want {
				t.Errorf("key %d v%d: error %d, want %d", test.api.Key, version, got, want)
			}
		}
	}
}

// oneGroup places groups, and is asked nothing else.
type oneGroup struct{ groupCoordinator }

func (oneGroup) PartitionFor(string) int32 { return 7 }

// growingImage is an image that a test puts topics into.
type growingImage struct{ m *cluster.Metadata }

func (f *growingImage) Metadata() *cluster.Metadata { return f.m }

func (f *growingImage) with(topic string, partitions int32) *growingImage {
	r := &cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: 0}}}
	for p := range partitions {
		r.States = append(r.States, cluster.PartitionState{TopicPartition: protocol.TopicPartition{Topic: topic, Partition: p}})
	}
	f.m, _ = f.m.With(r)
	return f
}

func TestAddPartitionsToTxn(t *testing.T) {
	image := (&growingImage{cluster.NewMetadata("")}).with("a", 2).with("b", 1).with(cluster.OffsetsTopic, 1)
	for _, test := range []struct {
		name string
		id   string
		ask  map[string][]int32
		want string
	}{
		{"all", "taken", map[string][]int32{"a": {1, 0}}, "[{a [{1 0} {0 0}]}]"},
		{"none", "taken", nil, "[]"},
		{"an unknown partition", "taken", map[string][]int32{"a": {0, 2}}, "[{a [{0 55} {2 3}]}]"},
		{"the brokers' own", "taken", map[string][]int32{cluster.OffsetsTopic: {0}}, "[{__consumer_offsets [{0 29}]}]"},
		{"nobody's id", "unknown", map[string][]int32{"b": {0}}, "[{b [{0 16}]}]"},
		{"empty id", "", map[string][]int32{"b": {0}}, "[{b [{0 42}]}]"},
	} {
		var added []protocol.TopicPartition
		r := &kmsg.AddPartitionsToTxnRequest{Version: 3, TransactionalID: test.id}
		for topic, partitions := range test.ask {
			r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: topic, Partitions: partitions})
		}
		resp := answer(t, addPartitionsToTxn(oneTxn{added: &added}, image), r).(*kmsg.AddPartitionsToTxnResponse)
		got := make([]string, 0)
		for _, topic := range resp.Topics {
			var codes []string
			for _, p := range topic.Partitions {
				codes = append(codes, fmt.Sprintf("{%d %d}", p.Partition, p.ErrorCode))
			}
			got = append(got, fmt.Sprintf("{%s %s}", topic.Topic, codes))
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if refused := test.name == "an unknown partition" || test.name == "the brokers' own"; refused && len(added) > 0 {
			t.Errorf("%s: %v were added", test.name, added)
		}
	}
}

// Brokers ask for many producers at once, and about the brokers' own topics too.
func TestVerifyPartitionsOfTxns(t *testing.T) {
	image := (&growingImage{cluster.NewMetadata("")}).with("a", 2).with(cluster.OffsetsTopic, 1)
	r := &kmsg.AddPartitionsToTxnRequest{Version: 4}
	ask := func(id string, verify bool, topic string, partitions ...int32) {
		r.Transactions = append(r.Transactions, kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: id, VerifyOnly: verify,
			Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}})
	}
	ask("taken", true, "a", 0, 1)
	ask("unknown", false, "a", 0)
	ask("taken", true, "a", 0, 5)
	ask("taken", false, cluster.OffsetsTopic, 0)
	resp := answer(t, addPartitionsToTxn(oneTxn{}, image), r).(*kmsg.AddPartitionsToTxnResponse)
	var got []string
	for _, txn := range resp.Transactions {
		for _, p := range txn.Topics[0].Partitions {
			got = append(got, fmt.Sprintf("%s/%d:%d", txn.TransactionalID, p.Partition, p.ErrorCode))
		}
	}
	if want := "[taken/0:120 taken/1:0 unknown/0:16 taken/0:55 taken/5:3 taken/0:0]"; fmt.Sprint(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDescribeTransactions(t *testing.T) {
	r := &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{"taken", "unknown", ""}}
	resp := answer(t, describeTransactions(oneTxn{}), r).(*kmsg.DescribeTransactionsResponse)
	got := fmt.Sprintf("%+v", resp.TransactionStates)
	const tags = "UnknownTags:{keyvals:map[]}"
	want := fmt.Sprintf("[{ErrorCode:0 TransactionalID:taken State:Ongoing TimeoutMillis:60000 StartTimestamp:5 ProducerID:77 ProducerEpoch:4 "+
		"Topics:[{Topic:a Partitions:[0 2] %[1]s} {Topic:b Partitions:[1] %[1]s}] %[1]s} "+
		"{ErrorCode:16 TransactionalID:unknown State: TimeoutMillis:0 StartTimestamp:0 ProducerID:0 ProducerEpoch:0 Topics:[] %[1]s} "+
		"{ErrorCode:42 TransactionalID: State: TimeoutMillis:0 StartTimestamp:0 ProducerID:0 ProducerEpoch:0 Topics:[] %[1]s}]", tags)
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestListTransactions(t *testing.T) {
	for _, test := range []struct {
		states  []string
		err     error
		listed  int
		unknown string
	}{
		{nil, nil, 1, "[]"}, {[]string{"Ongoing", "Dead"}, nil, 1, "[]"}, {[]string{"Ongoing", "ongoing"}, nil, 1, "[ongoing]"},
		{[]string{"b", "Ongoing", "a", "b", "Ongoing"}, nil, 1, "[a b]"},
		{[]string{"Gone"}, nil, 0, "[Gone]"}, {[]string{"Gone"}, kerr.CoordinatorLoadInProgress, 0, "[]"},
	} {
		r := &kmsg.ListTransactionsRequest{Version: 1, StateFilters: test.states, DurationFilterMillis: -1}
		resp := answer(t, listTransactions(oneTxn{err: test.err}), r).(*kmsg.ListTransactionsResponse)
		if resp.ErrorCode != protocol.CodeOf(test.err) || len(resp.TransactionStates) != test.listed || fmt.Sprint(resp.UnknownStateFilters) != test.unknown {
			t.Errorf("%q: %+v", test.states, resp)
		}
	}
}
