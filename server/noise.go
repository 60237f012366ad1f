package server

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// noise lets through one message per address and minute: a peer cannot fill the log.
type noise struct {
	mu     sync.Mutex
	last   map[netip.Addr]time.Time
	purged time.Time
}

// noiseMax bounds the addresses that noise remembers. Beyond it nothing is let through until old ones are purged, which is
// done once a minute.
const noiseMax = 4096

func (n *noise) allow(ip netip.Addr, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.last[ip]) < time.Minute {
		return false
	}
	if len(n.last) >= noiseMax && now.Sub(n.purged) >= time.Minute {
		n.purged = now
		maps.DeleteFunc(n.last, func(_ netip.Addr, at time.Time) bool { return now.Sub(at) >= time.Minute })
	}
	if len(n.last) >= noiseMax {
		return false
	}
	if n.last == nil {
		n.last = map[netip.Addr]time.Time{}
	}
	n.last[ip] = now
	return true
}
