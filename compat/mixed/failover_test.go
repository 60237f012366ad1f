package mixed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"gokafka/compat"
)

// The controller is killed in the middle of creations, deletions and reassignments, and one of the other kind takes over: each of
// them is finished, or was never begun.
func TestControllerDiesAtWork(t *testing.T) {
	rounds := 1
	if compat.Full() {
		rounds = 10
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	compositions := [][]Kind{{Apache, Gokafka, Gokafka}, {Gokafka, Apache, Apache}}
	if !compat.Full() {
		compositions = compositions[seed%2:][:1]
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for _, kinds := range compositions {
		t.Run(fmt.Sprintf("%s is followed by %s", kinds[0], kinds[1]), func(t *testing.T) {
			c := Start(t, nil, kinds...)
			for round := range rounds {
				c.dieAtWork(1, fmt.Sprint("r", round), time.Duration(random.IntN(400))*time.Millisecond)
			}
			c.StopAll()
		})
	}
}

// dieAtWork gives a controller work and kills it after a moment. Directories of replicas that were moved away may stay: controllers of
// either kind do not wait for their deletion, and a successor knows nothing of it.
func (c *Cluster) dieAtWork(controller int32, name string, after time.Duration) {
	c.t.Helper()
	var old, fresh []string
	for i := range 8 {
		old = append(old, fmt.Sprintf("%s-old%d", name, i))
		fresh = append(fresh, fmt.Sprintf("%s-new%d", name, i))
	}
	c.Elect(controller)
	for _, topic := range old {
		c.Create(topic, everywhere...)
	}
	c.AwaitInSync(old...)

	var moves kadm.AlterPartitionAssignmentsReq
	for _, topic := range old[4:] {
		moves.Assign(topic, 0, []int32{3, 2})
		moves.Assign(topic, 1, []int32{2, 1})
		c.strays[topic+"-0"], c.strays[topic+"-1"] = true, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var asked sync.WaitGroup
	asked.Go(func() { c.Admin.CreateTopics(ctx, 3, 3, nil, fresh...) }) // whoever asks learns or does not learn what came of it
	asked.Go(func() { c.Admin.DeleteTopics(ctx, old[:4]...) })
	asked.Go(func() { c.Admin.AlterPartitionAssignments(ctx, moves) })
	time.Sleep(after)
	c.Kill(controller)
	c.await("another controller", func(context.Context) error {
		if c.Controller() == controller {
			return fmt.Errorf("it is still %d", controller)
		}
		return nil
	})
	c.Begin(controller, c.Nodes[controller].Kind)
	asked.Wait()
	c.AwaitQuiet()
	c.AwaitSettled(append(fresh, old...)...)
	c.t.Logf("killed after %v: %d of %d topics created, %d of 4 deleted", after, c.count(fresh), len(fresh), 4-c.count(old[:4]))
	for _, topic := range append(fresh, old...) {
		if c.count([]string{topic}) > 0 {
			c.Delete(topic)
		}
	}
}

// count is how many of some topics exist.
func (c *Cluster) count(topics []string) (n int) {
	c.t.Helper()
	for _, topic := range topics {
		exists, _, err := c.zk.Exists(chroot + "/brokers/topics/" + topic)
		c.ok(err)
		if exists {
			n++
		}
	}
	return n
}
