package metastore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/rs/zerolog"
)

// The library passes on what the network says of a request in whose sending the connection broke.
func TestBrokenConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	_, closed := c.Write([]byte("x"))
	for _, err := range []error{zk.ErrConnectionClosed, closed, fmt.Errorf("write: %w", &net.OpError{Op: "write", Err: errors.New("broken pipe")}), io.EOF} {
		if !broken(err) {
			t.Errorf("%v is not taken for a broken connection", err)
		}
	}
	for _, err := range []error{nil, zk.ErrNoNode, zk.ErrSessionExpired, zk.ErrClosing, errTooLarge} {
		if broken(err) {
			t.Errorf("%v is taken for a broken connection", err)
		}
	}
}

// limited is a server that knows no node, and closes connections in which a request comes that is larger than jute.maxbuffer.
type limited struct {
	net.Listener
	sessions atomic.Int32
}

func newLimited(t *testing.T) *limited {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &limited{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go s.serve(c)
		}
	}()
	return s
}

func (s *limited) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	if _, err := frame(c); err != nil {
		return
	}
	s.sessions.Add(1)
	welcome := binary.BigEndian.AppendUint32(nil, 0)       // protocol
	welcome = binary.BigEndian.AppendUint32(welcome, 6000) // timeout
	welcome = binary.BigEndian.AppendUint64(welcome, 77)   // session
	welcome = binary.BigEndian.AppendUint32(welcome, 16)   // password
	welcome = append(welcome, make([]byte, 16)...)
	for answer := welcome; answer != nil; {
		if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return
		}
		request, err := frame(c)
		if err != nil {
			return
		}
		answer = binary.BigEndian.AppendUint64(request[:4:4], 1) // xid, zxid
		code := int32(0)
		if int32(binary.BigEndian.Uint32(request)) >= 0 { // else a ping
			code = -101 // no node
		}
		answer = binary.BigEndian.AppendUint32(answer, uint32(code))
	}
}

func frame(c net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > requestBytesMax {
		return nil, errTooLarge
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

// TestTooLargeRequest writes what ZooKeeper will never take: it is given up, and not for the connection's fault.
func TestTooLargeRequest(t *testing.T) {
	s := newLimited(t)
	z, err := ConnectZooKeeper(t.Context(), ZooKeeperOptions{Connect: s.Addr().String(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	results, err := z.Write(t.Context(), []Txn{{Check("/a", 0), Set("/big", make([]byte, requestBytesMax), AnyVersion)}})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; !errors.Is(r.Err, errTooLarge) || r.Failed != 1 {
		t.Errorf("answered with %v at %d", r.Err, r.Failed)
	}
	if n := s.sessions.Load(); n > tooLargeTries+1 {
		t.Errorf("%d connections were broken by it", n-1)
	}
	if r, err := z.Read(t.Context(), []Read{{Path: "/a"}}); err != nil || !errors.Is(r[0].Err, ErrNoNode) {
		t.Errorf("afterwards a read is answered with %v, %v", r, err)
	}
}
