package server

import (
	"errors"
	"maps"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Unlimited is the default of every limit, as in Kafka's configuration.
const Unlimited = math.MaxInt32

// Limits are the limits on connections that may change while the server runs.
type Limits struct {
	ConnectionsMax            int                // max.connections
	ConnectionsPerIPMax       int                // max.connections.per.ip; 0 refuses all that have no override
	ConnectionsPerIPOverrides map[netip.Addr]int // max.connections.per.ip.overrides, names resolved
	ConnectionRateMax         int                // max.connection.creation.rate, per second
	Listeners                 map[string]ListenerLimits
	IdleMax                   time.Duration // connections.max.idle.ms; not positive is no limit
}

// ListenerLimits are a listener's own: its connections also count towards the broker's.
type ListenerLimits struct {
	ConnectionsMax    int // listener.name.X.max.connections
	ConnectionRateMax int // listener.name.X.max.connection.creation.rate, per second
}

// DefaultLimits are Kafka's: none, but that connections may idle for ten minutes.
func DefaultLimits() Limits {
	return Limits{
		ConnectionsMax: Unlimited, ConnectionsPerIPMax: Unlimited, ConnectionRateMax: Unlimited, IdleMax: 10 * time.Minute,
	}
}

// perIP is how many connections an address may have.
func (l *Limits) perIP(ip netip.Addr) int {
	if n, ok := l.ConnectionsPerIPOverrides[ip]; ok {
		return n
	}
	return l.ConnectionsPerIPMax
}

func (l *Limits) listener(name string) ListenerLimits {
	if limits, ok := l.Listeners[name]; ok {
		return limits
	}
	return ListenerLimits{ConnectionsMax: Unlimited, ConnectionRateMax: Unlimited}
}

// errTooManyFromIP closes a connection at once. The other limits make it wait.
var errTooManyFromIP = errors.New("too many connections from the address")

// admission counts connections and says which may come in. A protected listener, that of the brokers where clients have
// another, is not held to the broker's limits: instead connections of the others make room.
//
// Whatever the limits say, connections leave a quarter of the process's descriptors to files: without them the log could not
// write, and would take its directories for broken.
type admission struct {
	protected string // name of the protected listener, or empty
	most      int    // as many as there are descriptors for

	mu         sync.Mutex
	limits     Limits
	changed    chan struct{} // closed and made anew when a connection leaves or the limits change
	total      int
	byListener map[string]int
	byIP       map[netip.Addr]int
	pace       map[string]*pacer // by listener; the broker's is under the empty name
}

func newAdmission(limits Limits, protected string) *admission {
	return &admission{
		protected: protected, most: descriptorsMax() / 4 * 3, limits: limits, changed: make(chan struct{}),
		byListener: map[string]int{}, byIP: map[netip.Addr]int{}, pace: map[string]*pacer{},
	}
}

func (a *admission) setLimits(limits Limits) {
	limits.ConnectionsPerIPOverrides = maps.Clone(limits.ConnectionsPerIPOverrides)
	limits.Listeners = maps.Clone(limits.Listeners)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = limits
	a.changedLocked()
}

func (a *admission) idleMax() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limits.IdleMax
}

func (a *admission) changedLocked() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// arrive notes a new connection and returns how long it has to wait for the rates of creation.
func (a *admission) arrive(listener string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	delay := a.paceLocked(listener).delay(now, a.limits.listener(listener).ConnectionRateMax)
	if listener == a.protected {
		return delay
	}
	return max(delay, a.paceLocked("").delay(now, a.limits.ConnectionRateMax))
}

func (a *admission) paceLocked(name string) *pacer {
	if a.pace[name] == nil {
		a.pace[name] = &pacer{}
	}
	return a.pace[name]
}

// enter counts a connection in. When its listener or the broker is full it returns a channel that is closed when that may
// have changed.
func (a *admission) enter(listener string, ip netip.Addr) (full <-chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byListener[listener] >= a.limits.listener(listener).ConnectionsMax {
		return a.changed, nil
	}
	if listener != a.protected && a.total >= a.maxLocked() {
		return a.changed, nil
	}
	if a.byIP[ip] >= a.limits.perIP(ip) {
		return nil, errTooManyFromIP
	}
	a.total++
	a.byListener[listener]++
	a.byIP[ip]++
	return nil, nil
}

func (a *admission) leave(listener string, ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	a.byListener[listener]--
	if a.byIP[ip]--; a.byIP[ip] == 0 {
		delete(a.byIP, ip)
	}
	a.changedLocked()
}

// excess is by how many connections the broker is over its limit, which only a protected listener can bring about.
func (a *admission) excess() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.total-a.maxLocked())
}

func (a *admission) maxLocked() int { return min(a.limits.ConnectionsMax, a.most) }

// pacer spaces events out to a rate, after a burst of as many as a second may bring.
type pacer struct{ next time.Time }

func (p *pacer) delay(now time.Time, perSecond int) time.Duration {
	if perSecond <= 0 || perSecond >= Unlimited {
		return 0
	}
	earliest := now.Add(-time.Second)
	if p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Second / time.Duration(perSecond))
	return max(0, p.next.Sub(now))
}
