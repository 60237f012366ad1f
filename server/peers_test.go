package server

import (
	"context"
	"errors"
	"testing"

	"gokafka/cluster"
	"gokafka/cluster/peer"
	"gokafka/cluster/replica"
)

// A controller on a machine that is off says nothing. What it was asked ends when it is known to be dead.
func TestChiefDoesNotWaitForTheDead(t *testing.T) {
	asked := make(chan struct{})
	c := &chief{at: 2, peer: peer.New(peer.Options{Endpoint: func(ctx context.Context) (cluster.Endpoint, error) {
		close(asked)
		<-ctx.Done()
		return cluster.Endpoint{}, ctx.Err()
	}})}
	go func() {
		<-asked
		c.BrokersDied([]cluster.BrokerID{2})
	}()
	if _, err := c.peer.AlterPartition(t.Context(), &cluster.AlterPartitionRequest{}); !errors.Is(err, replica.ErrNotSent) {
		t.Error(err)
	}
	c.BrokersDied([]cluster.BrokerID{1, 3})
}
