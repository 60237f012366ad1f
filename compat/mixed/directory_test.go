package mixed

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/load"
)

// alone are the settings of a cluster of one node, with segments so small that there are several, and indexes with something in them.
var alone = map[string]string{"offsets.topic.replication.factor": "1", "log.segment.bytes": "100000", "log.index.interval.bytes": "1000",
	"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1"}

// A directory goes from one kind to the other and back, after clean stops and after kills: records, offsets, leader epochs, what is
// known of producers, the group's offsets and the high watermarks are those that the last one acknowledged.
func TestSameDirectory(t *testing.T) {
	turns := 2
	if compat.Full() {
		turns = 12
	}
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			c := Start(t, maps.Clone(alone), Apache)
			c.Create("t", []int32{1}, []int32{1})
			producer := c.NewProducer("t")
			for turn := range turns {
				c.write(producer, turn)
				want := c.image("t")
				if how == "stopped" {
					c.Stop(1)
				} else {
					c.Kill(1)
				}
				before, marks := c.files(1), c.checkpoint(1, "replication-offset-checkpoint")
				c.Begin(1, c.Nodes[1].Kind.other())
				c.AwaitInSync("t", "__consumer_offsets")
				if how == "stopped" {
					c.untouched(before, c.files(1))
					c.sameMarks(marks, want)
				}
				if got := c.image("t"); got != want {
					t.Errorf("%s took over\n%s\nand serves\n%s", c.Nodes[1].Kind, want, got)
				}
				producer.Repeat()
			}
			c.StopAll()
			c.Dump(1)
		})
	}
}

// write produces records with every codec, a batch of the producer, and an offset of the group.
func (c *Cluster) write(producer *Producer, turn int) {
	c.t.Helper()
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		client := load.Client(c.t, c.Addrs(), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(10000))
		for i := range 300 {
			client.Produce(context.Background(), &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%9), Value: fmt.Appendf(nil, "%d %d %s", turn, i, strings.Repeat("x", i))}, func(_ *kgo.Record, err error) {
				if err != nil {
					c.t.Error(err)
				}
			})
		}
		c.ok(client.Flush(context.Background()))
		client.Close()
	}
	producer.Send()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "t", Partition: 1, At: int64(turn + 1), LeaderEpoch: -1, Metadata: fmt.Sprint("turn ", turn)})
	c.await("commit", func(ctx context.Context) error { return c.Admin.CommitAllOffsets(ctx, "carried", offsets) })
}

// image is what clients can find out about a topic and the group: it must not depend on who serves.
func (c *Cluster) image(topic string) string {
	c.t.Helper()
	var s strings.Builder
	records := map[int32][]string{}
	for _, r := range load.ReadAll(c.t, c.Addrs(), topic) {
		records[r.Partition] = append(records[r.Partition], fmt.Sprintf("%d %d %d %s=%s", r.Offset, r.LeaderEpoch, r.Timestamp.UnixMilli(), r.Key, r.Value))
	}
	for p := range int32(len(records)) {
		fmt.Fprintf(&s, "partition %d: %d records, digest %x\n", p, len(records[p]), digest(records[p]))
	}
	c.await("group's offset", func(ctx context.Context) error {
		committed, err := c.Admin.FetchOffsets(ctx, "carried")
		o, _ := committed.Lookup(topic, 1)
		if err == nil {
			err = o.Err
		}
		if err == nil {
			fmt.Fprintf(&s, "group: %d %s\n", o.At, o.Metadata)
		}
		return err
	})
	c.await("producers", func(ctx context.Context) error {
		described, err := c.Admin.DescribeProducers(ctx, kadm.TopicsSet{topic: {0: {}, 1: {}}})
		if err != nil {
			return err
		}
		for _, p := range described.SortedPartitions() {
			for _, of := range p.ActiveProducers.Sorted() {
				fmt.Fprintf(&s, "producer %d of partition %d: epoch %d, sequence %d, time %d\n", of.ProducerID, p.Partition, of.ProducerEpoch, of.LastSequence, of.LastTimestamp)
			}
		}
		return nil
	})
	for p := range 2 {
		epochs, err := os.ReadFile(filepath.Join(c.Nodes[1].Dir(), fmt.Sprintf("%s-%d", topic, p), "leader-epoch-checkpoint"))
		c.ok(err)
		fmt.Fprintf(&s, "epochs of partition %d: %q\n", p, epochs)
	}
	return s.String()
}

// sameMarks checks that a broker that stopped wrote down the high watermarks up to which clients read.
func (c *Cluster) sameMarks(marks map[string]string, image string) {
	c.t.Helper()
	for p := range 2 {
		if want := fmt.Sprintf("partition %d: %s records", p, marks[fmt.Sprintf("t-%d", p)]); !strings.Contains(image, want) {
			c.t.Errorf("high watermarks %v do not fit\n%s", marks, image)
		}
	}
}
