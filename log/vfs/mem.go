package vfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory. Everything written is visible at once; what a power cut would leave of it is what Crash returns.
type Mem struct {
	mu     sync.Mutex
	root   *memNode
	locked map[string]bool
	now    func() time.Time
	limit  int64 // bytes that files may hold, 0: any
	used   int64
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newMemDir(time.Time{}), locked: map[string]bool{}, now: time.Now}
}

// SetClock replaces the clock that stamps modifications.
func (m *Mem) SetClock(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

// SetLimit makes writes that would bring the files' content above the number of bytes fail with ENOSPC; 0 lifts the limit.
func (m *Mem) SetLimit(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

// Crash returns what a disk would hold after a power cut at this moment; m is not changed and can go on. Content and names that were
// synced are there. Of the others each write is kept whole, kept in part or lost, and each directory keeps a prefix of its changes;
// keep is the chance, from 0 to 1, that something unsynced survives; with 1 everything does, as when only the process is killed, and rnd is not used. The same
// source of randomness gives the same disk.
func (m *Mem) Crash(rnd *rand.Rand, keep float64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.now, c.limit = m.now, m.limit
	c.root = m.root.crash(rnd, keep, map[*memNode]*memNode{})
	c.used = c.root.size(map[*memNode]bool{})
	return c
}

// memNode is a file or a directory. durable is what a crash certainly leaves of it; pending is what may be left beyond that, in order.
type memNode struct {
	dir      bool
	modified time.Time

	data, durable []byte
	pending       []memWrite

	entries, durableEntries map[string]*memNode
	pendingEntries          []memEntryOp
}

// memWrite is an unsynced write at off, or with a nil data a truncation to off.
type memWrite struct {
	off  int64
	data []byte
}

// memEntryOp is an unsynced change of a directory: a new entry, or with a nil node its removal. A rename within one directory is one op.
type memEntryOp struct {
	remove, add string // empty: none
	node        *memNode
}

func newMemDir(modified time.Time) *memNode {
	return &memNode{dir: true, modified: modified, entries: map[string]*memNode{}, durableEntries: map[string]*memNode{}}
}

func (n *memNode) size(seen map[*memNode]bool) int64 {
	if seen[n] {
		return 0
	}
	seen[n] = true
	total := int64(len(n.data))
	for _, e := range n.entries {
		total += e.size(seen)
	}
	return total
}

func (n *memNode) crash(rnd *rand.Rand, keep float64, done map[*memNode]*memNode) *memNode {
	if c, ok := done[n]; ok {
		return c
	}
	if !n.dir {
		c := &memNode{modified: n.modified, data: n.crashData(rnd, keep)}
		c.durable = slices.Clone(c.data)
		done[n] = c
		return c
	}
	c := newMemDir(n.modified)
	done[n] = c
	left := copyEntries(n.durableEntries)
	for _, op := range n.pendingEntries {
		if keep < 1 && rnd.Float64() >= keep {
			break
		}
		op.apply(left)
	}
	for _, name := range sortedKeys(left) {
		c.entries[name] = left[name].crash(rnd, keep, done)
	}
	c.durableEntries = copyEntries(c.entries)
	return c
}

// crashData keeps each unsynced write with the given chance; one kept write in four is torn.
func (n *memNode) crashData(rnd *rand.Rand, keep float64) []byte {
	data := slices.Clone(n.durable)
	for _, w := range n.pending {
		if keep < 1 && rnd.Float64() >= keep {
			continue
		}
		if w.data == nil {
			data = resize(data, w.off)
			continue
		}
		part := w.data
		if keep < 1 && rnd.IntN(4) == 0 {
			part = part[:rnd.IntN(len(part)+1)]
		}
		data = overwrite(data, part, w.off)
	}
	return data
}

func (op memEntryOp) apply(entries map[string]*memNode) {
	if op.remove != "" {
		delete(entries, op.remove)
	}
	if op.add != "" {
		entries[op.add] = op.node
	}
}

func (n *memNode) change(op memEntryOp) {
	op.apply(n.entries)
	n.pendingEntries = append(n.pendingEntries, op)
}

func overwrite(data, p []byte, off int64) []byte {
	if end := off + int64(len(p)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], p)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	old := len(data)
	data = slices.Grow(data, int(size)-old)[:size]
	clear(data[old:])
	return data
}

func copyEntries(m map[string]*memNode) map[string]*memNode {
	c := make(map[string]*memNode, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func sortedKeys(m map[string]*memNode) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// lookupLocked finds the node, or nil, and its parent, nil if the parent does not exist.
func (m *Mem) lookupLocked(name string) (parent, node *memNode, base string) {
	node = m.root
	for _, part := range strings.FieldsFunc(filepath.ToSlash(filepath.Clean(name)), func(r rune) bool { return r == '/' }) {
		if part == "." {
			continue
		}
		if node == nil || !node.dir {
			return nil, nil, ""
		}
		parent, base = node, part
		node = node.entries[part]
	}
	return parent, node, base
}

func (m *Mem) findLocked(op, name string) (*memNode, error) {
	_, n, _ := m.lookupLocked(name)
	if n == nil {
		return nil, pathError(op, name, fs.ErrNotExist)
	}
	return n, nil
}

// Open opens an existing file.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked("open", name)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	return &memFile{fs: m, node: n, name: name}, nil
}

// Create opens a file, making it if need be.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, n, base := m.lookupLocked(name)
	switch {
	case parent == nil || !parent.dir:
		return nil, pathError("create", name, fs.ErrNotExist)
	case n == nil:
		n = &memNode{modified: m.now()}
		parent.change(memEntryOp{add: base, node: n})
	case n.dir:
		return nil, pathError("create", name, syscall.EISDIR)
	}
	return &memFile{fs: m, node: n, name: name}, nil
}

// ReadDir lists a directory.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, pathError("readdir", name, syscall.ENOTDIR)
	}
	var list []fs.DirEntry
	for _, k := range sortedKeys(n.entries) {
		list = append(list, fs.FileInfoToDirEntry(n.entries[k].info(k)))
	}
	return list, nil
}

