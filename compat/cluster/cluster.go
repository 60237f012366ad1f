// Package cluster runs several gokafka processes and a real ZooKeeper as one cluster, and ends them at bad moments: whatever was
// acknowledged is there, once and in order, and the replicas of a partition are the same to the byte.
package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/load"
)

// Cluster is some brokers in one ZooKeeper.
type Cluster struct {
	t       *testing.T
	Brokers map[int32]*gokafka.Broker
	admin   *kadm.Client
	clients map[int32]*kgo.Client // each of one broker
}

// sessionTimeout is short, so that the dead are noticed soon, and long enough for a machine that is busy.
const sessionTimeout = "3000"

// Start starts ZooKeeper and brokers 1 to n for the length of a test.
func Start(t *testing.T, n int32, own map[string]string) *Cluster {
	t.Helper()
	z, err := apache.StartZooKeeper(compat.Dir(t, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Stop)
	c := &Cluster{t: t, Brokers: map[int32]*gokafka.Broker{}, clients: map[int32]*kgo.Client{}}
	for id := int32(1); id <= n; id++ {
		c.Brokers[id] = c.start(id, z.Addr+"/cluster", own)
		c.clients[id] = load.Client(t, c.Brokers[id].Addr())
	}
	c.admin = kadm.NewClient(load.Client(t, c.Addrs()))
	return c
}

func (c *Cluster) start(id int32, zookeeper string, own map[string]string) *gokafka.Broker {
	c.t.Helper()
	p := map[string]string{"broker.id": fmt.Sprint(id), "zookeeper.connect": zookeeper, "zookeeper.session.timeout.ms": sessionTimeout,
		"offsets.topic.replication.factor": "3", "group.initial.rebalance.delay.ms": "0", "auto.leader.rebalance.enable": "false"}
	maps.Copy(p, own)
	b, err := gokafka.Start(gokafka.Options{Dir: compat.Dir(c.t, fmt.Sprintf("broker-%d", id)), Properties: p})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(b.Close)
	c.t.Cleanup(func() {
		if err := b.Healthy(); err != nil {
			c.t.Error(err)
		}
	})
	return b
}

// Addrs are all brokers, for clients.
func (c *Cluster) Addrs() string {
	var addrs []string
	for _, id := range slices.Sorted(maps.Keys(c.Brokers)) {
		addrs = append(addrs, c.Brokers[id].Addr())
	}
	return strings.Join(addrs, ",")
}

// Create makes a topic with a replica on each of three brokers, two of which must be in sync.
func (c *Cluster) Create(topic string, partitions int32) {
	c.t.Helper()
	two := "2"
	if _, err := c.admin.CreateTopic(context.Background(), partitions, 3, map[string]*string{"min.insync.replicas": &two}, topic); err != nil {
		c.t.Fatal(err)
	}
}

// await tries until something holds; what depends on ZooKeeper's clock takes a while.
func (c *Cluster) await(what string, holds func(ctx context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		if err = holds(ctx); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("%s: not within a minute: %v", what, err)
}

// Controller is the id of the broker that is the controller.
func (c *Cluster) Controller() (id int32) {
	c.t.Helper()
	c.await("controller", func(ctx context.Context) error {
		m, err := c.admin.BrokerMetadata(ctx)
		if id = m.Controller; err == nil && c.Brokers[id] == nil {
			err = fmt.Errorf("it is broker %d", id)
		}
		return err
	})
	return id
}

// Leader is the id of the broker that leads a partition.
func (c *Cluster) Leader(topic string, partition int32) (id int32) {
	c.t.Helper()
	c.await("leader", func(ctx context.Context) error {
		m, err := c.admin.Metadata(ctx, topic)
		if id = m.Topics[topic].Partitions[partition].Leader; err == nil && c.Brokers[id] == nil {
			err = fmt.Errorf("it is broker %d", id)
		}
		return err
	})
	return id
}

// AwaitInSync waits until every broker says that all replicas of a topic are in sync.
func (c *Cluster) AwaitInSync(topic string) {
	c.t.Helper()
	for id := range c.Brokers {
		c.await(fmt.Sprintf("full ISR of %s as broker %d sees it", topic, id), func(ctx context.Context) error {
			partitions, err := c.asSeenBy(ctx, id, topic)
			for _, p := range partitions {
				if len(p.ISR) < len(p.Replicas) || p.Leader < 0 {
					return fmt.Errorf("partition %d: leader %d, ISR %v of %v", p.Partition, p.Leader, p.ISR, p.Replicas)
				}
			}
			return err
		})
	}
}

// asSeenBy asks one broker, and no other, about a topic.
func (c *Cluster) asSeenBy(ctx context.Context, id int32, topic string) ([]kmsg.MetadataResponseTopicPartition, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	answer, err := c.clients[id].SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	found := answer.(*kmsg.MetadataResponse).Topics[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return nil, err
	}
	return found.Partitions, nil
}

// Stop stops all brokers cleanly, one after the other.
func (c *Cluster) Stop() {
	c.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(c.Brokers)) {
		if err := c.Brokers[id].Stop(); err != nil {
			c.t.Error(err)
		}
	}
}

// SameLogs checks that the brokers' copies of a topic are the same, file by file.
func (c *Cluster) SameLogs(topic string) {
	c.t.Helper()
	sums := map[string]map[[sha256.Size]byte][]int32{}
	for id := range c.Brokers {
		for _, f := range c.segments(id, topic) {
			content, err := os.ReadFile(f)
			if err != nil {
				c.t.Fatal(err)
			}
			name := filepath.Join(filepath.Base(filepath.Dir(f)), filepath.Base(f))
			if sums[name] == nil {
				sums[name] = map[[sha256.Size]byte][]int32{}
			}
			sum := sha256.Sum256(content)
			sums[name][sum] = append(sums[name][sum], id)
		}
	}
	if len(sums) == 0 {
		c.t.Fatalf("no files of %s", topic)
	}
	for name, copies := range sums {
		for _, ids := range copies {
			if len(ids) != len(c.Brokers) {
				c.t.Errorf("%s is not the same everywhere, brokers %v have one version of it", name, ids)
			}
		}
	}
}

// directories are those of a topic on a broker, without those that wait to be removed.
func (c *Cluster) directories(id int32, topic string) []string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Brokers[id].Dir(), topic+"-[0-9]*"))
	if err != nil {
		c.t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(d string) bool { return filepath.Ext(d) != "" })
}

func (c *Cluster) segments(id int32, topic string) (all []string) {
	c.t.Helper()
	for _, d := range c.directories(id, topic) {
		files, err := filepath.Glob(filepath.Join(d, "*.log"))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, files...)
	}
	return all
}
