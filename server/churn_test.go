package server

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
	"gokafka/protocol"
)

// Case 105: clients that come, ask, break off anywhere and go leave nothing behind.
func TestChurn(t *testing.T) {
	const clients, rounds = 20, 50
	f, _ := randomFile(t, 1<<20)
	var made, released, read atomic.Int32
	s := newServer(t, Options{QueuedBytesMax: 1 << 20}, echo(),
		toy(0, 11, func(_ context.Context, _ *handlers.Call, req kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			done := make(chan struct{})
			go close(done)
			return handlers.Answer{}, waitFunc(func(ctx context.Context) (handlers.Answer, error) {
				select {
				case <-done:
					return handlers.Answer{Response: req.ResponseKind()}, nil
				case <-ctx.Done():
					return handlers.Answer{}, ctx.Err()
				}
			}), nil
		}),
		toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			made.Add(1)
			return handlers.Answer{Reply: &protocol.Reply{Chunks: []protocol.Chunk{
				{Range: &fileRange{f: f, n: 1 << 20, descriptor: true, currentFor: int(made.Load() % 5), released: &released, read: &read}},
			}}}, nil, nil
		}))
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for range rounds {
				visit(t, s.listeners[0].addr().String(), r)
			}
		})
	}
	all.Wait()
	for s.counters.accepted.Load() < clients*rounds { // the last ones may still wait for it
		runtime.Gosched()
	}
	s.awaitConnections(0)
	if made.Load() != released.Load() {
		t.Errorf("%d ranges made, %d released", made.Load(), released.Load())
	}
}

// visit sends some requests, cut anywhere, reads some of the answers, and leaves in one of several ways.
func visit(t *testing.T, addr string, r *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	large := produce().(*kmsg.ProduceRequest)
	topic := kmsg.NewProduceRequestTopic()
	topic.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, r.IntN(300_000))}}
	large.Topics = append(large.Topics, topic)
	var b []byte
	for range r.IntN(30) {
		req := []kmsg.Request{large, fetch(), produce(), metadata()}[min(r.IntN(12), 3)]
		b = append(b, formatter.AppendRequest(nil, req, r.Int32())...)
	}
	if r.IntN(3) == 0 {
		b = b[:r.IntN(len(b)+1)]
	}
	reads := [...]int64{0, 1000, 1 << 40}[r.IntN(3)]
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyN(io.Discard, nc, reads)
		if reads == 1000 {
			nc.Close() // while the rest is written, perhaps
		}
	}()
	if reads > 0 || len(b) < 10_000 { // a client that only writes waits for ever, as its server does
		_, _ = nc.Write(b)
	}
	if r.IntN(2) == 0 {
		_ = nc.(*net.TCPConn).SetLinger(0) // a reset
		nc.Close()
	} else {
		_ = nc.(*net.TCPConn).CloseWrite()
	}
	<-done
}