// Stat describes a file.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(filepath.Base(name)), nil
}

// MkdirAll makes a directory and its parents.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range name + "/" {
		if r != '/' || i == 0 {
			continue
		}
		parent, n, base := m.lookupLocked(name[:i])
		if n == nil {
			parent.change(memEntryOp{add: base, node: newMemDir(m.now())})
		} else if !n.dir {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
	}
	return nil
}

// Rename renames. Between two directories it is not atomic against a crash, in which the entry may be in both or in neither.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fromDir, n, fromBase := m.lookupLocked(from)
	toDir, _, toBase := m.lookupLocked(to)
	if n == nil || toDir == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrNotExist}
	}
	if fromDir == toDir {
		fromDir.change(memEntryOp{remove: fromBase, add: toBase, node: n})
		return nil
	}
	toDir.change(memEntryOp{add: toBase, node: n})
	fromDir.change(memEntryOp{remove: fromBase})
	return nil
}

// Remove removes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, n, base := m.lookupLocked(name)
	if n == nil || parent == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.entries) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.used -= int64(len(n.data))
	parent.change(memEntryOp{remove: base})
	return nil
}

// RemoveAll removes a tree.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, n, base := m.lookupLocked(name)
	if n == nil || parent == nil {
		return nil
	}
	m.used -= n.size(map[*memNode]bool{})
	parent.change(memEntryOp{remove: base})
	return nil
}

// Chtimes sets the modification time.
func (m *Mem) Chtimes(name string, modified time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked("chtimes", name)
	if err == nil {
		n.modified = modified
	}
	return err
}

