package mixed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/load"
)

// Exercise has a node, as the controller, do everything to a topic that an operator can ask for, and sees each of it on every node.
func (c *Cluster) Exercise(topic string, controller int32) {
	c.t.Helper()
	c.Elect(controller)
	c.Create(topic, everywhere...)
	c.AwaitInSync(topic)
	c.Fill(topic, 3, 100)
	c.grow(topic)
	c.configure(topic)
	c.configureAll()
	c.allocate()
	c.Reassign(topic, 0, 3, 2)
	c.Reassign(topic, 0, 2, 1, 3)
	c.elect(topic)
	c.deleteRecords(topic)
	if n := len(load.ReadAll(c.t, c.Addrs(), topic)); n != 250 {
		c.t.Errorf("%d records of 300 are left after 50 were deleted", n)
	}
	c.Delete(topic)
	c.Create(topic, everywhere...)
	c.AwaitInSync(topic)
	c.Fill(topic, 3, 1)
	if n := len(load.ReadAll(c.t, c.Addrs(), topic)); n != 3 {
		c.t.Errorf("%d records are in the topic that was made anew, instead of 3", n)
	}
	c.Delete(topic)
	if now := c.Controller(); now != controller {
		c.t.Errorf("node %d is the controller, and %d was", now, controller)
	}
}

// Fill produces some records to each of the first partitions of a topic.
func (c *Cluster) Fill(topic string, partitions int32, each int) {
	c.t.Helper()
	producer := load.Client(c.t, c.Addrs(), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	for p := range partitions {
		for i := range each {
			producer.Produce(context.Background(), &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%d", i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					c.t.Error(err)
				}
			})
		}
	}
	c.ok(producer.Flush(context.Background()))
}

func (c *Cluster) grow(topic string) {
	c.t.Helper()
	r, err := c.Admin.UpdatePartitions(context.Background(), 4, topic)
	c.ok(err, r.Error())
	c.AwaitSeen("four partitions", topic, c.IDs(), func(State) bool { return true })
	c.AwaitInSync(topic)
}

// configure changes a setting at one node after the other, and asks the others.
func (c *Cluster) configure(topic string) {
	c.t.Helper()
	for i, id := range c.IDs() {
		at := kadm.NewClient(c.clients[id])
		want := fmt.Sprint(1000000 + i)
		r, err := at.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &want}}, topic)
		c.ok(err)
		_, err = r.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		c.ok(err)
		for _, other := range c.IDs() {
			c.await(fmt.Sprintf("setting of node %d at node %d", id, other), func(ctx context.Context) error {
				return has(ctx, kadm.NewClient(c.clients[other]), topic, "retention.ms", want)
			})
		}
	}
}

// configureAll changes a setting of all brokers at one node after the other, and asks each about itself.
func (c *Cluster) configureAll() {
	c.t.Helper()
	for i, id := range c.IDs() {
		want := fmt.Sprint(2000000 + i)
		r, err := kadm.NewClient(c.clients[id]).AlterBrokerConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.ms", Value: &want}})
		c.ok(err)
		for _, altered := range r {
			c.ok(altered.Err)
		}
		for _, other := range c.IDs() {
			c.await(fmt.Sprintf("setting of all brokers of node %d at node %d", id, other), func(ctx context.Context) error {
				r, err := kadm.NewClient(c.clients[other]).DescribeBrokerConfigs(ctx, other)
				return found(r, err, "log.retention.ms", want)
			})
		}
	}
}

// allocate has every node give out a producer id, for which it needs the controller when its own are used up. No two are the same.
func (c *Cluster) allocate() {
	c.t.Helper()
	for _, id := range c.IDs() {
		c.await(fmt.Sprintf("producer id of node %d", id), func(ctx context.Context) error {
			answer, err := c.clients[id].SeedBrokers()[0].Request(ctx, kmsg.NewPtrInitProducerIDRequest())
			if err != nil {
				return err
			}
			resp := answer.(*kmsg.InitProducerIDResponse)
			if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
				return err
			}
			if by, given := c.producers[resp.ProducerID]; given {
				c.t.Errorf("producer id %d was given out by node %d, and then by node %d", resp.ProducerID, by, id)
			}
			c.producers[resp.ProducerID] = id
			return nil
		})
	}
}

func has(ctx context.Context, a *kadm.Client, topic, name, want string) error {
	r, err := a.DescribeTopicConfigs(ctx, topic)
	return found(r, err, name, want)
}

