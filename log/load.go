package log

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gokafka/protocol"
)

// loadOptions say how a log was left.
type loadOptions struct {
	clean     bool  // after a clean stop nothing is scanned
	flushedTo int64 // recovery point of the checkpoint: below it everything was flushed
	cleanedTo int64 // compaction came up to here, perhaps before cleanup.policy changed
	start     int64 // log start of the checkpoint, 0 if it has none
}

// loader makes a Log of a directory.
type loader struct {
	*Log
	loadOptions
	segments []*Segment
	reread   int64 // begin of the first segment whose indexes were built anew
}

// loadLog opens the log in a directory, recovering it after an unclean stop: from the recovery point on every batch is read and the log is
// cut at the first that is not what was written. So is a log that turns out to be corrupt after a clean stop.
func loadLog(h *host, dir *logDir, tp protocol.TopicPartition, c *Config, o loadOptions) (*Log, error) {
	ld := &loader{Log: newLog(h, dir, tp, c), loadOptions: o, reread: math.MaxInt64}
	err := ld.load()
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt && o.clean {
		h.logger.Warn().Err(err).Stringer("partition", tp).Msg("log is corrupt after a clean stop, it is recovered")
		o.clean, o.flushedTo = false, 0
		return loadLog(h, dir, tp, c, o)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", dir.dirPath(), err)
	}
	return ld.Log, nil
}

func newLog(h *host, dir *logDir, tp protocol.TopicPartition, c *Config) *Log {
	l := &Log{tp: tp, dir: dir, host: h}
	l.config.Store(c)
	l.producers = producerStateManager{dir: dir, logger: h.logger, expiration: &h.expiration}
	return l
}

// createLog makes the log of a new partition in an empty directory.
func createLog(h *host, dir *logDir, tp protocol.TopicPartition, c *Config) (*Log, error) {
	if err := dir.fs.MkdirAll(dir.dirPath()); err != nil {
		return nil, err
	}
	dir.created = dir.volume.entries.Add(1)
	s, err := createSegment(dir, h.cache, 0, c, h.now())
	if err != nil {
		return nil, err
	}
	l := newLog(h, dir, tp, c)
	l.storeSegments([]*Segment{s})
	l.offsets.Store(&Offsets{})
	return l, nil
}

func (ld *loader) load() error {
	names, err := ld.cleanUp()
	if err != nil {
		return err
	}
	ld.producers.listSnapshots(names)
	ld.loadEpochs()
	if err := ld.loadTopicID(); err != nil {
		return err
	}
	if err := ld.openSegments(names); err != nil {
		return err
	}
	end, err := ld.recover()
	if err != nil {
		return err
	}
	start := max(ld.start, ld.segments[0].base)
	ld.epochs.truncateFromEnd(end)
	ld.epochs.truncateFromStart(ld.start)
	ld.storeSegments(ld.segments)
	if err := ld.producers.removeStraySnapshots(ld.bases()); err != nil {
		return err
	}
	if err := ld.reloadProducers(start, end); err != nil {
		return err
	}
	// Indexes that were built anew are not durable, though their segment's batches may be.
	ld.recoveryPoint = max(min(ld.flushedTo, ld.reread), start)
	ld.publishLoaded(start, end)
	return nil
}

func (ld *loader) publishLoaded(start, end int64) {
	active := ld.activeLocked()
	last := Position{Offset: end, SegmentBase: active.base, Byte: int32(active.Size())}
	o := Offsets{Start: start, HighWatermark: OffsetOnly(start), End: last}
	ld.offsets.Store(&o)
	o.HighWatermark = ld.onDiskLocked(o.HighWatermark)
	ld.publishLocked(o)
}

func (ld *loader) bases() []int64 {
	bases := make([]int64, len(ld.segments))
	for i, s := range ld.segments {
		bases[i] = s.base
	}
	return bases
}

