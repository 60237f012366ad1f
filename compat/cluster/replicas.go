package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SameLogs checks that the brokers' copies of a topic's partitions are the same to the byte, after they were stopped. Where one segment ends
// and the next begins may differ: a follower decides by what one fetch brought.
func (c *Cluster) SameLogs(topic string) {
	c.t.Helper()
	ids := slices.Sorted(maps.Keys(c.Brokers))
	partitions := c.directories(ids[0], topic)
	if len(partitions) == 0 {
		c.t.Fatalf("no files of %s", topic)
	}
	for _, id := range ids {
		if n := len(c.directories(id, topic)); n != len(partitions) {
			c.t.Errorf("broker %d has %d partitions of %s, broker %d has %d", id, n, topic, ids[0], len(partitions))
		}
	}
	for _, p := range partitions {
		if err := c.samePartition(ids, filepath.Base(p)); err != nil {
			c.t.Errorf("%s: %v", filepath.Base(p), err)
		}
	}
}

func (c *Cluster) samePartition(ids []int32, partition string) error {
	var logs []io.Reader
	for _, id := range ids {
		l, err := openLog(filepath.Join(c.Brokers[id].Dir(), partition))
		if err != nil {
			return err
		}
		defer l.Close()
		logs = append(logs, l)
	}
	at, err := difference(logs...)
	if err == nil && at >= 0 {
		err = fmt.Errorf("the logs of brokers %v differ at byte %d", ids, at)
	}
	return err
}

// segments are the files of a log, one after the other.
type segments struct {
	io.Reader
	files []*os.File
}

func openLog(dir string) (*segments, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("find segments in %s: %w", dir, errors.Join(err, os.ErrNotExist))
	}
	slices.Sort(names) // by base offset, since they have leading zeros
	s := &segments{}
	var all []io.Reader
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open segment: %w", err)
		}
		s.files, all = append(s.files, f), append(all, f)
	}
	s.Reader = io.MultiReader(all...)
	return s, nil
}

func (s *segments) Close() {
	for _, f := range s.files {
		f.Close()
	}
}

// difference is the position of the first byte that is not the same in all streams, or -1.
func difference(streams ...io.Reader) (int64, error) {
	const step = 1 << 16
	buffers := make([][]byte, len(streams))
	for at := int64(0); ; at += step {
		for i, s := range streams {
			b := make([]byte, step)
			n, err := io.ReadFull(s, b)
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, fmt.Errorf("read log: %w", err)
			}
			buffers[i] = b[:n]
		}
		for _, b := range buffers[1:] {
			if !bytes.Equal(b, buffers[0]) {
				return at + int64(common(b, buffers[0])), nil
			}
		}
		if len(buffers[0]) < step {
			return -1, nil
		}
	}
}

// common is how many bytes two slices begin with in common.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// AwaitHighWatermarks waits until every replica of a topic says that everything is committed, up to the same offset.
func (c *Cluster) AwaitHighWatermarks(topic string, partitions int32) {
	c.t.Helper()
	for p := range partitions {
		c.await(fmt.Sprintf("the same high watermark of %s-%d everywhere", topic, p), func(ctx context.Context) error {
			marks := map[int32]int64{}
			for id := range c.Brokers {
				mark, err := c.highWatermark(ctx, id, topic, p)
				if err != nil {
					return fmt.Errorf("broker %d: %w", id, err)
				}
				marks[id] = mark
			}
			for _, mark := range marks {
				if mark != marks[1] {
					return fmt.Errorf("high watermarks by broker: %v", marks)
				}
			}
			return nil
		})
	}
}

// highWatermark asks a replica, leader or not, as a consumer does that reads from the nearest one.
func (c *Cluster) highWatermark(ctx context.Context, id int32, topic string, partition int32) (int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	metadata, err := c.admin.Metadata(ctx, topic)
	if err != nil {
		return 0, err
	}
	t.TopicID = metadata.Topics[topic].ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, 0, 1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	answer, err := c.clients[id].SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return 0, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("no such partition in the answer")
	}
	found := resp.Topics[0].Partitions[0]
	return found.HighWatermark, kerr.ErrorForCode(found.ErrorCode)
}

// SameCheckpoints checks that the brokers, after they were stopped, have written down the same high watermarks of a topic.
func (c *Cluster) SameCheckpoints(topic string) {
	c.t.Helper()
	const name = "replication-offset-checkpoint"
	of := map[string][]int32{}
	for id, b := range c.Brokers {
		content, err := os.ReadFile(filepath.Join(b.Dir(), name))
		if err != nil {
			c.t.Fatal(err)
		}
		marks := entries(string(content), topic)
		if marks == "" {
			c.t.Errorf("broker %d has no high watermarks of %s", id, topic)
		}
		of[marks] = append(of[marks], id)
	}
	if len(of) > 1 {
		c.t.Errorf("%s is not the same everywhere:", name)
		for marks, ids := range of {
			c.t.Errorf("brokers %v:\n%s", ids, marks)
		}
	}
}

// entries are the lines of a checkpoint file that are about a topic, sorted.
func entries(checkpoint, topic string) string {
	var found []string
	for line := range strings.Lines(checkpoint) {
		if strings.HasPrefix(line, topic+" ") {
			found = append(found, line)
		}
	}
	slices.Sort(found)
	return strings.Join(found, "")
}
