package replica

import (
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gokafka/protocol"
)

// Throttles limit what this broker sends to followers as a leader, and fetches as a follower, of the partitions that are marked for it
// (KIP-73). Only replicas that are not in sync are held back: what producers wait for is never throttled. Moves are of replicas between directories
// (KIP-113), of all partitions.
type Throttles struct{ Leader, Follower, Moves *Throttle }

// NewThrottles returns throttles that hold nothing back. The rate is measured over so many samples of such a length
// (replication.quota.window.num and .size.seconds, and those of alter.log.dirs), one of which is still being filled.
func NewThrottles(replication, moves Window) Throttles {
	return Throttles{Leader: newThrottle(replication), Follower: newThrottle(replication), Moves: newThrottle(moves)}
}

// Window is over how many samples of which length a rate is measured.
type Window struct {
	Samples int
	Length  time.Duration
}

// Throttle limits the bytes per second of some partitions together. A nil Throttle covers none, and has no limit.
type Throttle struct {
	covered atomic.Pointer[map[string]Covered] // replaced, never changed; nil: nothing, which is what readers see nearly always

	mu      sync.Mutex
	limit   float64 // bytes in a second
	length  time.Duration
	samples []sample // a ring
	at      int      // the one being filled
}

// Covered are the partitions of one topic that are throttled.
type Covered struct {
	All        bool
	Partitions []int32
}

func (c Covered) empty() bool { return !c.All && len(c.Partitions) == 0 }

// sample is what was counted from a moment on.
type sample struct {
	began time.Time
	bytes int64
}

func newThrottle(w Window) *Throttle {
	return &Throttle{limit: math.MaxInt64, length: w.Length, samples: make([]sample, max(2, w.Samples))}
}

// SetRate sets the limit, in bytes per second.
func (t *Throttle) SetRate(bytesPerSecond int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit = float64(bytesPerSecond)
}

// Cover sets which partitions of a topic are throttled.
func (t *Throttle) Cover(topic string, c Covered) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[string]Covered{}
	if before := t.covered.Load(); before != nil {
		next = maps.Clone(*before)
	}
	delete(next, topic)
	if !c.empty() {
		next[topic] = c
	}
	if len(next) == 0 {
		t.covered.Store(nil)
		return
	}
	t.covered.Store(&next)
}

// Covers reports whether a partition is throttled.
func (t *Throttle) Covers(tp protocol.TopicPartition) bool {
	if t == nil {
		return false
	}
	covered := t.covered.Load()
	if covered == nil {
		return false
	}
	c := (*covered)[tp.Topic]
	return c.All || slices.Contains(c.Partitions, tp.Partition)
}

// Record counts bytes of covered partitions.
func (t *Throttle) Record(bytes int, now time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.samples[t.at]
	if s.began.IsZero() || now.Sub(s.began) >= t.length {
		if !s.began.IsZero() {
			t.at = (t.at + 1) % len(t.samples)
			s = &t.samples[t.at]
		}
		*s = sample{began: now}
	}
	s.bytes += int64(bytes)
}

// Exceeded reports whether more than the limit went through of late. The time over which that is counted begins with the oldest sample
// that is not too old, and is at least a sample's, as in Kafka's SimpleRate.
func (t *Throttle) Exceeded(now time.Time) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	window := t.length * time.Duration(len(t.samples))
	oldest, bytes := now, int64(0)
	for _, s := range t.samples {
		if s.began.IsZero() || now.Sub(s.began) >= window {
			continue
		}
		bytes += s.bytes
		if s.began.Before(oldest) {
			oldest = s.began
		}
	}
	elapsed := max(now.Sub(oldest), t.length)
	return float64(bytes)/elapsed.Seconds() > t.limit
}

// holds reports whether a covered partition must wait. Nothing is counted or timed for others.
func (t *Throttle) holds(tp protocol.TopicPartition, now func() time.Time) bool {
	return t.Covers(tp) && t.Exceeded(now())
}

// holdBack takes the records out of an answer to a follower that is not in sync, if the leader's throttle says so.
func (m *Manager) holdBack(f *FetchParams, q *FetchPartition, r *FetchResult) {
	if r.view == nil || slices.Contains(r.view.ISR, f.ReplicaID) || !m.throttles.Leader.holds(q.TopicPartition, m.host.now) {
		return
	}
	r.Release()
	r.throttled = true
}

// recordSent counts what goes out to a follower.
func (m *Manager) recordSent(parts []FetchPartition, results []FetchResult) {
	for i := range results {
		if n := results[i].Len(); n > 0 && m.throttles.Leader.Covers(parts[i].TopicPartition) {
			m.throttles.Leader.Record(n, m.host.now())
		}
	}
}