// found looks for a setting in what a broker tells.
func found(r kadm.ResourceConfigs, err error, name, want string) error {
	if err != nil {
		return err
	}
	for _, config := range r {
		for _, k := range config.Configs {
			if k.Key == name && k.MaybeValue() == want {
				return nil
			}
		}
	}
	return fmt.Errorf("it is not %s", want)
}

// Reassign moves a partition and waits until it is there.
func (c *Cluster) Reassign(topic string, partition int32, replicas ...int32) {
	c.t.Helper()
	c.await("reassignment begins", func(ctx context.Context) error {
		var req kadm.AlterPartitionAssignmentsReq
		req.Assign(topic, partition, replicas)
		r, err := c.Admin.AlterPartitionAssignments(ctx, req)
		if err == nil {
			err = r.Error()
		}
		return err
	})
	c.AwaitSeen(fmt.Sprintf("replicas %v", replicas), topic, c.IDs(), func(p State) bool {
		return p.Partition != partition || slices.Equal(p.Replicas, replicas) && len(p.ISR) == len(replicas) && slices.Contains(replicas, p.Leader)
	})
	for _, id := range c.IDs() {
		if !slices.Contains(replicas, id) {
			c.awaitNoDirectory(id, fmt.Sprintf("%s-%d", topic, partition))
		}
	}
}

// elect gives every partition back to its preferred leader.
func (c *Cluster) elect(topic string) {
	c.t.Helper()
	c.await("preferred leaders are elected", func(ctx context.Context) error {
		_, err := c.Admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
		return err
	})
	c.AwaitPreferred(topic)
}

// AwaitPreferred waits until every node says that the first replica of each partition leads it.
func (c *Cluster) AwaitPreferred(topic string) {
	c.t.Helper()
	c.AwaitSeen("preferred leaders", topic, c.IDs(), func(p State) bool { return p.Leader == p.Replicas[0] })
}

func (c *Cluster) deleteRecords(topic string) {
	c.t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 50, LeaderEpoch: -1})
	r, err := c.Admin.DeleteRecords(context.Background(), offsets)
	c.ok(err, r.Error())
	starts, err := c.Admin.ListStartOffsets(context.Background(), topic)
	c.ok(err, starts.Error())
	if start, _ := starts.Lookup(topic, 1); start.Offset != 50 {
		c.t.Errorf("partition 1 starts at %d after the deletion of all before 50", start.Offset)
	}
}

// Delete deletes a topic and waits until nothing is left of it on any node that is up.
func (c *Cluster) Delete(topic string) {
	c.t.Helper()
	r, err := c.Admin.DeleteTopics(context.Background(), topic)
	c.ok(err, r.Error())
	c.AwaitGone(topic)
}

// AwaitGone waits until nothing is left of a topic.
func (c *Cluster) AwaitGone(topic string) {
	c.t.Helper()
	for _, node := range []string{"/brokers/topics/", "/config/topics/", "/admin/delete_topics/"} {
		c.await("end of "+node+topic, func(context.Context) error {
			exists, _, err := c.zk.Exists(chroot + node + topic)
			if err == nil && exists {
				err = fmt.Errorf("it exists")
			}
			return err
		})
	}
	for _, id := range c.IDs() {
		c.awaitNoDirectory(id, topic+"-*")
		c.await(fmt.Sprintf("node %d forgets %s", id, topic), func(ctx context.Context) error {
			if partitions, err := c.SeenBy(ctx, id, topic); err == nil {
				return fmt.Errorf("it says %v", partitions)
			} else if !strings.Contains(err.Error(), "UNKNOWN_TOPIC") {
				return err
			}
			return nil
		})
	}
}

// awaitNoDirectory waits until a node has no directory whose name fits, but for those that are on their way out.
func (c *Cluster) awaitNoDirectory(id int32, pattern string) {
	c.t.Helper()
	c.await(fmt.Sprintf("node %d removes %s", id, pattern), func(context.Context) error {
		if left := c.directories(id, pattern); len(left) > 0 {
			return fmt.Errorf("it has %v", left)
		}
		return nil
	})
}

// directories are those of a node whose names fit a pattern, without those that wait to be removed, and strays.
func (c *Cluster) directories(id int32, pattern string) []string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Nodes[id].Dir(), pattern))
	c.ok(err)
	return slices.DeleteFunc(found, func(d string) bool {
		info, err := os.Stat(d)
		return filepath.Ext(d) != "" || c.strays[filepath.Base(d)] || err != nil || !info.IsDir()
	})
}
