package cluster

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/load"
)

// restart ends a broker with SIGKILL, lets the others go on for a while, and starts it again.
func (c *Cluster) restart(id int32, l *load.Load, without int32) {
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

// Brokers that are stopped in order hand over first; whatever is sent meanwhile is there once, in order.
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

// A broker that is stopped for longer than its session, and goes on as if nothing had been, finds out that it is not the leader and
// not the controller any more, and loses nothing by what it believed.
func TestPausedBeyondTheSession(t *testing.T) {
	c := Start(t, 3, nil)
	c.Create("load", 3)
	l := load.Start(t, c.Addrs(), "load")
	l.AwaitAcked(t, 2000)
	for _, id := range []int32{c.Leader("load", 0), c.Controller()} {
		c.pause(id, func() { c.awaitOtherLeader("load", id) })
		l.AwaitAcked(t, 5000)
		c.AwaitInSync("load")
	}
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
	c.Stop()
	c.SameLogs("load")
}

// pause stops a broker's process while something happens.
func (c *Cluster) pause(id int32, meanwhile func()) {
	c.t.Helper()
	pid := c.Brokers[id].PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			c.t.Error(err)
		}
	}()
	meanwhile()
}

// awaitOtherLeader waits until a broker that is alive says that the one given leads nothing.
func (c *Cluster) awaitOtherLeader(topic string, not int32) {
	c.t.Helper()
	alive := not%int32(len(c.Brokers)) + 1
	c.await("other leaders", func(ctx context.Context) error {
		partitions, err := c.asSeenBy(ctx, alive, topic)
		for _, p := range partitions {
			if p.Leader == not || p.Leader < 0 {
				return fmt.Errorf("partition %d is led by %d", p.Partition, p.Leader)
			}
		}
		return err
	})
}

// A group's offsets and its member live on when the coordinator is killed.
func TestGroupOutlivesItsCoordinator(t *testing.T) {
	c := Start(t, 3, map[string]string{"offsets.topic.num.partitions": "4"})
	c.Create("load", 3)
	l := load.Start(t, c.Addrs(), "load")
	seen := map[int32]int64{}
	consumer := load.Client(t, c.Addrs(), kgo.ConsumeTopics("load"), kgo.ConsumerGroup("g"), kgo.InstanceID("one"), kgo.DisableAutoCommit())
	read := func(records int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for n := 0; n < records; {
			fetches := consumer.PollRecords(ctx, 1000)
			if ctx.Err() != nil {
				t.Fatal("no records within a minute")
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset != seen[r.Partition] {
					t.Fatalf("partition %d: offset %d instead of %d", r.Partition, r.Offset, seen[r.Partition])
				}
				seen[r.Partition]++
				n++
			})
		}
		for err := consumer.CommitUncommittedOffsets(ctx); err != nil; err = consumer.CommitUncommittedOffsets(ctx) {
			if ctx.Err() != nil { // the client does not try again by itself when the coordinator is not there to be asked
				t.Fatal(err)
			}
		}
	}
	read(5000)
	c.AwaitInSync("__consumer_offsets")
	coordinator := c.admin.FindGroupCoordinators(context.Background(), "g")["g"]
	if coordinator.Err != nil {
		t.Fatal(coordinator.Err)
	}
	c.Brokers[coordinator.NodeID].Kill()
	read(20000)
	if err := c.Brokers[coordinator.NodeID].Start(); err != nil {
		t.Fatal(err)
	}
	read(5000)
	l.Finish(t)
	committed, err := c.admin.FetchOffsets(context.Background(), "g")
	if err != nil {
		t.Fatal(err)
	}
	for partition, next := range seen {
		if o, ok := committed.Lookup("load", partition); !ok || o.At != next {
			t.Errorf("partition %d: committed %d, read up to %d", partition, o.At, next)
		}
	}
	c.Stop()
}
