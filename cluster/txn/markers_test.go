package txn

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

// slowLeader takes one request after the other, each when it is let.
type slowLeader struct {
	requests chan []cluster.TxnMarker
	devNull
}

func (l slowLeader) WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	select {
	case l.requests <- markers:
	case <-ctx.Done():
	}
	return l.devNull.WriteTxnMarkers(ctx, markers)
}

// A coordinator ends while its markers wait for a leader that is busy, and its successor has the same ones: they go out once.
func TestMarkersOfEndedCoordinatorsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := protocol.TopicPartition{Topic: "t"}
		image, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: 1}},
			States: []cluster.PartitionState{{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: 1}}}})
		leader := slowLeader{requests: make(chan []cluster.TxnMarker)}
		markers := NewMarkers(MarkersOptions{Image: func() *cluster.Metadata { return image }, Dial: func(cluster.BrokerID) MarkerWriter { return leader }})
		defer markers.Close()
		send := func(ctx context.Context, producer int64, coordinatorEpoch int32) {
			markers.enqueue(&markerJob{ctx: ctx, id: "x", written: func([]protocol.TopicPartition) {},
				marker: cluster.TxnMarker{ProducerID: producer, CoordinatorEpoch: coordinatorEpoch, Partitions: []protocol.TopicPartition{tp}}})
		}
		send(t.Context(), 1, 0)
		synctest.Wait() // the leader is busy with it
		ended, end := context.WithCancel(t.Context())
		send(ended, 2, 0)
		end()
		send(t.Context(), 2, 1)
		<-leader.requests
		if got := <-leader.requests; len(got) != 1 || got[0].ProducerID != 2 || got[0].CoordinatorEpoch != 1 {
			t.Errorf("sent %+v, want only what the successor has", got)
		}
	})
}

// silent is a leader on a machine that is off: it says nothing until it is hung up on.
type silent struct {
	devNull
	hungUp chan struct{}
}

func (l silent) WriteTxnMarkers(context.Context, []cluster.TxnMarker) ([][]error, error) {
	<-l.hungUp
	return nil, errors.New("hung up")
}

func (l silent) Close() error {
	close(l.hungUp)
	return nil
}

// A leader dies and says nothing. Its successor is sent the markers once it is known, not when the request times out.
func TestMarkersDoNotWaitForTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := protocol.TopicPartition{Topic: "t"}
		leads := func(id cluster.BrokerID) *cluster.Metadata {
			image, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: id}},
				States: []cluster.PartitionState{{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: id}}}})
			return image
		}
		var image atomic.Pointer[cluster.Metadata]
		image.Store(leads(1))
		leaders := map[cluster.BrokerID]MarkerWriter{1: silent{hungUp: make(chan struct{})}, 2: devNull{}}
		markers := NewMarkers(MarkersOptions{Image: image.Load, Dial: func(id cluster.BrokerID) MarkerWriter { return leaders[id] }})
		written := make(chan struct{})
		markers.enqueue(&markerJob{ctx: t.Context(), id: "x", written: func([]protocol.TopicPartition) { close(written) },
			marker: cluster.TxnMarker{ProducerID: 1, Partitions: []protocol.TopicPartition{tp}}})
		synctest.Wait()
		image.Store(leads(2))
		markers.BrokersDied([]cluster.BrokerID{1, 3})
		begin := time.Now()
		<-written
		if took := time.Since(begin); took != strayInterval {
			t.Errorf("written %v after the leader was known to be dead", took)
		}
		delete(markers.routes, 1)
		markers.Close()
	})
}

// Whether a partition still exists is asked of a store that is away. Other markers do not wait for that.
func TestMarkersDoNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, gone := protocol.TopicPartition{Topic: "there"}, protocol.TopicPartition{Topic: "gone"}
		leads := func(id cluster.BrokerID) *cluster.Metadata {
			image, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: 1}},
				States: []cluster.PartitionState{{TopicPartition: there, LeaderAndISR: cluster.LeaderAndISR{Leader: id}}}})
			return image
		}
		var image atomic.Pointer[cluster.Metadata]
		image.Store(leads(cluster.NoLeader))
		markers := NewMarkers(MarkersOptions{Image: image.Load, Dial: func(cluster.BrokerID) MarkerWriter { return devNull{} },
			Exists: func(ctx context.Context, _ protocol.TopicPartition) (bool, error) {
				<-ctx.Done()
				return false, ctx.Err()
			}})
		defer markers.Close()
		written := make(chan struct{})
		for i, tp := range []protocol.TopicPartition{gone, there} {
			markers.enqueue(&markerJob{ctx: t.Context(), id: "x", written: func([]protocol.TopicPartition) { close(written) },
				marker: cluster.TxnMarker{ProducerID: int64(i), Partitions: []protocol.TopicPartition{tp}}})
		}
		time.Sleep(time.Second)
		image.Store(leads(1))
		select {
		case <-written:
		case <-time.After(2 * time.Second):
			t.Error("not written")
		}
	})
}
