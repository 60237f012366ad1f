package metastore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/rs/zerolog"
)

// ZooKeeperOptions says how to reach an ensemble. The zero value of a duration or number is Apache's default.
type ZooKeeperOptions struct {
	Connect           string        // zookeeper.connect: host:port,host:port/chroot
	SessionTimeout    time.Duration // zookeeper.session.timeout.ms
	ConnectionTimeout time.Duration // zookeeper.connection.timeout.ms: how long to wait for the first session
	InFlightMax       int           // zookeeper.max.in.flight.requests
	Credentials       *Credentials  // nil: none, then no node belongs to anybody
	SetACL            bool          // zookeeper.set.acl: nodes belong to whom the credentials name
	Logger            zerolog.Logger
}

const (
	defaultSessionTimeout = 18 * time.Second
	defaultInFlightMax    = 10

	// answerBytesMax bounds what is read of one answer: Apache raises its client's limit to this too, since the list of topics
	// may well pass the server's default of 1 MiB for requests.
	answerBytesMax = 4 << 20
)

// ZooKeeper is a tree kept by an ensemble. It has one session at a time, and goes on with a new one when that expires.
//
// A request whose connection breaks is sent again once there is a connection, until its context ends, as Apache does; what was done
// but not answered is therefore tried twice, and refused the second time. Callers must expect that of every write.
//
// The library tells of all events through one callback, before it reads the answers that follow them. Who watches what is kept here,
// because the library's own channels, one per watch, would need a goroutine each.
type ZooKeeper struct {
	conn    *zk.Conn
	chroot  string
	setACL  bool
	jobs    chan job
	closing chan struct{}
	wg      sync.WaitGroup

	mu          sync.Mutex
	session     int64
	refused     error         // what ZooKeeper said of the credentials, if it did not take them
	connected   chan struct{} // closed while there is a session to talk in
	closed      bool
	subscribers map[*Watcher]struct{}
	armed       map[armedKey][]*armedWatch
}

// armedKey names the watches of one path that the same events fire.
type armedKey struct {
	path     string
	children bool
}

// armedWatch is a watch that was set, or is being set by a read that has not been answered.
type armedWatch struct {
	watcher *Watcher
	pending bool
	early   []Event // heard while pending: whether the read saw them is not known, so they are passed on after it
}

var _ Tree = (*ZooKeeper)(nil)

// ConnectZooKeeper begins a session, and creates the chroot if it is missing.
func ConnectZooKeeper(ctx context.Context, o ZooKeeperOptions) (*ZooKeeper, error) {
	servers, chroot, err := parseConnect(o.Connect)
	if err != nil {
		return nil, err
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = defaultSessionTimeout
	}
	if o.ConnectionTimeout == 0 {
		o.ConnectionTimeout = o.SessionTimeout
	}
	if o.InFlightMax <= 0 {
		o.InFlightMax = defaultInFlightMax
	}
	z := &ZooKeeper{chroot: chroot, setACL: o.SetACL, jobs: make(chan job), closing: make(chan struct{}), connected: make(chan struct{}),
		subscribers: map[*Watcher]struct{}{}, armed: map[armedKey][]*armedWatch{}}
	logger := o.Logger.With().Str("part", "zookeeper").Logger()
	z.mu.Lock() // the callback may come before the connection is returned
	z.conn, _, err = zk.Connect(servers, o.SessionTimeout, zk.WithLogger(&logger), zk.WithLogInfo(false),
		zk.WithMaxBufferSize(answerBytesMax), zk.WithEventCallback(z.heard), zk.WithDialer(z.dialer(o)), zk.WithHostProvider(&ensemble{}))
	z.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	for range o.InFlightMax {
		z.wg.Go(z.work)
	}
	if err := z.begin(ctx, o); err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return z, nil
}

// parseConnect cuts "host:port,host/chroot" into its parts.
func parseConnect(connect string) (servers []string, chroot string, err error) {
	hosts, root, found := strings.Cut(connect, "/")
	for h := range strings.SplitSeq(hosts, ",") {
		if h = strings.TrimSpace(h); h != "" {
			servers = append(servers, h)
		}
	}
	if found && root != "" {
		chroot = "/" + strings.TrimSuffix(root, "/")
	}
	if len(servers) == 0 || chroot != "" && !validPath(chroot) {
		return nil, "", fmt.Errorf("zookeeper.connect %q: not host:port[,host:port...][/chroot]", connect)
	}
	return servers, chroot, nil
}

// begin waits for the first session and prepares what lies above the tree.
func (z *ZooKeeper) begin(ctx context.Context, o ZooKeeperOptions) error {
	ctx, cancel := context.WithTimeout(ctx, o.ConnectionTimeout)
	defer cancel()
	if err := z.awaitConnected(ctx); err != nil {
		return fmt.Errorf("connect to ZooKeeper at %s within %s: %w", o.Connect, o.ConnectionTimeout, err)
	}
	if err := z.awaitLogin(ctx); err != nil {
		return fmt.Errorf("authenticate to ZooKeeper at %s: %w", o.Connect, err)
	}
	for i, c := range z.chroot + "/" {
		if c != '/' || i == 0 {
			continue
		}
		above := z.chroot[:i]
		if there, _, err := z.conn.Exists(above); err == nil && there {
			continue // whether this broker might create it is of no interest
		}
		if _, err := z.conn.Create(above, nil, 0, z.acl(above)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return fmt.Errorf("create chroot %s: %w", above, err)
		}
	}
	return nil
}

