package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"gokafka/log/vfs"
)

// entryPageBytes is the unit in which an index is written while its segment is active, and read by a lookup.
const entryPageBytes = scanWindow

// entryFile is a file of fixed-size, ascending entries: an offset index or a time index. The newest entries, less than a page, are in memory
// until the page is full, the log is flushed or the segment is closed; so an append costs a system call every 512 entries, which is every
// 2 MiB of a log. Of the pages on disk only the first key of each is kept, so that a lookup reads one page.
//
// A crash may leave fewer entries on disk than were added, or a page that was never written. That is no loss: recovery builds the indexes of
// all that was not flushed anew.
type entryFile struct {
	file  *file
	width int // bytes of an entry
	key   func(entry []byte) int64
	// follows reports whether an entry can come after another, which is nil before the first.
	follows func(before, entry []byte) bool

	mu        sync.RWMutex
	written   int     // entries in the file
	unsynced  bool    // the file was written to since sync
	tail      []byte  // entries from tailStart on
	tailStart int     // a multiple of the page, or where the file ended when it was opened
	fences    []int64 // first key of each page below tailStart; nil until needed
}

func (e *entryFile) pageEntries() int { return entryPageBytes / e.width }

func (e *entryFile) countLocked() int { return e.tailStart + len(e.tail)/e.width }

// count is the number of entries.
func (e *entryFile) count() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.countLocked()
}

// adopt takes over what the file has; missing, which is not an error, is reported.
func (e *entryFile) adopt() (missing bool, err error) {
	size, err := e.file.size()
	if ignoreMissing(err) != nil {
		return false, err
	}
	if err != nil {
		return true, nil
	}
	if size%int64(e.width) != 0 {
		return false, &CorruptError{File: e.file.path(), Position: size, Err: fmt.Errorf("size is not a multiple of %d", e.width)}
	}
	e.written = int(size) / e.width
	e.tailStart = e.written
	return false, nil
}

// add appends an entry. For want of file descriptors a full page stays in memory and goes to the file with the next entry: an append must not
// fail when a part of it is in the indexes.
func (e *entryFile) add(entry []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tail = append(e.tail, entry...)
	if len(e.tail)/e.width < e.pageEntries() {
		return nil
	}
	if err := e.sealLocked(); !passes(err) {
		return err
	}
	return nil
}

// sealLocked writes the tail and begins a new one.
func (e *entryFile) sealLocked() error {
	if err := e.writeLocked(); err != nil {
		return err
	}
	e.addFencesLocked()
	e.tailStart = e.written
	e.tail = e.tail[:0]
	return nil
}

// addFencesLocked notes the pages that begin in the tail, if those before it are known.
func (e *entryFile) addFencesLocked() {
	page := e.pageEntries()
	if !e.fencesLoadedLocked() {
		return
	}
	for i := len(e.fences) * page; i < e.countLocked(); i += page {
		e.fences = append(e.fences, e.key(e.tail[(i-e.tailStart)*e.width:]))
	}
}

// writeLocked brings the file up to date. Nothing is durable yet.
func (e *entryFile) writeLocked() error {
	n := e.countLocked()
	if e.written == n {
		return nil
	}
	file, err := e.file.create()
	if err != nil {
		return err
	}
	defer e.file.release()
	if _, err := file.WriteAt(e.tail[(e.written-e.tailStart)*e.width:], int64(e.written*e.width)); err != nil {
		return err
	}
	e.written, e.unsynced = n, true
	return nil
}

// finish brings the file up to date for good: no more entries will come. The file then exists, even if it is empty.
func (e *entryFile) finish() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.countLocked() == 0 {
		return e.file.touch()
	}
	if err := e.sealLocked(); err != nil {
		return err
	}
	e.tail = nil
	return nil
}

// sync brings the file up to date and makes it durable. A file that nothing was written to has nothing to lose.
func (e *entryFile) sync() error {
	e.mu.Lock()
	err := e.writeLocked()
	unsynced := e.unsynced
	e.unsynced = false
	e.mu.Unlock()
	if err != nil || !unsynced {
		return err
	}
	if err = e.file.sync(); err != nil {
		e.mu.Lock()
		e.unsynced = true // it is still owed, when the directory stays online
		e.mu.Unlock()
	}
	return err
}

// entryLocked reads the entry into buf, which holds one.
func (e *entryFile) entryLocked(i int, buf []byte) error {
	if i >= e.tailStart {
		copy(buf, e.tail[(i-e.tailStart)*e.width:])
		return nil
	}
	_, err := e.file.readAt(buf, int64(i*e.width))
	return err
}

// last copies the last entry to buf; ok is false if there is none.
func (e *entryFile) last(buf []byte) (ok bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	n := e.countLocked()
	if n == 0 {
		return false, nil
	}
	return true, e.entryLocked(n-1, buf)
}

