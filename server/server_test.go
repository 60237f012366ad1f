package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
	"gokafka/protocol"
)

func TestShutdownLetsAnswersFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, echo(), waits.api())
		idle, busy := s.pipe(), s.pipe()
		go busy.send(produce(), produce())
		first, second := <-waits.begun, <-waits.begun
		synctest.Wait()
		done := make(chan error)
		go func() { done <- s.Shutdown(context.Background()) }()
		idle.closed()
		first.release <- nil
		busy.receive()
		second.release <- nil
		if id, _ := busy.receive(); id != 2 {
			t.Errorf("answer to %d, want 2", id)
		}
		busy.closed()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Requests that are not read any more do not reset the connection under answers that are.
func TestShutdownDoesNotReset(t *testing.T) {
	waits := newProduceWaits()
	s := newServer(t, Options{}, echo(), waits.api())
	c := s.dial()
	for range pendingMax {
		c.send(produce())
	}
	for range 100 {
		c.send(metadata())
	}
	var begun []*produceWait
	for range pendingMax {
		begun = append(begun, <-waits.begun)
	}
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	for !s.isStopping() {
		runtime.Gosched()
	}
	for i, w := range begun {
		w.release <- nil
		if id, _ := c.receive(); id != int32(i+1) {
			t.Errorf("answer to %d, want %d", id, i+1)
		}
	}
	if _, err := io.Copy(io.Discard, c); err != nil { // one metadata was begun
		t.Errorf("the end: %v", err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A client that was never answered is not led to believe that it was refused; one that was hears the end of the stream.
func TestShutdownResetsWhoWasNotAnswered(t *testing.T) {
	s := newServer(t, Options{}, apiVersions(), echo())
	fresh, partial, asked, known := s.dial(), s.dial(), s.dial(), s.dial()
	if _, err := partial.Write([]byte{0, 0}); err != nil {
		t.Fatal(err)
	}
	asked.send(kmsg.NewPtrApiVersionsRequest())
	asked.receive()
	known.send(metadata())
	known.receive()
	for len(s.conns.all()) < 4 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // partial is waited for
	defer cancel()
	_ = s.Shutdown(ctx)
	for name, c := range map[string]*client{"that sent nothing": fresh, "with half a request": partial, "that asked for versions": asked} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client %s: %v, want a reset", name, err)
		}
	}
	if _, err := known.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("client that was answered: %v, want the end", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := newProduceWaits()
		s := newPipeServer(t, waits.api(), toy(1, 17, func(ctx context.Context, _ *handlers.Call, _ kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			<-ctx.Done()
			return handlers.Answer{}, nil, ctx.Err()
		}))
		producing, fetching := s.pipe(), s.pipe()
		go producing.send(produce())
		go fetching.send(fetch())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		producing.closed()
		fetching.closed()
	})
}

func TestBindFailureBindsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	_, err = New(context.Background(), Options{Limits: DefaultLimits(), Listeners: []Listener{
		{Name: "FREE", Address: free.Addr().String()}, {Name: "TAKEN", Address: taken.Addr().String()},
	}})
	if err == nil || !strings.Contains(err.Error(), "TAKEN") {
		t.Errorf("bound: %v", err)
	}
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("the first listener is still bound: %v", err)
	}
	again.Close()
}

func TestListenerSettings(t *testing.T) {
	s := newServer(t, Options{Listeners: []Listener{
		{Name: "A", Address: "127.0.0.1:0", SendBufferBytes: 102400, ReceiveBufferBytes: 102400, Backlog: 50},
		{Name: "B", Address: "[::1]:0"},
	}}, echo())
	for _, name := range []string{"A", "B"} {
		nc, err := net.Dial("tcp", s.Addr(name).String())
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, Conn: nc}
		c.send(metadata())
		c.receive()
		nc.Close()
	}
	if s.Addr("C").IsValid() {
		t.Error("a listener that is not there has an address")
	}
}

