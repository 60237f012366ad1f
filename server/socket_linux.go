package server

import (
	"io"
	"net"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendFileMax is how much one sendfile(2) moves at most, so that the progress of a long answer shows.
const sendFileMax = 1 << 20

// socket is a TCP connection's descriptor: sendfile(2) with an offset of its own, which Go's io.Copy from a file does not have
// (it moves the file's, and the file is shared), and writes that say that more is to come.
type socket struct {
	raw      syscall.RawConn
	progress *transfer

	// What the step in progress works on.
	file     int
	position int64
	left     int
	bytes    []byte
	flags    int
	err      error
}

func (s *socket) init(nc net.Conn, progress *transfer) {
	s.progress = progress
	if tcp, ok := nc.(*net.TCPConn); ok {
		s.raw, _ = tcp.SyscallConn()
	}
}

func (s *socket) ok() bool { return s.raw != nil }

// sendFile sends n bytes of a file from a position on.
func (s *socket) sendFile(f *os.File, position int64, n int) error {
	s.file, s.position, s.left, s.err = int(f.Fd()), position, n, nil
	err := s.raw.Write(s.sendFileStep)
	runtime.KeepAlive(f)
	if err != nil {
		return err
	}
	return s.err
}

// sendFileStep goes on until all is sent, the socket is full (false: call again when it is not), or an error.
func (s *socket) sendFileStep(fd uintptr) bool {
	for s.left > 0 {
		n, err := unix.Sendfile(int(fd), s.file, &s.position, min(s.left, sendFileMax))
		switch {
		case n > 0:
			s.left -= n
			s.progress.bytes.Add(int64(n))
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil:
			s.err = os.NewSyscallError("sendfile", err)
			return true
		default:
			s.err = io.ErrUnexpectedEOF
			return true
		}
	}
	return true
}

// send writes b. If more follows at once it tells the kernel, so that a short head does not become a packet.
func (s *socket) send(b []byte, more bool) error {
	s.bytes, s.flags, s.err = b, unix.MSG_NOSIGNAL, nil
	if more {
		s.flags |= unix.MSG_MORE
	}
	err := s.raw.Write(s.sendStep)
	s.bytes = nil
	if err != nil {
		return err
	}
	return s.err
}

func (s *socket) sendStep(fd uintptr) bool {
	for len(s.bytes) > 0 {
		n, err := unix.SendmsgN(int(fd), s.bytes, nil, nil, s.flags)
		switch {
		case n > 0:
			s.bytes = s.bytes[n:]
			s.progress.bytes.Add(int64(n))
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		default:
			s.err = os.NewSyscallError("sendmsg", err)
			return true
		}
	}
	return true
}

// peerState is what is known of the other end without reading.
type peerState int

const (
	peerThere peerState = iota
	peerShut            // sends no more; may still read
	peerGone            // cannot read
)

// peer looks at the socket without taking anything from it.
func (s *socket) peer() peerState {
	state := peerThere
	if s.raw == nil {
		return state
	}
	err := s.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == nil && n == 0:
			state = peerShut
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			state = peerGone
		}
	})
	if err != nil {
		return peerGone
	}
	return state
}

// listenBacklog sets how many connections may wait to be accepted, which Go leaves at the system's maximum.
func listenBacklog(l *net.TCPListener, backlog int) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), backlog) }); err != nil {
		return err
	}
	return os.NewSyscallError("listen", listenErr)
}
