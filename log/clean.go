package log

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gokafka/protocol"
)

// errCleanAborted ends a cleaning whose log changed below it, or that is to stop. The old segments stay; nothing is lost but time.
var errCleanAborted = errors.New("cleaning is aborted")

// cleanRecordMax is the largest compressed record, in bytes, of a log that can be cleaned: its key has to be read.
const cleanRecordMax = 64 << 20

// cleaning is one pass over a log: learn the last offset of each key in the dirty part, then copy all segments up to there, in groups, without
// the records that a later one replaces.
type cleaning struct {
	ctx    context.Context
	log    *Log
	config *Config
	job    dirtyLog
	now    int64 // milliseconds
	keys   *offsetMap
	pace   *pace

	generation  uint64
	end         int64               // up to where the log is clean afterwards
	start       int64               // the log's, when it began
	lastBatches map[int64]lastBatch // of the active producers
	legacyUntil int64               // tombstones of magic 0 and 1 go in segments that were last written before
	reader      protocol.RecordReader
	read, kept  int64 // bytes
}

// lastBatch is where an active producer's last data lies: its batch must stay, if only emptied, since recovery learns the sequence from it.
type lastBatch struct {
	offset int64 // -1: the producer has written only markers
	epoch  int16
}

// run cleans.
func (c *cleaning) run() error {
	c.generation = c.log.generation.Load()
	if c.generation%2 == 1 {
		return errCleanAborted
	}
	c.lastBatches = c.log.lastBatches()
	segments := c.log.Segments()
	if err := c.findLegacyHorizon(segments); err != nil {
		return err
	}
	if err := c.learn(segments); err != nil {
		return err
	}
	c.end = c.keys.latest + 1
	below := segments[:floorSegment(segments, c.end-1)+1]
	txns := newCleanedTxns()
	for _, group := range groupSegments(below, c.config, c.job.until) {
		if err := c.cleanGroup(group, segments, txns); err != nil {
			return err
		}
	}
	return nil
}

// lastBatches lists where the producers' last data lies.
func (l *Log) lastBatches() map[int64]lastBatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[int64]lastBatch, len(l.producers.producers))
	for id, e := range l.producers.producers {
		m[id] = lastBatch{offset: e.last().lastOffset, epoch: e.epoch}
	}
	return m
}

func (c *cleaning) findLegacyHorizon(segments []*Segment) error {
	i := floorSegment(segments, c.job.dirty-1)
	if i < 0 {
		return nil
	}
	modified, err := segments[i].lastModified()
	c.legacyUntil = modified.UnixMilli() - c.config.Compaction.DeleteRetentionMs
	return err
}

// learn fills the map from the dirty part, or as much of it as fits.
func (c *cleaning) learn(segments []*Segment) error {
	txns := newCleanedTxns()
	aborted, err := c.log.abortedIn(c.job.dirty, c.job.until)
	if err != nil {
		return err
	}
	txns.add(aborted)
	for i := max(floorSegment(segments, c.job.dirty), 0); i < len(segments)-1 && segments[i].base < c.job.until; i++ {
		full, err := c.learnSegment(segments[i], txns)
		if full || err != nil {
			return err
		}
		c.keys.latest = min(segments[i+1].base, c.job.until) - 1
	}
	return nil
}

var errMapFull = errors.New("offset map is full")

func (c *cleaning) learnSegment(s *Segment, txns *cleanedTxns) (full bool, err error) {
	from, err := s.offsets.lookup(c.job.dirty)
	if err != nil {
		return false, err
	}
	err = readBatches(s, int64(from.position), s.Size(), func(_ int64, b protocol.Batch) error {
		if err := c.step(len(b)); err != nil {
			return err
		}
		return c.learnBatch(b, txns)
	})
	if err == errMapFull {
		return true, nil
	}
	return false, err
}

