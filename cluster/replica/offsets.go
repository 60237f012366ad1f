package replica

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// Special timestamps of ListOffsets.
const (
	LatestTimestamp        int64 = -1
	EarliestTimestamp      int64 = -2
	MaxTimestamp           int64 = -3 // KIP-734
	EarliestLocalTimestamp int64 = -4 // KIP-405; without tiered storage the same as the earliest
	LatestTieredTimestamp  int64 = -5 // KIP-1005; without tiered storage there is none
)

// OffsetQuery is one partition of a ListOffsets request.
type OffsetQuery struct {
	protocol.TopicPartition
	Timestamp   int64 // in milliseconds, or one of the special ones
	LeaderEpoch cluster.LeaderEpoch
	Bound       log.Bound // log.ToLogEnd for brokers
	LeaderOnly  bool
}

// noOffset is the answer when no record has such a timestamp.
var noOffset = log.TimestampOffset{Timestamp: -1, Offset: -1, LeaderEpoch: -1}

// ListOffset finds an offset by its timestamp; offset -1 when there is none. Errors beside those of Partition:
// ErrFencedEpoch, ErrUnknownEpoch, ErrNotLeader, and ErrOffsetNotAvailable from a leader that does not know yet how far its
// log is committed, which would otherwise show an end that moves back.
func (m *Manager) ListOffset(q *OffsetQuery) (log.TimestampOffset, error) {
	p, err := m.online(q.TopicPartition)
	if err != nil {
		return noOffset, err
	}
	v := p.View()
	l, err := v.local(q.LeaderEpoch, q.LeaderOnly)
	if err != nil {
		return noOffset, err
	}
	o := l.Offsets()
	switch q.Timestamp {
	case EarliestTimestamp, EarliestLocalTimestamp:
		return earliest(l, o.Start), nil
	case LatestTieredTimestamp:
		return noOffset, nil
	}
	uncertain := q.Bound != log.ToLogEnd && v.EpochStart > o.HighWatermark.Offset
	end := endAt(&o, q.Bound).Offset
	if q.Timestamp == LatestTimestamp && uncertain {
		return noOffset, ErrOffsetNotAvailable
	} else if q.Timestamp == LatestTimestamp {
		return log.TimestampOffset{Timestamp: -1, Offset: end, LeaderEpoch: int32(v.LeaderEpoch)}, nil
	}
	found, err := byTimestamp(l, q.Timestamp)
	if err != nil {
		return noOffset, fmt.Errorf("find timestamp %d in %s: %w", q.Timestamp, p, err)
	}
	if found.Offset >= end || found.Offset < 0 {
		if uncertain {
			return noOffset, ErrOffsetNotAvailable
		}
		return noOffset, nil
	}
	return found, nil
}

func earliest(l *log.Log, start int64) log.TimestampOffset {
	epoch, ok := l.EpochCache().EpochAt(start)
	if !ok {
		epoch = -1
	}
	return log.TimestampOffset{Timestamp: -1, Offset: start, LeaderEpoch: epoch}
}

func byTimestamp(l *log.Log, timestamp int64) (found log.TimestampOffset, err error) {
	var ok bool
	if timestamp == MaxTimestamp {
		found, ok, err = l.OffsetOfMaxTimestamp()
	} else {
		found, ok, err = l.OffsetForTimestamp(timestamp)
	}
	if !ok {
		return noOffset, err
	}
	return found, err
}

// SegmentOffsets answers ListOffsets v0: the start of the newest segment that was last written at or before the timestamp and of all before
// that, whenever they were written, newest first and at most count of them.
func (m *Manager) SegmentOffsets(q *OffsetQuery, count int) ([]int64, error) {
	p, err := m.online(q.TopicPartition)
	if err != nil {
		return nil, err
	}
	l, err := p.View().local(q.LeaderEpoch, q.LeaderOnly)
	if err != nil {
		return nil, err
	}
	if count < 0 {
		return nil, fmt.Errorf("list %d segments of %s: %w", count, p, kerr.UnknownServerError)
	}
	starts, err := l.SegmentStarts()
	if err != nil {
		return nil, fmt.Errorf("list segments of %s: %w", p, err)
	}
	switch q.Timestamp {
	case LatestTimestamp:
	case EarliestTimestamp:
		starts = starts[:1]
	default:
		for len(starts) > 0 && starts[len(starts)-1].Modified.UnixMilli() > q.Timestamp {
			starts = starts[:len(starts)-1]
		}
	}
	slices.Reverse(starts)
	o := l.Offsets()
	end := endAt(&o, q.Bound).Offset
	var offsets []int64
	for _, s := range starts {
		if len(offsets) < count {
			offsets = append(offsets, min(s.Offset, end)) // readers are not told of what is not committed
		}
	}
	return slices.Compact(offsets), nil
}

// CurrentLeader is who leads a partition, as its replica here knows it, else as the image of the cluster does; -1 for what
// is not known.
func (m *Manager) CurrentLeader(tp protocol.TopicPartition) (cluster.BrokerID, cluster.LeaderEpoch) {
	if p, err := m.online(tp); err == nil {
		v := p.View()
		return v.Leader, v.LeaderEpoch
	}
	if s := m.Metadata().Partition(tp); s != nil {
		return s.Leader, s.LeaderEpoch
	}
	return cluster.NoLeader, cluster.NoEpoch
}

// EndOffsetForEpoch is Partition.EndOffsetForEpoch of a partition that this broker leads.
func (m *Manager) EndOffsetForEpoch(tp protocol.TopicPartition, current, requested cluster.LeaderEpoch) (cluster.LeaderEpoch, int64, error) {
	p, err := m.online(tp)
	if err != nil {
		return -1, -1, err
	}
	return p.EndOffsetForEpoch(current, requested, true)
}

// ActiveProducers lists the producers that a partition's log knows.
func (m *Manager) ActiveProducers(tp protocol.TopicPartition) ([]log.ProducerState, error) {
	p, err := m.online(tp)
	if err != nil {
		return nil, err
	}
	l, err := p.View().local(cluster.NoEpoch, false)
	if err != nil {
		return nil, err
	}
	return l.ActiveProducers(), nil
}
