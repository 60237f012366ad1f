package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
)

func TestAnswersLeaveInRequestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, echo(), waits.api())
		c := s.pipe()
		go c.send(metadata(), produce(), metadata(), produce(), produce(), metadata())
		if id, _ := c.receive(); id != 1 {
			t.Errorf("answer to %d, want 1", id)
		}
		first, second, third := <-waits.begun, <-waits.begun, <-waits.begun
		third.release <- nil
		second.release <- nil
		synctest.Wait()
		first.release <- nil
		for want := int32(2); want <= 6; want++ {
			if id, _ := c.receive(); id != want {
				t.Errorf("answer to %d, want %d", id, want)
			}
		}
		c.send(metadata())
		if id, _ := c.receive(); id != 7 {
			t.Errorf("answer to %d, want 7", id)
		}
	})
}

// What becomes known together leaves in one write; what is known does not wait for what is not, nor go down with what fails.
func TestKnownAnswersLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, echo(), waits.api())
		c := s.pipe()
		go c.send(produce(), produce(), metadata(), produce(), produce(), produce())
		synctest.Wait()
		var begun []*produceWait
		for len(waits.begun) > 0 {
			begun = append(begun, <-waits.begun)
		}
		write := func() (ids []int32) { // a pipe's read sees one write at most
			b := make([]byte, 1<<10)
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			for b = b[:n]; len(b) > 0; b = b[4+binary.BigEndian.Uint32(b):] {
				ids = append(ids, int32(binary.BigEndian.Uint32(b[4:])))
			}
			return ids
		}
		begun[1].release <- nil
		begun[0].release <- nil
		if got, want := write(), []int32{1, 2, 3}; !slices.Equal(got, want) {
			t.Errorf("answers in the first write: %v, want %v", got, want)
		}
		begun[4].release <- io.ErrClosedPipe
		begun[3].release <- nil
		begun[2].release <- nil
		if got, want := write(), []int32{4, 5}; !slices.Equal(got, want) {
			t.Errorf("answers in the second write: %v, want %v", got, want)
		}
		c.closed()
	})
}

// unsure panics when it is asked beforehand.
type unsure struct{ handlers.Wait }

func (unsure) Known() bool { panic("unsure") }

func TestPanicOfWhatIsAskedBeforehand(t *testing.T) {
	waits := newProduceWaits()
	s := newServer(t, Options{}, echo(), waits.api(), toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		return handlers.Answer{}, unsure{waitFunc(func(context.Context) (handlers.Answer, error) { return handlers.Answer{}, nil })}, nil
	}))
	c := s.dial()
	c.send(produce(), fetch())
	first := <-waits.begun
	for s.conns.all()[0].answers.owed() < 2 {
		runtime.Gosched()
	}
	first.release <- nil
	if id, _ := c.receive(); id != 1 {
		t.Errorf("answer to %d, want 1", id)
	}
	c.closed()
	s.awaitConnections(0)
	other := s.dial()
	other.send(metadata())
	other.receive()
	if n := s.logs.count(); n != 1 || !strings.Contains(s.logs.String(), "unsure") {
		t.Errorf("logged %q", s.logs)
	}
}

func TestRequestsAreNotReadBeyondPendingMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, waits.api())
		c := s.pipe()
		go func() {
			for range pendingMax + 10 {
				c.send(produce())
			}
		}()
		synctest.Wait()
		// The one beyond has begun, and its reader waits for room.
		if n := len(waits.begun); n != pendingMax+1 {
			t.Fatalf("%d requests have begun, want %d", n, pendingMax+1)
		}
		for want := int32(1); want <= pendingMax+10; want++ {
			(<-waits.begun).release <- nil
			if id, _ := c.receive(); id != want {
				t.Errorf("answer to %d, want %d", id, want)
			}
		}
	})
}

