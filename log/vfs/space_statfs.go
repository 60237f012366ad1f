//go:build linux || darwin || freebsd

package vfs

import "golang.org/x/sys/unix"

func space(name string) (total, usable int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(name, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Blocks) * int64(s.Bsize), int64(s.Bavail) * int64(s.Bsize), nil
}
