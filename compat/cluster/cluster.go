// Package cluster runs several gokafka processes and a real ZooKeeper as one cluster, and ends them at bad moments: whatever was
// acknowledged is there, once and in order, and the replicas of a partition are the same to the byte.
package cluster

import (
	"context"
	"fmt"
	"maps"
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
	"gokafka/compat/process"
)

// Cluster is some brokers in one ZooKeeper.
type Cluster struct {
	t         *testing.T
	Brokers   map[int32]*gokafka.Broker
	zookeeper *apache.ZooKeeper
	admin     *kadm.Client
	clients   map[int32]*kgo.Client // each of one broker
	network   *network              // nil if brokers reach each other and ZooKeeper directly
}

// sessionTimeout is short, so that the dead are noticed soon, and long enough for a machine that is busy.
const sessionTimeout = "3000"

// Start starts ZooKeeper and brokers 1 to n for the length of a test.
func Start(t *testing.T, n int32, own map[string]string) *Cluster {
	t.Helper()
	c := prepare(t)
	c.begin(n, own)
	return c
}

func prepare(t *testing.T) *Cluster {
	t.Helper()
	z, err := apache.StartZooKeeper(compat.Dir(t, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Stop)
	return &Cluster{t: t, zookeeper: z, Brokers: map[int32]*gokafka.Broker{}, clients: map[int32]*kgo.Client{}}
}

func (c *Cluster) begin(n int32, own map[string]string) {
	c.t.Helper()
	for id := int32(1); id <= n; id++ {
		c.Brokers[id] = c.start(id, own)
		c.clients[id] = load.Client(c.t, c.Brokers[id].Addr())
	}
	c.admin = kadm.NewClient(load.Client(c.t, c.Addrs()))
}

func (c *Cluster) start(id int32, own map[string]string) *gokafka.Broker {
	c.t.Helper()
	p := map[string]string{"broker.id": fmt.Sprint(id), "zookeeper.connect": c.zookeeper.Addr + "/cluster", "zookeeper.session.timeout.ms": sessionTimeout,
		"offsets.topic.replication.factor": "3", "group.initial.rebalance.delay.ms": "0", "auto.leader.rebalance.enable": "false"}
	addr, err := process.FreeAddr()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.network != nil {
		maps.Copy(p, c.network.properties(c.t, id, addr, c.zookeeper.Addr))
	}
	maps.Copy(p, own)
	b, err := gokafka.Start(gokafka.Options{Dir: compat.Dir(c.t, fmt.Sprintf("broker-%d", id)), Addr: addr, Properties: p})
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

// await tries until something holds; what depends on ZooKeeper's clock takes a while. Each try has seconds, so that a broker that
// does not answer is asked again.
func (c *Cluster) await(what string, holds func(ctx context.Context) error) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err = holds(ctx)
		cancel()
		if err == nil {
			return
		}
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

// directories are those of a topic on a broker, without those that wait to be removed.
func (c *Cluster) directories(id int32, topic string) []string {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Brokers[id].Dir(), topic+"-[0-9]*"))
	if err != nil {
		c.t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(d string) bool { return filepath.Ext(d) != "" })
}

// AwaitCommitted waits until a group's offsets are the ends of the partitions.
func (c *Cluster) AwaitCommitted(group, topic string, ends map[int32]int64) {
	c.t.Helper()
	c.await("offsets of group "+group, func(ctx context.Context) error {
		found, err := c.admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for p, end := range ends {
			if o, ok := found.Lookup(topic, p); !ok || o.At != end {
				return fmt.Errorf("%s-%d: %d is committed, want %d", topic, p, o.At, end)
			}
		}
		return nil
	})
}
