package mixed

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

// A follower of either kind that does not fetch leaves the ISR of leaders of the other kind, and comes back when it fetches again.
func isrShrinksAndGrows(t *testing.T) {
	c := Start(t, map[string]string{"replica.lag.time.max.ms": "1500", "zookeeper.session.timeout.ms": "20000"}, Apache, Gokafka, Apache)
	c.Create("t", everywhere...)
	l := c.Load("t")
	c.AwaitInSync("t")
	for _, id := range []int32{2, 3} {
		others := c.others(id)
		c.Pause([]int32{id}, func() {
			c.AwaitSeen("smaller ISR", "t", others, func(p State) bool { return p.Leader == id || !slices.Contains(p.ISR, id) })
		})
		c.AwaitInSync("t")
	}
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "t"))
	c.StopAll()
	c.SameLogs("t")
}

// A leader of either kind that took records which nobody else has is killed. When it is back, it lets go of them: with the new
// leader's offsets and epochs its log is the same as the others'.
func leaderTruncates(t *testing.T) {
	c := Start(t, map[string]string{"zookeeper.session.timeout.ms": "6000"}, Apache, Gokafka, Gokafka)
	c.Create("t", everywhere...)
	c.AwaitInSync("t")
	for round, leader := range []int32{1, 2, 1, 3} {
		c.Fill("t", 3, 10+round)
		c.AwaitInSync("t")
		c.elect("t")
		c.Pause(c.others(leader), func() { c.fillAlone("t", leader, 50) })
		c.Kill(leader)
		c.AwaitSeen("another leader", "t", c.others(leader), func(p State) bool { return p.Leader >= 0 && p.Leader != leader })
		c.Fill("t", 3, 5)
		c.Begin(leader, c.Nodes[leader].Kind)
		c.AwaitInSync("t")
	}
	c.StopAll()
	c.SameLogs("t")
	for _, id := range c.IDs() {
		c.Dump(id)
	}
}

// fillAlone produces records that only the leader has, with acks=1, to the partition that a node is the preferred leader of.
func (c *Cluster) fillAlone(topic string, leader int32, n int) {
	c.t.Helper()
	producer := load.Client(c.t, c.Nodes[leader].Addr(), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	defer producer.Close()
	for i := range n {
		r := &kgo.Record{Partition: leader - 1, Value: fmt.Appendf(nil, "only node %d has %d", leader, i)}
		c.ok(producer.ProduceSync(context.Background(), r).FirstErr())
	}
}
