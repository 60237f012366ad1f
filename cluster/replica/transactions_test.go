package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// txnBatch is one record of a producer's transaction.
func txnBatch(t testing.TB, producer int64, epoch int16, sequence int32) []byte {
	t.Helper()
	b, err := protocol.AppendBatch(nil, protocol.BatchOptions{Producer: &protocol.Producer{ID: producer, Epoch: epoch, Sequence: sequence}, Transactional: true},
		protocol.Record{Timestamp: 1000, Value: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// completions remembers what the group coordinator is told.
type completions struct {
	told []string
	err  error
}

func (c *completions) CompleteTransaction(_ context.Context, partition int32, m *cluster.TxnMarker, offset int64) error {
	c.told = append(c.told, fmt.Sprintf("%d: producer %d commit %v at %d", partition, m.ProducerID, m.Commit, offset))
	return c.err
}

func (b *broker) writeMarkers(offsets *completions, timeout time.Duration, markers ...cluster.TxnMarker) []error {
	b.t.Helper()
	w := &MarkerWriter{Manager: b.Manager, Offsets: offsets, Timeout: timeout}
	errs, err := w.WriteTxnMarkers(b.t.Context(), markers)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.Concat(errs...)
}

func TestMarkersEndTransactions(t *testing.T) {
	b := newBroker(t)
	offsetsTopic := protocol.TopicPartition{Topic: cluster.OffsetsTopic, Partition: 3}
	other := *led(1, 1, []cluster.BrokerID{1}, []cluster.BrokerID{1})
	other.TopicPartition, other.TopicID = offsetsTopic, protocol.TopicID{9}
	if err := b.tell(led(1, 1, []cluster.BrokerID{1}, []cluster.BrokerID{1}), &other); err != nil {
		t.Fatal(err)
	}
	for _, tp := range []protocol.TopicPartition{tp0, offsetsTopic} {
		if _, err := b.Append(tp, txnBatch(t, 7, 0, 0), AcksAll, log.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Append(tp0, txnBatch(t, 8, 0, 0), AcksAll, log.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := b.Partition(tp0)
	if err != nil {
		t.Fatal(err)
	}
	l := p.View().Log
	if o := l.Offsets(); o.LastStable.Offset != 0 || o.HighWatermark.Offset != 2 {
		t.Fatalf("%+v", o)
	}
	groups := &completions{}
	unknown := protocol.TopicPartition{Topic: "nosuch"}
	errs := b.writeMarkers(groups, time.Minute,
		cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 4, Commit: true, Partitions: []protocol.TopicPartition{tp0, unknown, offsetsTopic}},
		cluster.TxnMarker{ProducerID: 8, CoordinatorEpoch: 4, Partitions: []protocol.TopicPartition{tp0}},
		cluster.TxnMarker{ProducerID: 9, CoordinatorEpoch: 4})
	if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], ErrUnknownPartition) || errs[2] != nil || errs[3] != nil {
		t.Errorf("%v", errs)
	}
	if o := l.Offsets(); o.LastStable.Offset != 4 || o.End.Offset != 4 {
		t.Errorf("%+v", o)
	}
	if aborted, err := l.AbortedTransactions(0, 4); err != nil || len(aborted) != 1 || aborted[0].ProducerID != 8 {
		t.Errorf("aborted: %v, %v", aborted, err)
	}
	if want := []string{"3: producer 7 commit true at 1"}; !slices.Equal(groups.told, want) {
		t.Errorf("told %v", groups.told)
	}
	// A coordinator that was replaced, and a producer that was: neither writes.
	for _, test := range []struct {
		marker cluster.TxnMarker
		want   error
	}{
		{cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 3}, kerr.TransactionCoordinatorFenced},
		{cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 4, ProducerEpoch: -1}, kerr.UnknownServerError},
		{cluster.TxnMarker{ProducerID: -1, CoordinatorEpoch: 4}, kerr.UnknownServerError},
		{cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 4}, nil},
		{cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 5, ProducerEpoch: 1}, nil},
		{cluster.TxnMarker{ProducerID: 7, CoordinatorEpoch: 5}, kerr.InvalidProducerEpoch},
	} {
		test.marker.Partitions = []protocol.TopicPartition{tp0}
		end := l.LogEndOffset().Offset
		errs := b.writeMarkers(groups, time.Minute, test.marker)
		if !errors.Is(errs[0], test.want) || (test.want == nil) != (errs[0] == nil) {
			t.Errorf("%+v: %v, want %v", test.marker, errs[0], test.want)
		}
		if written := l.LogEndOffset().Offset > end; written != (test.want == nil) {
			t.Errorf("%+v: written %v", test.marker, written)
		}
	}
}

