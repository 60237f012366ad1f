package replica

import (
	"container/list"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// fetcherCore is what a fetcher knows of the partitions that it copies from one leader, as a pure machine: answers of the
// leader go in, what is to be done with the log comes out. It reads no clock and touches no log.
//
// A partition is truncating until it is known where its log agrees with the leader's, then it is fetching. A log with leader
// epochs may fetch at once: each fetch tells the epoch of the last record, and the leader answers with the point of
// divergence instead of records if the histories differ (KIP-595). One without epochs cannot be compared, and goes back to
// what is surely committed. After an error a partition is left alone for a while; one that cannot go on at all waits for the
// next LeaderAndIsr.
type fetcherCore struct {
	backoff time.Duration // replica.fetch.backoff.ms
	states  map[protocol.TopicPartition]*fetchState
	order   *list.List // of the states: who comes first is asked for first, so that all get their share of the limits
	buf     []FetchAsk // of the last asks
	// steady: the last fetch that asked for everything left out none that come back by themselves, and nothing but appends came after it. So the leader, if it remembers
	// fetches, needs to hear only of what was appended to.
	steady  bool
	wholeAt time.Time     // when that was
	changed []*fetchState // appended to since they were asked for last
	left    int           // how many were not asked for last, though they may be later
	// askEpochs makes partitions ask for the end of their last epoch before they fetch, for leaders that do not tell
	// divergence in answers to fetches (before Kafka 2.7).
	askEpochs bool
	// throttled reports whether a partition must wait for others to use less, unless it is in sync; nil: none ever must.
	throttled func(protocol.TopicPartition) bool
	held      bool // a partition was left out of the last fetch for that
}

// fetchState is one partition of a fetcher.
type fetchState struct {
	protocol.TopicPartition
	offset       int64 // to fetch next
	epoch        cluster.LeaderEpoch
	lastEpoch    cluster.LeaderEpoch // of the last record in the log; cluster.NoEpoch: none
	truncating   bool
	failed       bool // waits for the next LeaderAndIsr
	caughtUp     bool // the last answer left nothing to fetch
	delayedUntil time.Time
	patience     time.Duration // how long it was left alone last, for a leader that does not know yet that it leads; 0: it was not
	place        *list.Element // in the order
	ask          FetchAsk      // the last
	asked        bool          // there was one, and it still stands
	changed      bool          // it is among those of the core
}

// history is what the core asks of the follower's own log.
type history interface {
	// LatestEpoch is the leader epoch of the last record; cluster.NoEpoch if the log has no epochs.
	LatestEpoch() cluster.LeaderEpoch
	// EndOfEpoch is the largest epoch not above the given one, and where it ends; Epoch -1 if there is none.
	EndOfEpoch(cluster.LeaderEpoch) EpochEnd
	// End is the log end offset.
	End() int64
}

// FetchAsk is one partition of a request to the leader. The answer only counts if the partition is still where it was.
type FetchAsk struct {
	protocol.TopicPartition
	Offset    int64
	Epoch     cluster.LeaderEpoch // in which this follower believes
	LastEpoch cluster.LeaderEpoch // of its last record
	LogStart  int64               // where its log begins
	TopicID   protocol.TopicID    // zero: the topic has none, or none is known here
}

// todo is what an answer asks the fetcher to do with the log.
type todo int

const (
	todoNothing    todo = iota
	todoAppend          // the records, then tell the core with appended
	todoTruncate        // to the offset, then tell the core with truncated
	todoFindOffset      // ask the leader for its start and end, then tell the core with outOfRange
)

// order is a todo with its offset.
type order struct {
	todo     todo
	offset   int64
	complete bool // todoTruncate: the logs agree then; else the leader must be asked once more
}

func newFetcherCore(backoff time.Duration, askEpochs bool) fetcherCore {
	return fetcherCore{backoff: backoff, askEpochs: askEpochs, states: map[protocol.TopicPartition]*fetchState{}, order: list.New()}
}

// follow begins with a partition, or begins anew. The same leader epoch as before changes nothing.
func (c *fetcherCore) follow(tp protocol.TopicPartition, epoch cluster.LeaderEpoch, offset int64, h history) {
	if s := c.states[tp]; s != nil && s.epoch == epoch && !s.failed {
		return
	}
	last := h.LatestEpoch()
	s := &fetchState{TopicPartition: tp, offset: offset, epoch: epoch, lastEpoch: last, truncating: c.askEpochs || last == cluster.NoEpoch}
	c.unfollow(tp)
	c.states[tp], s.place = s, c.order.PushBack(s)
	c.steady = false
}

func (c *fetcherCore) unfollow(tp protocol.TopicPartition) {
	if s := c.states[tp]; s != nil {
		c.order.Remove(s.place)
		delete(c.states, tp)
		c.steady = false
	}
}

func (c *fetcherCore) toEnd(s *fetchState) { c.order.MoveToBack(s.place) }

// fetches lists what to fetch now: everything, or what is not as the leader remembers it. questions lists the partitions whose last epoch's end is
// to be asked for. Both in turn, and valid until one of the two is called again.
func (c *fetcherCore) fetches(now time.Time, remembered bool) (asks []FetchAsk, whole bool) {
	if remembered && c.steady && now.Sub(c.wholeAt) < WholeEvery && !c.holdsBack() {
		return c.changes(), false
	}
	c.changes() // which are among the whole
	asks = c.asks(now, false)
	c.steady, c.wholeAt = len(asks) > 0 && c.left == 0, now
	return asks, true
}

func (c *fetcherCore) questions(now time.Time) []FetchAsk {
	if c.steady {
		return nil
	}
	return c.asks(now, true)
}

// holdsBack reports whether one of the changed must wait for others to use less.
func (c *fetcherCore) holdsBack() bool {
	return slices.ContainsFunc(c.changed, func(s *fetchState) bool { return c.holds(s) })
}

func (c *fetcherCore) holds(s *fetchState) bool {
	return !s.caughtUp && c.throttled != nil && c.throttled(s.TopicPartition)
}

// changes asks for what was appended to.
func (c *fetcherCore) changes() []FetchAsk {
	c.buf = c.buf[:0]
	for i, s := range c.changed {
		c.buf = append(c.buf, s.asks())
		s.changed, c.changed[i] = false, nil
	}
	c.changed = c.changed[:0]
	return c.buf
}

func (s *fetchState) asks() FetchAsk {
	s.ask, s.asked = FetchAsk{TopicPartition: s.TopicPartition, Offset: s.offset, Epoch: s.epoch, LastEpoch: s.lastEpoch}, true
	return s.ask
}

func (c *fetcherCore) asks(now time.Time, truncating bool) []FetchAsk {
	c.held, c.left = false, 0
	c.buf = c.buf[:0]
	for e := c.order.Front(); e != nil; e = e.Next() {
		s := e.Value.(*fetchState)
		s.asked = false
		switch {
		case s.failed:
		case !s.ready(now) || s.truncating != truncating:
			c.left++
		case !truncating && c.holds(s):
			c.held = true
			c.left++
		default:
			c.buf = append(c.buf, s.asks())
		}
	}
	return c.buf
}

// askOf finds what is asked of a partition; nil if nothing is.
func (c *fetcherCore) askOf(tp protocol.TopicPartition) *FetchAsk {
	if s := c.states[tp]; s != nil && s.asked {
		return &s.ask
	}
	return nil
}

func (s *fetchState) ready(now time.Time) bool { return !s.failed && !now.Before(s.delayedUntil) }

// wakeAt is when the next delayed or throttled partition is worth a look; zero if there is none.
func (c *fetcherCore) wakeAt(now time.Time) (at time.Time) {
	for _, s := range c.states {
		if !s.failed && now.Before(s.delayedUntil) && (at.IsZero() || s.delayedUntil.Before(at)) {
			at = s.delayedUntil
		}
	}
	if again := now.Add(c.backoff); c.held && (at.IsZero() || again.Before(at)) {
		at = again
	}
	return at
}

// current returns the state that an answer is for, unless the partition has moved on since it was asked: another epoch,
// another offset, or gone (case 14).
func (c *fetcherCore) current(ask *FetchAsk, now time.Time) *fetchState {
	s := c.states[ask.TopicPartition]
	if s == nil || s.offset != ask.Offset || s.epoch != ask.Epoch || !s.ready(now) {
		return nil
	}
	return s
}

// fetched takes the leader's answer to a fetch. A diverging epoch goes before everything else in it: the follower's log is
// not what the leader's high watermark is about (case 11).
func (c *fetcherCore) fetched(ask *FetchAsk, diverging EpochEnd, err error, h history, now time.Time) order {
	s := c.current(ask, now)
	switch {
	case s == nil || s.truncating:
		return order{}
	case errors.Is(err, kerr.OffsetOutOfRange):
		return order{todo: todoFindOffset}
	case err != nil:
		c.refused(s, err, now)
		return order{}
	case diverging.Epoch >= 0:
		return truncation(s, diverging, h)
	}
	return order{todo: todoAppend, offset: s.offset}
}

// epochAnswered takes the leader's answer to where an epoch ends.
func (c *fetcherCore) epochAnswered(ask *FetchAsk, end EpochEnd, err error, h history, now time.Time) order {
	s := c.current(ask, now)
	switch {
	case s == nil || !s.truncating:
		return order{}
	case err != nil:
		c.refused(s, err, now)
		return order{}
	}
	return truncation(s, end, h)
}

// withoutEpochs is what a truncating partition does whose log has no epochs to ask for: back to where it was told to
// begin, which is the high watermark.
func (c *fetcherCore) withoutEpochs(ask *FetchAsk, now time.Time) order {
	s := c.current(ask, now)
	if s == nil || !s.truncating {
		return order{}
	}
	return order{todo: todoTruncate, offset: s.offset, complete: true}
}

// earlyMin is how long a partition is left alone whose leader does not know yet that it leads.
const earlyMin = 10 * time.Millisecond

// early are the errors of a leader that was not told yet what this follower was told.
var early = []error{kerr.UnknownLeaderEpoch, kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID}

// refused handles errors of a partition. A leader with a newer epoch than ours will be told of by the controller: fetching
// on would be in vain. Everything else passes. A leader that the controller's request has not reached yet will have it in a moment, so it is
// asked again soon and then ever less often; Apache's follower waits for the whole backoff, and acks=all with it.
func (c *fetcherCore) refused(s *fetchState, err error, now time.Time) {
	pause := c.backoff
	switch is := func(e error) bool { return errors.Is(err, e) }; {
	case is(kerr.FencedLeaderEpoch):
		c.failed(s.TopicPartition)
		return
	case slices.ContainsFunc(early, is):
		s.patience = min(max(2*s.patience, earlyMin), c.backoff)
		pause = s.patience
	}
	c.delay(s, now.Add(pause))
}

// delay leaves a partition alone until a moment.
func (c *fetcherCore) delay(s *fetchState, until time.Time) {
	s.delayedUntil, c.steady = until, false
	c.toEnd(s)
}

// truncation finds the point up to which two logs agree, from the leader's answer about an epoch of ours: the largest
// epoch not above it that the leader has, and where that ends.
//
// If we have that epoch too, the logs agree up to the nearer of its two ends. If not, our records after our largest epoch
// below it cannot be the leader's; after they are gone the leader must be asked once more, about that epoch (KIP-279).
func truncation(s *fetchState, leader EpochEnd, h history) order {
	end := h.End()
	switch {
	case leader.End < 0: // the leader cannot tell
		return order{todo: todoTruncate, offset: min(s.offset, end), complete: true}
	case leader.Epoch < 0: // a leader that knows offsets only
		return order{todo: todoTruncate, offset: min(leader.End, end), complete: true}
	}
	own := h.EndOfEpoch(leader.Epoch)
	switch own.Epoch {
	case leader.Epoch:
		return order{todo: todoTruncate, offset: min(own.End, leader.End, end), complete: true}
	case cluster.NoEpoch: // older than all of ours
		return order{todo: todoTruncate, offset: min(leader.End, end), complete: true}
	}
	return order{todo: todoTruncate, offset: min(own.End, end)}
}

// appended tells that the leader's answer is in the log.
func (c *fetcherCore) appended(ask *FetchAsk, got copied, highWatermark int64) {
	s := c.states[ask.TopicPartition]
	if s == nil || s.epoch != ask.Epoch {
		return
	}
	if got.next > s.offset {
		c.toEnd(s)
	}
	if !s.changed && (got.next > s.offset || got.startMoved) {
		s.changed = true
		c.changed = append(c.changed, s)
	}
	s.offset, s.caughtUp, s.patience = got.next, got.next >= highWatermark, 0
	if got.lastEpoch != cluster.NoEpoch {
		s.lastEpoch = got.lastEpoch
	}
}

// truncated tells that the log was truncated as ordered. Where the leader tells divergence with fetches, fetching goes on in
// either case: the next fetch is the question. Else an incomplete truncation is followed by the next question.
func (c *fetcherCore) truncated(ask *FetchAsk, o order, h history) {
	s := c.states[ask.TopicPartition]
	if s == nil || s.epoch != ask.Epoch {
		return
	}
	s.offset, s.lastEpoch = o.offset, h.LatestEpoch()
	s.truncating = c.askEpochs && !o.complete
	c.steady = false
	c.toEnd(s)
}

// rangeFound tells the leader's log start and end after an offset was out of range, and orders what follows: a log that is longer
// than the leader's is cut to its end; one that ends before the leader's begins starts anew there (case 12).
func (c *fetcherCore) rangeFound(ask *FetchAsk, start, end int64, err error, h history, now time.Time) (o order, startAnew bool) {
	s := c.current(ask, now)
	switch own := h.End(); {
	case s == nil:
		return order{}, false
	case err != nil:
		c.refused(s, err, now)
		return order{}, false
	case end < own:
		return order{todo: todoTruncate, offset: end, complete: true}, false
	case start > own:
		return order{todo: todoTruncate, offset: start, complete: true}, true
	default:
		return order{todo: todoTruncate, offset: own, complete: true}, false
	}
}

// failed leaves a partition alone until the next LeaderAndIsr: its log cannot be written.
func (c *fetcherCore) failed(tp protocol.TopicPartition) {
	if s := c.states[tp]; s != nil {
		s.failed, c.steady = true, false
	}
}

// delayed leaves partitions alone for a while, because the leader could not be asked.
func (c *fetcherCore) delayed(asks []FetchAsk, now time.Time) {
	for i := range asks {
		if s := c.current(&asks[i], now); s != nil {
			c.delay(s, now.Add(c.backoff))
		}
	}
}

// allDelayed leaves all that was asked for alone for a while.
func (c *fetcherCore) allDelayed(now time.Time) {
	var asked []*fetchState
	for e := c.order.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*fetchState); s.asked && !s.truncating && s.ready(now) {
			asked = append(asked, s)
		}
	}
	for _, s := range asked {
		c.delay(s, now.Add(c.backoff))
	}
}
