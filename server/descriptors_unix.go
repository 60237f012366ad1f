//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptorsMax is how many files and sockets the process may have open. The Go runtime has raised it as far as it may be.
func descriptorsMax() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Unlimited
	}
	return int(min(uint64(limit.Cur), Unlimited))
}
