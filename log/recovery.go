package log

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"gokafka/protocol"
)

// recoverUnflushed reads the segments that may not have been flushed. Where one does not end at the next one's begin, a batch between them is
// lost or was invalid, and what follows is removed. Only compaction makes such gaps, between intact segments. A batch that reaches into the next
// segment is what a truncation had removed, if its effect on the file was lost.
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
		gapAllowed := r.cut == 0 && (ld.Config().Compact || r.end < ld.cleanedTo)
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
// and the snapshot at its end. The segments before it are in the list. The state of the producers stays as it was read: it knows the last five
// batches of each, and the snapshot, as Apache's format has it, one. A producer that had several under way when the broker was killed sends them
// all again, and would be told that they are out of order, as Apache's broker does.
func (ld *loader) recoverSegment(s *Segment, limit int64) (recovered, error) {
	if err := rebuildProducers(&ld.producers, ld.before(s), ld.start, s.base, ld.host.now()); err != nil {
		return recovered{}, err
	}
	for _, reset := range []func() error{s.offsets.reset, s.times.reset, s.txns.reset} {
		if err := reset(); err != nil {
			return recovered{}, err
		}
	}
	s.times.setMax(s.times.none())
	ld.reread = min(ld.reread, s.base)
	ld.renamed.Store(true) // a transaction index may begin
	r := segmentRecovery{segment: s, limit: limit, producers: &ld.producers, epochs: &ld.epochs, intervalBytes: int64(ld.Config().IndexIntervalBytes)}
	valid, err := r.run()
	if err != nil {
		return recovered{}, err
	}
	out := recovered{cut: s.Size() - valid, end: r.lastOffset + 1}
	if out.cut > 0 || valid >= reserveFrom { // a killed broker could not give back the room that it had reserved
		if err := s.cut(valid); err != nil {
			return out, err
		}
	}
	if err := s.closeIndexes(); err != nil {
		return out, err
	}
	return out, ld.producers.takeSnapshot(true)
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
	neverAny, same := m.empty() && m.end >= end, m.end == end
	if err := m.truncateAndReload(start, end, now); err != nil {
		return err
	}
	if !same {
		m.recall(segments, now)
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
