package server

import (
	"slices"
	"time"
)

// watchInterval is how often the watcher looks at all connections.
const watchInterval = time.Second

// watchLoop closes the connections that nobody will miss, until the server stops.
func (s *Server) watchLoop() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.watch(now)
		case <-s.ctx.Done():
			return
		}
	}
}

// watch is one round of the watcher.
func (s *Server) watch(now time.Time) {
	idleMax := s.admission.idleMax()
	conns := s.conns.all()
	for _, c := range conns {
		c.watch(now, idleMax)
	}
	if n := s.admission.excess(); n > 0 {
		s.closeExcess(conns, n)
	}
}

// watch closes the connection if it is overdue. Closing wakes whoever is blocked on it.
func (c *conn) watch(now time.Time, idleMax time.Duration) {
	switch {
	case c.activity.in.overdue(now):
		c.warn("connection closed: its request does not come to an end", nil)
		c.close()
	case c.activity.out.overdue(now):
		c.warn("connection closed: it does not read its answer", nil)
		c.cancel()
		c.close()
	case idleMax > 0 && c.activity.idle.age(now) > idleMax && c.answers.owed() == 0:
		c.close()
	case c.activity.ended.age(now) > goneGrace:
		c.cancel()
	case c.activity.handling.age(now) > goneCheckAfter:
		c.watchHandler(now)
	}
}

// watchHandler ends a handler whose client is gone. The reader is in the handler, so nobody else would notice.
func (c *conn) watchHandler(now time.Time) {
	switch state := c.out.socket.peer(); {
	case state == peerGone, state == peerShut && c.activity.handling.age(now) > goneGrace:
		c.cancel()
	}
}

// closeExcess closes the n connections that are idle for longest, of all listeners but the protected one.
func (s *Server) closeExcess(conns []*conn, n int) {
	conns = slices.DeleteFunc(conns, func(c *conn) bool { return c.listener.Name == s.admission.protected })
	now := time.Now()
	slices.SortFunc(conns, func(a, b *conn) int {
		return int(b.activity.idle.age(now) - a.activity.idle.age(now))
	})
	for _, c := range conns[:min(n, len(conns))] {
		c.close()
	}
}
