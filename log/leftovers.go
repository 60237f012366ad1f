package log

import (
	"io/fs"
	"math"
	"strings"
)

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
