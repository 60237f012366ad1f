package replica

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"gokafka/log"
)

// The purgatory: requests that wait for something to happen in partitions. A request that waits is a goroutine that
// blocks on its waiter's channel. It leaves a watch in each partition concerned; the partition, after each change and
// outside of its lock, asks its watches whether the change matters to them, and wakes those alone.
//
// No wake-up is lost: a watch is added before its condition is looked at for the last time, and a partition publishes
// a change before it looks at its watches.

// waiter is the blocked side. Its channel holds one signal, so that waking never blocks.
type waiter struct{ woken chan struct{} }

func newWaiter() waiter { return waiter{woken: make(chan struct{}, 1)} }

func (w waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// drain forgets a wake-up that nobody waited for.
func (w waiter) drain() {
	select {
	case <-w.woken:
	default:
	}
}

// await blocks until a wake-up (true), or until ctx, the deadline or the broker's end (false).
func (w waiter) await(ctx context.Context, deadline <-chan time.Time, closing <-chan struct{}) bool {
	select {
	case <-w.woken:
		return true
	case <-deadline:
	case <-ctx.Done():
	case <-closing:
	}
	return false
}

// fetchWatch is a fetch's interest in one partition: bytes from start on, as far as bound lets it see.
type fetchWatch struct {
	waiter    waiter
	start     log.Position
	bound     log.Bound
	bytesMax  int
	missing   *atomic.Int64  // bytes that the whole fetch still waits for
	throttled bool           // what there is may not be had now: only a change of roles ends the wait
	available int            // bytes of this partition that are taken off missing already; guarded by the list's lock
	standing  *StandingWatch // whose it is; nil: one fetch's
}

// happened tells the session whose watch it is of an event, and reports whether the watch is done here.
func (w *fetchWatch) happened() (done bool) { return w.standing != nil && w.standing.happened() }

// count looks at the log's marks and wakes the fetch when it can be answered. A fetch that waits below a truncated log
// or whose bytes lie in an older segment is answered at once, however little there is: the first must learn of it, the
// second will not get more bytes from that segment.
func (w *fetchWatch) count(o *log.Offsets) {
	end := endAt(o, w.bound)
	switch {
	case w.throttled:
		return
	case end.Offset == w.start.Offset:
		return
	case end.Offset < w.start.Offset, !w.start.OnSameSegment(end):
		w.waiter.wake()
		return
	}
	n := min(end.BytesSince(w.start), w.bytesMax)
	if n > w.available && w.missing.Add(int64(w.available-n)) <= 0 {
		w.waiter.wake()
	}
	w.available = max(w.available, n)
}

// endAt is the mark up to which a reader may see.
func endAt(o *log.Offsets, bound log.Bound) log.Position {
	switch bound {
	case log.ToHighWatermark:
		return o.HighWatermark
	case log.ToLastStable:
		return o.LastStable
	}
	return o.End
}

// offsetWatch waits until a mark reaches an offset: the high watermark for acks=all, the low watermark for DeleteRecords.
type offsetWatch struct {
	waiter   waiter
	required int64
	fired    int32 // atomic; 1: the offset was reached, or the partition changed hands
}

func (w *offsetWatch) moved(mark int64) {
	if mark >= w.required {
		w.fire()
	}
}

func (w *offsetWatch) fire() {
	atomic.StoreInt32(&w.fired, 1)
	w.waiter.wake()
}

// watchers are the watches in one partition, by what they look at. Under its lock nothing is called that blocks, or locks more than a leaf.
type watchers struct {
	any     atomic.Int32 // how many there are, so that an append without an audience takes no lock
	mu      sync.Mutex
	fetches watchSet[fetchWatch]
	acks    watchSet[offsetWatch]
	deletes watchSet[offsetWatch]
}

type watchSet[W any] map[*W]struct{}

// add puts a watch into one of the sets of ws.
func add[W any](ws *watchers, set *watchSet[W], w *W) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	set.addLocked(ws, w)
}

func (set *watchSet[W]) addLocked(ws *watchers, w *W) {
	if *set == nil {
		*set = watchSet[W]{}
	}
	if _, there := (*set)[w]; !there {
		(*set)[w] = struct{}{}
		ws.any.Add(1)
	}
}

// remove takes it out; after that it is not touched any more.
func remove[W any](ws *watchers, set *watchSet[W], w *W) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	set.removeLocked(ws, w)
}

func (set *watchSet[W]) removeLocked(ws *watchers, w *W) {
	if _, ok := (*set)[w]; ok {
		delete(*set, w)
		ws.any.Add(-1)
	}
}

// endMoved tells of new records.
func (ws *watchers) endMoved(o *log.Offsets) {
	if ws.any.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.fetchesLocked() {
		w.count(o)
	}
}

// fetchesLocked goes through the fetches that wait, after an event. Sessions hear of it, and those for which no fetch waits are taken out.
func (ws *watchers) fetchesLocked() iter.Seq[*fetchWatch] {
	return func(yield func(*fetchWatch) bool) {
		for w := range ws.fetches {
			if w.happened() {
				ws.fetches.removeLocked(ws, w)
			} else if !yield(w) {
				return
			}
		}
	}
}

// highWatermarkMoved tells of newly committed records.
func (ws *watchers) highWatermarkMoved(o *log.Offsets) {
	if ws.any.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.fetchesLocked() {
		w.count(o)
	}
	for w := range ws.acks {
		w.moved(o.HighWatermark.Offset)
	}
}

// logStartMoved tells that records were deleted: followers, who shall do the same, and readers that have waited for more than what is gone.
func (ws *watchers) logStartMoved(logStart int64) {
	if ws.any.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.fetchesLocked() {
		if w.bound == log.ToLogEnd || w.start.Offset < logStart {
			w.waiter.wake()
		}
	}
}

// lowWatermarkMoved tells that followers deleted records.
func (ws *watchers) lowWatermarkMoved(lowWatermark int64) {
	if ws.any.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.deletes {
		w.moved(lowWatermark)
	}
}

// reopen has sessions look again, for which no fetch need end.
func (ws *watchers) reopen() {
	if ws.any.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for range ws.fetchesLocked() {
	}
}

// roleChanged wakes everyone: leadership, the epoch or the whole replica is not what they began to wait with.
func (ws *watchers) roleChanged() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.fetchesLocked() {
		w.waiter.wake()
	}
	for w := range ws.acks {
		w.fire()
	}
	for w := range ws.deletes {
		w.fire()
	}
}