// awaitLogin waits until a first request is answered, which tells that the credentials were taken: the library tries again and again
// otherwise.
func (z *ZooKeeper) awaitLogin(ctx context.Context) error {
	for {
		_, _, err := z.conn.Exists("/")
		z.mu.Lock()
		refused := z.refused
		z.mu.Unlock()
		switch {
		case err == nil || ofNode(err) != nil:
			return nil
		case refused != nil:
			return refused
		case ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		}
		if err := z.awaitConnected(ctx); err != nil {
			return err
		}
	}
}

// refusedLogin notes that the server did not take the credentials.
func (z *ZooKeeper) refusedLogin(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.refused = err
}

// heard is the library's callback: it must not block.
func (z *ZooKeeper) heard(e zk.Event) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch e.Type {
	case zk.EventSession:
		z.stateChangedLocked(e.State)
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		z.fireLocked(e)
	}
}

func (z *ZooKeeper) stateChangedLocked(s zk.State) {
	switch s {
	case zk.StateHasSession:
		z.session = z.conn.SessionID()
		select {
		case <-z.connected:
		default:
			close(z.connected)
		}
		z.tellLocked(Event{Type: SessionConnected, Session: z.session})
	case zk.StateDisconnected:
		select {
		case <-z.connected:
			z.connected = make(chan struct{})
			z.tellLocked(Event{Type: SessionDisconnected, Session: z.session})
		default:
		}
	case zk.StateExpired:
		z.armed = map[armedKey][]*armedWatch{}
		z.tellLocked(Event{Type: SessionExpired, Session: z.session})
		z.session = 0
	}
}

func (z *ZooKeeper) tellLocked(e Event) {
	for w := range z.subscribers {
		w.push(e)
	}
}

// fireLocked passes an event to those who watch its path. A watcher that watched a deleted node both ways hears it once.
func (z *ZooKeeper) fireLocked(e zk.Event) {
	event := Event{Type: map[zk.EventType]EventType{zk.EventNodeCreated: NodeCreated, zk.EventNodeDeleted: NodeDeleted,
		zk.EventNodeDataChanged: NodeDataChanged, zk.EventNodeChildrenChanged: NodeChildrenChanged}[e.Type], Path: z.inside(e.Path)}
	heard := map[*Watcher]struct{}{}
	for _, children := range []bool{false, true} {
		if children && event.Type != NodeChildrenChanged && event.Type != NodeDeleted || !children && event.Type == NodeChildrenChanged {
			continue
		}
		key := armedKey{event.Path, children}
		var kept []*armedWatch
		for _, a := range z.armed[key] {
			if a.pending {
				a.early = append(a.early, event)
				kept = append(kept, a)
				continue
			}
			if _, twice := heard[a.watcher]; !twice {
				a.watcher.push(event)
				heard[a.watcher] = struct{}{}
			}
		}
		z.setArmedLocked(key, kept)
	}
}

func (z *ZooKeeper) setArmedLocked(key armedKey, watches []*armedWatch) {
	if len(watches) == 0 {
		delete(z.armed, key)
	} else {
		z.armed[key] = watches
	}
}

// arm notes a watch before its read is sent, so that no event can slip in between.
func (z *ZooKeeper) arm(r Read) *armedWatch {
	if r.Watch == nil {
		return nil
	}
	a := &armedWatch{watcher: r.Watch, pending: true}
	key := armedKey{r.Path, r.Kind == ReadChildren}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.armed[key] = append(z.armed[key], a)
	return a
}

// settle ends the arming: the watch stands, or the read did not set it. One that the same watcher has already is not kept twice.
func (z *ZooKeeper) settle(r Read, a *armedWatch, set bool) {
	if a == nil {
		return
	}
	key := armedKey{r.Path, r.Kind == ReadChildren}
	z.mu.Lock()
	defer z.mu.Unlock()
	a.pending = false
	for _, e := range a.early {
		if set {
			a.watcher.push(e)
		}
	}
	watches := slices.DeleteFunc(z.armed[key], func(other *armedWatch) bool {
		return other == a || set && !other.pending && other.watcher == a.watcher
	})
	if set {
		watches = append(watches, a)
	}
	z.setArmedLocked(key, watches)
}

// Subscribe implements Tree.
func (z *ZooKeeper) Subscribe(w *Watcher) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.subscribers[w] = struct{}{}
}

// Unsubscribe implements Tree. ZooKeeper itself goes on to watch, which nobody hears.
func (z *ZooKeeper) Unsubscribe(w *Watcher) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.subscribers, w)
	for key, watches := range z.armed {
		z.setArmedLocked(key, slices.DeleteFunc(watches, func(a *armedWatch) bool { return a.watcher == w }))
	}
}

// Session implements Tree.
func (z *ZooKeeper) Session() int64 {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.session
}

// Close implements Tree.
func (z *ZooKeeper) Close() error {
	z.mu.Lock()
	if z.closed {
		z.mu.Unlock()
		return nil
	}
	z.closed = true
	z.mu.Unlock()
	z.conn.Close()
	close(z.closing)
	z.wg.Wait()
	return nil
}

// awaitConnected waits until there is a session to talk in.
func (z *ZooKeeper) awaitConnected(ctx context.Context) error {
	z.mu.Lock()
	connected := z.connected
	z.mu.Unlock()
	select {
	case <-connected:
		return nil
	case <-z.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outside and inside add and remove the chroot.
func (z *ZooKeeper) outside(p string) string {
	if p == "/" && z.chroot != "" {
		return z.chroot
	}
	return z.chroot + p
}

func (z *ZooKeeper) inside(p string) string {
	return path.Join("/", strings.TrimPrefix(p, z.chroot))
}
