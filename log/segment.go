package log

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// scanWindow is how much of a .log file is read at once in search of a batch: enough to step over the small batches between two index entries.
const scanWindow = 4096

var scanWindows = sync.Pool{New: func() any { return new([scanWindow]byte) }}

// Segment is a run of batches in one file, with its indexes. Its log's lock guards all changes; what readers use is safe without: the files,
// the indexes, which have their own locks, and the size.
type Segment struct {
	base    int64
	file    *file // .log
	offsets *OffsetIndex
	times   *TimeIndex
	txns    *TxnIndex
	size    atomic.Int64 // bytes of whole batches
	recent  recentBatches

	held       bool          // the file is kept open, since batches are appended
	reserved   int64         // byte up to which room was asked for ahead of the writes, 0 none
	sinceEntry int           // bytes since the last index entry
	created    time.Time     // when it last was empty
	jitter     time.Duration // rolled so much before its time
	firstStamp int64         // largest timestamp of the first batch
	firstKnown bool
}

func newSegment(dir *logDir, cache *fileCache, base int64) *Segment {
	newFile := func(suffix string) *file { return &file{dir: dir, cache: cache, base: base, suffix: suffix} }
	return &Segment{
		base:    base,
		file:    newFile(logSuffix),
		offsets: newOffsetIndex(newFile(indexSuffix)),
		times:   newTimeIndex(newFile(timeIndexSuffix)),
		txns:    newTxnIndex(newFile(txnIndexSuffix)),
	}
}

// createSegment makes the files of a new segment, or none: of half of them the next start would make the log's end. What lies there under these
// names is the remains of something that failed.
func createSegment(dir *logDir, cache *fileCache, base int64, c *Config, now time.Time) (*Segment, error) {
	s := newSegment(dir, cache, base)
	s.times.setMax(s.times.none())
	s.startOver(c, now)
	if err := s.discard(); err != nil {
		return nil, err
	}
	if err := s.makeFiles(c); err != nil {
		if left := s.discard(); left != nil {
			return nil, left // it counts more than the want of file descriptors, which passes
		}
		return nil, err
	}
	return s, nil
}

func (s *Segment) makeFiles(c *Config) error {
	for _, f := range []*file{s.file, s.offsets.file, s.times.file} {
		if err := f.touch(); err != nil {
			return err
		}
	}
	if !c.Preallocate {
		return nil
	}
	return s.file.use(func(f vfs.File) error { return f.Truncate(int64(c.SegmentBytesMax)) })
}

func (s *Segment) files() []*file {
	return []*file{s.file, s.offsets.file, s.times.file, s.txns.file}
}

// startOver begins the segment's age anew: it is empty.
func (s *Segment) startOver(c *Config, now time.Time) {
	s.created, s.firstKnown = now, false
	s.jitter = 0
	if c.SegmentJitterMs > 0 {
		s.jitter = time.Duration(rand.Int64N(min(c.SegmentJitterMs, max(c.segmentMs(), 1)))) * time.Millisecond
	}
}

// BaseOffset is the offset in the segment's name; no record in it is below.
func (s *Segment) BaseOffset() int64 { return s.base }

// Size is the number of bytes of its batches.
func (s *Segment) Size() int64 { return s.size.Load() }

// shouldRoll reports whether a batch belongs into a new segment. Time passes by the timestamps of records, and only without them by the clock.
func (s *Segment) shouldRoll(c *Config, b batchRange, now time.Time) (bool, error) {
	size := s.Size()
	if size > int64(c.SegmentBytesMax)-int64(b.bytes) || b.last-s.base > math.MaxInt32 {
		return true, nil
	}
	if s.offsets.count() >= c.IndexBytesMax/offsetEntrySize || s.times.count() >= c.IndexBytesMax/timeEntrySize-1 {
		return true, nil
	}
	if size == 0 {
		return false, nil
	}
	waited, err := s.waited(b.maxTimestamp, now)
	return waited > c.segmentMs()-s.jitter.Milliseconds(), err
}

// waited is the segment's age in milliseconds.
func (s *Segment) waited(timestamp int64, now time.Time) (int64, error) {
	if err := s.loadFirstStamp(); err != nil {
		return 0, err
	}
	if s.firstStamp >= 0 {
		return timestamp - s.firstStamp, nil
	}
	return now.Sub(s.created).Milliseconds(), nil
}

