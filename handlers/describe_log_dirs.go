package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/log"
	"gokafka/protocol"
)

// DescribeLogDirs, v0 to v4.
//
// Behaviour: every log directory with the replicas in it, those on their way there included, all or those asked for, and their sizes.
// A failed directory is told with KAFKA_STORAGE_ERROR.
//
// Versions: 2 flexible; 3 an error for the whole; 4 the size of the directory's volume and what is left of it.

// directories is what DescribeLogDirs asks of the log manager.
type directories interface {
	Dirs() []log.DirStatus
	// Log returns the partition's log that is in use.
	Log(tp protocol.TopicPartition) (*log.Log, bool)
}

func describeLogDirs(d directories) API {
	return on(0, 4, func(_ context.Context, _ *Call, r *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
		resp := r.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		wanted := wantedPartitions(r)
		for _, dir := range d.Dirs() {
			resp.Dirs = append(resp.Dirs, describeDir(d, &dir, wanted))
		}
		return resp, nil
	})
}

// wantedPartitions is the set that a request names; nil for all.
func wantedPartitions(r *kmsg.DescribeLogDirsRequest) map[protocol.TopicPartition]bool {
	if r.Topics == nil {
		return nil
	}
	wanted := map[protocol.TopicPartition]bool{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			wanted[protocol.TopicPartition{Topic: t.Topic, Partition: p}] = true
		}
	}
	return wanted
}

func describeDir(d directories, dir *log.DirStatus, wanted map[protocol.TopicPartition]bool) kmsg.DescribeLogDirsResponseDir {
	out := kmsg.NewDescribeLogDirsResponseDir()
	out.Dir = dir.Path
	if dir.Offline {
		out.ErrorCode = kerr.KafkaStorageError.Code
		return out
	}
	out.TotalBytes, out.UsableBytes = dir.Total, dir.Usable
	byTopic := map[string]int{}
	for _, l := range dir.Logs {
		tp := l.TopicPartition()
		if wanted != nil && !wanted[tp] {
			continue
		}
		i, ok := byTopic[tp.Topic]
		if !ok {
			i = len(out.Topics)
			byTopic[tp.Topic] = i
			out.Topics = append(out.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: tp.Topic})
		}
		out.Topics[i].Partitions = append(out.Topics[i].Partitions, describeReplica(d, l))
	}
	slices.SortFunc(out.Topics, func(a, b kmsg.DescribeLogDirsResponseDirTopic) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

// describeReplica tells size and lag, which is how far the log is behind what it knows to be committed: nothing, unless it
// is a follower that has just truncated. A copy that moves to another directory lags behind the log that it copies.
func describeReplica(d directories, l *log.Log) kmsg.DescribeLogDirsResponseDirTopicPartition {
	o := l.Offsets()
	out := kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: l.TopicPartition().Partition, Size: l.Size(), IsFuture: l.IsFuture()}
	upTo := o.HighWatermark.Offset
	if out.IsFuture {
		upTo = 0
		if current, ok := d.Log(l.TopicPartition()); ok {
			upTo = current.LogEndOffset().Offset
		}
	}
	out.OffsetLag = max(0, upTo-o.End.Offset)
	return out
}