// Case 105.
func TestTooManyFromOneAddress(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsPerIPMax = 2
	s := newServer(t, Options{Limits: limits}, echo())
	first, second := s.dial(), s.dial()
	for _, c := range []*client{first, second} {
		c.send(metadata())
		c.receive()
	}
	s.dial().closed()
	if m := s.Metrics(); m.Refused != 1 || m.Accepted != 2 || m.Connections != 2 {
		t.Errorf("%+v", m)
	}
	first.Close()
	s.awaitConnections(1)
	third := s.dial()
	third.send(metadata())
	third.receive()
}

func TestFullListenerMakesConnectionsWait(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsMax = 1
	s := newServer(t, Options{Limits: limits}, echo())
	first, second := s.dial(), s.dial()
	first.send(metadata())
	first.receive()
	second.send(metadata())
	first.Close()
	second.receive()
	third := s.dial()
	third.send(metadata())
	limits.ConnectionsMax = 2
	s.SetLimits(limits)
	third.receive()
}

func TestBrokersPushClientsOut(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsMax = 1
	s := newServer(t, Options{
		Limits: limits, ProtectedListener: "BROKERS",
		Listeners: []Listener{{Name: "CLIENTS", Address: "127.0.0.1:0"}, {Name: "BROKERS", Address: "127.0.0.1:0"}},
	}, echo())
	c := s.dial()
	c.send(metadata())
	c.receive()
	nc, err := net.Dial("tcp", s.Addr("BROKERS").String())
	if err != nil {
		t.Fatal(err)
	}
	broker := &client{t: t, Conn: nc}
	defer nc.Close()
	broker.send(metadata())
	broker.receive()
	s.watch(time.Now())
	c.closed()
	broker.send(metadata())
	broker.receive()
}

func TestMetricsCountRequests(t *testing.T) {
	s := newServer(t, Options{}, echo())
	c := s.dial()
	var received int
	for range 3 {
		c.send(metadata())
		_, body := c.receive()
		received += 8 + len(body)
	}
	c.Close()
	s.awaitConnections(0)
	m := s.Metrics().APIs[0]
	var timed uint64
	for _, n := range m.Latency {
		timed += n
	}
	sent := uint64(len(formatter.AppendRequest(nil, metadata(), 1)) - 4)
	if m.Key != 3 || m.Requests != 3 || m.RequestBytes != 3*sent || m.ResponseBytes != uint64(received) || timed != 3 {
		t.Errorf("%+v, want %d bytes in, %d out", m, 3*sent, received)
	}
}

func TestMetricsCountErrors(t *testing.T) {
	s := newServer(t, Options{}, toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		partition := func(code int16) kmsg.ProduceResponseTopicPartition {
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode = code
			return p
		}
		resp := kmsg.NewPtrProduceResponse()
		for range 2 {
			topic := kmsg.NewProduceResponseTopic()
			topic.Partitions = append(topic.Partitions, partition(0), partition(3), partition(-1), partition(999))
			resp.Topics = append(resp.Topics, topic)
		}
		return handlers.Answer{Response: resp}, nil, nil
	}), toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
		resp := protocol.FetchResponse{Version: 12, ErrorCode: 70, Topics: []protocol.FetchTopic{
			{Topic: "t", Partitions: []protocol.FetchPartition{protocol.NewFetchPartition(0, 0), protocol.NewFetchPartition(1, 6)}},
		}}
		return handlers.Answer{Reply: resp.Encode()}, nil, nil
	}))
	c := s.dial()
	for range 2 {
		c.send(produce(), fetch())
		c.receive()
		c.receive()
	}
	m := s.Metrics()
	if want := map[int16]uint64{3: 4, -1: 8}; !maps.Equal(m.APIs[0].Errors, want) {
		t.Errorf("produce: %v, want %v", m.APIs[0].Errors, want)
	}
	if want := map[int16]uint64{70: 2, 6: 2}; !maps.Equal(m.APIs[1].Errors, want) {
		t.Errorf("fetch: %v, want %v", m.APIs[1].Errors, want)
	}
}
