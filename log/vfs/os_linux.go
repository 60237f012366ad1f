package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFile uses fdatasync: it makes content and size durable, and spares the journal commit for times alone.
func syncFile(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reserve sets blocks aside without changing the size.
func reserve(f *os.File, from, to int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, to-from) // a hint
}

// lockFile takes a lock of the open file description. It conflicts with the process-wide fcntl locks of a JVM, and unlike these also with
// a second one in this process.
func lockFile(f *os.File) error {
	return lockFcntl(f, unix.F_OFD_SETLK)
}
