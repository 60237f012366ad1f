package sim

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gokafka/cluster"
)

// The places that messages go to beside brokers.
const (
	clients cluster.BrokerID = 0
	storeID cluster.BrokerID = -1
)

// class says what may happen to a message on its way.
type class int

const (
	byRequest class = iota // lost, late, twice
	byControl              // a controller's: in order, because a broker reads one connection of it
	byStore                // an operation of the store: late only
)

// message is something on its way. deliver runs in the world's goroutine and must not block.
type message struct {
	class    class
	from, to cluster.BrokerID
	text     string // what it is, for the trace and for the order of messages that were sent at one moment
	turn     int    // of an answer: which of the deliveries it answers
	by       *life  // of an answer: who gives it; nil: nobody
	deliver  func()
	severed  func() // happens instead of an answer if who gives it dies in that moment
	asks     bool   // the controller at the receiver is to act on it
	again    bool   // may be delivered twice
}

// event is something that happens at a moment: a delivery, or something that the world itself does.
type event struct {
	at      time.Time
	number  int // orders events of one moment
	do      func()
	message *message // nil: the world's own
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].number < q[j].number
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

// link is one direction between two brokers.
type link struct{ from, to cluster.BrokerID }

// network takes messages from every goroutine and gives them to the world's.
type network struct {
	mu     sync.Mutex
	outbox []*message
	sent   chan struct{} // has a value after something was sent

	// The rest belongs to the world's goroutine.
	cut     map[link]bool
	ordered map[link]time.Time // when the last message of a controller arrives
	weather weather
}

// weather is how bad the network is.
type weather struct {
	delay      time.Duration // of most messages, at most
	late       float64       // chance of a message to take up to lateMax
	lateMax    time.Duration
	lost       float64
	twice      float64
	storeDelay time.Duration // of an operation of the store, at most
}

var calm = weather{delay: 2 * time.Millisecond, storeDelay: time.Millisecond}

func newNetwork() network {
	return network{sent: make(chan struct{}, 1), cut: map[link]bool{}, ordered: map[link]time.Time{}, weather: calm}
}

// send hands a message over; any goroutine may.
func (n *network) send(m *message) {
	n.mu.Lock()
	n.outbox = append(n.outbox, m)
	n.mu.Unlock()
	select {
	case n.sent <- struct{}{}:
	default:
	}
}

// take returns what was sent since the last time, in an order that does not depend on who was faster.
func (n *network) take() []*message {
	select {
	case <-n.sent:
	default:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.outbox
	n.outbox = nil
	slices.SortStableFunc(out, func(a, b *message) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.class, b.class), cmp.Compare(a.text, b.text), cmp.Compare(a.turn, b.turn))
	})
	return out
}

// dispatch casts the dice for a message. What a broker still asks and answers in the moment of its death is chance, so it does neither.
func (w *world) dispatch(m *message) {
	if b := w.brokers[m.from]; b != nil && m.turn == 0 && b.life == nil {
		return
	} else if m.by != nil && m.by != b.life {
		m.deliver = m.severed
	}
	weather := &w.network.weather
	if w.post != nil && w.post(m) {
		return
	}
	at := time.Now().Add(w.below(weather.delay))
	switch {
	case m.class == byStore:
		at = time.Now().Add(w.below(weather.storeDelay))
	case w.chance(weather.lost):
		w.tracef("%s lost", m.text)
		return
	case w.chance(weather.late):
		at = time.Now().Add(w.below(weather.lateMax))
	}
	if m.class == byControl {
		l := link{m.from, m.to}
		if last := w.network.ordered[l]; at.Before(last) {
			at = last
		}
		w.network.ordered[l] = at
	}
	w.push(&event{at: at, message: m})
	if !m.again || !w.chance(weather.twice) {
		return
	}
	if m.class != byControl { // else it is only repeated because there was no answer, before anything else is said
		at = at.Add(w.below(weather.lateMax))
	}
	w.push(&event{at: at, message: m})
}

func (w *world) push(e *event) {
	w.number++
	e.number = w.number
	heap.Push(&w.events, e)
}

// in makes something happen after a while.
func (w *world) in(d time.Duration, do func()) { w.push(&event{at: time.Now().Add(d), do: do}) }

// below is a random duration, never 0, so that what is sent now arrives later.
func (w *world) below(d time.Duration) time.Duration {
	return time.Duration(w.rnd.Int64N(int64(d))) + 1
}

func (w *world) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

var (
	errTimeout = errors.New("no answer")
	errRefused = errors.New("connection refused")
)

// callTimeout is how long an answer is waited for.
const callTimeout = 1500 * time.Millisecond

// request is one call over the network.
type request struct {
	class    class
	from, to cluster.BrokerID
	text     string
	asks     bool // of the controller there
	answers  bool // the answer is for the controller here
	again    bool
	timeout  time.Duration // 0: callTimeout
}

// call sends a request to a broker and waits for its answer. serve runs at the broker, in a goroutine of its own.
func call[R any](ctx context.Context, w *world, q request, serve func(*life) (R, error)) (R, error) {
	type answer struct {
		value R
		err   error
	}
	answered := make(chan answer, 1)
	take := func(a answer) func() {
		return func() {
			select {
			case answered <- a:
			default: // delivered twice
			}
		}
	}
	reply := func(turn int, by *life, a answer, how string) *message {
		return &message{class: q.class, from: q.to, to: q.from, text: q.text + how, turn: turn, by: by, asks: q.answers,
			deliver: take(a), severed: take(answer{err: errRefused})}
	}
	w.network.send(&message{class: q.class, from: q.from, to: q.to, text: q.text, asks: q.asks, again: q.again, deliver: func() {
		w.number++
		turn, l := w.number, w.serving(q.to)
		if l == nil {
			w.network.send(reply(turn, nil, answer{err: errRefused}, " refused"))
			return
		}
		l.working.Go(func() {
			value, err := serve(l)
			w.network.send(reply(turn, l, answer{value, err}, " answered"))
		})
	}})
	if q.timeout == 0 {
		q.timeout = callTimeout
	}
	timer := time.NewTimer(q.timeout)
	defer timer.Stop()
	var none R
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-timer.C:
		return none, errTimeout
	}
}
