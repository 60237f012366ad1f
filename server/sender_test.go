package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
	"gokafka/protocol"
)

// fileRange is a part of a file that can be truncated away.
type fileRange struct {
	f              *os.File
	position       int64
	n              int
	descriptor     bool // whether File gives it away
	currentFor     int  // how often Current says yes
	asked          int
	released, read *atomic.Int32
}

func (r *fileRange) Len() int { return r.n }
func (r *fileRange) File() (*os.File, int64) {
	if !r.descriptor {
		return nil, 0
	}
	return r.f, r.position
}
func (r *fileRange) ReadAt(p []byte, offset int64) (int, error) {
	r.read.Add(1)
	return io.NewSectionReader(r.f, r.position, int64(r.n)).ReadAt(p, offset)
}
func (r *fileRange) Current() bool {
	r.asked++
	return r.asked <= r.currentFor
}
func (r *fileRange) Release() { r.released.Add(1) }

// rangeServer answers Fetch with replies that the test makes.
func rangeServer(t *testing.T, next func() *protocol.Reply) *testServer {
	return newServer(t, Options{}, toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		return handlers.Answer{Reply: next()}, nil, nil
	}))
}

func randomFile(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "segment"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f, content
}

func TestRepliesOfFileRanges(t *testing.T) {
	f, content := randomFile(t, 8<<20)
	r := rand.New(rand.NewPCG(5, 6))
	var released, read atomic.Int32
	wants := make(chan []byte, 1)
	var ranges atomic.Int32
	reply := func() *protocol.Reply {
		reply := &protocol.Reply{}
		var want []byte
		defer func() { wants <- want }()
		for range r.IntN(8) {
			n := []int{1, 100, copiedMax, copiedMax + 1, 100_000, 3 << 20}[r.IntN(6)]
			at := r.IntN(len(content) - n)
			want = append(want, content[at:at+n]...)
			if r.IntN(3) == 0 {
				reply.Chunks = append(reply.Chunks, protocol.Chunk{Bytes: content[at : at+n]})
				continue
			}
			ranges.Add(1)
			reply.Chunks = append(reply.Chunks, protocol.Chunk{Range: &fileRange{
				f: f, position: int64(at), n: n, descriptor: r.IntN(3) > 0, currentFor: 99, released: &released, read: &read,
			}})
		}
		return reply
	}
	s := rangeServer(t, reply)
	c := s.dial()
	for i := range 100 {
		c.send(fetch())
		id, body := c.receive()
		want := <-wants
		if id != int32(i+1) || !bytes.Equal(body[1:], want) { // one byte of header tags
			t.Fatalf("reply %d of %d bytes, want %d of %d", id, len(body)-1, i+1, len(want))
		}
	}
	c.Close()
	s.awaitConnections(0)
	if released.Load() != ranges.Load() {
		t.Errorf("%d ranges released, want %d", released.Load(), ranges.Load())
	}
}

// A range that a truncation overtook is not sent, or if it was, is the last thing that this connection sends.
func TestStaleRangesClose(t *testing.T) {
	f, _ := randomFile(t, 1<<20)
	for _, n := range []int{1000, 1 << 20} {
		for currentFor := range 2 {
			t.Run(fmt.Sprint(n, currentFor), func(t *testing.T) {
				var released, read atomic.Int32
				s := rangeServer(t, func() *protocol.Reply {
					return &protocol.Reply{Chunks: []protocol.Chunk{
						{Bytes: []byte("head")},
						{Range: &fileRange{f: f, n: n, descriptor: true, currentFor: currentFor, released: &released, read: &read}},
						{Bytes: []byte("tail")},
					}}
				})
				c := s.dial()
				c.send(fetch(), fetch())
				got, _ := io.ReadAll(c)
				if len(got) >= 4+4+1+4+n+4 || n < copiedAlways && len(got) > 0 {
					t.Errorf("%d bytes came", len(got))
				}
				s.awaitConnections(0)
				if released.Load() != 1 {
					t.Errorf("%d ranges released", released.Load())
				}
			})
		}
	}
}

// A file that is shorter than its range ends the connection, not the process.
func TestShortFile(t *testing.T) {
	f, _ := randomFile(t, 1000)
	for _, descriptor := range []bool{false, true} {
		for _, n := range []int{2000, 1 << 20} {
			t.Run(fmt.Sprint(descriptor, n), func(t *testing.T) {
				var released, read atomic.Int32
				s := rangeServer(t, func() *protocol.Reply {
					return &protocol.Reply{Chunks: []protocol.Chunk{
						{Range: &fileRange{f: f, n: n, descriptor: descriptor, currentFor: 99, released: &released, read: &read}},
					}}
				})
				c := s.dial()
				c.send(fetch())
				_, _ = io.ReadAll(c)
				s.awaitConnections(0)
				if released.Load() != 1 || !strings.Contains(s.logs.String(), "unexpected EOF") {
					t.Errorf("%d released, logged %q", released.Load(), s.logs)
				}
			})
		}
	}
}