// SyncDir makes the directory's entries durable.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked("syncdir", name)
	if err != nil {
		return err
	}
	n.durableEntries, n.pendingEntries = copyEntries(n.entries), nil
	return nil
}

// Lock locks within this file system; a crash lets all locks go.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.Create(name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[name] {
		return nil, ErrLocked
	}
	m.locked[name] = true
	return &memLock{File: f, fs: m, name: name}, nil
}

// Space tells the limit.
func (m *Mem) Space(string) (total, usable int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return 1 << 40, 1<<40 - m.used, nil
	}
	return m.limit, m.limit - m.used, nil
}

// Tree lists every file with its size, for messages of failed tests.
func (m *Mem) Tree() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b bytes.Buffer
	m.root.print(&b, "")
	return b.String()
}

func (n *memNode) print(b *bytes.Buffer, path string) {
	if !n.dir {
		fmt.Fprintf(b, "%8d %s\n", len(n.data), path)
		return
	}
	for _, k := range sortedKeys(n.entries) {
		n.entries[k].print(b, path+"/"+k)
	}
}

type memLock struct {
	File
	fs   *Mem
	name string
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locked, l.name)
	return nil
}

type memInfo struct {
	name     string
	size     int64
	dir      bool
	modified time.Time
}

func (n *memNode) info(name string) memInfo {
	return memInfo{name: name, size: int64(len(n.data)), dir: n.dir, modified: n.modified}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirPerm
	}
	return filePerm
}

// memFile is an open file; the node lives on after its name is removed.
type memFile struct {
	fs     *Mem
	node   *memNode
	name   string
	closed bool
}

func (f *memFile) lock(op string) (unlock func(), err error) {
	f.fs.mu.Lock()
	if f.closed {
		f.fs.mu.Unlock()
		return nil, pathError(op, f.name, fs.ErrClosed)
	}
	return f.fs.mu.Unlock, nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	unlock, err := f.lock("read")
	if err != nil {
		return 0, err
	}
	defer unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes as far as there is space, like a full disk.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	unlock, err := f.lock("write")
	if err != nil {
		return 0, err
	}
	defer unlock()
	room := len(p)
	grow := max(off+int64(len(p))-int64(len(f.node.data)), 0)
	if f.fs.limit > 0 && f.fs.used+grow > f.fs.limit {
		room = int(max(int64(len(p))-(f.fs.used+grow-f.fs.limit), 0))
		err = pathError("write", f.name, syscall.ENOSPC)
	}
	if room == 0 {
		return 0, err
	}
	before := len(f.node.data)
	f.node.data = overwrite(f.node.data, p[:room], off)
	f.fs.used += int64(len(f.node.data) - before)
	f.node.pending = append(f.node.pending, memWrite{off: off, data: slices.Clone(p[:room])})
	f.node.modified = f.fs.now()
	return room, err
}

func (f *memFile) Close() error {
	unlock, err := f.lock("close")
	if err != nil {
		return err
	}
	defer unlock()
	f.closed = true
	return nil
}

func (f *memFile) Size() (int64, error) {
	unlock, err := f.lock("stat")
	if err != nil {
		return 0, err
	}
	defer unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) Truncate(size int64) error {
	unlock, err := f.lock("truncate")
	if err != nil {
		return err
	}
	defer unlock()
	if size == int64(len(f.node.data)) {
		return nil
	}
	f.fs.used += size - int64(len(f.node.data))
	f.node.data = slices.Clip(resize(f.node.data, size))
	f.node.pending = append(f.node.pending, memWrite{off: size})
	f.node.modified = f.fs.now()
	return nil
}

// Reserve does nothing: memory has no blocks to set aside.
func (f *memFile) Reserve(int64, int64) {}

func (f *memFile) Sync() error {
	unlock, err := f.lock("sync")
	if err != nil {
		return err
	}
	defer unlock()
	f.node.durable, f.node.pending = slices.Clone(f.node.data), nil
	return nil
}

func (f *memFile) OS() *os.File { return nil }
