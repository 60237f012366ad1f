package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

func frame(content []byte) []byte {
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content)
}

// randomReads is a reader that returns as much as it likes.
type randomReads struct {
	r    io.Reader
	rand *rand.Rand
}

func (r randomReads) Read(p []byte) (int, error) {
	return r.r.Read(p[:1+r.rand.IntN(len(p))])
}

func TestFramesComeWholeAndInOrder(t *testing.T) {
	sizes := []int{1, 7, 8, 100, 2043, 2044, 2045, 2047, 2048, 2049, 4096, 10_000, 64 << 10, 130 << 10, 131072, 131073, 300_000, 9 << 20, 3}
	r := rand.New(rand.NewPCG(3, 4))
	var stream []byte
	var contents [][]byte
	for range 2 {
		for _, n := range sizes {
			content := make([]byte, n)
			for i := range content {
				content[i] = byte(r.Uint32())
			}
			contents = append(contents, content)
			stream = append(stream, frame(content)...)
		}
		r.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	}
	for name, reader := range map[string]io.Reader{
		"whole":     bytes.NewReader(stream),
		"random":    randomReads{bytes.NewReader(stream), r},
		"data, EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			budget := NewBudget(1)
			f := NewFrameReader(reader, 100<<20, budget)
			for i, want := range contents {
				got, err := f.Next()
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("frame %d of %d bytes: got %d, %v", i, len(want), len(got), err)
				}
				f.Release()
			}
			if _, err := f.Next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
			if budget.left != 1 {
				t.Errorf("budget has %d left, want all", budget.left)
			}
		})
	}
}

// Case 93.
func TestFrameSizeBounds(t *testing.T) {
	const limit = 1000
	for size, ok := range map[int32]bool{-1 << 31: false, -1: false, 0: false, 1: true, limit: true, limit + 1: false, 1<<31 - 1: false} {
		stream := binary.BigEndian.AppendUint32(nil, uint32(size))
		if ok {
			stream = frame(make([]byte, size))
		}
		_, err := NewFrameReader(bytes.NewReader(stream), limit, nil).Next()
		if errors.Is(err, ErrFrameSize) == ok {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestFrameCutShort(t *testing.T) {
	for _, size := range []int{10, 5000, 500_000} {
		whole := frame(make([]byte, size))
		for _, cut := range []int{1, 3, 4, 5, 9, 2048, 4000, 200_000, size + 3} {
			if cut >= len(whole) {
				continue
			}
			f := NewFrameReader(bytes.NewReader(whole[:cut]), 1<<20, nil)
			if _, err := f.Next(); err != io.ErrUnexpectedEOF {
				t.Errorf("%d of %d bytes: %v", cut, len(whole), err)
			}
			f.Release()
		}
	}
}

// Case 94: what a frame announces is not believed before it comes.
func TestFrameMemoryFollowsWhatArrived(t *testing.T) {
	for _, tt := range []struct{ arrived, most int }{
		{0, 0},
		{4, 0},
		{2000, 0},
		{4 << 10, 128 << 10},
		{127 << 10, 128 << 10},
		{129 << 10, 9 << 20},
	} {
		stream := append(binary.BigEndian.AppendUint32(nil, 100<<20), make([]byte, tt.arrived)...)
		budget := NewBudget(1 << 30)
		f := NewFrameReader(bytes.NewReader(stream), 100<<20, budget)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := f.Next(); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if f.charged > tt.most || (f.large != nil && len(f.large.b) != f.charged) {
			t.Errorf("%d bytes arrived: %d charged, want at most %d", tt.arrived, f.charged, tt.most)
		}
		if got := int(after.TotalAlloc - before.TotalAlloc); got > tt.most*5/4+4096 {
			t.Errorf("%d bytes arrived: %d allocated", tt.arrived, got)
		}
		f.Release()
	}
}

func TestBudgetHoldsBackFramesThatHaveNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(5000)
		stream := frame(make([]byte, 10_000))
		first := NewFrameReader(bytes.NewReader(stream), 1<<20, budget)
		if _, err := first.Next(); err != nil {
			t.Fatal(err)
		}
		small := NewFrameReader(bytes.NewReader(frame([]byte("small"))), 1<<20, budget)
		if _, err := small.Next(); err != nil {
			t.Fatalf("a small frame: %v", err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() {
				f := NewFrameReader(bytes.NewReader(stream), 1<<20, budget)
				_, err := f.Next()
				done <- err
			}()
		}
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("a frame began without memory")
		}
		first.Release()
		synctest.Wait()
		if len(done) != 1 {
			t.Fatalf("%d frames began, want 1", len(done))
		}
		budget.Close()
		if err1, err2 := <-done, <-done; err1 != nil || !errors.Is(err2, ErrBudgetClosed) {
			t.Errorf("%v, %v", err1, err2)
		}
	})
}

// Frames that have begun grow one after the other when nothing is left, the oldest first, and none waits for ever.
func TestBudgetLetsTheOldestFrameGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 400 << 10
		budget := NewBudget(100 << 10)
		ended := make(chan int, 3)
		var senders []net.Conn
		for i := range 3 {
			sender, receiver := net.Pipe()
			defer sender.Close()
			senders = append(senders, sender)
			f := NewFrameReader(receiver, 1<<20, budget)
			go func() {
				if _, err := f.Next(); err != nil {
					t.Error(err)
				}
				ended <- i
				f.Release()
			}()
			if i == 0 { // the first has taken all there is before the others begin
				send(t, sender, frame(make([]byte, size))[:200<<10])
			}
		}
		budget.mu.Lock()
		budget.left = 1 // the others may begin, and not grow
		budget.mu.Unlock()
		for _, sender := range senders[1:] {
			go sender.Write(frame(make([]byte, size)))
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatalf("%d frames have ended before the oldest", len(ended))
		}
		send(t, senders[0], make([]byte, size+4-200<<10))
		if first := <-ended; first != 0 {
			t.Errorf("frame %d ended first", first)
		}
		<-ended
		<-ended
	})
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(frame([]byte("hello")), uint64(1))
	f.Add(frame(make([]byte, 5000)), uint64(2))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const limit = 1 << 20
		reader := NewFrameReader(randomReads{bytes.NewReader(stream), rand.New(rand.NewPCG(seed, 0))}, limit, nil)
		for at := 0; ; {
			got, err := reader.Next()
			if err != nil {
				return
			}
			want := stream[at+4:][:len(got)]
			if !bytes.Equal(got, want) || len(got) != int(binary.BigEndian.Uint32(stream[at:])) {
				t.Fatalf("frame at %d: %x, want %x", at, got, want)
			}
			at += 4 + len(got)
			reader.Release()
		}
	})
}

// loop is a reader that repeats its bytes for ever.
type loop struct {
	b  []byte
	at int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.b[l.at:])
	l.at = (l.at + n) % len(l.b)
	return n, nil
}

func BenchmarkFrameReader(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"100B", 100}, {"17KiB", 17 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(bb.name, func(b *testing.B) {
			f := NewFrameReader(&loop{b: frame(make([]byte, bb.size))}, 100<<20, nil)
			b.SetBytes(int64(bb.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Next(); err != nil {
					b.Fatal(err)
				}
				f.Release()
			}
		})
	}
}
