package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Listener is a place where connections come in.
type Listener struct {
	Name    string // in capitals, as in Kafka's listener names
	Address string // host:port; an empty host is every interface, port 0 any free one

	SendBufferBytes    int // socket.send.buffer.bytes; not positive leaves it to the system
	ReceiveBufferBytes int // socket.receive.buffer.bytes; likewise
	Backlog            int // socket.listen.backlog.size; likewise
}

// listener is a Listener that is bound.
type listener struct {
	Listener
	tcp *net.TCPListener
}

// acceptPauseMax is the longest pause after a failed accept, as when the process has no descriptor left.
const acceptPauseMax = time.Second

func bind(ctx context.Context, l Listener) (*listener, error) {
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("bind listener %s to %s: %w", l.Name, l.Address, err)
	}
	bound := &listener{Listener: l, tcp: ln.(*net.TCPListener)}
	if l.Backlog > 0 {
		if err := listenBacklog(bound.tcp, l.Backlog); err != nil {
			ln.Close()
			return nil, fmt.Errorf("set backlog of listener %s: %w", l.Name, err)
		}
	}
	return bound, nil
}

func (l *listener) addr() netip.AddrPort {
	return l.tcp.Addr().(*net.TCPAddr).AddrPort()
}

// acceptLoop lets connections in until the listener is closed.
func (s *Server) acceptLoop(l *listener) {
	var pause time.Duration
	for {
		nc, err := l.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			pause = min(max(2*pause, 5*time.Millisecond), acceptPauseMax)
			if !s.acceptFailed(l, err, pause) {
				return
			}
			continue
		}
		pause = 0
		if !s.admit(l, nc) {
			return
		}
	}
}

// acceptFailed waits before the next try. It reports false when the server stops.
func (s *Server) acceptFailed(l *listener, err error, pause time.Duration) bool {
	if !errors.Is(err, syscall.ECONNABORTED) && s.noise.allow(l.addr().Addr(), time.Now()) {
		s.logger.Error().Err(err).Str("listener", l.Name).Msg("cannot accept connections")
	}
	return s.sleep(pause)
}

// admit makes a new connection wait for its place, or closes it. It reports false when the server stops.
func (s *Server) admit(l *listener, nc *net.TCPConn) bool {
	setAbrupt(nc, true)
	if !s.sleep(s.admission.arrive(l.Name, time.Now())) {
		nc.Close()
		return false
	}
	ip := remoteAddr(nc).Addr()
	for {
		full, err := s.admission.enter(l.Name, ip)
		switch {
		case err != nil:
			s.refuse(l, nc, ip, err)
			return true
		case full == nil:
			l.configure(nc)
			s.start(newConn(s, l, nc))
			return true
		}
		s.noteFull(l)
		select {
		case <-full:
		case <-s.stopping:
			nc.Close()
			return false
		}
	}
}

// noteFull says that connections wait for others to leave.
func (s *Server) noteFull(l *listener) {
	if s.noise.allow(l.addr().Addr(), time.Now()) {
		s.logger.Warn().Str("listener", l.Name).Int("connections", s.conns.len()).Msg("new connections wait: as many as may are open")
	}
}

func (s *Server) refuse(l *listener, nc net.Conn, ip netip.Addr, err error) {
	s.counters.refused.Add(1) // before the peer can see it
	setAbrupt(nc, false)
	nc.Close()
	if s.noise.allow(ip, time.Now()) {
		s.logger.Warn().Err(err).Stringer("peer", ip).Str("listener", l.Name).Msg("connection refused")
	}
}

// configure sets the socket's buffers. Go sets TCP_NODELAY and keep-alive by itself. A socket that is already closed by its
// peer refuses, which its first read will tell.
func (l *listener) configure(nc *net.TCPConn) {
	if l.SendBufferBytes > 0 {
		_ = nc.SetWriteBuffer(l.SendBufferBytes)
	}
	if l.ReceiveBufferBytes > 0 {
		_ = nc.SetReadBuffer(l.ReceiveBufferBytes)
	}
}

// sleep waits, and reports false at once when the server stops.
func (s *Server) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
		return false
	}
}
