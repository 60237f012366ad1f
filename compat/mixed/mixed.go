package mixed

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/load"
)

// Cluster is some nodes in one ZooKeeper.
type Cluster struct {
	t         *testing.T
	Nodes     map[int32]*Node
	zk        *zk.Conn
	Admin     *kadm.Client
	clients   map[int32]*kgo.Client // each of one node
	producers map[int64]int32       // ids that were given out, and by whom
	strays    map[string]bool       // partitions, as directories are named, that were moved when a controller died (see dieAtWork)
}

// sessionTimeout is short, so that the dead are noticed soon, and long enough for a machine that is busy.
const sessionTimeout = "4000"

// chroot is where the cluster keeps its znodes.
const chroot = "/mixed"

type silent struct{}

func (silent) Printf(string, ...any) {}

// Start starts ZooKeeper and nodes 1, 2, 3 … of the kinds named, for the length of a test.
func Start(t *testing.T, own map[string]string, kinds ...Kind) *Cluster {
	t.Helper()
	z, err := apache.StartZooKeeper(compat.Dir(t, "mixed-zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Stop)
	c := &Cluster{t: t, Nodes: map[int32]*Node{}, clients: map[int32]*kgo.Client{}, strays: map[string]bool{}, producers: map[int64]int32{}}
	if c.zk, _, err = zk.Connect([]string{z.Addr}, 20*time.Second, zk.WithLogger(silent{})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.zk.Close)
	for i, kind := range kinds {
		c.add(int32(i+1), kind, z.Addr+chroot, own)
	}
	c.Admin = kadm.NewClient(load.Client(t, c.Addrs()))
	return c
}

func (c *Cluster) add(id int32, kind Kind, zookeeper string, own map[string]string) {
	c.t.Helper()
	p := map[string]string{"zookeeper.connect": zookeeper, "zookeeper.session.timeout.ms": sessionTimeout, "offsets.topic.num.partitions": "5",
		"offsets.topic.replication.factor": "3", "transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2",
		"transaction.state.log.num.partitions": "5", "group.initial.rebalance.delay.ms": "0", "auto.leader.rebalance.enable": "false",
		"controlled.shutdown.retry.backoff.ms": "500"}
	maps.Copy(p, own)
	n := newNode(c.t, id, kind, p)
	c.Nodes[id] = n
	c.t.Cleanup(func() { c.end(n) })
	c.start(n)
	c.clients[id] = load.Client(c.t, n.Addr())
}

// end is what happens to each node when the test is over.
func (c *Cluster) end(n *Node) {
	if n.Broker == nil {
		return
	}
	n.Close()
	printed, err := n.printed()
	if err != nil {
		c.t.Error(err)
	}
	if n.quiet > 0 {
		printed = printed[:n.quiet]
	}
	for _, line := range complaints(printed) {
		c.t.Errorf("node %d printed: %s", n.ID, line)
	}
	if g, ok := n.Broker.(*gokafka.Broker); ok {
		if err := g.Healthy(); err != nil {
			c.t.Error(err)
		}
	}
}

// start starts a node's broker. An Apache broker ends when its id is still registered, so it is started when the session of a broker
// that was killed is over.
func (c *Cluster) start(n *Node) {
	c.t.Helper()
	c.await(fmt.Sprintf("end of the session of node %d", n.ID), func(context.Context) error {
		exists, _, err := c.zk.Exists(fmt.Sprintf("%s/brokers/ids/%d", chroot, n.ID))
		if err == nil && exists {
			err = fmt.Errorf("still registered")
		}
		return err
	})
	began := time.Now()
	if err := n.begin(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("node %d is %s after %v", n.ID, n.Kind, time.Since(began).Round(time.Millisecond))
}

// Stop stops a node cleanly.
func (c *Cluster) Stop(id int32) {
	c.t.Helper()
	if err := c.Nodes[id].Broker.Stop(); err != nil {
		c.t.Fatal(err)
	}
}

// Kill ends a node with SIGKILL.
func (c *Cluster) Kill(id int32) { c.Nodes[id].Broker.Kill() }

// Begin starts a node that was stopped or killed, as a broker of a kind.
func (c *Cluster) Begin(id int32, kind Kind) {
	c.t.Helper()
	c.Nodes[id].Kind = kind
	c.start(c.Nodes[id])
}

// StopAll stops all nodes cleanly, one after the other. What they print of it, as the last ones find nobody to hand over to, is their own.
func (c *Cluster) StopAll() {
	c.t.Helper()
	for _, id := range c.IDs() {
		printed, err := c.Nodes[id].printed()
		c.ok(err)
		c.Nodes[id].quiet = len(printed)
	}
	for _, id := range c.IDs() {
		c.Stop(id)
	}
}

// IDs are those of the nodes, in order.
func (c *Cluster) IDs() []int32 { return slices.Sorted(maps.Keys(c.Nodes)) }

// Addrs are all nodes, for clients.
func (c *Cluster) Addrs() string { return strings.Join(addrsOf(c), ",") }

func addrsOf(c *Cluster) (addrs []string) {
	for _, id := range c.IDs() {
		addrs = append(addrs, c.Nodes[id].Addr())
	}
	return addrs
}

// await tries until something holds. It is patient, since the machine may be busy with other things.
func (c *Cluster) await(what string, holds func(ctx context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		err := holds(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || last == nil { // that time is over says less than what was wrong before
			last = err
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("%s: not within 90 s: %v", what, last)
}

// ok fails the test if there is an error.
func (c *Cluster) ok(errs ...error) {
	c.t.Helper()
	for _, err := range errs {
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// Controller is the id of the node that holds /controller.
func (c *Cluster) Controller() (id int32) {
	c.t.Helper()
	c.await("controller", func(context.Context) error {
		b, _, err := c.zk.Get(chroot + "/controller")
		if err != nil {
			return err
		}
		var owner struct{ BrokerID int32 }
		err = json.Unmarshal(b, &owner)
		id = owner.BrokerID
		return err
	})
	return id
}

// Pause stops the processes of some nodes while something happens.
func (c *Cluster) Pause(ids []int32, meanwhile func()) {
	c.t.Helper()
	for _, id := range ids {
		c.ok(syscall.Kill(c.Nodes[id].PID(), syscall.SIGSTOP))
	}
	defer func() {
		for _, id := range ids {
			c.ok(syscall.Kill(c.Nodes[id].PID(), syscall.SIGCONT))
		}
	}()
	meanwhile()
}

// others are all nodes but one.
func (c *Cluster) others(id int32) []int32 {
	return slices.DeleteFunc(c.IDs(), func(other int32) bool { return other == id })
}

// Elect takes /controller away until a node has it, as an operator would. One that loses ten races, as an Apache broker may on a busy
// machine, gets it while the others are paused for a moment.
func (c *Cluster) Elect(id int32) {
	c.t.Helper()
	depose := func() {
		if err := c.zk.Delete(chroot+"/controller", -1); err != nil && err != zk.ErrNoNode {
			c.t.Fatal(err)
		}
	}
	for range 10 {
		if c.Controller() == id {
			return
		}
		depose()
		time.Sleep(100 * time.Millisecond)
	}
	elected := func() bool {
		depose()
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if exists, _, err := c.zk.Exists(chroot + "/controller"); err == nil && exists {
				return c.Controller() == id
			}
		}
		return false
	}
	for range 5 {
		done := false
		if c.Pause(c.others(id), func() { done = elected() }); done {
			return
		}
		time.Sleep(time.Second)
	}
	c.t.Fatalf("node %d never became the controller", id)
}

// Create makes a topic with a given assignment; two of the replicas must be in sync if there are more than one.
func (c *Cluster) Create(topic string, assignment ...[]int32) {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 60000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, -1, -1
	for i, replicas := range assignment {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), replicas
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	if len(assignment[0]) > 2 {
		two, config := "2", kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = "min.insync.replicas", &two
		t.Configs = append(t.Configs, config)
	}
	req.Topics = append(req.Topics, t)
	c.await("creation of "+topic, func(ctx context.Context) error {
		resp, err := req.RequestWith(ctx, load.Client(c.t, c.Addrs()))
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	})
}

// everywhere is three partitions, each of the nodes 1, 2, 3 being the preferred leader of one.
var everywhere = [][]int32{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}

// State is what a node says of one partition.
type State = kmsg.MetadataResponseTopicPartition

// SeenBy is a topic as one node sees it, and no other.
func (c *Cluster) SeenBy(ctx context.Context, id int32, topic string) ([]State, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	answer, err := c.clients[id].SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	found := answer.(*kmsg.MetadataResponse).Topics[0]
	return found.Partitions, kerr.ErrorForCode(found.ErrorCode)
}

// AwaitSeen waits until each of some nodes says of every partition of a topic what is wanted.
func (c *Cluster) AwaitSeen(what, topic string, ids []int32, wanted func(p State) bool) {
	c.t.Helper()
	for _, id := range ids {
		c.await(fmt.Sprintf("%s: %s as node %d sees it", topic, what, id), func(ctx context.Context) error {
			partitions, err := c.SeenBy(ctx, id, topic)
			if err == nil && len(partitions) == 0 {
				err = fmt.Errorf("no partitions")
			}
			for _, p := range partitions {
				if !wanted(p) {
					err = fmt.Errorf("partition %d: leader %d in epoch %d, ISR %v of %v", p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.Replicas)
				}
			}
			return err
		})
	}
}

// AwaitInSync waits until every node says that all replicas of some topics are in sync.
func (c *Cluster) AwaitInSync(topics ...string) {
	c.t.Helper()
	for _, topic := range topics {
		c.AwaitSeen("full ISR", topic, c.IDs(), func(p State) bool { return p.Leader >= 0 && len(p.ISR) == len(p.Replicas) })
	}
}

// Leader is the id of the node that leads a partition.
func (c *Cluster) Leader(topic string, partition int32) (id int32) {
	c.t.Helper()
	c.await("leader", func(ctx context.Context) error {
		m, err := c.Admin.Metadata(ctx, topic)
		if err != nil {
			return err
		}
		p := m.Topics[topic].Partitions[partition]
		id = p.Leader
		if c.Nodes[id] == nil {
			return fmt.Errorf("it is node %d, %w", id, p.Err)
		}
		return nil
	})
	return id
}

// SameLogs checks that the nodes' copies of a topic are the same, file by file. The nodes are to be stopped.
func (c *Cluster) SameLogs(topic string) {
	c.t.Helper()
	sums := map[string]map[[sha256.Size]byte][]int32{}
	for _, id := range c.IDs() {
		for _, d := range c.directories(id, topic+"-*") {
			files, err := filepath.Glob(filepath.Join(d, "*.log"))
			c.ok(err)
			for _, f := range files {
				content, err := os.ReadFile(f)
				c.ok(err)
				name := filepath.Join(filepath.Base(d), filepath.Base(f))
				if sums[name] == nil {
					sums[name] = map[[sha256.Size]byte][]int32{}
				}
				sum := sha256.Sum256(content)
				sums[name][sum] = append(sums[name][sum], id)
			}
		}
	}
	if len(sums) == 0 {
		c.t.Fatalf("no files of %s", topic)
	}
	for name, copies := range sums {
		for _, ids := range copies {
			if len(ids) != len(c.Nodes) {
				c.t.Errorf("%s is not the same everywhere, nodes %v have one version of it", name, ids)
			}
		}
	}
}

// Load begins to produce to a topic, a record in a millisecond. It puts up with what a broker of Apache's does that is killed in the moment in which
// somebody connects: the stream ends, which franz-go takes for refused credentials if nothing says otherwise.
func (c *Cluster) Load(topic string, opts ...kgo.Opt) *load.Load {
	c.t.Helper()
	return load.StartPaced(c.t, c.Addrs(), topic, time.Millisecond, append(opts, kgo.AlwaysRetryEOF())...)
}

// smallBatches fit into small segments however many records have waited.
var smallBatches = kgo.ProducerBatchMaxBytes(5000)
