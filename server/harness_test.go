package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
)

// logLines collects what a server logs.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), "\n")
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testServer is a server whose end is checked: nothing of it is left.
type testServer struct {
	*Server
	t    *testing.T
	logs *logLines
}

// newServer starts a server with one listener "TEST" on a free port of the loopback, unless o has listeners.
func newServer(t *testing.T, o Options, table ...handlers.API) *testServer {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = []Listener{{Name: "TEST", Address: "127.0.0.1:0"}}
	}
	return startServer(t, o, table)
}

// newPipeServer starts a server without listeners: its connections are pipes, which go well with fake time.
func newPipeServer(t *testing.T, table ...handlers.API) *testServer {
	t.Helper()
	return startServer(t, Options{}, table)
}

func startServer(t *testing.T, o Options, table []handlers.API) *testServer {
	t.Helper()
	logs := &logLines{}
	o.Logger = zerolog.New(logs)
	if o.Limits.ConnectionsMax == 0 {
		o.Limits = DefaultLimits()
	}
	s, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start(table)
	ts := &testServer{Server: s, t: t, logs: logs}
	t.Cleanup(ts.checkedShutdown)
	return ts
}

// checkedShutdown stops the server at once and looks for what it left behind.
func (s *testServer) checkedShutdown() {
	select {
	case <-s.stopping:
	default:
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx) // cancelled: whatever is open is cut
	}
	if n := s.conns.len(); n > 0 {
		s.t.Errorf("%d connections left", n)
	}
	if a := s.admission; a.total != 0 || len(a.byIP) != 0 {
		s.t.Errorf("%d connections counted, from %v", a.total, a.byIP)
	}
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	for _, loop := range []string{"readLoop", "writeLoop", "acceptLoop", "watchLoop"} {
		if strings.Contains(stacks.String(), loop) {
			s.t.Errorf("a %s is left", loop)
		}
	}
}

// client speaks frames over a connection.
type client struct {
	t *testing.T
	net.Conn
	correlation int32
}

// dial connects to a listener of the server.
func (s *testServer) dial() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.listeners[0].addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	return &client{t: s.t, Conn: nc}
}

// pipe connects without a socket.
func (s *testServer) pipe() *client {
	ours, theirs := net.Pipe()
	if full, err := s.admission.enter("TEST", netip.Addr{}); full != nil || err != nil {
		s.t.Fatal("full", err)
	}
	s.start(newConn(s.Server, &listener{Listener: Listener{Name: "TEST"}}, theirs))
	s.t.Cleanup(func() { ours.Close() })
	return &client{t: s.t, Conn: ours}
}

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("client"))

// send writes requests, one correlation id after the other.
func (c *client) send(requests ...kmsg.Request) {
	c.t.Helper()
	var b []byte
	for _, req := range requests {
		c.correlation++
		b = append(b, formatter.AppendRequest(nil, req, c.correlation)...)
	}
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive reads an answer: its correlation id and what follows.
func (c *client) receive() (int32, []byte) {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("receive %d bytes: %v", len(b), err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

// closed fails unless the connection ends now, without another byte.
func (c *client) closed() {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 {
		c.t.Errorf("%d more bytes: %x (%v)", len(b), b[:min(len(b), 40)], err)
	}
}

// toy makes an API of any handler.
func toy(key, max int16, begin func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error)) handlers.API {
	return handlers.API{Key: key, Max: max, New: func() kmsg.Request { return kmsg.RequestForKey(key) }, Begin: begin}
}

// apiVersions is the real one.
func apiVersions() handlers.API {
	return newDispatchTable(handlers.Table(handlers.Deps{})).lookup(keyAPIVersions).api
}

// echo answers Metadata at once, with the version in it.
func echo() handlers.API {
	return toy(3, 12, func(_ context.Context, c *handlers.Call, req kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.ControllerID = int32(c.Version)
		return handlers.Answer{Response: resp}, nil, nil
	})
}

// waitFunc is a second stage of which nothing is known before.
type waitFunc func(context.Context) (handlers.Answer, error)

func (w waitFunc) Known() bool                                        { return false }
func (w waitFunc) Await(ctx context.Context) (handlers.Answer, error) { return w(ctx) }

// produceWaits is Produce in two stages: it hands the second one to the test and waits for what the test says.
type produceWaits struct{ begun chan *produceWait }

type produceWait struct {
	call    *handlers.Call
	answer  kmsg.Response
	release chan error
}

func (w *produceWait) Known() bool { return len(w.release) > 0 }

func (w *produceWait) Await(ctx context.Context) (handlers.Answer, error) {
	select {
	case err := <-w.release:
		return handlers.Answer{Response: w.answer}, err
	case <-ctx.Done():
		return handlers.Answer{}, ctx.Err()
	}
}

func newProduceWaits() *produceWaits { return &produceWaits{begun: make(chan *produceWait, 10_000)} }

func (p *produceWaits) api() handlers.API {
	return toy(0, 11, func(_ context.Context, c *handlers.Call, req kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		w := &produceWait{call: c, answer: req.ResponseKind(), release: make(chan error, 1)}
		p.begun <- w
		return handlers.Answer{}, w, nil
	})
}

func produce() kmsg.Request {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 11, -1
	return req
}

func metadata() kmsg.Request {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	return req
}

func fetch() kmsg.Request {
	req := kmsg.NewPtrFetchRequest()
	req.Version = 12
	return req
}
