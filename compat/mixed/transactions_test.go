package mixed

import (
	"context"
	"fmt"
	"testing"
)

// coordinator is the node that coordinates a transactional id.
func (c *Cluster) coordinator(id string) (node int32) {
	c.t.Helper()
	c.await("coordinator of "+id, func(ctx context.Context) error {
		found := c.Admin.FindTxnCoordinators(ctx, id)[id]
		if node = found.NodeID; found.Err == nil && c.Nodes[node] == nil {
			return fmt.Errorf("it is node %d", node)
		}
		return found.Err
	})
	return node
}

// The coordinator of transactions is stopped or killed in the middle of them, and one of the other kind goes on with what it wrote,
// which it finds in its own copy of the log; and then a broker of the other kind serves what the first one left.
func coordinatorsChangeHands(t *testing.T) {
	c := Start(t, nil, Apache, Gokafka, Apache)
	c.Create("out", everywhere...)
	x := c.Transact("out", "x")
	x.AwaitEnded(20)
	for turn := range 4 {
		c.AwaitInSync("out", "__transaction_state")
		id := c.coordinator("x")
		kind := c.Nodes[id].Kind
		if turn%2 == 0 {
			c.Stop(id)
		} else {
			c.Kill(id)
		}
		x.AwaitEnded(5)
		c.Begin(id, kind.other())
		t.Logf("node %d, the coordinator, was %s and is %s", id, kind, kind.other())
		x.AwaitEnded(20)
	}
	x.Finish()
	c.AwaitTransactionsEnded()
	c.AwaitInSync("out")
	c.StopAll()
	c.SameLogs("out")
	c.SameLogs("__transaction_state")
	for _, id := range c.IDs() {
		c.Dump(id)
	}
}