// Case 103.
func TestHalfCloseAfterPipelining(t *testing.T) {
	const n = 1000
	waits := newProduceWaits()
	s := newServer(t, Options{}, echo(), waits.api())
	c := s.dial()
	go func() {
		for range n / 2 {
			c.send(produce(), metadata())
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite() // after the last request
	}()
	go func() {
		for range n / 2 {
			(<-waits.begun).release <- nil
		}
	}()
	for want := int32(1); want <= n; want++ {
		if id, _ := c.receive(); id != want {
			t.Fatalf("answer to %d, want %d", id, want)
		}
	}
	c.closed()
}

func TestAcksZeroHasNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, echo(), toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, nil, nil
		}))
		c := s.pipe()
		go c.send(produce(), produce(), metadata())
		if id, _ := c.receive(); id != 3 {
			t.Errorf("answer to %d, want 3", id)
		}
	})
}

func TestHandlerErrorsCloseOneConnection(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		api  handlers.API
		logs string
	}{
		{"error", toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, nil, boom
		}), "boom"},
		{"close", toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, nil, fmt.Errorf("acks=0: %w", handlers.ErrClose)
		}), ""},
		{"panic", toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			panic(boom)
		}), "boom"},
		{"error in the second stage", toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, waitFunc(func(context.Context) (handlers.Answer, error) { return handlers.Answer{}, boom }), nil
		}), "boom"},
		{"panic in the second stage", toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, waitFunc(func(context.Context) (handlers.Answer, error) { panic(boom) }), nil
		}), "boom"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPipeServer(t, tt.api, echo())
				bad, good := s.pipe(), s.pipe()
				go bad.send(produce())
				bad.closed()
				synctest.Wait()
				if got := s.logs.String(); strings.Contains(got, "boom") != (tt.logs != "") {
					t.Errorf("logged %q", got)
				}
				go good.send(metadata())
				good.receive()
				if m := s.Metrics(); m.APIs[0].Failures != 1 {
					t.Errorf("%d failures counted", m.APIs[0].Failures)
				}
			})
		})
	}
}

// What was asked before a bad frame is answered before the connection ends, as when requests are handled one by one.
func TestOwedAnswersPrecedeTheClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, waits.api())
		c := s.pipe()
		go func() {
			c.send(produce())
			_, _ = c.Write([]byte{0, 0, 0, 0})
		}()
		w := <-waits.begun
		synctest.Wait()
		w.release <- nil
		if id, _ := c.receive(); id != 1 {
			t.Errorf("answer to %d", id)
		}
		c.closed()
	})
}

// Cases 93, 95, 97, 98, 100: the connection closes without a byte, and one line is logged for the address.
func TestGarbageCloses(t *testing.T) {
	u32 := func(v uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, v), rest...) }
	request := func(key, version int16, body ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0, 1, 'c')
		return u32(uint32(len(b)+len(body)), append(b, body...)...)
	}
	for name, b := range map[string][]byte{
		"size -1":                 u32(1<<32 - 1),
		"size 0":                  u32(0),
		"size 1":                  u32(1, 0),
		"size 7":                  u32(7, 0, 18, 0, 0, 0, 0, 0),
		"size 8, no client id":    u32(8, 0, 18, 0, 0, 0, 0, 0, 1),
		"size 2^31-1":             u32(1<<31 - 1),
		"limit + 1":               u32(100<<20 + 1),
		"http":                    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"ssh":                     []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"smtp":                    []byte("EHLO example.org\r\n"),
		"tls hello":               {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		"key -1":                  request(-1, 0),
		"key 32767":               request(32767, 0),
		"key without handler":     request(1, 0),
		"version above":           request(3, 99),
		"version below":           request(3, -1),
		"no body":                 request(3, 0),
		"header tags, 2^32-1":     request(3, 12, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"body tags, 2^32-1":       request(18, 3, 0, 2, 'a', 2, 'b', 0xff, 0xff, 0xff, 0xff, 0x0f),
		"array as long as rest":   request(3, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0),
		"client id past the end":  u32(12, 0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 'a', 'b'),
		"null where not nullable": request(3, 0, 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, Options{}, echo(), apiVersions())
			for range 2 {
				c := s.dial()
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
				c.closed()
			}
			s.awaitConnections(0)
			if n := s.logs.count(); n != 1 {
				t.Errorf("%d lines logged, want 1: %s", n, s.logs)
			}
			if m := s.Metrics(); m.Rejected != 2 {
				t.Errorf("%d rejected, want 2", m.Rejected)
			}
		})
	}
}