func (c *cleaning) learnBatch(b protocol.Batch, txns *cleanedTxns) error {
	if b.Control() {
		if _, err := txns.marker(b); err != nil {
			return err
		}
	} else if !txns.data(b) {
		if err := c.learnRecords(b); err != nil {
			return err
		}
	}
	if last := b.LastOffset(); last >= c.job.dirty {
		c.keys.latest = last
	}
	return nil
}

func (c *cleaning) learnRecords(b protocol.Batch) error {
	c.reader.Reset(b, protocol.ReadOptions{RecordMax: cleanRecordMax})
	defer c.reader.Close()
	for c.reader.Next() {
		r := c.reader.Record()
		if r.Key != nil && r.Offset >= c.job.dirty && !c.keys.put(r.Key, r.Offset) {
			return errMapFull
		}
	}
	return c.reader.Err()
}

// step is called for each batch: it keeps to the pace and notices that the cleaning is to end.
func (c *cleaning) step(bytes int) error {
	if c.ctx.Err() != nil || c.log.generation.Load() != c.generation {
		return errCleanAborted
	}
	return c.pace.spend(c.ctx, bytes)
}

// groupSegments divides segments into runs that make one segment each: their bytes, index entries and offsets fit. until is the offset after the
// last segment.
func groupSegments(segments []*Segment, c *Config, until int64) (groups [][]*Segment) {
	for i := 0; i < len(segments); {
		n := 1
		size, offsets, times := segments[i].Size(), segments[i].offsets.count(), segments[i].times.count()
		for ; i+n < len(segments); n++ {
			s := segments[i+n]
			size, offsets, times = size+s.Size(), offsets+s.offsets.count(), times+s.times.count()
			last := until - 1
			if i+n+1 < len(segments) {
				last = segments[i+n+1].base - 1
			}
			if size > int64(c.SegmentBytesMax) || offsets*offsetEntrySize > c.IndexBytesMax || times*timeEntrySize > c.IndexBytesMax ||
				s.Size() > 0 && last-segments[i].base > math.MaxInt32 {
				break
			}
		}
		groups = append(groups, segments[i:i+n])
		i += n
	}
	return groups
}

// cleanGroup copies what stays of a group into a new segment, and puts that in place of the group.
func (c *cleaning) cleanGroup(group, segments []*Segment, txns *cleanedTxns) error {
	cleaned, err := createCleaned(c.log, group[0].base)
	if err != nil {
		return err
	}
	txns.retained = cleaned.txns.add
	if err := c.fillCleaned(cleaned, group, segments, txns); err != nil {
		return errors.Join(err, cleaned.discard())
	}
	err = c.log.replaceSegments(cleaned, group, c.generation)
	if errors.Is(err, errCleanAborted) {
		return errors.Join(err, cleaned.discard())
	}
	return err // its files may be the only ones: the next start sorts that out
}

func (c *cleaning) fillCleaned(cleaned *Segment, group, segments []*Segment, txns *cleanedTxns) error {
	defer cleaned.letGo()
	for _, s := range group {
		next := segments[floorSegment(segments, s.base)+1].base
		aborted, err := c.log.abortedIn(s.base, next)
		if err != nil {
			return err
		}
		txns.add(aborted)
		if err := c.cleanSegment(cleaned, s, txns); err != nil {
			return err
		}
	}
	if err := cleaned.closeIndexes(); err != nil {
		return err
	}
	if cleaned.reserved > 0 {
		if err := cleaned.trim(); err != nil {
			return err
		}
	}
	if err := cleaned.sync(); err != nil {
		return err
	}
	modified, err := group[len(group)-1].lastModified()
	if err != nil {
		return err
	}
	return cleaned.file.dir.fs.Chtimes(cleaned.file.path(), modified)
}

// cleanWriteBytes is how much of a cleaned segment is gathered for one write.
const cleanWriteBytes = 1 << 20

