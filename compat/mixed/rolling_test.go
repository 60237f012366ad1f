package mixed

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"gokafka/compat"
	"gokafka/compat/load"
)

// Three Apache brokers under load are replaced by gokafka one by one, each with the id, the port and the directory of the one before,
// and then by Apache again: the way to gokafka, and the way back.
func TestRollingReplacement(t *testing.T) {
	rounds := 1
	if compat.Full() {
		rounds = 4
	}
	c := Start(t, map[string]string{"log.segment.bytes": "10000", "log.index.interval.bytes": "500"}, Apache, Apache, Apache)
	c.Create("load", everywhere...)
	l := c.Load("load", smallBatches)
	g := c.Consume("load", "g", 3)
	c.awaitSegments("load-*")
	for range rounds {
		for _, kind := range []Kind{Gokafka, Apache} {
			for _, id := range c.IDs() {
				c.Replace(id, kind)
				l.AwaitAcked(t, 500)
			}
		}
	}
	l.Finish(t)
	g.Finish()
	l.Verify(t, load.ReadAll(t, c.Addrs(), "load"))
	c.StopAll()
	c.SameLogs("load")
	for _, id := range c.IDs() {
		c.Dump(id)
	}
}

// awaitSegments waits until every node has complete segments of some partitions.
func (c *Cluster) awaitSegments(partitions string) {
	c.t.Helper()
	for _, id := range c.IDs() {
		c.await(fmt.Sprintf("segments of node %d", id), func(context.Context) error {
			dirs, err := filepath.Glob(filepath.Join(c.Nodes[id].Dir(), partitions))
			if err != nil {
				return err
			}
			segments, err := filepath.Glob(filepath.Join(c.Nodes[id].Dir(), partitions, "*.log"))
			if err == nil && len(segments) <= len(dirs) {
				err = fmt.Errorf("%d of %d partitions", len(segments), len(dirs))
			}
			return err
		})
	}
}

// Replace stops a node, checks what it left, and has the other kind serve it, until all its replicas are in sync again.
func (c *Cluster) Replace(id int32, kind Kind) {
	c.t.Helper()
	c.Stop(id)
	c.ended(id)
	before := c.files(id)
	c.Begin(id, kind)
	c.intact(before, c.files(id))
	c.AwaitInSync("load", "__consumer_offsets")
}

// ended checks that a node wrote down where it was when it stopped: the mark of a clean stop, and a high watermark for each partition.
func (c *Cluster) ended(id int32) {
	c.t.Helper()
	if marks := c.checkpoint(id, "replication-offset-checkpoint"); len(marks) < 8 {
		c.t.Errorf("node %d wrote high watermarks of %v only", id, marks)
	}
}

// intact is untouched for partitions that are written to as soon as a broker is there: only complete segments can be compared.
func (c *Cluster) intact(before, after map[string]file) {
	c.t.Helper()
	old := maps.Clone(before)
	active := activeSegments(before)
	maps.DeleteFunc(old, func(name string, _ file) bool { return !complete(name, active) })
	c.untouched(old, after)
}
