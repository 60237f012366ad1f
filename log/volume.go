package log

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"

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
	reserve reserve

	// Each volume has its own, so that a disk that hangs holds up no other.
	checkpoints *checkpoints
	clean       *cleanPoints
	worker      *worker

	entries atomic.Int64 // directories made, and renamed to be deleted, since the start
	syncMu  sync.Mutex
	synced  int64       // of entries, those that are durable
	owed    atomic.Bool // the last sync failed
}

// syncEntries makes the first n directories that were made or renamed durable. One fsync serves all that are by then.
func (v *volume) syncEntries(n int64) error {
	v.syncMu.Lock()
	defer v.syncMu.Unlock()
	if v.synced >= n {
		return nil
	}
	entries := v.entries.Load()
	err := v.fs.SyncDir(v.path)
	v.owed.Store(err != nil)
	if err != nil {
		return err
	}
	v.synced = entries
	return nil
}

// syncOwed makes good for a sync that failed for want of file descriptors.
func (v *volume) syncOwed() error {
	if !v.owed.Load() {
		return nil
	}
	return v.syncDeletions(v.entries.Load())
}

// syncDeletions is syncEntries for those whose log is gone.
func (v *volume) syncDeletions(n int64) error {
	if err := v.syncEntries(n); err != nil {
		return v.report("sync deletions", err)
	}
	return nil
}

// fail takes the volume offline and returns the error that says why.
func (v *volume) fail(op string, err error) error {
	e := &StorageError{Dir: v.path, Op: op, Err: err}
	if v.failure.CompareAndSwap(nil, e) && v.failed != nil {
		v.failed <- v
	}
	return e
}

// report takes the volume offline for an I/O error. The want of file descriptors is none: it says nothing of the disk, and passes. Whoever
// reports has changed nothing yet that must not stay half done.
func (v *volume) report(op string, err error) error {
	if passes(err) {
		return fmt.Errorf("%s in %s: %w: %w", op, v.path, err, kerr.KafkaStorageError)
	}
	return v.fail(op, err)
}

func passes(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
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
	name    atomic.Pointer[string]
	created int64 // its number among volume.entries, 0 if it was there at the start
	cleaned int64 // of a future log: up to where the other was compacted when the copying began; 0: not, or not known
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
