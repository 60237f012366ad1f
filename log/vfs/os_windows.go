package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func syncFile(f *os.File) error { return f.Sync() }

// syncDir has nothing to do: NTFS logs its metadata, and directories cannot be flushed.
func syncDir(string) error { return nil }

func lockFile(f *os.File) error {
	const exclusive = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), exclusive, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

func space(name string) (total, usable int64, err error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, 0, err
	}
	var available, size, free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &available, &size, &free); err != nil {
		return 0, 0, err
	}
	return int64(size), int64(available), nil
}

// reserve does nothing: there is no portable way to set blocks aside without changing the size.
func reserve(*os.File, int64, int64) {}
