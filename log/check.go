package log

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gokafka/protocol"
)

// Check reads the whole log and walks every invariant that doc.go names. It is for tests and tools: appends wait while it reads. The
// error joins all that is wrong.
func (l *Log) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &checker{log: l, offsets: *l.offsets.Load(), segments: *l.segments.Load()}
	c.marks()
	c.epochs()
	c.batches()
	if c.errs == nil {
		return nil
	}
	return fmt.Errorf("check %v: %w", l.tp, errors.Join(c.errs...))
}

type checker struct {
	log      *Log
	offsets  Offsets
	segments []*Segment
	errs     []error
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) must(err error) bool {
	if err != nil {
		c.errs = append(c.errs, err)
	}
	return err == nil
}

// marks: start ≤ last stable ≤ high watermark ≤ end, each with its place on disk, and the active segment ends at the end.
func (c *checker) marks() {
	o := c.offsets
	if o.Start > o.LastStable.Offset || o.LastStable.Offset > o.HighWatermark.Offset || o.HighWatermark.Offset > o.End.Offset {
		c.fail("marks are out of order: %+v", o)
	}
	for _, p := range []Position{o.LastStable, o.HighWatermark} {
		found, err := c.log.find(p.Offset, c.segments)
		if c.must(err) && !samePlace(found, p, c.segments) {
			c.fail("mark %+v lies at %+v", p, found)
		}
	}
	active := c.segments[len(c.segments)-1]
	if o.End.SegmentBase != active.base || int64(o.End.Byte) != active.Size() || o.End.Offset < active.base {
		c.fail("log ends at %+v, its active segment of %d bytes begins at %d", o.End, active.Size(), active.base)
	}
	if first := c.segments[0].base; o.Start < first {
		c.fail("log starts at %d, its first segment at %d", o.Start, first)
	}
	if c.log.recoveryPoint > o.End.Offset {
		c.fail("recovery point %d is after the end %d", c.log.recoveryPoint, o.End.Offset)
	}
	if !slices.IsSortedFunc(c.segments, func(a, b *Segment) int { return int(a.base - b.base) }) {
		c.fail("segments are out of order")
	}
	if c.log.producers.end != o.End.Offset {
		c.fail("producers' state ends at %d, the log at %d", c.log.producers.end, o.End.Offset)
	}
}

// samePlace allows for the end of a segment and the begin of the next, which are one place.
func samePlace(a, b Position, segments []*Segment) bool {
	if a == b {
		return true
	}
	older, newer := a, b
	if b.SegmentBase < a.SegmentBase {
		older, newer = b, a
	}
	i := floorSegment(segments, older.SegmentBase)
	return i >= 0 && newer.Byte == 0 && int64(older.Byte) == segments[i].Size()
}

// epochs: epochs and offsets ascend, within the log.
func (c *checker) epochs() {
	entries := c.log.epochs.entries
	for i, e := range entries {
		if i > 0 && (e.epoch <= entries[i-1].epoch || e.start <= entries[i-1].start) {
			c.fail("leader epochs are out of order: %+v", entries)
		}
		if e.start > c.offsets.End.Offset {
			c.fail("leader epoch %+v begins after the log's end %d", e, c.offsets.End.Offset)
		}
	}
}

// batches: each is intact, offsets and epochs ascend through all segments, and the indexes of a segment agree with it.
func (c *checker) batches() {
	next, epoch := int64(0), int32(math.MinInt32)
	for _, s := range c.segments {
		if next > s.base {
			c.fail("segment %d begins before offset %d", s.base, next)
		}
		ends := map[int64]int64{} // last offset of each batch to its position
		stamps := map[timeEntry]bool{}
		largest := int64(protocol.NoTimestamp)
		err := readBatches(s, 0, s.Size(), func(at int64, b protocol.Batch) error {
			if err := b.CheckCRC(); err != nil {
				return s.corrupt(at, err)
			}
			if b.LastOffset() < next || b.LastOffset()-s.base > math.MaxInt32 {
				c.fail("batch %v at %d of segment %d comes after offset %d", b, at, s.base, next)
			}
			if b.LeaderEpoch() < epoch {
				c.fail("batch %v at %d of segment %d comes after epoch %d", b, at, s.base, epoch)
			}
			next, epoch = b.NextOffset(), b.LeaderEpoch()
			largest = max(largest, b.MaxTimestamp())
			ends[b.LastOffset()] = at
			stamps[timeEntry{b.MaxTimestamp(), b.LastOffset()}] = true
			return nil
		})
		if c.must(err) {
			c.offsetIndex(s, ends)
			c.timeIndex(s, stamps, largest)
			c.txnIndex(s)
		}
	}
	if next > c.offsets.End.Offset {
		c.fail("last record is at %d, the log ends at %d", next-1, c.offsets.End.Offset)
	}
}

func (c *checker) offsetIndex(s *Segment, ends map[int64]int64) {
	b, err := s.offsets.all()
	if !c.must(err) {
		return
	}
	last := offsetEntry{offset: s.base - 1}
	for ; len(b) > 0; b = b[offsetEntrySize:] {
		e := s.offsets.parse(b)
		if at, ok := ends[e.offset]; !ok || at != int64(e.position) || e.offset <= last.offset {
			c.fail("offset index of segment %d: entry %+v after %+v, batch at %d", s.base, e, last, at)
		}
		last = e
	}
}

func (c *checker) timeIndex(s *Segment, stamps map[timeEntry]bool, largest int64) {
	b, err := s.times.all()
	if !c.must(err) {
		return
	}
	last := timeEntry{timestamp: protocol.NoTimestamp, offset: s.base - 1}
	for ; len(b) > 0; b = b[timeEntrySize:] {
		e := s.times.parse(b)
		if !stamps[e] || e.timestamp <= last.timestamp || e.offset <= last.offset {
			c.fail("time index of segment %d: entry %+v after %+v", s.base, e, last)
		}
		last = e
	}
	if e, err := s.largestTimestamp(); c.must(err) && e.timestamp != largest {
		c.fail("largest timestamp of segment %d is %d, taken for %d", s.base, largest, e.timestamp)
	}
}

func (c *checker) txnIndex(s *Segment) {
	list, err := s.txns.all()
	if !c.must(err) {
		return
	}
	last := s.base - 1
	for _, e := range list {
		if e.last <= last || e.first >= e.last {
			c.fail("transaction index of segment %d: entry %+v after %d", s.base, e, last)
		}
		last = e.last
	}
}
