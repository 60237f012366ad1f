package log

import (
	"path/filepath"
	"sync/atomic"

	"gokafka/log/vfs"
)

// volume is one of log.dirs. The first I/O error of any log in it takes it offline for good: after a failed write or fsync nobody knows
// what is on the disk, and a retry that succeeds proves nothing. Only a restart, which recovers the logs, brings it back.
type volume struct {
	fs      vfs.FS
	path    string
	failure atomic.Pointer[StorageError]
	failed  chan<- *volume // told once; has room for every volume
	logs    atomic.Int64   // how many it has
}

// fail takes the volume offline and returns the error that says why.
func (v *volume) fail(op string, err error) error {
	e := &StorageError{Dir: v.path, Op: op, Err: err}
	if v.failure.CompareAndSwap(nil, e) && v.failed != nil {
		v.failed <- v
	}
	return e
}

// check returns nil while the volume is online.
func (v *volume) check() error {
	if e := v.failure.Load(); e != nil {
		return e
	}
	return nil
}

// logDir is the directory of one log. Its name changes when the log is deleted.
type logDir struct {
	*volume
	name atomic.Pointer[string]
}

func newLogDir(v *volume, name string) *logDir {
	d := &logDir{volume: v}
	d.name.Store(&name)
	return d
}

func (d *logDir) dirPath() string { return filepath.Join(d.path, *d.name.Load()) }

func (d *logDir) join(file string) string { return filepath.Join(d.path, *d.name.Load(), file) }

// rename gives the directory a new name on the same volume.
func (d *logDir) rename(name string) error {
	if err := d.fs.Rename(d.dirPath(), filepath.Join(d.path, name)); err != nil {
		return err
	}
	d.name.Store(&name)
	return nil
}
