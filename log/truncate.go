package log

import (
	"fmt"
	"slices"
)

// TruncateTo removes the records at and after the offset, if there are any; truncated tells. A follower does it where its log differs from
// the leader's. The high watermark falls back to the new end if it was above.
func (l *Log) TruncateTo(offset int64) (truncated bool, err error) {
	if offset < 0 {
		return false, fmt.Errorf("truncate %v to negative offset %d", l.tp, offset)
	}
	truncated, err = l.truncateTo(offset)
	return truncated, l.afterTruncate(offset, err)
}

func (l *Log) truncateTo(offset int64) (truncated bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return false, err
	}
	if end := l.LogEndOffset().Offset; offset >= end {
		// An epoch that this broker began as leader and in which it appended nothing may stand at the end.
		l.epochs.truncateFromEnd(end)
		return false, nil
	}
	l.generation.Add(1)
	defer l.generation.Add(1)
	if offset < (*l.segments.Load())[0].base {
		err = l.restartLocked(offset)
	} else {
		err = l.cutLocked(offset)
	}
	return true, l.half("truncate", err)
}

// TruncateFullyAndStartAt removes all records; the log then begins and ends at the offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	return l.afterTruncate(offset, l.truncateFully(offset))
}

func (l *Log) truncateFully(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return err
	}
	l.generation.Add(1)
	defer l.generation.Add(1)
	return l.half("truncate", l.restartLocked(offset))
}

// afterTruncate makes it known to the disk that a recovery point went back, and how far the log is clean, before anything new is appended:
// otherwise the next recovery would take new records below the old point for durable, and the next cleaning for clean.
func (l *Log) afterTruncate(offset int64, err error) error {
	if err != nil {
		return err
	}
	l.dir.clean.lower(l, offset)
	return l.dir.checkpoints.lower(l)
}

// half takes the directory offline for any error of a change that may be half done: only a restart knows what is left.
func (l *Log) half(op string, err error) error {
	if err == nil {
		return nil
	}
	return l.dir.fail(op+" "+l.tp.String(), err)
}

// cutLocked removes what is at and after the offset, which lies in the log.
func (l *Log) cutLocked(offset int64) error {
	segments := *l.segments.Load()
	keep := floorSegment(segments, offset) + 1
	active := segments[keep-1]
	l.storeSegments(slices.Clone(segments[:keep]))
	if err := l.retireLocked(lastFirst(segments[keep:])); err != nil {
		return err
	}
	if _, err := active.truncateTo(offset, l.Config(), l.host.now()); err != nil {
		return err
	}
	l.epochs.truncateFromEnd(offset)
	o := *l.offsets.Load()
	o.Start = min(o.Start, offset)
	// The cut itself is not durable, in the log or in the indexes. So all of the segment counts as not flushed.
	l.recoveryPoint = min(l.recoveryPoint, active.base)
	if err := l.rebuildProducersLocked(o.Start, offset); err != nil {
		return err
	}
	l.endAtLocked(o, Position{Offset: offset, SegmentBase: active.base, Byte: int32(active.Size())})
	return nil
}

// endAtLocked publishes the marks of a log that ends earlier than it did.
func (l *Log) endAtLocked(o Offsets, end Position) {
	o.End = end
	if o.HighWatermark.Offset >= end.Offset {
		o.HighWatermark = end
	}
	l.producers.forgetReplicated(o.HighWatermark.Offset) // what was read again knows no high watermark
	l.publishLocked(o)
}

// restartLocked removes all segments and begins one at the offset.
func (l *Log) restartLocked(offset int64) error {
	old := *l.segments.Load()
	if err := l.retireLocked(lastFirst(old)); err != nil {
		return err
	}
	s, err := createSegment(l.dir, l.host.cache, offset, l.Config(), l.host.now())
	if err != nil {
		return err
	}
	l.storeSegments([]*Segment{s})
	l.epochs.clear()
	if err := l.producers.reset(offset); err != nil {
		return err
	}
	l.recoveryPoint = min(l.recoveryPoint, offset)
	end := Position{Offset: offset, SegmentBase: offset}
	l.publishLocked(Offsets{Start: offset, HighWatermark: end, End: end})
	return nil
}

// retireLocked gives the files of segments that are no longer listed, and of the snapshots taken at their begin, the suffix of files to be
// removed, and has them removed after file.delete.delay.ms. They go in the order given, which must be such that a crash in between leaves no gap
// in the log.
func (l *Log) retireLocked(segments []*Segment) error {
	var files []*file
	for _, s := range segments {
		s.letGo()
		if err := s.retire(); err != nil {
			return err
		}
		files = append(files, s.files()...)
		if snapshot, err := l.retireSnapshot(s.base); err != nil {
			return err
		} else if snapshot != nil {
			files = append(files, snapshot)
		}
	}
	if len(files) > 0 {
		l.retiredSome.Store(true)
		l.dir.worker.remove(l.Config().FileDeleteDelayMs, files...)
	}
	return nil
}

func lastFirst(segments []*Segment) []*Segment {
	s := slices.Clone(segments)
	slices.Reverse(s)
	return s
}

func (l *Log) retireSnapshot(offset int64) (*file, error) {
	if !l.producers.forgetSnapshot(offset) {
		return nil, nil
	}
	f := &file{dir: l.dir, base: offset, suffix: snapshotSuffix}
	return f, ignoreMissing(f.changeSuffix(snapshotSuffix + deletedSuffix))
}
