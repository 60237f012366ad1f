package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/apache"
	"gokafka/compat/conn"
	"gokafka/compat/gokafka"
	"gokafka/compat/process"
)

// trio is three brokers of one kind and their ZooKeeper.
type trio struct {
	name      string
	dir       string
	zookeeper *apache.ZooKeeper
	brokers   map[int32]clusterBroker
}

// clusterBroker is a broker that can be killed.
type clusterBroker interface {
	broker
	Kill()
}

// session is how long ZooKeeper waits for a broker that is silent, in all measurements.
const session = 6 * time.Second

// startTrio starts ZooKeeper and the three brokers.
func (s settings) startTrio(name, part string) (*trio, error) {
	dir := filepath.Join(s.dir, part+"-"+name)
	zk, err := apache.StartZooKeeper(filepath.Join(dir, "zookeeper"))
	if err != nil {
		return nil, err
	}
	c := &trio{name: name, dir: dir, zookeeper: zk, brokers: map[int32]clusterBroker{}}
	for id := int32(1); id <= 3; id++ {
		b, err := c.start(id)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("start %s %d: %w", name, id, err)
		}
		c.brokers[id] = b
	}
	return c, nil
}

func (c *trio) start(id int32) (clusterBroker, error) {
	properties := map[string]string{"broker.id": fmt.Sprint(id), "zookeeper.connect": c.zookeeper.Addr + "/bench", "min.insync.replicas": "2",
		"zookeeper.session.timeout.ms": fmt.Sprint(session.Milliseconds()), "auto.leader.rebalance.enable": "false", "group.initial.rebalance.delay.ms": "0",
		"log.retention.check.interval.ms": "5000"}
	dir := filepath.Join(c.dir, fmt.Sprint("broker-", id))
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	if c.name == "apache" {
		return apache.Start(apache.Options{Dir: dir, Addr: addr, ZooKeeper: c.zookeeper.Addr + "/bench", Properties: properties, Measured: true})
	}
	return gokafka.Start(gokafka.Options{Dir: dir, Addr: addr, Properties: properties})
}

// startTrios starts one trio of each kind. end ends them.
func (s settings) startTrios(part string) (all []*trio, end func(), err error) {
	end = func() {
		for _, c := range all {
			c.close()
		}
	}
	for _, name := range both {
		c, err := s.startTrio(name, part)
		if err != nil {
			end()
			return nil, nil, err
		}
		all = append(all, c)
	}
	return all, end, nil
}

// byTurns starts the trios of a part that is to be run, prepares each, and measures them by turns: in each round one after the other, and who goes first
// alternates. between is called after each round; nil: nothing is to be done there.
func (s settings) byTurns(part string, rounds int, prepare func(*trio) error, measure func(c *trio, round int) error, between func(round int) error) error {
	if !s.only.MatchString(part) {
		return nil
	}
	trios, end, err := s.startTrios(part)
	if err != nil {
		return err
	}
	defer end()
	for _, c := range trios {
		if err := prepare(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for round := range rounds {
		for i := range trios {
			c := trios[(i+round)%2]
			if err := measure(c, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if between != nil {
			if err := between(round); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *trio) close() {
	for _, b := range c.brokers {
		b.Close()
	}
	c.zookeeper.Stop()
	os.RemoveAll(c.dir)
}

// addrs are the addresses of some brokers, or of all.
func (c *trio) addrs(ids ...int32) string {
	if len(ids) == 0 {
		ids = slices.Sorted(maps.Keys(c.brokers))
	}
	var all []string
	for _, id := range ids {
		all = append(all, c.brokers[id].Addr())
	}
	return strings.Join(all, ",")
}

// others are the brokers beside one.
func (c *trio) others(id int32) []int32 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.brokers)), func(other int32) bool { return other == id })
}

// client connects to some brokers, or to all.
func (c *trio) client(ids []int32, opts ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(c.addrs(ids...), ",")...), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return cl, nil
}

// create makes a topic with three replicas of each partition, led by one broker or, if that is 0, by all in turn; it returns when all
// replicas are in sync.
func (c *trio) create(topic string, partitions, leader int32, configs ...kmsg.CreateTopicsRequestTopicConfig) error {
	cl, err := c.client(nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 300_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor, t.Configs = topic, -1, -1, configs
	for p := range partitions {
		first := leader - 1
		if leader == 0 {
			first = p % 3
		}
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = p, []int32{first + 1, (first+1+p%2)%3 + 1, (first+2-p%2)%3 + 1}
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	req.Topics = append(req.Topics, t)
	if _, err := req.RequestWith(context.Background(), cl); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return c.awaitInSync(cl, topic, int(partitions))
}

func (c *trio) awaitInSync(cl *kgo.Client, topic string, partitions int) error {
	a := kadm.NewClient(cl)
	var err error
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var m kadm.Metadata
		if m, err = a.Metadata(context.Background(), topic); err != nil {
			continue
		}
		in := 0
		for _, p := range m.Topics[topic].Partitions {
			if p.Leader > 0 && len(p.ISR) == 3 {
				in++
			}
		}
		if in == partitions {
			return nil
		}
		err = fmt.Errorf("%d of %d partitions in sync", in, partitions)
	}
	return fmt.Errorf("await replicas of %s: %w", topic, err)
}

// leads asks a broker which partitions of a topic it leads: only a leader knows where they end.
func leads(addr, topic string, partitions int32, found map[int32]bool) error {
	cn, err := conn.Dial(addr)
	if err != nil {
		return err
	}
	defer cn.Close()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 3, -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p, -1
		t.Partitions = append(t.Partitions, one)
	}
	req.Topics = append(req.Topics, t)
	answer, err := cn.Request(req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				found[p.Partition] = true
			}
		}
	}
	return nil
}

// awaitLed waits until some brokers lead all partitions of a topic.
func (c *trio) awaitLed(ids []int32, topic string, partitions int32) error {
	var last error
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		led := map[int32]bool{}
		var err error
		for _, id := range ids {
			err = errors.Join(err, leads(c.brokers[id].Addr(), topic, partitions, led))
		}
		if err == nil && len(led) == int(partitions) {
			return nil
		}
		last = errors.Join(err, fmt.Errorf("%d of %d partitions are led", len(led), partitions))
	}
	return last
}