// What waits behind a failed answer lets go of its ranges.
func TestPendingRangesAreReleasedAfterAFailure(t *testing.T) {
	f, _ := randomFile(t, 1<<20)
	var released, read atomic.Int32
	waits := newProduceWaits()
	s := newServer(t, Options{}, waits.api(), toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		return handlers.Answer{Reply: &protocol.Reply{Chunks: []protocol.Chunk{
			{Range: &fileRange{f: f, n: 1 << 20, descriptor: true, currentFor: 99, released: &released, read: &read}},
		}}}, nil, nil
	}))
	c := s.dial()
	c.send(produce(), fetch(), fetch(), fetch())
	(<-waits.begun).release <- io.ErrClosedPipe
	_, _ = io.ReadAll(c)
	s.awaitConnections(0)
	if got := released.Load(); got > 3 || read.Load() != 0 {
		t.Errorf("%d ranges released, %d read", got, read.Load())
	}
}

// A client that goes away while it is sent a long range is no fault of the server's, and nothing to log.
func TestClientLeavesDuringARange(t *testing.T) {
	f, _ := randomFile(t, 64<<20)
	var released, read atomic.Int32
	s := rangeServer(t, func() *protocol.Reply {
		return &protocol.Reply{Chunks: []protocol.Chunk{
			{Range: &fileRange{f: f, n: 64 << 20, descriptor: true, currentFor: 99, released: &released, read: &read}},
		}}
	})
	c := s.dial()
	c.send(fetch())
	if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	c.Close() // what it has not read resets the connection
	s.awaitConnections(0)
	if n := s.logs.count(); n != 0 || released.Load() != 1 {
		t.Errorf("%d released, logged %q", released.Load(), s.logs)
	}
}

// When many answers are copied already, as when their clients do not read, the next one is sent from the file, without memory for it.
func TestCopiesAreBounded(t *testing.T) {
	f, content := randomFile(t, copiedMax)
	var released, read atomic.Int32
	s := rangeServer(t, func() *protocol.Reply {
		return &protocol.Reply{Chunks: []protocol.Chunk{{Range: &fileRange{
			f: f, n: copiedMax, descriptor: true, currentFor: 99, released: &released, read: &read,
		}}}}
	})
	c := s.dial()
	ask := func() int32 {
		t.Helper()
		before := read.Load()
		c.send(fetch())
		if _, body := c.receive(); !bytes.Equal(body[1:], content) {
			t.Error("the answer is not what the range holds")
		}
		return read.Load() - before
	}
	if ask() == 0 && runtime.GOOS == "linux" {
		t.Error("an answer of this size is not copied")
	}
	for range copiersMax {
		copiers <- struct{}{}
		defer func() { <-copiers }()
	}
	if ask() != 0 && runtime.GOOS == "linux" {
		t.Error("one answer more is copied")
	}
}

// What an answer gathers before it is sent is bounded, and more so for those that copy no large ranges.
func TestGatheredBytesAreBounded(t *testing.T) {
	f, _ := randomFile(t, copiedMax)
	var released, read atomic.Int32
	for _, test := range []struct{ size, most int }{{copiedAlways, gatheredAlways}, {copiedMax, gatheredMax}} {
		client, nc := net.Pipe()
		go io.Copy(io.Discard, client) // ends with the connection
		var s sender
		var progress transfer
		s.init(nc, &progress)
		buf := &outBuffer{}
		most := 0
		for range 20 {
			for _, c := range []protocol.Chunk{
				{Bytes: make([]byte, copiedAlways)},
				{Range: &fileRange{f: f, n: test.size, currentFor: 99, released: &released, read: &read}},
			} {
				if err := s.chunk(buf, &c); err != nil {
					t.Fatal(err)
				}
				most = max(most, len(buf.b))
			}
		}
		s.endCopying()
		nc.Close()
		if most > test.most || most < test.size {
			t.Errorf("ranges of %d: %d bytes were gathered", test.size, most)
		}
	}
	if n := len(copiers); n != 0 {
		t.Errorf("%d answers are still copied", n)
	}
}
