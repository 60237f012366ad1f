package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrLocked is Lock's answer when another process has the lock.
var ErrLocked = errors.New("locked by another process")

// OS is the operating system's file system.
type OS struct{}

type osFile struct{ f *os.File }

const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// Open opens an existing file.
func (OS) Open(name string) (File, error) { return openOS(name, os.O_RDWR) }

// Create opens a file, making it if need be.
func (OS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE) }

func openOS(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// ReadDir lists a directory.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat describes a file.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// MkdirAll makes a directory and its parents.
func (OS) MkdirAll(name string) error { return os.MkdirAll(name, dirPerm) }

// Rename renames.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a file or an empty directory.
func (OS) Remove(name string) error { return os.Remove(name) }

// RemoveAll removes a tree.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Chtimes sets the modification time.
func (OS) Chtimes(name string, modified time.Time) error {
	return os.Chtimes(name, time.Time{}, modified)
}

// SyncDir syncs a directory.
func (OS) SyncDir(name string) error { return syncDir(name) }

// Lock locks a file as Apache Kafka's JVM does, so that the two exclude each other.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Space asks the volume.
func (OS) Space(name string) (total, usable int64, err error) { return space(name) }

func (o osFile) ReadAt(p []byte, off int64) (int, error)  { return o.f.ReadAt(p, off) }
func (o osFile) WriteAt(p []byte, off int64) (int, error) { return o.f.WriteAt(p, off) }
func (o osFile) Close() error                             { return o.f.Close() }
func (o osFile) Truncate(size int64) error                { return o.f.Truncate(size) }
func (o osFile) Sync() error                              { return syncFile(o.f) }
func (o osFile) Reserve(from, to int64)                   { reserve(o.f, from, to) }
func (o osFile) OS() *os.File                             { return o.f }

func (o osFile) Size() (int64, error) {
	info, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
