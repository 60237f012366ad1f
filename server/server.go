package server

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gokafka/handlers"
	"gokafka/protocol"
)

// RequestBytesMaxDefault is Kafka's socket.request.max.bytes.
const RequestBytesMaxDefault = 100 << 20

// Options are what a server is made with.
type Options struct {
	Listeners []Listener
	// ProtectedListener is the name of the listener between brokers, when clients have another: its connections are let in
	// beyond max.connections, and others closed for them.
	ProtectedListener string
	Limits            Limits
	RequestBytesMax   int32 // socket.request.max.bytes; 0 is the default
	QueuedBytesMax    int64 // queued.max.request.bytes; not positive is no bound
	Logger            zerolog.Logger
}

// Server accepts connections and serves them from a table of APIs.
type Server struct {
	options   Options
	logger    zerolog.Logger
	listeners []*listener
	table     dispatchTable
	admission *admission
	budget    *protocol.Budget
	noise     noise
	counters  connCounters
	conns     connSet
	accepts   sync.WaitGroup // accept loops
	serving   sync.WaitGroup // connections and the watcher

	stopping chan struct{}   // closed when Shutdown begins: no request is read any more
	ctx      context.Context // ends when no connection has anything to finish, or the time for it is over
	cancel   context.CancelFunc
}

// connSet is the connections that are served.
type connSet struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *connSet) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// New binds the listeners, so that their ports are known, and accepts nothing yet.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.RequestBytesMax == 0 {
		o.RequestBytesMax = RequestBytesMaxDefault
	}
	s := &Server{
		options: o, logger: o.Logger, admission: newAdmission(o.Limits, o.ProtectedListener),
		budget: protocol.NewBudget(o.QueuedBytesMax), conns: connSet{conns: map[*conn]struct{}{}},
		stopping: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range o.Listeners {
		bound, err := bind(ctx, l)
		if err != nil {
			s.closeListeners()
			return nil, err
		}
		s.listeners = append(s.listeners, bound)
	}
	return s, nil
}

// Addr is where a listener is bound; the zero value if there is none of the name.
func (s *Server) Addr(listener string) netip.AddrPort {
	for _, l := range s.listeners {
		if l.Name == listener {
			return l.addr()
		}
	}
	return netip.AddrPort{}
}

// Start lets connections in and serves them from the table.
func (s *Server) Start(table []handlers.API) {
	s.table = newDispatchTable(table)
	s.serving.Go(s.watchLoop)
	for _, l := range s.listeners {
		s.accepts.Go(func() { s.acceptLoop(l) })
	}
}

// SetLimits changes the limits for connections to come; those that are there stay.
func (s *Server) SetLimits(limits Limits) { s.admission.setLimits(limits) }

// start serves a connection that was admitted.
func (s *Server) start(c *conn) {
	s.counters.accepted.Add(1)
	s.conns.add(c)
	s.serving.Go(func() {
		c.serve()
		s.admission.leave(c.listener.Name, c.peer.Addr())
		s.conns.remove(c)
	})
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// drainInterval is how often Shutdown looks for connections that have become idle.
const drainInterval = 10 * time.Millisecond

// Shutdown stops accepting, lets the requests that have begun come to their answers, and closes every connection. When ctx
// ends before that it gives up on them: their contexts end and their connections are closed. It is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	close(s.stopping)
	s.closeListeners()
	s.accepts.Wait()
	err := s.drain(ctx)
	s.cancel()
	s.budget.Close()
	for _, c := range s.conns.all() {
		c.nc.Close() // see setAbrupt
	}
	s.serving.Wait()
	return err
}

// drain closes connections as they become idle until none is left.
func (s *Server) drain(ctx context.Context) error {
	ticker := time.NewTicker(drainInterval)
	defer ticker.Stop()
	for {
		conns := s.conns.all()
		if len(conns) == 0 {
			return nil
		}
		for _, c := range conns {
			if c.activity.idle.isSet() && c.answers.owed() == 0 {
				c.nc.Close() // see setAbrupt
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("drain %d connections: %w", len(conns), ctx.Err())
		}
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		if err := l.tcp.Close(); err != nil {
			s.logger.Error().Err(err).Str("listener", l.Name).Msg("cannot close listener")
		}
	}
}
