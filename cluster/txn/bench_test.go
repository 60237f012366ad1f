package txn

import (
	"context"
	"testing"
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

// benchCoordinator is a coordinator whose log and partitions' leaders take everything at once.
func benchCoordinator(b *testing.B, journal Journal) (*Coordinator, Producer) {
	image, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: 1}},
		States: []cluster.PartitionState{{TopicPartition: protocol.TopicPartition{Topic: "t"}, LeaderAndISR: cluster.LeaderAndISR{Leader: 1}}}})
	markers := NewMarkers(MarkersOptions{Image: func() *cluster.Metadata { return image }, Dial: func(cluster.BrokerID) MarkerWriter { return devNull{} }})
	c := New(Options{Settings: DefaultSettings(), Journal: journal, IDs: NewProducerIDs(&tens{}), Markers: markers, Partitions: 1})
	b.Cleanup(func() {
		markers.Close()
		c.Close()
	})
	c.Elected(0, 1)
	for {
		p, err := c.InitProducerID(b.Context(), &InitRequest{TransactionalID: "x", TimeoutMillis: 60000, Expected: NoProducer})
		if err == nil {
			return c, p
		}
	}
}

// devNull is a log, and a leader, that forget everything.
type devNull struct{}

func (devNull) Append(protocol.TopicPartition, []byte) (int64, func(context.Context) error, error) {
	return 0, nil, nil
}

func (devNull) Replay(context.Context, protocol.TopicPartition, int, func([]byte) error) error {
	return nil
}

func (devNull) AwaitCommitted(context.Context, protocol.TopicPartition) error { return nil }

func (devNull) WriteTxnMarkers(_ context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	results := make([][]error, len(markers))
	for i := range markers {
		results[i] = make([]error, len(markers[i].Partitions))
	}
	return results, nil
}

func (devNull) Close() error { return nil }

// counted is a log that forgets everything, and tells of each record.
type counted chan struct{}

func (c counted) Append(protocol.TopicPartition, []byte) (int64, func(context.Context) error, error) {
	c <- struct{}{}
	return 0, nil, nil
}

func (counted) Replay(context.Context, protocol.TopicPartition, int, func([]byte) error) error {
	return nil
}

func (counted) AwaitCommitted(context.Context, protocol.TopicPartition) error { return nil }

// BenchmarkTransaction is a transaction of one partition: AddPartitions, EndTxn, the marker, and what that writes.
func BenchmarkTransaction(b *testing.B) {
	appended := make(counted, 1)
	c, p := benchCoordinator(b, appended)
	<-appended
	partitions := []protocol.TopicPartition{{Topic: "t"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.AddPartitions(b.Context(), "x", p, partitions); err != nil {
			b.Fatal(err)
		}
		<-appended
		if err := c.End(b.Context(), "x", p, true); err != nil {
			b.Fatal(err)
		}
		<-appended
		<-appended // that it is complete
	}
}

// BenchmarkAddPartitions adds a partition that the transaction has: what a producer asks that lost an answer.
func BenchmarkAddPartitions(b *testing.B) {
	c, p := benchCoordinator(b, devNull{})
	partitions := []protocol.TopicPartition{{Topic: "t"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.AddPartitions(b.Context(), "x", p, partitions); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is what the first record of a transaction in a partition costs its coordinator.
func BenchmarkVerify(b *testing.B) {
	c, p := benchCoordinator(b, devNull{})
	partitions := []protocol.TopicPartition{{Topic: "t"}}
	if err := c.AddPartitions(b.Context(), "x", p, partitions); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if errs := c.Verify(b.Context(), "x", p, partitions); errs[0] != nil {
			b.Fatal(errs)
		}
	}
}

// BenchmarkTransition is the state machine and its records alone, of a transaction with a hundred partitions.
func BenchmarkTransition(b *testing.B) {
	var partitions []protocol.TopicPartition
	for n := range int32(100) {
		partitions = append(partitions, protocol.TopicPartition{Topic: "t", Partition: n})
	}
	t := newTransaction("x", 1, 0)
	t.Epoch = 0
	now := time.UnixMilli(1_000_000)
	var value []byte
	b.ReportAllocs()
	for b.Loop() {
		for _, event := range []func() (*metadata, error){
			func() (*metadata, error) { return t.AddPartitions(now, t.Producer, partitions) },
			func() (*metadata, error) { return t.End(now, t.Producer, true) },
			func() (*metadata, error) { return t.Marked(t.unmarked), nil },
		} {
			next, err := event()
			if err != nil {
				b.Fatal(err)
			}
			value = next.appendTo(value[:0])
			t.Apply(now)
		}
	}
}