func (s *Segment) loadFirstStamp() error {
	if s.firstKnown || s.Size() == 0 {
		return nil
	}
	head, err := s.head(0, s.Size())
	if err != nil {
		return err
	}
	s.noteFirst(head)
	return nil
}

func (s *Segment) noteFirst(b protocol.Batch) {
	if !s.firstKnown {
		s.firstStamp, s.firstKnown = b.MaxTimestamp(), true
	}
}

// append writes batches with one system call and then brings the indexes up to date. If the write fails, what was written of it is beyond the
// segment's size, where nobody reads.
func (s *Segment) append(batches []byte, intervalBytes int) error {
	file, err := s.keepOpen()
	if err != nil {
		return err
	}
	// An entry of the time index needs the largest timestamp so far. It is looked for before there are new entries of the offset index, behind the
	// last of which it would be looked for.
	if _, err := s.largestTimestamp(); err != nil {
		return err
	}
	at := s.Size()
	s.reserve(file, at+int64(len(batches)))
	if _, err := file.WriteAt(batches, at); err != nil {
		file.Truncate(at) // recovery would cut it as well
		return err
	}
	if err := s.index(batches, at, intervalBytes); err != nil {
		s.recent.forget()
		return err
	}
	s.size.Store(at + int64(len(batches)))
	return nil
}

const (
	reserveFrom = 4 << 20  // smaller segments get no room ahead
	reserveMax  = 32 << 20 // ahead of a large one
)

// reserve has the disk set aside room ahead of a segment that grows, the more the larger it is: on ext4 that takes a quarter off the
// time of a write of 64 KiB, and the file lies less scattered. What is not used is given back by trim and cut.
func (s *Segment) reserve(file vfs.File, end int64) {
	if end <= s.reserved || end < reserveFrom {
		return
	}
	s.reserved = end + min(end, reserveMax)
	file.Reserve(end, s.reserved)
}

// keepOpen opens the file for as long as the segment is active.
func (s *Segment) keepOpen() (vfs.File, error) {
	if s.held {
		return s.file.open, nil
	}
	file, err := s.file.hold()
	s.held = err == nil
	return file, err
}

// letGo ends keepOpen.
func (s *Segment) letGo() {
	if s.held {
		s.held = false
		s.file.release()
	}
}

// index notes each batch whose predecessors since the last entry make up an interval.
func (s *Segment) index(batches []byte, at int64, intervalBytes int) error {
	for len(batches) > 0 {
		b, rest, err := protocol.NextBatch(batches)
		if err != nil || b == nil {
			return fmt.Errorf("index batch at %d: not a whole batch: %w", at, err)
		}
		s.noteFirst(b)
		s.recent.note(b, at)
		s.times.note(b.MaxTimestamp(), b.LastOffset())
		if s.sinceEntry > intervalBytes {
			if err := s.addEntry(b, at); err != nil {
				return err
			}
			s.sinceEntry = 0
		}
		s.sinceEntry += len(b)
		at += int64(len(b))
		batches = rest
	}
	return nil
}

// addEntry indexes a batch. If the last time entry cannot be read for want of file descriptors there is none now: a later one will have the
// largest timestamp.
func (s *Segment) addEntry(b protocol.Batch, at int64) error {
	if err := s.offsets.add(b.LastOffset(), int32(at)); err != nil {
		return err
	}
	if err := s.times.addLargest(); !passes(err) {
		return err
	}
	return nil
}

// head reads the header of the batch at the position. end is where the segment's data ends for the reader.
func (s *Segment) head(at, end int64) (protocol.Batch, error) {
	buf := make([]byte, min(protocol.BatchOverhead, end-at))
	if _, err := s.file.readAt(buf, at); err != nil {
		return nil, err
	}
	size, err := protocol.EntrySize(buf)
	if err == nil && at+int64(size) > end {
		err = fmt.Errorf("batch of %d bytes where %d remain", size, end-at)
	}
	if err != nil {
		return nil, s.corrupt(at, err)
	}
	return protocol.Batch(buf), nil
}

func (s *Segment) corrupt(at int64, err error) error {
	return &CorruptError{File: s.file.path(), Position: at, Err: err}
}

