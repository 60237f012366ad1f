package vfs

import (
	"io"
	"io/fs"
	"time"
)

// Op names an operation of a file system or of a file.
type Op string

// The operations that can fail.
const (
	OpOpen     Op = "open"
	OpCreate   Op = "create"
	OpReadDir  Op = "readdir"
	OpStat     Op = "stat"
	OpMkdir    Op = "mkdir"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpSyncDir  Op = "syncdir"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
)

// Faulty asks Fail before each operation on the file system that it wraps; an error that Fail returns is the operation's result, and the
// operation is not done. A write that fails is torn: half of it is written.
type Faulty struct {
	FS
	Fail func(op Op, name string) error
}

// Open opens an existing file.
func (f Faulty) Open(name string) (File, error) {
	if err := f.Fail(OpOpen, name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.FS.Open(name))
}

// Create opens a file, making it if need be.
func (f Faulty) Create(name string) (File, error) {
	if err := f.Fail(OpCreate, name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.FS.Create(name))
}

func (f Faulty) wrap(name string) func(File, error) (File, error) {
	return func(file File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{File: file, fail: f.Fail, name: name}, nil
	}
}

// ReadDir lists a directory.
func (f Faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.Fail(OpReadDir, name); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(name)
}

// Stat describes a file.
func (f Faulty) Stat(name string) (fs.FileInfo, error) {
	if err := f.Fail(OpStat, name); err != nil {
		return nil, err
	}
	return f.FS.Stat(name)
}

// MkdirAll makes a directory and its parents.
func (f Faulty) MkdirAll(name string) error {
	return f.do(OpMkdir, name, func() error { return f.FS.MkdirAll(name) })
}

// Rename renames.
func (f Faulty) Rename(from, to string) error {
	return f.do(OpRename, from, func() error { return f.FS.Rename(from, to) })
}

// Remove removes a file or an empty directory.
func (f Faulty) Remove(name string) error {
	return f.do(OpRemove, name, func() error { return f.FS.Remove(name) })
}

// RemoveAll removes a tree.
func (f Faulty) RemoveAll(name string) error {
	return f.do(OpRemove, name, func() error { return f.FS.RemoveAll(name) })
}

// Chtimes sets the modification time.
func (f Faulty) Chtimes(name string, modified time.Time) error { return f.FS.Chtimes(name, modified) }

// SyncDir syncs a directory.
func (f Faulty) SyncDir(name string) error {
	return f.do(OpSyncDir, name, func() error { return f.FS.SyncDir(name) })
}

// Lock locks a file.
func (f Faulty) Lock(name string) (io.Closer, error) { return f.FS.Lock(name) }

func (f Faulty) do(op Op, name string, run func() error) error {
	if err := f.Fail(op, name); err != nil {
		return err
	}
	return run()
}

type faultyFile struct {
	File
	fail func(Op, string) error
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fail(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fail(OpWrite, f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fail(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.fail(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}
