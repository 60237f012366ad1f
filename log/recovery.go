package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"gokafka/protocol"
)

// loadOptions say how a log was left.
type loadOptions struct {
	clean     bool  // after a clean stop nothing is scanned
	flushedTo int64 // recovery point of the checkpoint: below it everything was flushed
	start     int64 // log start of the checkpoint, 0 if it has none
}

// loader makes a Log of a directory.
type loader struct {
	*Log
	loadOptions
	segments []*Segment
}

// loadLog opens the log in a directory, recovering it after an unclean stop: from the recovery point on every batch is read and the log is
// cut at the first that is not what was written. So is a log that turns out to be corrupt after a clean stop.
func loadLog(h *host, dir *logDir, tp protocol.TopicPartition, c *Config, o loadOptions) (*Log, error) {
	ld := &loader{Log: newLog(h, dir, tp, c), loadOptions: o}
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
	l := &Log{tp: tp, dir: dir, host: h, truncatedTo: math.MaxInt64}
	l.config.Store(c)
	l.producers = producerStateManager{dir: dir, logger: h.logger, expiration: h.expiration}
	return l
}

// createLog makes the log of a new partition in an empty directory.
func createLog(h *host, dir *logDir, tp protocol.TopicPartition, c *Config) (*Log, error) {
	if err := dir.fs.MkdirAll(dir.dirPath()); err != nil {
		return nil, err
	}
	dir.created = dir.volume.created.Add(1)
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
	ld.flushedTo = max(ld.flushedTo, start)
	ld.recoveryPoint = ld.flushedTo
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

// recoverUnflushed reads the segments that may not have been flushed. Where one does not end at the next one's begin, a batch between them is
// lost or was invalid, and what follows is removed. Only a compacted log may have such gaps, between intact segments. A batch that reaches into the
// next segment is what a truncation had removed, if its effect on the file was lost.
func (ld *loader) recoverUnflushed() error {
	for i := max(floorSegment(ld.segments, ld.flushedTo), 0); i < len(ld.segments); i++ {
		s, next := ld.segments[i], int64(math.MaxInt64)
		last := i == len(ld.segments)-1
		if !last {
			next = ld.segments[i+1].base
		}
		r, err := ld.recoverSegment(s, next)
		if err != nil {
			return err
		}
		if r.cut > 0 {
			ld.host.logger.Warn().Stringer("partition", ld.tp).Str("segment", s.file.path()).Int64("bytes", r.cut).Msg("segment is cut at its first invalid batch")
		}
		gapAllowed := r.cut == 0 && ld.Config().Compact
		if !last && r.end != next && !gapAllowed {
			ld.host.logger.Warn().Stringer("partition", ld.tp).Int64("end", r.end).Int("segments", len(ld.segments)-i-1).Msg("segments after a gap are removed")
			return ld.removeSegments(i + 1)
		}
	}
	return nil
}

// recovered is what recovery left of a segment.
type recovered struct {
	cut int64 // bytes
	end int64 // offset after the last record
}

// recoverSegment reads all batches of a segment, cuts it at the first that is invalid or does not end below the limit, and builds the indexes
// and the snapshot at its end. The segments before it are in the list.
func (ld *loader) recoverSegment(s *Segment, limit int64) (recovered, error) {
	producers := &producerStateManager{dir: ld.dir, logger: ld.host.logger, expiration: ld.host.expiration, snapshots: slices.Clone(ld.producers.snapshots)}
	if err := rebuildProducers(producers, ld.before(s), ld.start, s.base, ld.host.now()); err != nil {
		return recovered{}, err
	}
	for _, reset := range []func() error{s.offsets.reset, s.times.reset, s.txns.reset} {
		if err := reset(); err != nil {
			return recovered{}, err
		}
	}
	s.times.setMax(s.times.none())
	r := segmentRecovery{segment: s, limit: limit, producers: producers, epochs: &ld.epochs, intervalBytes: int64(ld.Config().IndexIntervalBytes)}
	valid, err := r.run()
	if err != nil {
		return recovered{}, err
	}
	out := recovered{cut: s.Size() - valid, end: r.lastOffset + 1}
	if out.cut > 0 {
		if err := s.cut(valid); err != nil {
			return out, err
		}
	}
	if err := s.closeIndexes(); err != nil {
		return out, err
	}
	err = producers.takeSnapshot(true)
	ld.producers.snapshots = producers.snapshots
	return out, err
}

// before lists the segments below one that may be in the list itself.
func (ld *loader) before(s *Segment) []*Segment {
	return ld.segments[:floorSegment(ld.segments, s.base-1)+1]
}

// segmentRecovery reads one segment from its begin.
type segmentRecovery struct {
	segment       *Segment
	limit         int64 // the next segment's begin
	producers     *producerStateManager
	epochs        *LeaderEpochCache
	intervalBytes int64
	lastEntry     int64 // where the last indexed batch begins
	lastOffset    int64
	staged        stagedAppend
}

// run returns the number of bytes up to the first invalid batch.
func (r *segmentRecovery) run() (valid int64, err error) {
	r.lastOffset = r.segment.base - 1
	err = readBatches(r.segment, 0, r.segment.Size(), func(at int64, b protocol.Batch) error {
		if err := r.check(b); err != nil {
			return err
		}
		if err := r.take(at, b); err != nil {
			return err
		}
		valid = at + int64(len(b))
		return nil
	})
	if errors.Is(err, protocol.ErrCorrupt) || errors.Is(err, protocol.ErrInvalidRecord) {
		return valid, nil
	}
	return valid, err
}

func (r *segmentRecovery) check(b protocol.Batch) error {
	if err := b.CheckCRC(); err != nil {
		return err
	}
	if b.LastOffset() <= r.lastOffset || b.LastOffset() >= r.limit || b.LastOffset()-r.segment.base > math.MaxInt32 {
		return fmt.Errorf("%w: offset %d after %d", protocol.ErrCorrupt, b.LastOffset(), r.lastOffset)
	}
	return nil
}

// take indexes a valid batch and takes over its epoch and its producer.
func (r *segmentRecovery) take(at int64, b protocol.Batch) error {
	r.lastOffset = b.LastOffset()
	r.segment.noteFirst(b)
	r.segment.times.note(b.MaxTimestamp(), b.LastOffset())
	if at-r.lastEntry > r.intervalBytes {
		if err := r.segment.addEntry(b, at); err != nil {
			return err
		}
		r.lastEntry = at
	}
	if b.Magic() < 2 {
		return nil
	}
	if latest, _ := r.epochs.Latest(); b.LeaderEpoch() > latest {
		r.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
	}
	completed, err := r.producers.replay(&r.staged, b)
	if err != nil {
		return err
	}
	if completed != nil && completed.aborted {
		e := abortedTxn{producerID: completed.producerID, first: completed.first, last: completed.last, lastStableOffset: r.producers.stableAfter(*completed)}
		if err := r.segment.txns.add(e); err != nil {
			return err
		}
	}
	if completed != nil {
		r.producers.complete(*completed)
	}
	r.producers.end = b.NextOffset()
	return nil
}

// replay takes a batch that is in the log into the state; it returns the transaction that the batch ends.
func (m *producerStateManager) replay(s *stagedAppend, b protocol.Batch) (*completedTxn, error) {
	if !b.HasProducerID() {
		return nil, nil
	}
	s.reset()
	err := m.stage(s, b, AppendOptions{Origin: OriginReplication}, OffsetOnly(b.BaseOffset()))
	if err != nil && !errors.Is(err, ErrTransactionState) {
		return nil, err
	}
	m.apply(s)
	if len(s.completed) == 0 {
		return nil, nil
	}
	c := s.completed[0]
	return &c, nil
}

// recoveryBuffer is how much of a segment recovery reads at once.
const recoveryBuffer = 1 << 20

// readBatches passes whole batches from the position to the end to visit. A tail that is no batch is ErrCorrupt. The batch is only valid during
// the call.
func readBatches(s *Segment, at, end int64, visit func(at int64, b protocol.Batch) error) error {
	file, err := s.file.hold()
	if err != nil {
		return err
	}
	defer s.file.release()
	buf := make([]byte, min(recoveryBuffer, end-at))
	var have []byte
	for at < end {
		b, rest, err := protocol.NextBatch(have)
		if err != nil {
			return err
		}
		if b != nil {
			if err := visit(at, b); err != nil {
				return err
			}
			at, have = at+int64(len(b)), rest
			continue
		}
		if buf, err = roomFor(have, buf, end-at); err != nil {
			return err
		}
		n, err := file.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil && err != io.EOF || n <= len(have) {
			return errors.Join(err, fmt.Errorf("%w: file ends within a batch", protocol.ErrCorrupt))
		}
		have = buf[:n]
	}
	return nil
}

// roomFor makes the buffer large enough for the batch that have begins with, of which remain bytes can exist.
func roomFor(have, buf []byte, remain int64) ([]byte, error) {
	if len(have) < protocol.EntryPrefix {
		return buf, nil
	}
	size, err := protocol.EntrySize(have)
	if err != nil {
		return nil, err
	}
	if int64(size) > remain {
		return nil, fmt.Errorf("%w: batch of %d bytes where %d remain", protocol.ErrCorrupt, size, remain)
	}
	if size > len(buf) {
		return make([]byte, size), nil
	}
	return buf, nil
}

// reloadProducers brings the producers' state to the log's end at start. After a clean stop a log without any snapshot is one of an old
// version, of which nobody expects that producers are remembered; then empty snapshots are written in place of a scan.
func (ld *loader) reloadProducers(start, end int64) error {
	m := &ld.producers
	if len(m.snapshots) > 0 || !ld.clean {
		return rebuildProducers(m, ld.segments, start, end, ld.host.now())
	}
	for _, offset := range append(lastTwo(ld.segments), end) {
		m.end = offset
		if err := m.takeSnapshot(true); err != nil {
			return err
		}
	}
	return nil
}

func lastTwo(segments []*Segment) (bases []int64) {
	for _, s := range segments[max(len(segments)-2, 0):] {
		bases = append(bases, s.base)
	}
	return bases
}

// rebuildProducersLocked brings the producers' state to an earlier end.
func (l *Log) rebuildProducersLocked(start, end int64) error {
	return rebuildProducers(&l.producers, *l.segments.Load(), start, end, l.host.now())
}

// rebuildProducers makes the state that of the log up to end: from the newest snapshot below it, and the records from there on.
func rebuildProducers(m *producerStateManager, segments []*Segment, start, end int64, now time.Time) error {
	neverAny := m.empty() && m.end >= end
	if err := m.truncateAndReload(start, end, now); err != nil {
		return err
	}
	if end > m.end && !neverAny {
		if err := m.scan(segments, start, end); err != nil {
			return err
		}
	}
	m.end = end
	return m.takeSnapshot(true)
}

// scan reads the records from the state's end to the given one, and leaves snapshots at the begin of the last two segments.
func (m *producerStateManager) scan(segments []*Segment, start, end int64) error {
	keep := lastTwo(segments)
	var staged stagedAppend
	for _, s := range segments[max(floorSegment(segments, m.end), 0):] {
		if s.base >= end {
			break
		}
		m.end = max(s.base, m.end, start)
		if slices.Contains(keep, s.base) {
			if err := m.takeSnapshot(true); err != nil {
				return err
			}
		}
		from, found, err := s.locate(m.end, s.Size())
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if err := m.scanSegment(&staged, s, from.at, end); err != nil {
			return err
		}
	}
	return nil
}

func (m *producerStateManager) scanSegment(staged *stagedAppend, s *Segment, at, end int64) error {
	err := readBatches(s, at, s.Size(), func(_ int64, b protocol.Batch) error {
		if b.BaseOffset() >= end {
			return errStop
		}
		c, err := m.replay(staged, b)
		if err == nil && c != nil {
			m.complete(*c)
		}
		return err
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

var errStop = errors.New("stop")

// cleanUp removes what deletion, compaction or a split left unfinished, or finishes it (KAFKA-12520), and lists the files that remain.
func (ld *loader) cleanUp() (names []string, err error) {
	list, err := ld.dir.fs.ReadDir(ld.dir.dirPath())
	if err != nil {
		return nil, err
	}
	left := leftovers{minCleaned: math.MaxInt64}
	for _, e := range list {
		if !e.IsDir() {
			left.sort(e)
		}
	}
	if len(left.remove)+len(left.swap)+len(left.cleaned) == 0 {
		return left.names, nil
	}
	if err := ld.finishLeftovers(&left); err != nil {
		return nil, err
	}
	return ld.cleanUp()
}

// leftovers are the files of a log's directory by what is to become of them.
type leftovers struct {
	names         []string // regular ones
	remove        []string
	cleaned, swap []string
	minCleaned    int64
}

func (f *leftovers) sort(e fs.DirEntry) {
	name := e.Name()
	offset, _, isSegment := parseSegmentFileName(name)
	switch {
	case strings.HasSuffix(name, deletedSuffix):
		f.remove = append(f.remove, name)
	case isSegment && strings.HasSuffix(name, cleanedSuffix):
		f.cleaned = append(f.cleaned, name)
		f.minCleaned = min(f.minCleaned, offset)
	case isSegment && strings.HasSuffix(name, swapSuffix):
		f.swap = append(f.swap, name)
	default:
		f.names = append(f.names, name)
	}
}

// finishLeftovers does what is to be done. A .swap file at or after the first .cleaned one belongs to a split that did not get that far, in
// which the old segment is still whole. All other .swap files are complete and replace the segments whose offsets they span.
func (ld *loader) finishLeftovers(f *leftovers) error {
	remove := append(f.remove, f.cleaned...)
	var swap []string
	for _, name := range f.swap {
		if offset, _, _ := parseSegmentFileName(name); offset >= f.minCleaned {
			remove = append(remove, name)
		} else {
			swap = append(swap, name)
		}
	}
	replaced, err := ld.replacedBy(swap, f.names)
	if err != nil {
		return err
	}
	for _, name := range append(remove, replaced...) {
		if err := ignoreMissing(ld.dir.fs.Remove(ld.dir.join(name))); err != nil {
			return err
		}
	}
	for _, name := range swap {
		if err := ld.dir.fs.Rename(ld.dir.join(name), ld.dir.join(strings.TrimSuffix(name, swapSuffix))); err != nil {
			return err
		}
	}
	return nil
}

// replacedBy lists the files of segments in the range of offsets that the .swap segments span.
func (ld *loader) replacedBy(swap, names []string) (replaced []string, err error) {
	from, to := int64(math.MaxInt64), int64(-1)
	for _, name := range swap {
		base, suffix, _ := parseSegmentFileName(name)
		if suffix != logSuffix+swapSuffix {
			continue
		}
		next, err := ld.swapEnd(base)
		if err != nil {
			return nil, err
		}
		from, to = min(from, base), max(to, next)
	}
	for _, name := range names {
		if offset, _, ok := parseSegmentFileName(name); ok && offset >= from && offset < to {
			replaced = append(replaced, name)
		}
	}
	return replaced, nil
}

// swapEnd is the offset after the last record of a .swap segment.
func (ld *loader) swapEnd(base int64) (int64, error) {
	s := newSegment(ld.dir, nil, base)
	s.file.suffix = logSuffix + swapSuffix
	size, err := s.file.size()
	if err != nil {
		return 0, err
	}
	s.size.Store(size)
	return s.nextOffset()
}