// scan passes the headers of the batches from the position on to visit until it returns false. end bounds it; it lies between two batches.
// The header is only valid during the call.
func (s *Segment) scan(at, end int64, visit func(at int64, head protocol.Batch) bool) error {
	file, err := s.file.hold()
	if err != nil {
		return err
	}
	defer s.file.release()
	window := scanWindows.Get().(*[scanWindow]byte)
	defer scanWindows.Put(window)
	var have []byte // bytes of the file from at on
	for at < end {
		if need := min(protocol.BatchOverhead, end-at); int64(len(have)) < need {
			n, err := file.ReadAt(window[:min(scanWindow, end-at)], at)
			if err != nil && (err != io.EOF || int64(n) < need) {
				return err
			}
			have = window[:n]
		}
		size, err := protocol.EntrySize(have)
		if err != nil {
			return s.corrupt(at, err)
		}
		if at+int64(size) > end {
			return s.corrupt(at, fmt.Errorf("batch of %d bytes where %d remain", size, end-at))
		}
		if !visit(at, protocol.Batch(have)) {
			return nil
		}
		at += int64(size)
		have = have[min(size, len(have)):]
	}
	return nil
}

// place is where a batch lies in its segment.
type place struct {
	at   int64
	size int
}

// locate finds the batch that contains the offset, or else the first one after it. ok is false if there is none before end.
func (s *Segment) locate(offset, end int64) (p place, ok bool, err error) {
	if p, ok = s.recent.find(offset); ok && p.at+int64(p.size) <= end {
		return p, true, nil
	}
	entry, err := s.offsets.lookup(offset)
	if err != nil {
		return p, false, err
	}
	p, ok, err = s.locateFrom(entry, offset, end)
	if entry.position > 0 && errors.Is(err, errBadIndex) {
		// The index is wrong. It is only a short cut: the log itself answers.
		p, ok, err = s.locateFrom(noOffsetEntry, offset, end)
	}
	return p, ok, err
}

var errBadIndex = errors.New("index entry does not point to its batch")

func (s *Segment) locateFrom(entry offsetEntry, offset, end int64) (p place, ok bool, err error) {
	if int64(entry.position) > end {
		// The index knows of later batches than this reader may see.
		return p, false, nil
	}
	bad := false
	err = s.scan(int64(entry.position), end, func(at int64, head protocol.Batch) bool {
		if at == int64(entry.position) && !entry.fits(head) {
			bad = true
		} else if head.LastOffset() >= offset {
			p, ok = place{at, head.Size()}, true
		}
		return !ok && !bad
	})
	if bad || entry.brokenBy(err) {
		return p, false, errBadIndex
	}
	return p, ok, err
}

// fits reports whether the batch at the entry's position can be the one that the entry was made for. Versions of Kafka before 3.9.2 gave an
// entry the last offset of a whole append, and the position of its first batch.
func (e offsetEntry) fits(head protocol.Batch) bool { return head.LastOffset() <= e.offset }

// brokenBy reports whether a scan that began at the entry may have failed because the entry points between two batches.
func (e offsetEntry) brokenBy(err error) bool {
	_, corrupt := errors.AsType[*CorruptError](err)
	return corrupt && e.position > 0
}

// nextOffset is the offset after the last record, read from the last index entry on.
func (s *Segment) nextOffset() (int64, error) {
	entry, err := s.offsets.lastEntry()
	if err != nil {
		return 0, err
	}
	next, err := s.nextOffsetFrom(entry)
	if errors.Is(err, errBadIndex) {
		return s.nextOffsetFrom(noOffsetEntry)
	}
	return next, err
}

func (s *Segment) nextOffsetFrom(entry offsetEntry) (int64, error) {
	next, bad := s.base, entry.position > 0 && int64(entry.position) >= s.Size()
	err := s.scan(int64(entry.position), s.Size(), func(at int64, head protocol.Batch) bool {
		bad = bad || at == int64(entry.position) && !entry.fits(head)
		next = head.NextOffset()
		return !bad
	})
	if bad || entry.brokenBy(err) {
		return 0, errBadIndex
	}
	return next, err
}

