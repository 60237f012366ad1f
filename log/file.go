package log

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gokafka/log/vfs"
)

// Suffixes of a segment's files, and of files in a transient state.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	txnIndexSuffix  = ".txnindex"
	snapshotSuffix  = ".snapshot"

	deletedSuffix = ".deleted" // to be removed
	cleanedSuffix = ".cleaned" // being written by the cleaner
	swapSuffix    = ".swap"    // complete, about to replace others
)

// segmentFileName is the name of a segment's file: the base offset in 20 digits and the suffix.
func segmentFileName(base int64, suffix string) string { return fmt.Sprintf("%020d%s", base, suffix) }

// parseSegmentFileName splits a name into offset and suffix, which may be of two parts (".log.swap").
func parseSegmentFileName(name string) (offset int64, suffix string, ok bool) {
	digits, rest, found := strings.Cut(name, ".")
	if !found || len(digits) != 20 {
		return 0, "", false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, "." + rest, err == nil && offset >= 0
}

// file is one file of a segment. It is opened when it is needed and closed when nobody holds it, so that an idle log costs no
// descriptor; a removed file stays readable for those who hold it.
type file struct {
	dir    *logDir
	cache  *fileCache // nil: closed as soon as it is let go
	base   int64
	suffix string // guarded by mu

	mu      sync.Mutex
	open    vfs.File
	holders int
}

func (f *file) path() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pathLocked()
}

func (f *file) pathLocked() string { return f.dir.join(segmentFileName(f.base, f.suffix)) }

// hold returns the open file; release lets it go. The file must exist.
func (f *file) hold() (vfs.File, error) {
	file, opened, err := f.holdWith(vfs.FS.Open)
	if opened && f.cache != nil {
		f.cache.keep(f)
	}
	return file, err
}

func (f *file) holdWith(open func(vfs.FS, string) (vfs.File, error)) (file vfs.File, opened bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		if f.open, err = open(f.dir.fs, f.pathLocked()); err != nil {
			f.open = nil
			return nil, false, err
		}
		opened = true
	}
	f.holders++
	return f.open, opened, nil
}

// create makes the file, empty, if it does not exist, and holds it.
func (f *file) create() (vfs.File, error) {
	file, _, err := f.holdWith(vfs.FS.Create)
	return file, err
}

// touch makes the file, empty, if it does not exist.
func (f *file) touch() error {
	_, err := f.create()
	if err == nil {
		f.release()
	}
	return err
}

// retain adds a holder to a file that somebody holds.
func (f *file) retain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holders++
}

// release lets the file go; the last holder closes it. An error of close has no meaning: what had to be durable was synced.
func (f *file) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holders--
	if f.holders == 0 {
		f.open.Close()
		f.open = nil
	}
}

// use runs do with the open file.
func (f *file) use(do func(vfs.File) error) error {
	file, err := f.hold()
	if err != nil {
		return err
	}
	defer f.release()
	return do(file)
}

func (f *file) readAt(p []byte, off int64) (n int, err error) {
	err = f.use(func(file vfs.File) error {
		n, err = file.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *file) sync() error { return f.use(vfs.File.Sync) }

func (f *file) size() (int64, error) {
	info, err := f.dir.fs.Stat(f.path())
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// changeSuffix renames the file.
func (f *file) changeSuffix(suffix string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := filepath.Join(f.dir.dirPath(), segmentFileName(f.base, suffix))
	if err := f.dir.fs.Rename(f.pathLocked(), to); err != nil {
		return err
	}
	f.suffix = suffix
	return nil
}

// fileCache keeps the files opened last open, so that consumers who read an old segment do not open it at each fetch.
type fileCache struct {
	mu   sync.Mutex
	ring []*file // each is held
	next int
}

func newFileCache(files int) *fileCache { return &fileCache{ring: make([]*file, files)} }

// keep holds the file, which the caller holds, in place of the one that came longest ago.
func (c *fileCache) keep(f *file) {
	f.retain()
	c.mu.Lock()
	old := c.ring[c.next]
	c.ring[c.next] = f
	c.next = (c.next + 1) % len(c.ring)
	c.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// drop lets a file go that is being removed, so that its space is free.
func (c *fileCache) drop(f *file) {
	for c.forget(f) {
		f.release()
	}
}

// forget takes a file out of the ring once; the caller releases it, since that may have to wait for the file's disk.
func (c *fileCache) forget(f *file) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.ring, f)
	if i >= 0 {
		c.ring[i] = nil
	}
	return i >= 0
}

// close lets all files go.
func (c *fileCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range c.ring {
		if f != nil {
			f.release()
			c.ring[i] = nil
		}
	}
}
