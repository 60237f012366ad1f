package cluster

import (
	"testing"

	"gokafka/compat/load"
)

// Brokers among themselves speak the oldest protocol that they know, as in the middle of an upgrade: replicas are copied and led in turn.
func TestOldestProtocol(t *testing.T) {
	c := Start(t, 3, map[string]string{"inter.broker.protocol.version": "3.0-IV0"})
	c.Create("load", 3)
	l := load.Start(t, c.Addrs(), "load")
	l.AwaitAcked(t, 1000)
	c.restart(c.Leader("load", 0), l, 1000)
	c.AwaitInSync("load")
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
	c.Stop()
	c.SameLogs("load")
}
