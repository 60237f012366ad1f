package log

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gokafka/protocol"
)

// Bound is up to where a reader may see.
type Bound uint8

// The bounds of a read.
const (
	ToLogEnd        Bound = iota // followers
	ToHighWatermark              // read_uncommitted consumers
	ToLastStable                 // read_committed consumers
)

func (o *Offsets) bound(b Bound) Position {
	switch b {
	case ToHighWatermark:
		return o.HighWatermark
	case ToLastStable:
		return o.LastStable
	}
	return o.End
}

// Read returns whole batches from the one that contains the offset on, all from one segment: at most bytesMax bytes, of which the last batch
// may be cut, or one whole batch of any size if minOneBatch. Where there is nothing to read up to the bound, the slice is empty. An offset
// before the log's start or after its end is ErrOffsetOutOfRange. The caller releases the slice.
//
// It takes no lock, unless the log changes meanwhile.
func (l *Log) Read(offset int64, bytesMax int, bound Bound, minOneBatch bool) (s *Slice, err error) {
	err = l.unlocked(func(generation uint64) error {
		if s != nil {
			s.Release()
		}
		s, err = l.read(generation, offset, bytesMax, bound, minOneBatch)
		return err
	})
	return s, err
}

// unlocked reads without the lock. If a truncation came between, or a file was removed before it was opened, what was read means nothing,
// and it is read again with the lock.
func (l *Log) unlocked(read func(generation uint64) error) error {
	generation := l.generation.Load()
	err := read(generation)
	if generation%2 == 0 && l.generation.Load() == generation && !errors.Is(err, fs.ErrNotExist) {
		return l.readError(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readError(read(l.generation.Load()))
}

func (l *Log) read(generation uint64, offset int64, bytesMax int, bound Bound, minOneBatch bool) (*Slice, error) {
	if err := l.dir.check(); err != nil {
		return nil, err
	}
	offsets := l.offsets.Load()
	segments := *l.segments.Load()
	if offset < offsets.Start || offset > offsets.End.Offset {
		return nil, fmt.Errorf("%w: %d is not in [%d, %d]", ErrOffsetOutOfRange, offset, offsets.Start, offsets.End.Offset)
	}
	limit := offsets.bound(bound)
	s := &Slice{log: l, generation: generation, bound: limit.Offset}
	if offset == limit.Offset {
		s.start = limit
		return s, nil
	}
	if offset > limit.Offset || !limit.OnDisk() {
		var err error
		s.start, err = l.find(offset, segments)
		return s, err
	}
	for i := max(floorSegment(segments, offset), 0); i < len(segments) && segments[i].base <= limit.SegmentBase; i++ {
		found, err := s.fill(segments, i, offset, bytesMax, limit, minOneBatch)
		if found || err != nil {
			return s, err
		}
	}
	s.start = limit // the records from here on were compacted away
	return s, nil
}

// fill makes the slice that of the segment's batches from the offset on; found is false if it has none before the limit.
func (s *Slice) fill(segments []*Segment, i int, offset int64, bytesMax int, limit Position, minOneBatch bool) (found bool, err error) {
	segment := segments[i]
	end := segment.Size()
	if segment.base == limit.SegmentBase {
		end = min(int64(limit.Byte), end) // compaction may have made less of what lies below the limit
	}
	p, found, err := segment.locate(offset, end)
	if !found || err != nil {
		return false, err
	}
	s.start = Position{Offset: offset, SegmentBase: segment.base, Byte: int32(p.at)}
	s.firstCut = !minOneBatch && bytesMax < p.size
	if minOneBatch {
		bytesMax = max(bytesMax, p.size)
	}
	s.length = int(min(end-p.at, int64(bytesMax)))
	if s.length <= 0 {
		s.length = 0
		return true, nil
	}
	if s.open, err = segment.file.hold(); err != nil {
		return false, err
	}
	s.segment, s.at = segment, p.at
	if i+1 < len(segments) {
		s.bound = min(s.bound, segments[i+1].base)
	}
	return true, nil
}

// readError turns an I/O error into that of an offline directory. A range that is out of bounds and a corrupt batch are not I/O errors; what
// misses its files because the log was deleted is one of storage, as an append to it is.
func (l *Log) readError(err error) error {
	deleted := l.retired.Load() && errors.Is(err, fs.ErrNotExist)
	if err == nil || isOffsetOrCorrupt(err) && !deleted {
		return err
	}
	return l.storage("read", err)
}

// PositionOf finds where the batch of an offset lies.
func (l *Log) PositionOf(offset int64) (Position, error) {
	s, err := l.Read(offset, 0, ToLogEnd, false)
	if err != nil {
		return OffsetOnly(offset), err
	}
	s.Release()
	return s.start, nil
}

// AbortedTransaction is a run of a producer's records that read_committed consumers skip, from the offset to its abort marker.
type AbortedTransaction struct{ ProducerID, FirstOffset int64 }

// AbortedTransactions lists the aborted transactions that have records in [from, to). If the segment of from is gone, and what it told of
// them, it is ErrOffsetOutOfRange.
func (l *Log) AbortedTransactions(from, to int64) (list []AbortedTransaction, err error) {
	err = l.unlocked(func(uint64) error {
		list, err = abortedTransactions(*l.segments.Load(), from, to)
		return err
	})
	return list, err
}

func abortedTransactions(segments []*Segment, from, to int64) (list []AbortedTransaction, err error) {
	first := floorSegment(segments, from)
	if first < 0 {
		return nil, fmt.Errorf("%w: %d is before %d", ErrOffsetOutOfRange, from, segments[0].base)
	}
	list = []AbortedTransaction{}
	err = visitAborted(segments[first:], from, to, func(t abortedTxn) { list = append(list, AbortedTransaction{t.producerID, t.first}) })
	return list, err
}

// TimestampOffset is a record found by its timestamp.
type TimestampOffset struct {
	Timestamp   int64
	Offset      int64
	LeaderEpoch int32 // -1 none
}

// OffsetForTimestamp finds the first record at or after the log's start whose timestamp is not below the given one.
func (l *Log) OffsetForTimestamp(timestamp int64) (r TimestampOffset, ok bool, err error) {
	err = l.unlocked(func(uint64) error {
		start := l.LogStartOffset()
		r, ok, err = firstSince(*l.segments.Load(), timestamp, start)
		return err
	})
	return r, ok, err
}

func firstSince(segments []*Segment, timestamp, start int64) (r TimestampOffset, ok bool, err error) {
	for _, s := range segments {
		largest, err := s.largestTimestamp()
		if err != nil {
			return r, false, err
		}
		if largest.timestamp < timestamp {
			continue
		}
		r, ok, err = s.findTimestamp(timestamp, start)
		if ok || err != nil {
			return r, ok, err
		}
	}
	return r, false, nil
}

// OffsetOfMaxTimestamp finds the record with the largest timestamp, the first of several (ListOffsets -3, KIP-734).
func (l *Log) OffsetOfMaxTimestamp() (r TimestampOffset, ok bool, err error) {
	err = l.unlocked(func(uint64) error {
		r, ok, err = newest(*l.segments.Load())
		return err
	})
	return r, ok, err
}

func newest(segments []*Segment) (r TimestampOffset, ok bool, err error) {
	var best *Segment
	max := timeEntry{timestamp: protocol.NoTimestamp}
	for _, s := range segments {
		largest, err := s.largestTimestamp()
		if err != nil {
			return r, false, err
		}
		if best == nil || largest.timestamp > max.timestamp {
			best, max = s, largest
		}
	}
	if max.timestamp == protocol.NoTimestamp {
		return r, false, nil
	}
	return best.findMax(max)
}

// SegmentStart is the first offset of a segment that may be read, and when the segment was last written.
type SegmentStart struct {
	Offset   int64
	Modified time.Time
}

// SegmentStarts lists the segments. The end of the log counts as one that was written just now, if the last one has records.
func (l *Log) SegmentStarts() (starts []SegmentStart, err error) {
	err = l.unlocked(func(uint64) error {
		starts, err = l.segmentStarts()
		return err
	})
	return starts, err
}

func (l *Log) segmentStarts() (starts []SegmentStart, err error) {
	segments, o := *l.segments.Load(), l.Offsets()
	for _, s := range segments {
		modified, err := s.lastModified()
		if err != nil {
			return nil, err
		}
		starts = append(starts, SegmentStart{max(s.base, o.Start), modified})
	}
	if segments[len(segments)-1].Size() > 0 {
		starts = append(starts, SegmentStart{o.End.Offset, l.host.now()})
	}
	return starts, nil
}

// findTimestamp finds the first record from the offset on whose timestamp is not below the given one.
func (s *Segment) findTimestamp(timestamp, from int64) (r TimestampOffset, ok bool, err error) {
	entry, err := s.times.lookup(timestamp)
	if err != nil {
		return r, false, err
	}
	index, err := s.offsets.lookup(max(entry.offset, from))
	if err != nil {
		return r, false, err
	}
	err = s.search(int64(index.position), func(head protocol.Batch) bool { return head.MaxTimestamp() >= timestamp },
		func(record *protocol.Record) bool { return record.Timestamp >= timestamp && record.Offset >= from }, &r, &ok)
	return r, ok, err
}

// findMax finds the first record with the largest timestamp, which is that of the batch that ends with the entry's offset.
func (s *Segment) findMax(entry timeEntry) (r TimestampOffset, ok bool, err error) {
	index, err := s.offsets.lookup(entry.offset)
	if err != nil {
		return r, false, err
	}
	err = s.search(int64(index.position), func(head protocol.Batch) bool { return head.MaxTimestamp() == entry.timestamp },
		func(record *protocol.Record) bool { return record.Timestamp == entry.timestamp }, &r, &ok)
	return r, ok, err
}

// search reads batches from the position on, those that candidate accepts by their header, until record accepts a record of one.
func (s *Segment) search(at int64, candidate func(protocol.Batch) bool, accept func(*protocol.Record) bool, r *TimestampOffset, ok *bool) error {
	var failed error
	err := s.scan(at, s.Size(), func(at int64, head protocol.Batch) bool {
		if !candidate(head) {
			return true
		}
		*r, *ok, failed = s.searchBatch(at, head.Size(), accept)
		return !*ok && failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// searchBatch reads one batch, decompressing it, and finds the first record that accept accepts.
func (s *Segment) searchBatch(at int64, size int, accept func(*protocol.Record) bool) (r TimestampOffset, ok bool, err error) {
	b := protocol.Batch(make([]byte, size))
	if _, err := s.file.readAt(b, at); err != nil {
		return r, false, err
	}
	var reader protocol.RecordReader
	reader.Reset(b, protocol.ReadOptions{SkipData: true})
	defer reader.Close()
	for reader.Next() {
		if record := reader.Record(); accept(record) {
			return TimestampOffset{Timestamp: record.Timestamp, Offset: record.Offset, LeaderEpoch: b.LeaderEpoch()}, true, nil
		}
	}
	if err := reader.Err(); err != nil {
		return r, false, s.corrupt(at, err)
	}
	return r, false, nil
}
