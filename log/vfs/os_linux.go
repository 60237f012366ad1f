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

// lockFile takes a lock of the open file description. It conflicts with the process-wide fcntl locks of a JVM, and unlike these also with
// a second one in this process.
func lockFile(f *os.File) error {
	return lockFcntl(f, unix.F_OFD_SETLK)
}
