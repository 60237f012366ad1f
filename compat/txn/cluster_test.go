package txn

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gokafka/compat"
	"gokafka/compat/mixed"
)

// clusters are the three nodes that cases run on: gokafka's, and when there is time, Apache's and both kinds together as well.
// COMPAT_BROKERS may ask for "apache", "gokafka" or "mixed".
func clusters() [][]mixed.Kind {
	gokafka := [][]mixed.Kind{{mixed.Gokafka, mixed.Gokafka, mixed.Gokafka}}
	apache := [][]mixed.Kind{{mixed.Apache, mixed.Apache, mixed.Apache}}
	both := [][]mixed.Kind{{mixed.Apache, mixed.Gokafka, mixed.Gokafka}, {mixed.Gokafka, mixed.Apache, mixed.Apache}}
	switch asked := os.Getenv("COMPAT_BROKERS"); {
	case asked == "apache":
		return apache
	case asked == "mixed":
		return both
	case asked == "" && compat.Full():
		return slices.Concat(apache, gokafka, both)
	default:
		return gokafka
	}
}

// eachCluster runs a case on each of them, with a topic of three replicas.
func eachCluster(t *testing.T, run func(t *testing.T, c *mixed.Cluster)) {
	for _, kinds := range clusters() {
		var name []string
		for _, k := range kinds {
			name = append(name, string(k))
		}
		t.Run(strings.Join(name, ","), func(t *testing.T) { run(t, mixed.Start(t, quick, kinds...)) })
	}
}

// bounce kills a node, lets the others go on, and has it back in the ISR.
func bounce(c *mixed.Cluster, id int32, meanwhile func(), topics ...string) {
	c.Kill(id)
	meanwhile()
	c.Begin(id, c.Nodes[id].Kind)
	c.AwaitInSync(topics...)
}

// coordinator is the node that coordinates a transactional id.
func coordinator(t *testing.T, c *mixed.Cluster, id string) int32 {
	t.Helper()
	var node int32
	if err := try(patience, func(ctx context.Context) error {
		found := c.Admin.FindTxnCoordinators(ctx, id)[id]
		node = found.NodeID
		return found.Err
	}); err != nil {
		t.Fatal(err)
	}
	return node
}

// groupCoordinator is the node that coordinates a group.
func groupCoordinator(t *testing.T, c *mixed.Cluster, group string) int32 {
	t.Helper()
	var node int32
	if err := try(patience, func(ctx context.Context) error {
		found := c.Admin.FindGroupCoordinators(ctx, group)[group]
		node = found.NodeID
		return found.Err
	}); err != nil {
		t.Fatal(err)
	}
	return node
}

// The copiers go on while coordinators of transactions and groups, leaders and the copiers themselves are killed.
func TestClusterCopies(t *testing.T) {
	together(t)
	eachCluster(t, func(t *testing.T, c *mixed.Cluster) {
		k := startCopying(t, c.Addrs(), 3, chosen())
		k.awaitProgress(200)
		progress := func() { k.awaitProgress(200) }
		everything := []string{input, "__transaction_state", "__consumer_offsets"}
		victim := "franz-go"
		if _, ok := k.workers[victim]; !ok {
			victim = chosen()[0].Name
		}
		bounce(c, coordinator(t, c, "id-of-"+victim), progress, everything...)
		if compat.Full() {
			for range *txnRounds {
				bounce(c, c.Leader(output(victim), 0), progress, everything...)
				k.killCopiers()
				bounce(c, groupCoordinator(t, c, group(victim)), progress, everything...)
				bounce(c, c.Controller(), progress, everything...)
				bounce(c, coordinator(t, c, "id-of-"+victim), progress, everything...)
			}
		}
		k.finish()
		c.AwaitTransactionsEnded()
		c.StopAll()
		for _, topic := range []string{input, output(victim), "__transaction_state"} { // members of groups are buried while the nodes stop
			c.SameLogs(topic)
		}
	})
}

// A coordinator is killed among many commits, some of which it has begun: another one finishes them, whole.
func TestClusterCommits(t *testing.T) {
	together(t)
	rounds := 2
	if compat.Full() {
		rounds = 3 * *txnRounds
	}
	eachCluster(t, func(t *testing.T, c *mixed.Cluster) {
		createTopics(t, c.Admin, 12, 3, "twelve")
		x := transactTo(c.Addrs(), "twelve", "id", 12)
		for range rounds {
			x.awaitMore(t, 20)
			time.Sleep(rand.N(50 * time.Millisecond))
			bounce(c, coordinator(t, c, "id"), func() { x.awaitMore(t, 20) }, "twelve", "__transaction_state")
		}
		x.finish(t)
		c.AwaitTransactionsEnded()
		c.StopAll()
		c.SameLogs("twelve")
		c.SameLogs("__transaction_state")
	})
}