// A marker counts for its coordinator, and for groups, when it is committed.
func TestMarkersWaitForReplicas(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	state := led(1, 1, []cluster.BrokerID{1, 2}, []cluster.BrokerID{1, 2})
	state.TopicPartition = protocol.TopicPartition{Topic: cluster.OffsetsTopic}
	if err := b.tell(state); err != nil {
		t.Fatal(err)
	}
	groups := &completions{}
	marker := cluster.TxnMarker{ProducerID: 7, Partitions: []protocol.TopicPartition{state.TopicPartition}}
	if errs := b.writeMarkers(groups, time.Millisecond, marker); !errors.Is(errs[0], kerr.RequestTimedOut) || len(groups.told) != 0 {
		t.Errorf("%v, told %v", errs, groups.told)
	}
	follower := led(2, 2, []cluster.BrokerID{1, 2}, []cluster.BrokerID{1, 2})
	follower.TopicPartition, follower.Leader = state.TopicPartition, 2
	if err := b.tell(follower); err != nil {
		t.Fatal(err)
	}
	if errs := b.writeMarkers(groups, time.Minute, marker); !errors.Is(errs[0], ErrNotLeader) {
		t.Errorf("%v", errs)
	}
}

// askedOf is transaction coordinators with answers prepared.
type askedOf struct {
	answers map[int32]error // by partition; nil for the others
	asked   []int32
	then    func()
}

func (a *askedOf) Verify(_ context.Context, _ cluster.TxnProducer, partitions []protocol.TopicPartition) []error {
	var errs []error
	for _, tp := range partitions {
		a.asked = append(a.asked, tp.Partition)
		errs = append(errs, a.answers[tp.Partition])
	}
	if a.then != nil {
		a.then()
	}
	return errs
}

func TestVerificationAsksOnce(t *testing.T) {
	b := newBroker(t)
	b.lead(1, 1)
	coordinators := &askedOf{}
	enabled := true
	v := &Verification{Manager: b.Manager, Coordinators: coordinators, Enabled: func() bool { return enabled }}
	producer := cluster.TxnProducer{TransactionalID: "x", ID: 7}
	produce := func(sequence int32) error {
		t.Helper()
		appends := []TxnAppend{{TopicPartition: tp0, Sequence: sequence}}
		v.Verify(t.Context(), producer, appends)
		if appends[0].Err != nil {
			return appends[0].Err
		}
		_, err := b.Append(tp0, txnBatch(t, 7, producer.Epoch, sequence), AcksAll, appends[0].Options)
		return err
	}
	end := func(epoch int16) {
		t.Helper()
		m := cluster.TxnMarker{ProducerID: 7, ProducerEpoch: epoch, Partitions: []protocol.TopicPartition{tp0}}
		if errs := b.writeMarkers(&completions{}, time.Minute, m); errs[0] != nil {
			t.Fatal(errs)
		}
	}
	expect := func(what string, err, want error, asked int) {
		t.Helper()
		if !errors.Is(err, want) || (want == nil) != (err == nil) || len(coordinators.asked) != asked {
			t.Errorf("%s: %v, want %v; asked %d times, want %d", what, err, want, len(coordinators.asked), asked)
		}
	}
	expect("the first batch", produce(0), nil, 1)
	expect("the second", produce(1), nil, 1)
	end(0)
	coordinators.answers = map[int32]error{tp0.Partition: kerr.TransactionAbortable}
	expect("of the next transaction, not added", produce(2), kerr.InvalidTxnState, 2)
	coordinators.answers = nil
	coordinators.then = func() { end(0) }
	expect("a marker between question and append", produce(2), kerr.InvalidTxnState, 3)
	coordinators.then = nil
	expect("and again", produce(2), nil, 4)
	end(1)
	expect("fenced by a marker, however the answer", produce(3), kerr.InvalidProducerEpoch, 5)
	enabled = false
	producer.Epoch = 1
	expect("without verification", produce(0), nil, 5)
}

func TestVerificationErrors(t *testing.T) {
	b := newBroker(t)
	b.lead(1, 1)
	for _, test := range []struct {
		answer    error
		abortable bool
		want      error
	}{
		{nil, false, nil},
		{kerr.TransactionAbortable, true, kerr.TransactionAbortable},
		{kerr.TransactionAbortable, false, kerr.InvalidTxnState},
		{kerr.ProducerFenced, true, kerr.InvalidProducerEpoch},
		{kerr.ClusterAuthorizationFailed, true, kerr.InvalidTxnState},
		{kerr.InvalidProducerIDMapping, false, kerr.InvalidProducerIDMapping},
		{kerr.ConcurrentTransactions, false, kerr.ConcurrentTransactions},
		{kerr.NetworkException, false, kerr.NetworkException},
	} {
		v := &Verification{Manager: b.Manager, Coordinators: &askedOf{answers: map[int32]error{tp0.Partition: test.answer}}, Enabled: func() bool { return true }}
		appends := []TxnAppend{{TopicPartition: tp0}, {TopicPartition: protocol.TopicPartition{Topic: "nosuch"}}}
		v.Verify(t.Context(), cluster.TxnProducer{ID: 7, Abortable: test.abortable}, appends)
		if err := appends[0].Err; !errors.Is(err, test.want) || (test.want == nil) != (err == nil) {
			t.Errorf("%v: %v, want %v", test.answer, err, test.want)
		}
		if !errors.Is(appends[1].Err, ErrUnknownPartition) {
			t.Errorf("%v", appends[1].Err)
		}
	}
}
