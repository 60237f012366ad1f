package mixed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// AwaitSettled waits until topics, to which something was to happen when a controller died, are whole or cleanly absent, on every node.
func (c *Cluster) AwaitSettled(topics ...string) {
	c.t.Helper()
	for _, topic := range topics {
		c.await("topic "+topic+" is whole or absent", func(ctx context.Context) error { return c.settled(ctx, topic) })
	}
}

// settled compares what ZooKeeper, the nodes and their disks have of a topic.
func (c *Cluster) settled(ctx context.Context, topic string) error {
	marked, _, err := c.zk.Exists(chroot + "/admin/delete_topics/" + topic)
	if err != nil || marked {
		return errors.Join(err, fmt.Errorf("to be deleted: %v", marked))
	}
	b, _, err := c.zk.Get(chroot + "/brokers/topics/" + topic)
	if err == zk.ErrNoNode {
		return c.absent(ctx, topic)
	} else if err != nil {
		return err
	}
	var t struct {
		Partitions map[string][]int32
		Adding     map[string][]int32 `json:"adding_replicas"`
		Removing   map[string][]int32 `json:"removing_replicas"`
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	if len(t.Adding)+len(t.Removing) > 0 {
		return fmt.Errorf("it is being moved: %s", b)
	}
	for _, id := range c.IDs() {
		if err := c.whole(ctx, id, topic, t.Partitions); err != nil {
			return fmt.Errorf("node %d: %w", id, err)
		}
	}
	return nil
}

// whole checks that a node knows the partitions as they are assigned, all in sync, and has directories of its own ones and no others.
func (c *Cluster) whole(ctx context.Context, id int32, topic string, assigned map[string][]int32) error {
	seen, err := c.SeenBy(ctx, id, topic)
	if err != nil || len(seen) != len(assigned) {
		return errors.Join(err, fmt.Errorf("%d partitions of %d", len(seen), len(assigned)))
	}
	for _, p := range seen {
		replicas := assigned[fmt.Sprint(p.Partition)]
		if p.Leader < 0 || len(p.ISR) != len(replicas) || !slices.Equal(p.Replicas, replicas) {
			return fmt.Errorf("partition %d is led by %d, replicas %v, in sync %v, assigned %v", p.Partition, p.Leader, p.Replicas, p.ISR, replicas)
		}
		name := fmt.Sprintf("%s-%d", topic, p.Partition)
		if c.strays[name] {
			continue
		}
		if has := len(c.directories(id, name)) > 0; has != slices.Contains(replicas, id) {
			return fmt.Errorf("partition %d is assigned to %v, and here a directory: %v", p.Partition, replicas, !slices.Contains(replicas, id))
		}
	}
	return nil
}

// absent checks that no node has anything of a topic.
func (c *Cluster) absent(ctx context.Context, topic string) error {
	for _, id := range c.IDs() {
		if left := c.directories(id, topic+"-*"); len(left) > 0 {
			return fmt.Errorf("node %d has %v", id, left)
		}
		if seen, err := c.SeenBy(ctx, id, topic); err == nil {
			return fmt.Errorf("node %d tells of %d partitions", id, len(seen))
		} else if !strings.Contains(err.Error(), "UNKNOWN_TOPIC") {
			return err
		}
	}
	return nil
}

// AwaitQuiet waits until the controller has nothing to do: nothing is left that was asked for through ZooKeeper or moved.
func (c *Cluster) AwaitQuiet() {
	c.t.Helper()
	c.await("nothing to do for the controller", func(ctx context.Context) error {
		left, _, err := c.zk.Children(chroot + "/admin/delete_topics")
		if err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("to be deleted: %v", left))
		}
		moving, err := c.Admin.ListPartitionReassignments(ctx, nil)
		if err != nil || len(moving) > 0 {
			return errors.Join(err, fmt.Errorf("being moved: %v", moving))
		}
		return nil
	})
}
