package log

import (
	"fmt"
	"slices"
	"time"

	"gokafka/protocol"
)

// IncrementLogStartOffset moves the log's start up: DeleteRecords on a leader, the leader's start on a follower. The segments go with the next
// retention run. Above the high watermark it is ErrOffsetOutOfRange; not above the start it does nothing.
func (l *Log) IncrementLogStartOffset(offset int64) (moved bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return false, err
	}
	return l.incrementStartLocked(offset)
}

func (l *Log) incrementStartLocked(offset int64) (moved bool, err error) {
	o := *l.offsets.Load()
	if offset > o.HighWatermark.Offset {
		return false, fmt.Errorf("%w: start %d of %v above the high watermark %d", ErrOffsetOutOfRange, offset, l.tp, o.HighWatermark.Offset)
	}
	if offset <= o.Start {
		return false, nil
	}
	o.Start = offset
	l.recoveryPoint = max(l.recoveryPoint, offset)
	l.epochs.truncateFromStart(offset)
	l.producers.startMoved(offset)
	l.publishLocked(o)
	return true, nil
}

// DeleteOldSegments removes the segments that lie below the log's start, and with cleanup.policy delete those that retention.bytes and
// retention.ms give up: always the oldest ones, never with records at or above the high watermark. It returns how many.
func (l *Log) DeleteOldSegments() (deleted int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return 0, err
	}
	rules := []func() (int, error){l.belowStartLocked}
	if l.Config().Delete {
		rules = append(rules, l.overSizeLocked, l.overAgeLocked)
	}
	for _, rule := range rules {
		n, err := rule()
		if err != nil {
			return deleted, l.storage("delete old segments of", err)
		}
		deleted += n
	}
	return deleted, nil
}

func (l *Log) belowStartLocked() (int, error) {
	start := l.LogStartOffset()
	segments := *l.segments.Load()
	return l.deleteOldestLocked(func(i int) (bool, error) {
		return i+1 < len(segments) && segments[i+1].base <= start, nil
	})
}

func (l *Log) overSizeLocked() (int, error) {
	limit := l.Config().RetentionBytes
	excess := l.Size() - limit
	if limit < 0 || excess < 0 {
		return 0, nil
	}
	segments := *l.segments.Load()
	return l.deleteOldestLocked(func(i int) (bool, error) {
		excess -= segments[i].Size()
		return excess >= 0, nil
	})
}

func (l *Log) overAgeLocked() (int, error) {
	limit := l.Config().RetentionMs
	if limit < 0 {
		return 0, nil
	}
	now := l.host.now().UnixMilli()
	segments := *l.segments.Load()
	return l.deleteOldestLocked(func(i int) (bool, error) {
		newest, err := segments[i].newest()
		return now-newest > limit, err
	})
}

// newest is the largest timestamp of the segment's records, or the time of the last write if they have none, in milliseconds.
func (s *Segment) newest() (int64, error) {
	largest, err := s.largestTimestamp()
	if err != nil || largest.timestamp != protocol.NoTimestamp {
		return largest.timestamp, err
	}
	modified, err := s.lastModified()
	return modified.UnixMilli(), err
}

// lastModified is when the segment's file was last written.
func (s *Segment) lastModified() (time.Time, error) {
	info, err := s.file.dir.fs.Stat(s.file.path())
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// deleteOldestLocked removes segments from the oldest on while accept says so.
func (l *Log) deleteOldestLocked(accept func(i int) (bool, error)) (int, error) {
	segments := *l.segments.Load()
	n := 0
	for ; n < len(segments); n++ {
		upper := l.LogEndOffset().Offset
		if n+1 < len(segments) {
			upper = segments[n+1].base
		} else if segments[n].Size() == 0 {
			break
		}
		if l.HighWatermark().Offset < upper {
			break
		}
		if ok, err := accept(n); err != nil {
			return 0, err
		} else if !ok {
			break
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, l.deleteFirstLocked(n)
}

// deleteFirstLocked removes the first n segments. If that is all of them a new one is begun first. The start moves before the segments
// go, so that no reader looks for them.
func (l *Log) deleteFirstLocked(n int) error {
	if n == len(*l.segments.Load()) {
		if _, err := l.rollLocked(l.LogEndOffset().Offset); err != nil {
			return err
		}
	}
	segments := *l.segments.Load()
	if _, err := l.incrementStartLocked(segments[n].base); err != nil {
		return err
	}
	l.storeSegments(slices.Clone(segments[n:]))
	l.publishLocked(*l.offsets.Load()) // no mark points into what was deleted
	return l.retireLocked(segments[:n])
}