func (c *cleaning) cleanSegment(cleaned, s *Segment, txns *cleanedTxns) error {
	modified, err := s.lastModified()
	if err != nil {
		return err
	}
	f := batchFilter{cleaning: c, txns: txns, keepLegacyDeletes: modified.UnixMilli() > c.legacyUntil}
	flush := func() error {
		if len(f.out) == 0 {
			return nil
		}
		c.kept += int64(len(f.out))
		err := cleaned.append(f.out, c.config.IndexIntervalBytes)
		f.out = f.out[:0]
		return err
	}
	err = readBatches(s, 0, s.Size(), func(at int64, b protocol.Batch) error {
		if err := c.step(len(b)); err != nil {
			return err
		}
		c.read += int64(len(b))
		if err := b.CheckCRC(); err != nil { // a copy would get a new checksum, and nobody would ever know
			return s.corrupt(at, err)
		}
		if err := f.filter(b); err != nil {
			return fmt.Errorf("clean %v: %w", b, err)
		}
		if len(f.out) < cleanWriteBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// createCleaned begins a segment whose files say that they are not complete.
func createCleaned(l *Log, base int64) (*Segment, error) {
	s := newSegment(l.dir, l.host.cache, base)
	s.times.setMax(s.times.none())
	for _, f := range s.files() {
		f.suffix += cleanedSuffix
		if err := ignoreMissing(l.dir.fs.Remove(f.path())); err != nil {
			return nil, err
		}
	}
	return s, s.file.touch()
}

// discard removes the files of a segment that has no place in the log.
func (s *Segment) discard() error {
	for _, f := range s.files() {
		if f.cache != nil {
			f.cache.drop(f)
		}
		if err := ignoreMissing(f.dir.fs.Remove(f.path())); err != nil {
			return err
		}
	}
	return nil
}

// replaceSegments puts a cleaned segment in the place of a group, unless the log has changed since the group was read. First the new files say that
// they are complete, then the old ones go, then the new ones get their names; each step is durable before the next begins, so that after a crash
// either the old segments or the new one are found (KAFKA-12520).
func (l *Log) replaceSegments(cleaned *Segment, group []*Segment, generation uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return err
	}
	segments := *l.segments.Load()
	at := slices.Index(segments, group[0])
	if l.generation.Load() != generation || at < 0 || at+len(group) >= len(segments) || !slices.Equal(segments[at:at+len(group)], group) {
		return errCleanAborted
	}
	replaced := slices.Concat(segments[:at], []*Segment{cleaned}, segments[at+len(group):])
	return l.half("replace segments of", l.replaceLocked(cleaned, group, replaced))
}

// replaceLocked makes segments the log's. After an error in between only a restart knows what the files are called: that of a live segment may be
// .swap, and the next cleaning would rename its own over it.
func (l *Log) replaceLocked(cleaned *Segment, group, segments []*Segment) error {
	if err := l.renameCleaned(cleaned, swapSuffix); err != nil {
		return err
	}
	l.storeSegments(segments)
	if err := l.retireReplacedLocked(group); err != nil {
		return err
	}
	return l.renameCleaned(cleaned, "")
}

// renameCleaned gives all files of the segment their next suffix, the log first, since it decides after a crash.
func (l *Log) renameCleaned(s *Segment, suffix string) error {
	for i, plain := range [...]string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		if err := ignoreMissing(s.files()[i].changeSuffix(plain + suffix)); err != nil {
			return err
		}
	}
	return l.dir.fs.SyncDir(l.dir.dirPath())
}

// retireReplacedLocked lets the old segments go. The snapshot at the begin of the first one stays: a segment still begins there.
func (l *Log) retireReplacedLocked(group []*Segment) error {
	first := group[0]
	first.letGo()
	if err := first.retire(); err != nil {
		return err
	}
	l.dir.worker.remove(l.Config().FileDeleteDelayMs, first.files()...)
	if err := l.retireLocked(lastFirst(group[1:])); err != nil {
		return err
	}
	return l.dir.fs.SyncDir(l.dir.dirPath())
}
