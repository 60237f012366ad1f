package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

// What an operator does to topics reaches every broker, whichever is the controller.
func TestTopicsAreMovedGrownAndDeleted(t *testing.T) {
	ctx := context.Background()
	c := Start(t, 3, nil)
	c.Create("t", 2)
	produce := func() {
		t.Helper()
		producer := load.Client(t, c.Addrs(), kgo.DefaultProduceTopic("t")) // a client holds on to the id of a topic that it knew
		for i := range 100 {
			if err := producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produce()

	if r, err := c.admin.UpdatePartitions(ctx, 4, "t"); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	c.AwaitInSync("t")

	// Partition 0 leaves the broker that leads it.
	leader := c.Leader("t", 0)
	var others []int32
	for id := range c.Brokers {
		if id != leader {
			others = append(others, id)
		}
	}
	var assign kadm.AlterPartitionAssignmentsReq
	assign.Assign("t", 0, others)
	if r, err := c.admin.AlterPartitionAssignments(ctx, assign); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	c.await("reassignment", func(ctx context.Context) error {
		r, err := c.admin.ListPartitionReassignments(ctx, nil)
		if err == nil && len(r) > 0 {
			err = errors.New("under way")
		}
		return err
	})
	c.AwaitInSync("t")
	c.await("a leader among the others", func(context.Context) error {
		if now := c.Leader("t", 0); !slices.Contains(others, now) {
			return fmt.Errorf("broker %d leads", now)
		}
		return nil
	})
	c.await("removal of the replica that was left", func(context.Context) error {
		if d := c.directories(leader, "t"); len(d) != 3 {
			return fmt.Errorf("broker %d has %v", leader, d)
		}
		return nil
	})
	produce()

	if r, err := c.admin.DeleteTopic(ctx, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for id := range c.Brokers {
		c.await("deletion", func(context.Context) error {
			if d := c.directories(id, "t"); len(d) > 0 {
				return fmt.Errorf("broker %d has %v", id, d)
			}
			return nil
		})
	}
	c.await("the name to be free", func(ctx context.Context) error {
		r, err := c.admin.CreateTopic(ctx, 2, 3, nil, "t")
		return errors.Join(err, r.Err)
	})
	c.AwaitInSync("t")
	produce()
	c.Stop()
	c.SameLogs("t")
}

// A broker that comes back gets its leadership again when it is asked for.
func TestPreferredLeaders(t *testing.T) {
	c := Start(t, 3, nil)
	c.Create("t", 3)
	c.AwaitInSync("t")
	preferred := c.Leader("t", 0)
	if err := c.Brokers[preferred].Stop(); err != nil {
		t.Fatal(err)
	}
	c.await("another leader", func(context.Context) error { // the client keeps what it heard for a moment
		if c.Leader("t", 0) == preferred {
			return fmt.Errorf("partition 0 is led by broker %d, which is down", preferred)
		}
		return nil
	})
	if err := c.Brokers[preferred].Start(); err != nil {
		t.Fatal(err)
	}
	c.AwaitInSync("t")
	r, err := c.admin.ElectLeaders(context.Background(), kadm.ElectPreferredReplica, nil)
	if err != nil {
		t.Fatal(err)
	}
	for topic, partitions := range r {
		for p, result := range partitions {
			if result.Err != nil {
				t.Errorf("%s-%d: %v", topic, p, result.Err)
			}
		}
	}
	c.await("the preferred leader", func(context.Context) error {
		if now := c.Leader("t", 0); now != preferred {
			return fmt.Errorf("broker %d leads", now)
		}
		return nil
	})
	c.Stop()
}