// largestTimestamp is the segment's largest timestamp and the last offset of the batch that has it. Of a segment that was loaded it is the
// last entry of the time index, if that is true to its batch, or a later batch exceeds it, as when the index was damaged. Beyond a batch that is
// corrupt, which readers are told of, nothing counts.
func (s *Segment) largestTimestamp() (timeEntry, error) {
	e, known, forgotten := s.times.largest()
	if known {
		return e, nil
	}
	e, err := s.times.lastEntry()
	if err != nil {
		return e, err
	}
	from := noOffsetEntry
	if ok, err := s.confirms(e); err != nil {
		return e, err
	} else if !ok {
		e = s.times.none()
	} else if from, err = s.offsets.lastEntry(); err != nil {
		return e, err
	}
	if int64(from.position) > s.Size() {
		from, e = noOffsetEntry, s.times.none()
	}
	err = s.scan(int64(from.position), s.Size(), func(_ int64, head protocol.Batch) bool {
		if head.MaxTimestamp() > e.timestamp {
			e = timeEntry{head.MaxTimestamp(), head.LastOffset()}
		}
		return true
	})
	if _, corrupt := errors.AsType[*CorruptError](err); err != nil && !corrupt {
		return e, err
	}
	s.times.learn(e, forgotten)
	return e, nil
}

// confirms reports whether the batch of a time entry has its timestamp.
func (s *Segment) confirms(e timeEntry) (bool, error) {
	if e.timestamp == protocol.NoTimestamp {
		return false, nil
	}
	p, ok, err := s.locate(e.offset, s.Size())
	if err != nil || !ok {
		return false, err
	}
	head, err := s.head(p.at, s.Size())
	return err == nil && head.MaxTimestamp() == e.timestamp, err
}

// closeIndexes writes what the indexes hold in memory: no more batches will come. The last time entry is the segment's largest timestamp.
func (s *Segment) closeIndexes() error {
	if _, err := s.largestTimestamp(); err != nil {
		return err
	}
	if err := s.times.addLargest(); err != nil {
		return err
	}
	if err := s.offsets.finish(); err != nil {
		return err
	}
	return s.times.finish()
}

// trim cuts what was preallocated, and gives back what was reserved.
func (s *Segment) trim() error {
	s.reserved = 0
	return s.file.use(func(f vfs.File) error { return f.Truncate(s.Size()) })
}

// sync makes everything in the segment durable.
func (s *Segment) sync() error {
	if err := s.file.sync(); err != nil {
		return err
	}
	for _, x := range []*entryFile{&s.offsets.entryFile, &s.times.entryFile} {
		if err := x.sync(); err != nil {
			return err
		}
	}
	return ignoreMissing(s.txns.file.sync())
}

// truncateTo drops the batches at and after the offset; returns how many bytes that were.
func (s *Segment) truncateTo(offset int64, c *Config, now time.Time) (int64, error) {
	p, found, err := s.locate(offset, s.Size())
	if err != nil {
		return 0, err
	}
	for _, truncate := range []func(int64) error{s.offsets.truncateTo, s.times.truncateTo, s.txns.truncateTo} {
		if err := truncate(offset); err != nil {
			return 0, err
		}
	}
	before := s.Size()
	if found {
		if err := s.cut(p.at); err != nil {
			return 0, err
		}
	}
	if s.Size() == 0 {
		s.startOver(c, now)
	}
	return before - s.Size(), s.recountAfterTruncate()
}

func (s *Segment) cut(size int64) error {
	s.size.Store(size)
	s.recent.forget()
	s.reserved = 0
	return s.file.use(func(f vfs.File) error { return f.Truncate(size) })
}

// recountAfterTruncate finds the largest timestamp and the last index entry of what is left.
func (s *Segment) recountAfterTruncate() error {
	s.times.forgetMax()
	last, err := s.offsets.lastEntry()
	if err != nil {
		return err
	}
	s.sinceEntry = int(s.Size() - int64(last.position))
	_, err = s.largestTimestamp()
	return err
}

// retire gives the segment's files the suffix of files to be removed. Readers who hold them go on.
func (s *Segment) retire() error {
	for _, f := range s.files() {
		if err := ignoreMissing(f.changeSuffix(f.suffix + deletedSuffix)); err != nil {
			return err
		}
	}
	return nil
}
