package server

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
	"gokafka/cluster/peer"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// dialPeer is how this broker's controller reaches a broker: this one by calls.
func (b *Broker) dialPeer(to cluster.Broker) controller.Peer {
	if to.ID == b.id() {
		return direct{b.replicas}
	}
	n := b.config.Network()
	listener := n.InterBroker
	if n.ControlPlane != "" {
		listener = n.ControlPlane
	}
	return peer.New(peer.Options{
		ClientID: fmt.Sprint(b.id()), Protocol: b.config.Current().ProtocolVersion(), Timeout: b.config.Current().Millis("controller.socket.timeout.ms"),
		Endpoint: func(context.Context) (cluster.Endpoint, error) { return endpointOn(&to, listener) },
	})
}

// dialController is how this broker reaches the controller when that is another. It is not waited for longer than it can be the
// controller without a sign of life.
func (b *Broker) dialController(id cluster.BrokerID) *peer.Peer {
	v := b.config.Current()
	return peer.New(peer.Options{
		ClientID: fmt.Sprint(b.id()), Protocol: b.config.Current().ProtocolVersion(), Timeout: min(v.Millis("controller.socket.timeout.ms"), v.Millis("zookeeper.session.timeout.ms")),
		Endpoint: func(ctx context.Context) (cluster.Endpoint, error) { return b.endpointOf(ctx, id) },
	})
}

// dialLeader is how followers here reach a leader.
func (b *Broker) dialLeader(id cluster.BrokerID) replica.Leader {
	v := b.config.Current()
	return peer.NewLeader(peer.LeaderOptions{
		Options: peer.Options{
			ClientID: fmt.Sprintf("broker-%d-fetcher", b.id()), Protocol: v.ProtocolVersion(), Timeout: v.Millis("replica.socket.timeout.ms"),
			Endpoint: func(ctx context.Context) (cluster.Endpoint, error) { return b.endpointOf(ctx, id) },
		},
		ID: b.id(), Epoch: b.chief.BrokerEpoch,
		WaitMax: v.Millis("replica.fetch.wait.max.ms"), BytesMin: int32(v.Int("replica.fetch.min.bytes")),
		BytesMax: int32(v.Int("replica.fetch.response.max.bytes")), PartitionBytesMax: int32(v.Int("replica.fetch.max.bytes")),
	})
}

// endpointOf finds a broker in what the controller told, or if it did not yet, in the store.
func (b *Broker) endpointOf(ctx context.Context, id cluster.BrokerID) (cluster.Endpoint, error) {
	listener := b.config.Network().InterBroker
	if known := b.replicas.Metadata().Broker(id); known != nil {
		return endpointOn(known, listener)
	}
	registered, err := b.store.Broker(ctx, id, nil)
	if err != nil {
		return cluster.Endpoint{}, fmt.Errorf("find broker %d: %w", id, err)
	}
	return endpointOn(&registered, listener)
}

func endpointOn(b *cluster.Broker, listener string) (cluster.Endpoint, error) {
	e, ok := b.Endpoint(listener)
	if !ok {
		return e, fmt.Errorf("broker %d has no listener %s", b.ID, listener)
	}
	return e, nil
}

// chief is the elected controller as this broker asks it: by a call if it is this broker's own, else over a connection. It is made
// before the two that it needs, for the replicas, which ask nothing until there is a controller.
type chief struct {
	id           cluster.BrokerID // this broker's
	own          *controller.Controller
	registration *metastore.Registration
	dial         func(cluster.BrokerID) *peer.Peer

	mu   sync.Mutex
	peer *peer.Peer // nil before the first
	at   cluster.BrokerID
}

// elsewhere is the controller in another broker.
func (c *chief) elsewhere() (*peer.Peer, error) {
	id := c.own.ActiveID()
	if id < 0 || id == c.id {
		return nil, controller.ErrNotController
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer == nil || c.at != id {
		if c.peer != nil {
			_ = c.peer.Close() // it is the controller no more
		}
		c.peer, c.at = c.dial(id), id
	}
	return c.peer, nil
}

// BrokersDied ends what the controller is asked if that is dead: it might say nothing for as long as the timeout.
func (c *chief) BrokersDied(ids []cluster.BrokerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil && slices.Contains(ids, c.at) {
		_ = c.peer.Close() // nothing is buffered that could be lost
	}
}

func (c *chief) close(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer == nil {
		return nil
	}
	return c.peer.Close()
}

// BrokerEpoch is that of this broker's current registration.
func (c *chief) BrokerEpoch() cluster.BrokerEpoch { return c.registration.Epoch() }

// AlterPartition is the controller's.
func (c *chief) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	if c.own.IsActive() {
		return c.own.AlterPartition(ctx, r)
	}
	p, err := c.elsewhere()
	if err != nil {
		return nil, err
	}
	return p.AlterPartition(ctx, r)
}

// ControlledShutdown moves away what this broker leads.
func (c *chief) ControlledShutdown(ctx context.Context) ([]protocol.TopicPartition, error) {
	if c.own.IsActive() {
		return c.own.ControlledShutdown(ctx, c.id, c.registration.Epoch())
	}
	p, err := c.elsewhere()
	if err != nil {
		return nil, err
	}
	return p.ControlledShutdown(ctx, c.id, c.registration.Epoch())
}

// AllocateProducerIDs reserves producer ids for this broker.
func (c *chief) AllocateProducerIDs(ctx context.Context) (first int64, count int32, err error) {
	if c.own.IsActive() {
		block, err := c.own.AllocateProducerIDs(ctx, c.id, c.registration.Epoch())
		return block.First, int32(block.Last - block.First + 1), err
	}
	p, err := c.elsewhere()
	if err != nil {
		return 0, 0, err
	}
	return p.AllocateProducerIDs(ctx, c.id, c.registration.Epoch())
}