// awaitConnections returns when the server has n connections.
func (s *testServer) awaitConnections(n int) {
	for s.conns.len() != n {
		runtime.Gosched()
	}
}

// Case 99, and what ApiVersions is sent before a client knows anything.
func TestApiVersionsOfAnyVersion(t *testing.T) {
	s := newServer(t, Options{}, apiVersions())
	c := s.dial()
	for _, version := range []int16{5, 99, -1} {
		b := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 12, 0, 18}, uint16(version))
		if version >= 3 {
			b = append(b, 0, 0, 0, 7, 0, 1, 'c', 0) // with header tags
		} else {
			b = append(b, 0, 0, 0, 7, 0, 2, 'c', 'd')
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		id, body := c.receive()
		if want := "\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x04"; id != 7 || string(body) != want {
			t.Errorf("v%d: %d %x, want %x", version, id, body, want)
		}
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, "bad name", "1"
	c.send(req)
	if _, body := c.receive(); string(body[:2]) != "\x00\x2a" {
		t.Errorf("bad name: %x", body)
	}
}

// Case 94.
func TestAnnouncedFramesTakeNoMemory(t *testing.T) {
	const n = 1000
	s := newServer(t, Options{}, echo())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		c := s.dial()
		if _, err := c.Write([]byte{6, 0x40, 0, 0, 1, 2, 3, 4}); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitConnections(n)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > n*16<<10 {
		t.Errorf("%d connections allocated %d bytes", n, got)
	}
	c := s.dial()
	c.send(metadata())
	c.receive()
}

func TestIdleConnectionsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, echo(), waits.api())
		c, waiting := s.pipe(), s.pipe()
		go waiting.send(produce())
		time.Sleep(9 * time.Minute)
		go c.send(metadata())
		c.receive()
		time.Sleep(9 * time.Minute)
		go c.send(metadata())
		c.receive()
		began := time.Now()
		c.closed()
		if took := time.Since(began); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
			t.Errorf("closed after %v of idling", took)
		}
		(<-waits.begun).release <- nil
		waiting.receive() // it was owed an answer all the time
	})
}

// Case 101: bytes that trickle in keep nothing open.
func TestSlowFramesAreCut(t *testing.T) {
	for name, first := range map[string][]byte{"size": {0}, "body": {0, 0, 0, 100}, "large body": append([]byte{0, 16, 0, 0}, make([]byte, 4096)...)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPipeServer(t, echo())
				c := s.pipe()
				began := time.Now()
				_, err := c.Write(first)
				for err == nil {
					time.Sleep(10 * time.Second)
					_, err = c.Write([]byte{1})
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("cut after %v", took)
				}
			})
		})
	}
}

// A frame that comes slowly but surely is read.
func TestSteadyFramesLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, echo())
		c := s.pipe()
		big := kmsg.NewPtrMetadataRequest()
		big.Version = 12
		for range 1 << 10 {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(strings.Repeat("x", 1000))
			big.Topics = append(big.Topics, topic)
		}
		b := formatter.AppendRequest(nil, big, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for len(b) > 0 {
				n, err := c.Write(b[:min(len(b), 10_000)])
				if err != nil {
					t.Errorf("cut with %d bytes to go", len(b))
					return
				}
				b = b[n:]
				time.Sleep(2 * time.Second)
			}
		}()
		c.receive()
		<-done
	})
}

