package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"gokafka/handlers"
	"gokafka/protocol"
)

// conn is one connection. Its reader goroutine owns everything but what answers guards and activity shares.
type conn struct {
	server   *Server
	listener *listener
	nc       net.Conn
	peer     netip.AddrPort
	frames   *protocol.FrameReader
	out      sender
	answers  answers
	activity activity
	received time.Time // when the first byte of the frame in hand came

	clientID, clientIDBytes       string // of the last request; the bytes may not be UTF-8
	softwareName, softwareVersion string

	ctx    context.Context // ends when nobody can read an answer any more
	cancel context.CancelFunc
}

// exchange is a request and its answer, now or later.
type exchange struct {
	entry  *entry
	call   *handlers.Call
	answer handlers.Answer
	wait   handlers.Wait // nil when the answer is complete
}

func newConn(s *Server, l *listener, nc net.Conn) *conn {
	c := &conn{server: s, listener: l, nc: nc, peer: remoteAddr(nc)}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.frames = protocol.NewFrameReader(c, s.options.RequestBytesMax, s.budget)
	c.out.init(nc, &c.activity.out)
	c.answers.room.L = &c.answers.mu
	return c
}

// setAbrupt decides how the connection ends when the process is killed or the server stops: reset, or by the end of its stream. It is abrupt from
// admit on and until the first answer after ApiVersions. A client that connects to a broker in its last moment tries again elsewhere when it is
// reset, whereas to franz-go the end of a stream in that place means that the broker wants TLS or to know who it is, and the records that it was to
// send fail.
func setAbrupt(nc net.Conn, abrupt bool) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	seconds := -1
	if abrupt {
		seconds = 0
	}
	_ = tcp.SetLinger(seconds) // it fails where the connection is closed already
}

// serve reads requests until the connection ends, and returns when every answer it owed is sent or dropped.
func (c *conn) serve() {
	err := c.readLoop()
	c.frames.Release()
	c.activity.in.end()
	if isGone(err) {
		c.cancel()
	}
	c.activity.ended.set(time.Now())
	c.answers.drain()
	c.cancel()
	if c.server.isStopping() {
		if c.activity.answered.Load() {
			c.linger()
		}
		c.nc.Close() // see setAbrupt
	} else {
		c.close()
	}
	c.logEnd(err)
}

// close ends a connection for a reason of its own, and so by the end of its stream.
func (c *conn) close() {
	setAbrupt(c.nc, false)
	c.nc.Close()
}

// lingerMax is how long a connection stays open for the client to read its last answers.
const lingerMax = 100 * time.Millisecond

// linger ends our side of the connection and drops what the client sends until it ends its own. A close on unread requests would
// reset the connection, and take answers that are still under way with it.
func (c *conn) linger() {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok || tcp.CloseWrite() != nil || tcp.SetReadDeadline(time.Now().Add(lingerMax)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, tcp)
}

func (c *conn) readLoop() error {
	for !c.server.isStopping() {
		frame, err := c.nextFrame()
		if err != nil {
			return err
		}
		if err := c.handle(frame); err != nil {
			return err
		}
	}
	return io.EOF
}

func (c *conn) nextFrame() ([]byte, error) {
	now := time.Now()
	if c.frames.Partial() {
		c.frameBegins(now)
	} else {
		c.activity.idle.set(now)
	}
	frame, err := c.frames.Next()
	c.activity.in.end()
	switch {
	case errors.Is(err, protocol.ErrFrameSize):
		return nil, rejected(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, io.EOF // a client that went away in the middle; nothing to tell
	}
	return frame, err
}

// Read is what the frame reader reads from: the connection, with the bytes counted as the frame's.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.nc.Read(p)
	if n > 0 && !c.activity.in.began.isSet() {
		c.frameBegins(time.Now())
	}
	c.activity.in.bytes.Add(int64(n))
	return n, err
}

func (c *conn) frameBegins(now time.Time) {
	c.received = now
	c.activity.in.begin(now)
	c.activity.idle.clear()
}

// handle runs a request's first stage and sends its answer, or leaves that to the writer. An error ends the connection.
func (c *conn) handle(frame []byte) error {
	c.activity.handling.set(c.received)
	x, err := c.begin(frame)
	c.frames.Release() // before the answer is sent, which may take its time
	c.activity.handling.clear()
	if err != nil {
		if x.entry != nil {
			x.entry.counters.failures.Add(1)
		}
		x.release()
		return err
	}
	if c.answers.push(c, x) {
		return nil
	}
	return c.send(x, false)
}

// send writes an answer, if there is one, and releases it. It may hold it if there is more to send at once.
func (c *conn) send(x exchange, more bool) error {
	defer x.release()
	x.entry.countErrors(x.answer)
	n, err := c.out.answer(x.call, x.answer, more)
	if err != nil {
		return err
	}
	if n > 0 && !c.activity.answered.Load() && x.call.Key != keyAPIVersions {
		c.activity.answered.Store(true)
		setAbrupt(c.nc, false)
	}
	x.entry.counters.answered(n, time.Since(x.call.Received))
	return nil
}

func (x *exchange) release() {
	if x.answer.Reply != nil {
		x.answer.Reply.Release()
	}
}

// logEnd says why a connection ended, if that is anyone's fault.
func (c *conn) logEnd(err error) {
	var rejection rejection
	switch {
	case errors.As(err, &rejection):
		c.server.counters.rejected.Add(1)
		c.warn("connection closed for what it sent", err)
	case errors.Is(err, handlers.ErrClose):
		c.warn("connection closed instead of an answer", err)
	case err == nil, errors.Is(err, io.EOF), isGone(err):
	default:
		c.log(c.server.logger.Error(), "connection closed", err)
	}
}

// isGone tells the errors of a connection that is closed on this side or broken on the other. The descriptor's own way of sending
// says of a broken one what the system calls say.
func isGone(err error) bool {
	var op *net.OpError
	return errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, protocol.ErrBudgetClosed) || errors.As(err, &op) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// warn logs what a peer can cause at will, so it says it once a minute for each address.
func (c *conn) warn(message string, err error) {
	if c.server.noise.allow(c.peer.Addr(), time.Now()) {
		c.log(c.server.logger.Warn(), message, err)
	}
}

func (c *conn) log(event *zerolog.Event, message string, err error) {
	event.Err(err).Stringer("peer", c.peer).Str("listener", c.listener.Name).Msg(message)
}

// remoteAddr is the peer of a TCP connection, an IPv4 address always in its short form.
func remoteAddr(nc net.Conn) netip.AddrPort {
	addr, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
