package cluster

import (
	"strings"
	"testing"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/load"
)

// restart ends a broker with SIGKILL, lets the others go on for a while, and starts it again.
func (c *Cluster) restart(id int32, l *load.Load, without int64) {
	c.t.Helper()
	c.Brokers[id].Kill()
	l.AwaitAcked(c.t, without)
	if err := c.Brokers[id].Start(); err != nil {
		c.t.Fatal(err)
	}
	l.AwaitAcked(c.t, without)
}

// Leaders and the controller are killed under an idempotent load with acks=all: every acknowledged record is there once, in order.
func TestKillsUnderLoad(t *testing.T) {
	rounds := 1
	if compat.Full() {
		rounds = 15
	}
	c := Start(t, 3, map[string]string{"log.segment.bytes": "4194304"})
	c.Create("load", 3)
	l := load.Start(t, c.Addrs(), "load")
	l.AwaitAcked(t, 5000)
	for range rounds {
		c.restart(c.Leader("load", 0), l, 5000)
		c.AwaitInSync("load")
		c.restart(c.Controller(), l, 5000)
		c.AwaitInSync("load")
	}
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
	described(t, c)
	c.Stop()
	c.SameLogs("load")
}

// described checks that Apache's own tool sees every replica in sync.
func described(t *testing.T, c *Cluster) {
	t.Helper()
	out, err := apache.RunTool("", "topics", "--bootstrap-server", c.Addrs(), "--describe", "--topic", "load")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "Isr: "); n != 3 {
		t.Errorf("kafka-topics tells of %d partitions:\n%s", n, out)
	}
	if out, err = apache.RunTool("", "topics", "--bootstrap-server", c.Addrs(), "--describe", "--under-replicated-partitions"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("kafka-topics sees partitions without all replicas: %v\n%s", err, out)
	}
}

// Brokers that are stopped in order hand over first: nothing that is sent meanwhile fails, and none is asked twice.
func TestRollingRestart(t *testing.T) {
	c := Start(t, 3, nil)
	c.Create("load", 6)
	l := load.Start(t, c.Addrs(), "load")
	l.AwaitAcked(t, 2000)
	for id := int32(1); id <= 3; id++ {
		if err := c.Brokers[id].Stop(); err != nil {
			t.Fatal(err)
		}
		l.AwaitAcked(t, 2000)
		if err := c.Brokers[id].Start(); err != nil {
			t.Fatal(err)
		}
		c.AwaitInSync("load")
	}
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
	c.Stop()
	c.SameLogs("load")
}
