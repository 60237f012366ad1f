package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"gokafka/handlers"
	"gokafka/protocol"
)

const (
	// copiedMax is the size up to which a file range is read into the buffer of what surrounds it, and all of it sent at once, instead of
	// by a sendfile(2) of its own. Followers, and consumers who keep up, get ranges of a batch or two: copying them took an
	// eighth less of a cluster's processor time under load. Ranges of a megabyte cost a third less by sendfile.
	copiedMax = 128 << 10
	// gatheredMax is how much such an answer gathers before it is sent.
	gatheredMax = 256 << 10
	// copiersMax is how many such answers there are at a time, since clients that do not read what they asked for hold the memory of it.
	// The others copy smaller ranges and gather less.
	copiersMax     = 64
	copiedAlways   = 32 << 10
	gatheredAlways = 96 << 10
	// writeMax is how much one write moves where the system tells of nothing until all is written, so that progress shows: at the
	// lowest rate it takes half of the grace.
	writeMax = 64 << 10
	// heldMax is how much of answers is held for the next one.
	heldMax = 2 << 10
	// bufferKept is the largest buffer that is used again.
	bufferKept = 1 << 20
)

// errStale is the error of a file range that a truncation overtook while its answer was under way.
var errStale = errors.New("the range was truncated")

// sender writes answers to a connection. It is used by one goroutine at a time: the connection's writer while that runs, its
// reader otherwise.
type sender struct {
	nc       net.Conn
	socket   socket // the descriptor's own way, where there is one
	progress *transfer
	copier   bool       // whether the answer in hand is one of copiers
	held     *outBuffer // answers that go out with the next one; nil: none
}

func (s *sender) init(nc net.Conn, progress *transfer) {
	s.nc, s.progress = nc, progress
	s.socket.init(nc, progress)
}

// outBuffer is bytes on their way out.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return new(outBuffer) }}

func (o *outBuffer) release() {
	if cap(o.b) <= bufferKept {
		o.b = o.b[:0]
		outBuffers.Put(o)
	}
}

// copiers are the answers that copy large ranges.
var copiers = make(chan struct{}, copiersMax)

// answer writes an answer and returns the number of bytes; an empty one is none. If another follows at once (more), a small one is held for it.
func (s *sender) answer(call *handlers.Call, a handlers.Answer, more bool) (int, error) {
	switch {
	case a.Reply != nil:
		if err := s.sendHeld(); err != nil {
			return 0, err
		}
		buf := outBuffers.Get().(*outBuffer)
		defer buf.release()
		s.progress.begin(time.Now())
		defer s.progress.end()
		defer s.endCopying()
		return s.reply(buf, call, a.Reply)
	case a.Response == nil && more:
		return 0, nil
	case a.Response == nil:
		return 0, s.sendHeld()
	}
	if s.held == nil {
		s.held = outBuffers.Get().(*outBuffer)
	}
	before := len(s.held.b)
	s.held.b = protocol.AppendResponse(s.held.b, call.CorrelationID, a.Response)
	n := len(s.held.b) - before
	if more && len(s.held.b) <= heldMax {
		return n, nil
	}
	return n, s.sendHeld()
}

// sendHeld sends what is held, if anything is.
func (s *sender) sendHeld() error {
	buf := s.held
	if buf == nil {
		return nil
	}
	s.held = nil
	defer buf.release()
	s.progress.begin(time.Now())
	defer s.progress.end()
	return s.write(buf.b)
}

// reply writes chunks: what is small or in memory already goes through one buffer, long ranges go from file to socket.
func (s *sender) reply(buf *outBuffer, call *handlers.Call, r *protocol.Reply) (int, error) {
	buf.b = protocol.AppendResponseHeader(buf.b, call.Key, call.Version, call.CorrelationID)
	protocol.EndFrame(buf.b, r.Len())
	total := len(buf.b) + r.Len()
	for i := range r.Chunks {
		if err := s.chunk(buf, &r.Chunks[i]); err != nil {
			return 0, err
		}
	}
	return total, s.write(buf.b)
}

func (s *sender) chunk(buf *outBuffer, c *protocol.Chunk) error {
	switch {
	case c.Range != nil:
		return s.fileRange(buf, c.Range)
	case len(c.Bytes) <= copiedAlways:
		if err := s.makeRoom(buf, len(c.Bytes)); err != nil {
			return err
		}
		buf.b = append(buf.b, c.Bytes...)
		return nil
	default:
		if err := s.flush(buf); err != nil {
			return err
		}
		return s.write(c.Bytes)
	}
}

// fileRange sends a range, or adds it to the buffer. What the range held when it was made has been announced to the client,
// so when it holds it no more there is nothing left to do but to close.
func (s *sender) fileRange(buf *outBuffer, r protocol.FileRange) error {
	if !r.Current() {
		return errStale
	}
	if err := s.fileRangeBytes(buf, r); err != nil {
		return fmt.Errorf("send file range: %w", err)
	}
	if !r.Current() {
		return errStale
	}
	return nil
}

func (s *sender) fileRangeBytes(buf *outBuffer, r protocol.FileRange) error {
	n := r.Len()
	if s.copies(n) {
		if err := s.makeRoom(buf, n); err != nil {
			return err
		}
		return buf.read(r, 0, n)
	}
	if f, position := r.File(); f != nil && s.socket.ok() {
		if err := s.flush(buf); err != nil {
			return err
		}
		return s.socket.sendFile(f, position, n)
	}
	for at := 0; at < n; at += writeMax {
		if err := buf.read(r, at, min(writeMax, n-at)); err != nil {
			return err
		}
		if err := s.flush(buf); err != nil {
			return err
		}
	}
	return nil
}

// copies reports whether a range of n bytes is copied.
func (s *sender) copies(n int) bool {
	if n <= copiedAlways || n > copiedMax || s.copier {
		return n <= copiedMax
	}
	select {
	case copiers <- struct{}{}:
		s.copier = true
	default:
	}
	return s.copier
}

func (s *sender) endCopying() {
	if s.copier {
		<-copiers
		s.copier = false
	}
}

// makeRoom sends what is gathered if n bytes more would be too much.
func (s *sender) makeRoom(buf *outBuffer, n int) error {
	most := gatheredAlways
	if s.copier {
		most = gatheredMax
	}
	if len(buf.b)+n <= most {
		return nil
	}
	return s.flush(buf)
}

// read appends n bytes of a range.
func (o *outBuffer) read(r protocol.FileRange, at, n int) error {
	begin := len(o.b)
	o.b = slices.Grow(o.b, n)[:begin+n]
	if got, err := r.ReadAt(o.b[begin:], int64(at)); got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// flush sends what is in the buffer, with more to follow.
func (s *sender) flush(buf *outBuffer) error {
	b := buf.b
	buf.b = buf.b[:0]
	if s.socket.ok() {
		return s.socket.send(b, true)
	}
	return s.write(b)
}

func (s *sender) write(b []byte) error {
	if s.socket.ok() {
		return s.socket.send(b, false)
	}
	for len(b) > 0 {
		n, err := s.nc.Write(b[:min(len(b), writeMax)])
		s.progress.bytes.Add(int64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