// Case 102: a client that never reads is closed, and one that reads slowly is not.
func TestSlowReaders(t *testing.T) {
	answerOf := func(n int) handlers.API {
		return toy(3, 12, func(_ context.Context, _ *handlers.Call, req kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			resp := req.ResponseKind().(*kmsg.MetadataResponse)
			resp.ClusterID = kmsg.StringPtr(strings.Repeat("x", n))
			return handlers.Answer{Response: resp}, nil, nil
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, answerOf(1<<20))
		stuck, slow := s.pipe(), s.pipe()
		go stuck.send(metadata())
		go slow.send(metadata())
		b := make([]byte, 50<<10)
		for range 18 {
			if _, err := io.ReadFull(slow, b); err != nil {
				t.Fatalf("slow reader: %v", err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := s.conns.len(); n != 1 {
			t.Errorf("%d connections are left, want the slow one", n)
		}
	})
}

func TestHandlersOfGoneClientsEnd(t *testing.T) {
	ended := make(chan error, 1)
	begun := make(chan struct{})
	s := newServer(t, Options{}, toy(1, 17, func(ctx context.Context, _ *handlers.Call, _ kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return handlers.Answer{}, nil, ctx.Err()
	}))
	c := s.dial()
	c.send(fetch())
	<-begun
	conn := s.conns.all()[0]
	now := time.Now()
	s.watch(now.Add(goneGrace + time.Minute)) // the client is there: it may wait
	if conn.ctx.Err() != nil {
		t.Fatal("a handler ended under a client that waits")
	}
	c.Close()
	for conn.out.socket.peer() == peerThere {
		runtime.Gosched()
	}
	s.watch(now.Add(goneCheckAfter + time.Second)) // it might still read
	if conn.ctx.Err() != nil {
		t.Fatal("a handler ended under a client that may read")
	}
	s.watch(now.Add(goneGrace + time.Minute))
	<-ended
}

// What a client is owed when it is gone is not waited for.
func TestAnswersOwedToGoneClientsAreDropped(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"reset": func(nc *net.TCPConn) error { return errors.Join(nc.SetLinger(0), nc.Close()) },
		"close": (*net.TCPConn).Close,
	} {
		t.Run(name, func(t *testing.T) {
			waits := newProduceWaits()
			s := newServer(t, Options{}, waits.api())
			c := s.dial()
			c.send(produce())
			<-waits.begun
			conn := s.conns.all()[0]
			if err := leave(c.Conn.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			for !conn.activity.ended.isSet() {
				runtime.Gosched()
			}
			now := time.Now()
			s.watch(now.Add(goneGrace - time.Second))
			if (conn.ctx.Err() != nil) != (name == "reset") {
				t.Errorf("soon after: %v", conn.ctx.Err())
			}
			s.watch(now.Add(goneGrace + time.Second))
			s.awaitConnections(0)
		})
	}
}

func TestCallTellsAboutTheClient(t *testing.T) {
	calls := make(chan *handlers.Call, 10)
	tell := toy(3, 12, func(_ context.Context, c *handlers.Call, req kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		calls <- c
		return handlers.Answer{Response: req.ResponseKind()}, nil, nil
	})
	s := newServer(t, Options{}, apiVersions(), tell)
	c := s.dial()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, "name", "1.2"
	c.send(req, metadata())
	c.receive()
	c.receive()
	call := <-calls
	if call.SoftwareName != "name" || call.SoftwareVersion != "1.2" || call.ClientID != "client" || call.Listener != "TEST" ||
		call.Principal != "User:ANONYMOUS" || call.Version != 12 || call.CorrelationID != 2 || call.Received.IsZero() ||
		call.Peer.String() != c.LocalAddr().String() || call.ClientHost() != "/127.0.0.1" {
		t.Errorf("%+v", call)
	}
}