// floor copies the last entry whose key is not above the given one to buf; ok is false if there is none.
func (e *entryFile) floor(key int64, buf []byte) (ok bool, err error) {
	if err := e.load(); err != nil {
		return false, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.tail) > 0 && e.key(e.tail) <= key {
		return e.floorIn(e.tail, key, buf), nil
	}
	page := sort.Search(len(e.fences), func(i int) bool { return e.fences[i] > key }) - 1
	if page < 0 {
		return false, nil
	}
	first := page * e.pageEntries()
	space := scanWindows.Get().(*[scanWindow]byte)
	defer scanWindows.Put(space)
	entries := space[:min(e.tailStart-first, e.pageEntries())*e.width]
	if _, err := e.file.readAt(entries, int64(first*e.width)); err != nil {
		return false, fmt.Errorf("read index page: %w", err)
	}
	return e.floorIn(entries, key, buf), nil
}

func (e *entryFile) floorIn(b []byte, key int64, buf []byte) bool {
	i := sort.Search(len(b)/e.width, func(i int) bool { return e.key(b[i*e.width:]) > key }) - 1
	if i < 0 {
		return false
	}
	copy(buf, b[i*e.width:(i+1)*e.width])
	return true
}

// load reads what was written before this process, once: the first key of every page is kept. Entries that are not in order are damaged, and
// then all are dropped: without an index the log is read from the segment's begin.
func (e *entryFile) load() error {
	e.mu.RLock()
	loaded := e.fencesLoadedLocked()
	e.mu.RUnlock()
	if loaded {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fencesLoadedLocked() {
		return nil
	}
	fences, ok, err := e.readFencesLocked()
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	if !ok {
		return e.keepLocked(0)
	}
	e.fences = fences
	return nil
}

func (e *entryFile) fencesLoadedLocked() bool {
	page := e.pageEntries()
	return len(e.fences) == (e.tailStart+page-1)/page
}

func (e *entryFile) readFencesLocked() (fences []int64, ok bool, err error) {
	var before []byte
	buf := make([]byte, e.pageEntries()*e.width)
	last := make([]byte, e.width)
	err = e.file.use(func(file vfs.File) error {
		for first := 0; first < e.tailStart; first += e.pageEntries() {
			page := buf[:min(e.pageEntries(), e.tailStart-first)*e.width]
			if _, err := file.ReadAt(page, int64(first*e.width)); err != nil {
				return err
			}
			fences = append(fences, e.key(page))
			for ; len(page) > 0; page = page[e.width:] {
				if !e.follows(before, page) {
					return errDamaged
				}
				before = last
				copy(before, page)
			}
		}
		return nil
	})
	if err == errDamaged {
		return nil, false, nil
	}
	return fences, err == nil, err
}

var errDamaged = errors.New("index entries are out of order")

// searchLocked finds the first entry that accept accepts, as it does all after it; the number of entries if there is none.
func (e *entryFile) searchLocked(accept func(entry []byte) bool) (int, error) {
	entry := make([]byte, e.width)
	var failed error
	i := sort.Search(e.countLocked(), func(i int) bool {
		if err := e.entryLocked(i, entry); err != nil {
			failed = err
		}
		return accept(entry)
	})
	return i, failed
}

// first copies the first entry that accept accepts, as it does all after it, to buf.
func (e *entryFile) first(buf []byte, accept func(entry []byte) bool) (ok bool, err error) {
	if err := e.load(); err != nil {
		return false, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	i, err := e.searchLocked(accept)
	if err != nil || i == e.countLocked() {
		return false, err
	}
	return true, e.entryLocked(i, buf)
}

// truncate keeps the entries before the first one that drop accepts.
func (e *entryFile) truncate(drop func(entry []byte) bool) error {
	if err := e.load(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	keep, err := e.searchLocked(drop)
	if err != nil {
		return err
	}
	return e.keepLocked(keep)
}

// reset drops all entries.
func (e *entryFile) reset() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keepLocked(0)
}

// keepLocked drops the entries from n on. The file is cut even if it has less, since a crash may have left it longer.
func (e *entryFile) keepLocked(n int) error {
	if n >= e.tailStart {
		e.tail = e.tail[:(n-e.tailStart)*e.width]
	} else {
		e.tail, e.tailStart = nil, n
		page := e.pageEntries()
		e.fences = e.fences[:min(len(e.fences), (n+page-1)/page)]
	}
	e.written, e.unsynced = min(e.written, n), true
	return ignoreMissing(e.file.use(func(file vfs.File) error { return file.Truncate(int64(e.written * e.width)) }))
}

// all reads every entry, for checks.
func (e *entryFile) all() ([]byte, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	b := make([]byte, e.tailStart*e.width)
	if len(b) > 0 {
		if n, err := e.file.readAt(b, 0); err != nil && !(err == io.EOF && n == len(b)) {
			return nil, err
		}
	}
	return append(b, e.tail...), nil
}

func int32Key(entry []byte) int64 { return int64(int32(binary.BigEndian.Uint32(entry))) }

func int64Key(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry)) }
