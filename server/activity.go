package server

import (
	"sync/atomic"
	"time"
)

const (
	// transferGrace and transferRateMin bound a frame on its way in and an answer on its way out.
	transferGrace   = 30 * time.Second
	transferRateMin = 4 << 10 // bytes per second

	// goneCheckAfter is how long a handler runs before the watcher asks whether its client is still there, goneGrace how long
	// answers are waited for that a client asked for before it shut down its side of the connection. It may still be reading, if
	// few do.
	goneCheckAfter = 5 * time.Second
	goneGrace      = 30 * time.Second
)

// origin is what instants count from. That it is a time of this process makes them follow the clock that only goes on: when
// somebody sets the other one forward by an hour, no connection has idled for an hour.
var origin = time.Now().Add(-time.Hour)

// instant is a moment that one goroutine sets and others read; the zero value is none.
type instant struct{ nanos atomic.Int64 }

func (i *instant) set(t time.Time) { i.nanos.Store(int64(t.Sub(origin))) }
func (i *instant) clear()          { i.nanos.Store(0) }
func (i *instant) isSet() bool     { return i.nanos.Load() != 0 }

// age is how long ago the moment is; zero when there is none.
func (i *instant) age(now time.Time) time.Duration {
	n := i.nanos.Load()
	if n == 0 {
		return 0
	}
	return now.Sub(origin) - time.Duration(n)
}

// transfer is a frame or an answer on its way.
type transfer struct {
	began instant
	bytes atomic.Int64
}

func (t *transfer) begin(now time.Time) {
	t.bytes.Store(0)
	t.began.set(now)
}

func (t *transfer) end() { t.began.clear() }

// overdue reports whether the transfer should be over by now.
func (t *transfer) overdue(now time.Time) bool {
	return t.began.age(now) > transferGrace+time.Duration(t.bytes.Load())*time.Second/transferRateMin
}

// activity is what a connection is doing, for the watcher to see.
type activity struct {
	in, out  transfer
	idle     instant     // since when the reader waits for a frame to begin
	handling instant     // since when the reader is in a handler
	ended    instant     // since when no more requests come, and only answers are owed
	answered atomic.Bool // an answer was sent, other than to ApiVersions
}
