// Package vfs is the seam between the log and the file system.
//
// There are two real ones. OS is the operating system's. Mem keeps files in memory and tells what was written from what is durable: Crash
// gives the file system that a power cut would leave behind, in which writes that nobody synced are kept, lost or torn at random, and
// directory entries that nobody synced may be missing. Faulty wraps either and makes chosen operations fail.
//
// The contract is POSIX's, not what a friendly file system happens to do: closing a file does not make it durable, syncing a file does not
// make its name durable, and a rename is atomic but durable only once the directory is synced.
package vfs

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// FS is a file system. Its methods may be called by any goroutine; names are paths as in package os, and so are errors.
type FS interface {
	// Open opens a file for reading and writing; it must exist.
	Open(name string) (File, error)
	// Create opens a file for reading and writing, and makes it, empty, if it does not exist.
	Create(name string) (File, error)
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	MkdirAll(name string) error
	// Rename gives a file or a directory a new name, replacing a file of that name.
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	// Chtimes sets the time of the last modification.
	Chtimes(name string, modified time.Time) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock between processes on a file, which it makes. It does not wait: ErrLocked if it is taken.
	Lock(name string) (io.Closer, error)
	// Space tells the size of the volume and what is left of it, in bytes.
	Space(name string) (total, usable int64, err error)
}

// File is an open file. Its methods may be called by any goroutine.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the content durable, and the size, but not the name.
	Sync() error
	// Reserve asks for room on the disk from one byte to another beyond the end, which stays where it is. It is a hint: where it cannot be
	// done nothing happens. A Truncate gives back what was not used.
	Reserve(from, to int64)
	// OS is the operating system's file, nil in memory.
	OS() *os.File
}

// ReadFile reads a whole file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// WriteFile replaces a file's content in place. Nothing is durable before sync.
func WriteFile(fsys FS, name string, content []byte, sync bool) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	if err == nil && sync {
		err = f.Sync()
	}
	return errorsFirst(err, f.Close())
}

// ReplaceFile writes name.tmp, syncs it and renames it, so that a crash leaves either the old content or the new. The new content is durable
// once the directory is synced as well.
func ReplaceFile(fsys FS, name string, content []byte) error {
	tmp := name + ".tmp"
	if err := WriteFile(fsys, tmp, content, true); err != nil {
		return err
	}
	return fsys.Rename(tmp, name)
}

func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
