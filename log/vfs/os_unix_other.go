//go:build unix && !linux

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncFile(f *os.File) error { return f.Sync() }

func lockFile(f *os.File) error { return lockFcntl(f, unix.F_SETLK) }

// reserve does nothing: there is no portable way to set blocks aside without changing the size.
func reserve(*os.File, int64, int64) {}
