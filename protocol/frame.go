package protocol

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

// ErrFrameSize is the error of a frame that announces no bytes, or more than may be.
var ErrFrameSize = errors.New("frame size out of bounds")

const (
	// frameBufferBytes is the buffer that every connection has. Most requests fit, and are handled where they were read.
	frameBufferBytes = 2 << 10
	// frameGrowth bounds what a peer can make us hold: the buffer of a frame is at most this many times what has arrived of it.
	// A frame of up to 128 KiB gets its whole buffer once 2 KiB are there, one of up to 8 MiB the next time.
	frameGrowth = 64
)

// FrameReader reads frames: four bytes of size and as many bytes of content. What a frame announces is not believed before it
// comes: the memory for it grows with its bytes. A FrameReader belongs to one goroutine.
type FrameReader struct {
	r      io.Reader
	max    int32
	budget *Budget

	large      *buffer // the frame in hand, or what has come of it, when it does not fit into small
	charged    int
	arrival    *list.Element              // the frame's place in the budget while it arrives
	start, end int                        // what has been read into small and not returned
	small      [4 + frameBufferBytes]byte // of a large frame the first read takes all that is needed to go on
}

// NewFrameReader reads frames of up to max bytes from r. Those that take memory beside the reader's own charge it to the
// budget; nil is no bound.
func NewFrameReader(r io.Reader, max int32, budget *Budget) *FrameReader {
	return &FrameReader{r: r, max: max, budget: budget}
}

// Partial reports whether a frame has begun that Next has not returned.
func (f *FrameReader) Partial() bool { return f.start < f.end }

// Next returns the content of the next frame, which is valid until Release. It returns io.EOF at an end between frames,
// io.ErrUnexpectedEOF at one within, and ErrFrameSize, wrapped.
func (f *FrameReader) Next() ([]byte, error) {
	if err := f.fill(4); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(f.small[f.start:]))
	if size <= 0 || size > f.max {
		return nil, fmt.Errorf("read frame of %d bytes: %w", size, ErrFrameSize)
	}
	f.start += 4
	if size > frameBufferBytes {
		return f.readLarge(int(size))
	}
	if err := f.fill(int(size)); err != nil {
		return nil, noCleanEOF(err)
	}
	frame := f.small[f.start : f.start+int(size)]
	f.start += int(size)
	return frame, nil
}

// Release ends the use of the frame that Next returned.
func (f *FrameReader) Release() {
	f.large.release()
	f.large = nil
	f.budget.release(f.charged, f.arrival)
	f.charged, f.arrival = 0, nil
}

// fill reads until n bytes are in the small buffer in one piece.
func (f *FrameReader) fill(n int) error {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.start+n > len(f.small) {
		f.end = copy(f.small[:], f.small[f.start:f.end])
		f.start = 0
	}
	for f.end-f.start < n {
		got, err := f.r.Read(f.small[f.end:])
		f.end += got
		if err != nil && f.end-f.start < n {
			if f.start < f.end {
				return noCleanEOF(err)
			}
			return err
		}
	}
	return nil
}

// readLarge reads a frame that is larger than the small buffer: first that one full, then buffers of growing size.
func (f *FrameReader) readLarge(size int) ([]byte, error) {
	if err := f.fill(frameBufferBytes); err != nil {
		return nil, noCleanEOF(err)
	}
	have := f.small[f.start:min(f.end, f.start+size)]
	f.start += len(have)
	for n := len(have); ; {
		if err := f.grow(min(size, frameGrowth*n), have); err != nil {
			return nil, err
		}
		got, err := io.ReadFull(f.r, f.large.b[n:])
		if err != nil {
			return nil, noCleanEOF(err)
		}
		if n += got; n == size {
			f.budget.arrived(f.arrival)
			return f.large.b, nil
		}
		have = f.large.b
	}
}

// grow moves what there is of the frame into a buffer of n bytes.
func (f *FrameReader) grow(n int, have []byte) (err error) {
	if f.arrival, err = f.budget.acquire(n-f.charged, f.arrival); err != nil {
		return err
	}
	f.charged = n
	b := newBuffer(n)
	copy(b.b, have)
	f.large.release()
	f.large = b
	return nil
}

func noCleanEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Buffers come in powers of two, from 4 KiB to 16 MiB. Larger ones are left to the garbage collector.
const (
	bufferBitsMin = 12
	bufferBitsMax = 24
)

// buffer is bytes that go back to their pool.
type buffer struct{ b []byte }

var buffers [bufferBitsMax + 1]sync.Pool

// newBuffer returns a buffer of n bytes, whose content is arbitrary.
func newBuffer(n int) *buffer {
	class := max(bufferBitsMin, bits.Len(uint(n-1)))
	if class > bufferBitsMax {
		return &buffer{make([]byte, n)}
	}
	if b, ok := buffers[class].Get().(*buffer); ok {
		b.b = b.b[:n]
		return b
	}
	return &buffer{make([]byte, n, 1<<class)}
}

// release ends the use of the buffer; nil is none.
func (b *buffer) release() {
	if b == nil || cap(b.b) > 1<<bufferBitsMax {
		return
	}
	buffers[bits.Len(uint(cap(b.b)-1))].Put(b)
}

// ErrBudgetClosed is the error of a frame that waited for memory when the budget was closed.
var ErrBudgetClosed = errors.New("request memory: closed")

// Budget bounds the memory of the large frames of all connections: Kafka's queued.max.request.bytes. A frame begins, and grows, when
// any of it is left. The oldest of those that arrive grows in any case, so that frames which have begun come to their end, one after the
// other, and none is too large for the bound. A nil Budget has no bound.
type Budget struct {
	mu       sync.Mutex
	freed    sync.Cond
	left     int64
	closed   bool
	arriving list.List // frames that have begun and not ended, oldest first
}

// NewBudget returns a budget of so many bytes, or nil when the number is not positive.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		return nil
	}
	b := &Budget{left: bytes}
	b.freed.L = &b.mu
	return b
}

// Close ends every wait for memory.
func (b *Budget) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.freed.Broadcast()
}

// acquire takes n bytes for a frame that arrives, nil for one that begins, and returns its place.
func (b *Budget) acquire(n int, arrival *list.Element) (*list.Element, error) {
	if b == nil {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left <= 0 && !b.closed && (arrival == nil || arrival != b.arriving.Front()) {
		b.freed.Wait()
	}
	if b.closed {
		return arrival, ErrBudgetClosed
	}
	if arrival == nil {
		arrival = b.arriving.PushBack(nil)
	}
	b.left -= int64(n)
	return arrival, nil
}

// arrived ends a frame's arrival. What it has taken stays taken.
func (b *Budget) arrived(arrival *list.Element) { b.release(0, arrival) }

// release gives n bytes back, and ends the arrival of their frame if it has not ended.
func (b *Budget) release(n int, arrival *list.Element) {
	if b == nil || arrival == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += int64(n)
	b.arriving.Remove(arrival) // of one that was removed before it does nothing
	b.freed.Broadcast()
}
