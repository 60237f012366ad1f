package mixed

import (
	"fmt"
	"testing"

	"gokafka/compat"
	"gokafka/compat/load"
)

// Brokers of both kinds in one cluster: whichever is the controller, whichever leads, whichever follows.
func TestJoining(t *testing.T) {
	compositions := [][]Kind{{Apache, Gokafka, Apache}}
	if compat.Full() {
		compositions = append(compositions, []Kind{Gokafka, Apache, Gokafka})
	}
	for _, kinds := range compositions {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			c := Start(t, nil, kinds...)
			c.Create("load", everywhere...)
			l := c.Load("load")
			g := c.Consume("load", "g", 3)
			for _, id := range c.IDs() {
				c.Exercise("t", id)
			}
			l.Finish(t)
			g.Finish()
			l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
			c.AwaitInSync("load", "__consumer_offsets")
			c.StopAll()
			c.SameLogs("load")
		})
	}
}
