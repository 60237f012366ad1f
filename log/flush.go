package log

import (
	"errors"
	"io/fs"
	"slices"

	"gokafka/log/vfs"
)

// Flush makes all that was appended durable and moves the recovery point there.
func (l *Log) Flush() error { return l.flushTo(l.LogEndOffset().Offset) }

// flushTo makes everything below the offset durable. The lock is not held while the disk works, so appends go on.
func (l *Log) flushTo(offset int64) error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	p := l.planFlush(offset)
	if len(p.segments) == 0 {
		return nil
	}
	if err := l.dir.check(); err != nil {
		return err
	}
	if err := l.runFlush(p); err != nil {
		return l.storage("flush", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// After a truncation the records below the offset may be others than those that were flushed.
	if l.generation.Load() == p.generation {
		l.recoveryPoint = max(l.recoveryPoint, p.offset)
		l.lastFlush = l.host.now()
	}
	return nil
}

// flushPlan is what has to become durable.
type flushPlan struct {
	generation uint64
	offset     int64 // up to here
	segments   []*Segment
	newFiles   bool  // some of the segments' files may not be in the directory durably
	snapshot   *file // of the producers' state at the offset, if there is one
}

func (l *Log) planFlush(offset int64) flushPlan {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A flush that waited may be for what has been truncated since.
	offset = min(offset, l.LogEndOffset().Offset)
	p := flushPlan{generation: l.generation.Load(), offset: offset}
	if offset <= l.recoveryPoint {
		return p
	}
	segments := *l.segments.Load()
	for _, s := range segments[max(floorSegment(segments, l.recoveryPoint), 0):] {
		if s.base < offset {
			p.segments = append(p.segments, s)
			p.newFiles = p.newFiles || s.base >= l.recoveryPoint
		}
	}
	if _, found := slices.BinarySearch(l.producers.snapshots, offset); found {
		p.snapshot = &file{dir: l.dir, base: offset, suffix: snapshotSuffix}
	}
	return p
}

// runFlush syncs. The epochs come first: an epoch must not be missing from its file when the records that have it are below the recovery
// point, where nobody looks for it again.
func (l *Log) runFlush(p flushPlan) error {
	if err := l.saveEpochs(); err != nil {
		return err
	}
	for _, s := range p.segments {
		if err := s.sync(); err != nil && !l.goneMeanwhile(s, err) {
			return err
		}
	}
	if p.snapshot != nil {
		if err := ignoreMissing(p.snapshot.sync()); err != nil {
			return err
		}
	}
	if renamed := l.renamed.Swap(false); renamed || p.newFiles {
		if err := ignoreMissing(l.dir.fs.SyncDir(l.dir.dirPath())); err != nil {
			l.renamed.Store(true) // it is still owed, when the directory stays online
			return err
		}
	}
	return l.dir.syncEntries(l.dir.created)
}

// goneMeanwhile reports that a file is missing because its segment was deleted during the flush.
func (l *Log) goneMeanwhile(s *Segment, err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !slices.Contains(*l.segments.Load(), s)
}

// saveEpochs writes the leader epochs if they have changed. When it returns they are in the file, whoever wrote it.
func (l *Log) saveEpochs() error {
	l.epochsMu.Lock()
	defer l.epochsMu.Unlock()
	entries, changed := l.epochs.unsaved()
	if !changed {
		return nil
	}
	if err := l.replaceFile(leaderEpochFile, encodeEpochs(entries)); err != nil {
		l.epochs.markDirty()
		return err
	}
	return nil
}

// replaceFile replaces a file of the log. A crash leaves the old one or the new; the next flush makes it surely the new.
func (l *Log) replaceFile(name string, content []byte) error {
	err := vfs.ReplaceFile(l.dir.fs, l.dir.join(name), content)
	l.renamed.Store(true)
	return err
}

// syncRetired makes sure that segments which were removed stay so.
func (l *Log) syncRetired() error {
	if l.retired.Load() || !l.retiredSome.Swap(false) {
		return nil
	}
	if err := ignoreMissing(l.dir.fs.SyncDir(l.dir.dirPath())); err != nil {
		l.retiredSome.Store(true)
		return l.storage("sync the directory of", err)
	}
	return nil
}

// flushIfDue flushes when flush.ms has passed since the last time.
func (l *Log) flushIfDue() error {
	l.mu.Lock()
	due := l.host.now().Sub(l.lastFlush).Milliseconds() >= l.Config().FlushMs
	l.mu.Unlock()
	if !due {
		return nil
	}
	return l.Flush()
}
