package mixed

import (
	"fmt"
	"testing"

	"gokafka/compat/load"
)

// older is a cluster with brokers of before.
type older struct {
	protocol string
	kinds    []Kind
	restart  bool // 3.0 gives a proposal up for ever that the controller refuses, as it does while the replica is on its way out
}

// Brokers of older releases, and an older inter.broker.protocol.version, as clusters have in the middle of an upgrade.
func olderBrokers(t *testing.T) {
	for _, tt := range []older{
		{"3.0", []Kind{Apache, Gokafka, Gokafka}, true},
		{"3.6", []Kind{"apache 3.6.2", Gokafka, Apache}, true},
		{"3.0", []Kind{"apache 3.0.2", Gokafka, "apache 3.6.2"}, false},
		{"3.0", []Kind{"apache 3.0.2", "apache 3.0.2", Gokafka}, false},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.protocol, tt.kinds), func(t *testing.T) {
			c := Start(t, map[string]string{"inter.broker.protocol.version": tt.protocol}, tt.kinds...)
			c.Create("load", everywhere...)
			l := c.Load("load")
			g := c.Consume("load", "g", 2)
			for _, id := range c.IDs() {
				c.Exercise("t", id)
			}
			if tt.restart {
				for _, id := range c.IDs() {
					c.Stop(id)
					c.Begin(id, c.Nodes[id].Kind)
					c.AwaitInSync("load", "__consumer_offsets")
					l.AwaitAcked(t, 1000) // Apache's brokers know the last batch of a producer only when they are back, so none may wait to be sent again
				}
			}
			l.Finish(t)
			g.Finish()
			l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
			c.StopAll()
			c.SameLogs("load")
		})
	}
}