// loadEpochs reads the leader epochs. A file that is corrupt is as good as none: what recovery reads is added, and for the rest the
// leader answers that it does not know, so that a follower truncates further than it must.
func (ld *loader) loadEpochs() {
	list, err := readEpochs(ld.dir.fs, ld.dir.join(leaderEpochFile))
	if err != nil {
		ld.host.logger.Warn().Err(err).Stringer("partition", ld.tp).Msg("leader epochs are unusable")
		ld.flushedTo, ld.clean = 0, false // reading everything brings them back
		ld.epochs.dirty = true
		return
	}
	for _, e := range list {
		ld.epochs.assign(e.epoch, e.start)
	}
	ld.epochs.dirty = false
}

// openSegments lists the segments and looks at the sizes of their files. Indexes without a log are left over from a deletion.
func (ld *loader) openSegments(names []string) error {
	for _, name := range names {
		base, suffix, ok := parseSegmentFileName(name)
		if !ok {
			continue
		}
		switch suffix {
		case logSuffix:
			if err := ld.openSegment(base); err != nil {
				return err
			}
		case indexSuffix, timeIndexSuffix, txnIndexSuffix:
			if _, found := slices.BinarySearch(names, segmentFileName(base, logSuffix)); !found {
				if err := ignoreMissing(ld.dir.fs.Remove(ld.dir.join(name))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// openSegment takes over a segment's files. If an index is missing or cannot be one, all are built anew from the batches.
func (ld *loader) openSegment(base int64) error {
	s := newSegment(ld.dir, ld.host.cache, base)
	s.startOver(ld.Config(), ld.host.now())
	size, err := s.file.size()
	if err != nil {
		return err
	}
	if size > math.MaxInt32 {
		return &CorruptError{File: s.file.path(), Position: size, Err: errors.New("larger than a segment can be")}
	}
	s.size.Store(size)
	rebuild, err := s.adoptIndexes()
	if err != nil {
		return err
	}
	if rebuild && (ld.clean || base < ld.flushedTo) {
		ld.host.logger.Warn().Str("segment", s.file.path()).Msg("an index is missing or corrupt, the indexes are built anew")
		if _, err := ld.recoverSegment(s, math.MaxInt64); err != nil {
			return err
		}
	}
	ld.segments = append(ld.segments, s)
	return nil
}

// adoptIndexes takes over the index files; rebuild tells that they are of no use.
func (s *Segment) adoptIndexes() (rebuild bool, err error) {
	noOffsets, err := s.offsets.adopt()
	if err == nil {
		var noTimes bool
		noTimes, err = s.times.adopt()
		rebuild = noOffsets || (noTimes && s.Size() > 0)
	}
	if err == nil {
		err = s.txns.adopt()
	}
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		return true, nil
	}
	return rebuild, err
}

// recover makes sure that there is an active segment and that everything in the log is whole; it returns the log's end.
func (ld *loader) recover() (end int64, err error) {
	if !ld.clean {
		if err := ld.recoverUnflushed(); err != nil {
			return 0, err
		}
	}
	if len(ld.segments) > 0 {
		end, err = ld.segments[len(ld.segments)-1].nextOffset()
		if err != nil {
			return 0, err
		}
		if end < ld.start {
			if err := ld.dropAll(end); err != nil {
				return 0, err
			}
		}
	}
	if len(ld.segments) == 0 {
		s, err := createSegment(ld.dir, ld.host.cache, ld.start, ld.Config(), ld.host.now())
		if err != nil {
			return 0, err
		}
		ld.segments, end = []*Segment{s}, ld.start
	}
	if ld.clean {
		ld.flushedTo = end
	}
	ld.flushedTo = min(ld.flushedTo, end)
	return end, nil
}

// dropAll removes the segments of a log that ends before its start: files were lost.
func (ld *loader) dropAll(end int64) error {
	ld.host.logger.Warn().Stringer("partition", ld.tp).Int64("end", end).Int64("start", ld.start).Msg("log ends before its start, all segments are removed")
	if err := ld.removeSegments(0); err != nil {
		return err
	}
	ld.epochs.clear()
	return ld.producers.reset(ld.start)
}

// removeSegments removes the segments from the i-th on.
func (ld *loader) removeSegments(i int) error {
	err := ld.retireLocked(lastFirst(ld.segments[i:]))
	ld.segments = ld.segments[:i]
	return err
}
