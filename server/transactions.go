package server

import (
	"context"
	"errors"
	"fmt"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/peer"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// makeTransactions makes the coordinator of transactions, what writes their markers here and elsewhere, and what asks coordinators
// elsewhere. The last two are returned.
func (b *Broker) makeTransactions(partitions int32) []caller {
	v := b.config.Current()
	b.markers = &replica.MarkerWriter{Manager: b.replicas, Offsets: b.groups, Timeout: v.Millis("request.timeout.ms")}
	markers := txn.NewMarkers(txn.MarkersOptions{Image: b.replicas.Metadata, Dial: b.dialMarkers, Exists: b.partitionExists, Logger: b.logger})
	b.thenClose(markers.Close)
	b.producerIDs = txn.NewProducerIDs(b.chief)
	b.txns = txn.New(txn.Options{
		Settings: txnSettings(v, b.logger), Partitions: partitions, IDs: b.producerIDs, Markers: markers,
		Journal: &replica.Journal{Manager: b.replicas, Acks: replica.AcksAll},
	})
	b.thenClose(b.txns.Close)
	verifier := txn.NewVerifier(txn.VerifierOptions{ID: b.id(), Local: b.txns, Image: b.replicas.Metadata, Dial: b.dialVerifier})
	b.thenClose(verifier.Close)
	b.verification.Coordinators = verifier
	return []caller{markers, verifier}
}

// partitionExists asks the store about a partition that the metadata do not have. One of a topic that is being deleted does not exist any more,
// though its nodes may stay for as long as a broker with a replica of it is away.
func (b *Broker) partitionExists(ctx context.Context, tp protocol.TopicPartition) (bool, error) {
	t, err := b.store.Topic(ctx, tp.Topic, nil)
	if errors.Is(err, metastore.ErrNoNode) {
		return false, nil
	}
	if _, ok := t.Partitions[tp.Partition]; !ok || err != nil {
		return false, err
	}
	deleted, err := b.store.TopicMarkedForDeletion(ctx, tp.Topic)
	return !deleted, err
}

// dialMarkers is how markers get to a leader: to this broker by calls.
func (b *Broker) dialMarkers(leader cluster.BrokerID) txn.MarkerWriter {
	if leader == b.id() {
		return ownMarkers{b.markers}
	}
	return b.dialBroker(leader, "txn-marker-sender")
}

// dialVerifier is how a coordinator elsewhere is asked about transactions.
func (b *Broker) dialVerifier(coordinator cluster.BrokerID) txn.PeerVerifier {
	return b.dialBroker(coordinator, "txn-verifier")
}

// dialBroker is a connection of its own to another broker, for one purpose.
func (b *Broker) dialBroker(id cluster.BrokerID, purpose string) *peer.Peer {
	return peer.New(peer.Options{
		ClientID: fmt.Sprintf("broker-%d-%s", b.id(), purpose), Timeout: b.config.Current().Millis("request.timeout.ms"),
		Endpoint: func(ctx context.Context) (cluster.Endpoint, error) { return b.endpointOf(ctx, id) },
	})
}

// ownMarkers writes markers here.
type ownMarkers struct{ *replica.MarkerWriter }

func (ownMarkers) Close() error { return nil }
