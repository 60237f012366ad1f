//go:build !linux && !darwin && !freebsd && !windows

package vfs

import "errors"

func space(string) (total, usable int64, err error) { return 0, 0, errors.ErrUnsupported }
