package replica

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// WholeEvery is how often a session is about everything, whatever happened: its follower asks for all partitions, and its leader looks at all of them, to find what
// nobody tells: that retention removed records, or that a topic has an id now. It is less than what a fetch may wait for anyway.
const WholeEvery = 250 * time.Millisecond

// Standing is a fetch session (KIP-227) as the replicas see it. A watch stays in each partition of the session, so that a fetch looks only at those to
// which something has happened since its reader heard of them. Apache Kafka reads all partitions of a session for each fetch: where two brokers
// share thousands of partitions, every record of acks=all waits for that, twice. An event while no fetch is under way takes the watch out, so that a reader
// who never comes back costs each partition one event.
type Standing struct {
	waiter  waiter
	missing atomic.Int64 // bytes that the fetch in hand still waits for

	placing sync.Mutex // of where watches are; taken before watchers.mu

	mu      sync.Mutex // of what follows; a leaf, taken under watchers.mu
	open    []*StandingWatch
	active  []*StandingWatch // at which the fetch in hand looks
	fetches int              // that are under way: one, if the reader knows what it does
	watches int
	turns   int64
}

// StandingWatch is a session's interest in one partition. It is open while its partition has, or may have, something to tell.
type StandingWatch struct {
	standing *Standing
	at       *watchers  // of the partition in which it is; nil: none. Guarded by placing
	fetch    fetchWatch // guarded by the lock of at

	want   FetchPartition // this and what follows are guarded by Standing.mu
	place  int            // in open; -1: not in it
	active bool
	closed bool // changed under placing, too
}

// NewStanding returns a session without partitions.
func NewStanding() *Standing { return &Standing{waiter: newWaiter()} }

// Add begins to watch another partition, which is read after all others.
func (s *Standing) Add(q FetchPartition) *StandingWatch {
	w := &StandingWatch{standing: s, place: -1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	w.setLocked(q)
	w.toEndLocked()
	return w
}

// Set changes what is wanted of the partition. The next fetch looks at it.
func (w *StandingWatch) Set(q FetchPartition) {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.setLocked(q)
}

func (w *StandingWatch) setLocked(q FetchPartition) {
	q.turn, q.watch = w.want.turn, w
	w.want = q
	w.openLocked()
}

// Rename sets the topic of a partition whose id was unknown.
func (w *StandingWatch) Rename(topic string) {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.want.Topic = topic
}

// ToEnd has the partition read after all others, from the next fetch on.
func (w *StandingWatch) ToEnd() {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.toEndLocked()
}

func (w *StandingWatch) toEndLocked() {
	w.standing.turns++
	w.want.turn = w.standing.turns
}

func (w *StandingWatch) openLocked() {
	if s := w.standing; w.place < 0 && !w.closed {
		w.place = len(s.open)
		s.open = append(s.open, w)
	}
}

func (w *StandingWatch) shutLocked() {
	s := w.standing
	if w.place < 0 {
		return
	}
	last := s.open[len(s.open)-1]
	s.open[w.place], last.place = last, w.place
	s.open[len(s.open)-1] = nil
	s.open = s.open[:len(s.open)-1]
	w.place = -1
}

// Open has the next fetch look at the partition, for something may have happened to it.
func (w *StandingWatch) Open() {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.openLocked()
}

// happened opens the watch for an event, and reports whether it is done in its partition: no fetch waits, and the next one looks there.
func (w *StandingWatch) happened() (done bool) {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.openLocked()
	return w.standing.fetches == 0
}

// Close ends the watch.
func (w *StandingWatch) Close() {
	s := w.standing
	s.placing.Lock()
	defer s.placing.Unlock()
	s.mu.Lock()
	if !w.closed {
		w.shutLocked()
		w.closed = true
		s.watches--
	}
	s.mu.Unlock()
	w.leave()
}

// Begin begins a fetch that waits for so many bytes, and appends the partitions at which it is to look, in their order. What happens from now on
// ends its wait. End is to follow.
func (s *Standing) Begin(bytesMin int, dst []FetchPartition) []FetchPartition {
	s.missing.Store(int64(bytesMin))
	s.waiter.drain()
	s.mu.Lock()
	s.fetches++
	for i, w := range s.active {
		w.active, s.active[i] = false, nil
	}
	s.active = s.active[:0]
	s.mu.Unlock()
	return s.more(dst)
}

// End ends a fetch.
func (s *Standing) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches--
}

// Wake ends the wait of a fetch.
func (s *Standing) Wake() { s.waiter.wake() }

// more appends the partitions to which something happened since the fetch began and at which it does not look yet. They are put in order after
// the lock is let go of, for which appends wait.
func (s *Standing) more(dst []FetchPartition) []FetchPartition {
	begin := len(dst)
	s.mu.Lock()
	for _, w := range s.open {
		if !w.active {
			w.active = true
			s.active = append(s.active, w)
			dst = append(dst, w.want)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(dst[begin:], func(a, b FetchPartition) int { return cmp.Compare(a.turn, b.turn) })
	return dst
}

// Quiet is how many partitions have nothing to tell.
func (s *Standing) Quiet() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches - len(s.open)
}

// seen takes what a fetch found in the partition. The watch stays there until that is not all that there is any more.
func (w *StandingWatch) seen(f *FetchParams, q *FetchPartition, r *FetchResult) {
	s := w.standing
	s.placing.Lock()
	defer s.placing.Unlock()
	if r.Err != nil || w.closed {
		w.leave()
		w.Open() // what comes of it is not heard of there any more
		return
	}
	if ws := &r.partition.watchers; w.at != ws {
		w.leave()
		w.at = ws
	}
	w.at.mu.Lock()
	defer w.at.mu.Unlock()
	w.fetch = fetchWatch{waiter: s.waiter, start: r.start, bound: f.Bound, bytesMax: int(q.BytesMax), missing: &s.missing, throttled: r.throttled, standing: w}
	w.at.fetches.addLocked(w.at, &w.fetch)
	o := r.view.Log.Offsets()
	switch {
	case r.final():
		w.Open()
	case r.partition.View() != r.view || o.Start != r.LogStart:
		w.Open()
		s.waiter.wake()
	case r.Records != nil || r.throttled || !r.shows(&o, f.Bound) || f.fromFollower() && !slices.Contains(r.view.ISR, f.ReplicaID):
		w.Open()
		w.fetch.count(&o)
	default:
		w.shut()
	}
}

func (w *StandingWatch) shut() {
	w.standing.mu.Lock()
	defer w.standing.mu.Unlock()
	w.shutLocked()
}

// leave takes the watch out of the partition in which it is.
func (w *StandingWatch) leave() {
	if w.at != nil {
		remove(w.at, &w.at.fetches, &w.fetch)
		w.at = nil
	}
}
