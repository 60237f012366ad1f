package metastore

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// ensemble tells the library which server to try next. The library waits a second whenever a round through the servers begins anew,
// which with one server is before every attempt; a session that expired while this process was paused costs two attempts. Here the
// first two rounds after a connection are free of waiting, so that a lost session is replaced at once; an ensemble that is down
// is asked once a second, as the library has it.
//
// Names are resolved by each attempt, so that servers may move.
type ensemble struct {
	mu      sync.Mutex
	servers []string
	next    int
	tries   int // since the last connection
}

var _ zk.HostProvider = (*ensemble)(nil)

// Init takes the servers in an order of its own, so that the brokers spread over them.
func (e *ensemble) Init(servers []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.servers = slices.Clone(servers)
	rand.Shuffle(len(e.servers), func(i, j int) { e.servers[i], e.servers[j] = e.servers[j], e.servers[i] })
	return nil
}

// Len is the number of servers.
func (e *ensemble) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.servers)
}

// roundsAtOnce is how often all servers are tried before there is a pause.
const roundsAtOnce = 2

// Next is the server to try now, or after a pause.
func (e *ensemble) Next() (server string, pause bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	server = e.servers[e.next%len(e.servers)]
	pause = e.tries >= roundsAtOnce*len(e.servers) && e.tries%len(e.servers) == 0
	e.next++
	e.tries++
	return server, pause
}

// Connected is called when there is a session.
func (e *ensemble) Connected() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tries = 0
}

// silenceShare is the part of the session's timeout after which a server that has not begun the session is given up: there is time for
// two more attempts, before the session ends and before the broker that is starting does (zookeeper.connection.timeout.ms, the same by default).
const silenceShare = 3

// dialer makes connections that give up on a server which accepts them but does not begin a session. The library would wait several times
// the session's timeout, and a server that is just starting may well forget the first request. With credentials they log in.
func (z *ZooKeeper) dialer(o ZooKeeperOptions) zk.Dialer {
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		c, err := net.DialTimeout(network, address, timeout)
		if err != nil {
			return nil, err
		}
		c = &impatient{Conn: c, until: time.Now().Add(o.SessionTimeout / silenceShare)}
		if o.Credentials != nil {
			c = &saslConn{Conn: c, credentials: *o.Credentials, refused: z.refusedLogin}
		}
		return c, nil
	}
}

// impatient is a connection whose first read has a deadline of its own.
type impatient struct {
	net.Conn
	until    time.Time
	answered atomic.Bool
}

// SetReadDeadline keeps the earlier deadline until something was read.
func (c *impatient) SetReadDeadline(t time.Time) error {
	if !c.answered.Load() && t.After(c.until) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

// Read notes that the server speaks.
func (c *impatient) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.answered.Store(true)
	}
	return n, err
}
