package log

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"gokafka/log/vfs"
)

// worker does what the logs of a volume leave for later: it makes rolled segments durable and removes files whose time has come. What waits is
// bounded by what exists: one flush per log, and the files to be removed.
type worker struct {
	volume *volume
	now    func() time.Time

	mu       sync.Mutex
	flushes  map[*Log]int64
	removals removals
	wake     chan struct{}

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func startWorker(v *volume, now func() time.Time) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{volume: v, now: now, flushes: map[*Log]int64{}, wake: make(chan struct{}, 1), cancel: cancel}
	w.running.Go(func() { w.run(ctx) })
	return w
}

// stop ends the worker. What still waits is left: close flushes, and files to be removed are found at the next start.
func (w *worker) stop() {
	w.cancel()
	w.running.Wait()
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// flush has the log flushed up to the offset.
func (w *worker) flush(l *Log, offset int64) {
	w.mu.Lock()
	w.flushes[l] = max(w.flushes[l], offset)
	w.mu.Unlock()
	w.signal()
}

// removal is a file, or a whole directory, to be removed.
type removal struct {
	due   time.Time
	files []*file
	dir   string // path; empty: the files
}

type removals []removal

func (r removals) Len() int           { return len(r) }
func (r removals) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r removals) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *removals) Push(x any)        { *r = append(*r, x.(removal)) }
func (r *removals) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	*r = (*r)[:last]
	return x
}

// remove has files removed after the delay in milliseconds.
func (w *worker) remove(delayMs int64, files ...*file) {
	w.add(delayMs, removal{files: files})
}

// removeDir has a directory removed after the delay in milliseconds.
func (w *worker) removeDir(delayMs int64, dir string) {
	w.add(delayMs, removal{dir: dir})
}

func (w *worker) add(delayMs int64, r removal) {
	r.due = w.now().Add(milliseconds(delayMs))
	w.mu.Lock()
	heap.Push(&w.removals, r)
	w.mu.Unlock()
	w.signal()
}

// milliseconds is a duration of so many; more than fit are as many as fit.
func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

func (w *worker) run(ctx context.Context) {
	for {
		wait := w.step()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// workerIdle is how long the worker sleeps when nothing is due.
const workerIdle = time.Hour

// step does all that is due and returns how long there will be nothing to do.
func (w *worker) step() time.Duration {
	w.mu.Lock()
	flushes := w.flushes
	w.flushes = map[*Log]int64{}
	var due []removal
	for len(w.removals) > 0 && !w.removals[0].due.After(w.now()) {
		due = append(due, heap.Pop(&w.removals).(removal))
	}
	wait := workerIdle
	if len(w.removals) > 0 {
		wait = w.removals[0].due.Sub(w.now())
	}
	w.mu.Unlock()
	for l, offset := range flushes {
		if err := l.flushTo(offset); err != nil {
			l.host.logger.Error().Err(err).Stringer("partition", l.tp).Msg("rolled segment could not be flushed")
		}
	}
	for _, r := range due {
		w.do(r)
	}
	return wait
}

// do removes. For want of file descriptors it tries again later.
func (w *worker) do(r removal) {
	err := r.remove(w.volume.fs)
	switch {
	case err == nil:
	case passes(err):
		w.add(time.Minute.Milliseconds(), r)
	default:
		w.volume.fail("remove files", err)
	}
}

func (r removal) remove(fsys vfs.FS) error {
	if r.dir != "" {
		return fsys.RemoveAll(r.dir)
	}
	for _, f := range r.files {
		if f.cache != nil {
			f.cache.drop(f)
		}
		if err := ignoreMissing(fsys.Remove(f.path())); err != nil {
			return err
		}
	}
	return nil
}
