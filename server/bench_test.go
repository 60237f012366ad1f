package server

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
	"gokafka/protocol"
)

// benchmarkRoundTrip sends one request again and again and counts what the server allocates for it, kmsg's decoding included:
// the client allocates nothing.
func benchmarkRoundTrip(b *testing.B, api handlers.API, req kmsg.Request) {
	s, err := New(context.Background(), Options{
		Limits: DefaultLimits(), Logger: zerolog.Nop(), Listeners: []Listener{{Name: "TEST", Address: "127.0.0.1:0"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Start([]handlers.API{api})
	defer s.Shutdown(context.Background())
	c, err := net.Dial("tcp", s.Addr("TEST").String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	out := formatter.AppendRequest(nil, req, 1)
	in := make([]byte, 4)
	if _, err := c.Write(out); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, in); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(in))
	if _, err := io.ReadFull(c, body); err != nil {
		b.Fatal(err)
	}
	in = make([]byte, 4+len(body))
	b.SetBytes(int64(len(out) + len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetch reads one segment over and over: one long range, and many that are copied.
func BenchmarkFetch(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "segment"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(4 << 20); err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name          string
		ranges, bytes int
	}{{"1x1MiB", 1, 1 << 20}, {"50x20KiB", 50, 20 << 10}, {"1x1KiB", 1, 1 << 10}} {
		b.Run(bb.name, func(b *testing.B) {
			var released, read atomic.Int32
			reply := &protocol.Reply{}
			for i := range bb.ranges {
				reply.Chunks = append(reply.Chunks, protocol.Chunk{Bytes: make([]byte, 60)}, protocol.Chunk{Range: &fileRange{
					f: f, position: int64(i * bb.bytes), n: bb.bytes, descriptor: true, currentFor: 1 << 60, released: &released, read: &read,
				}})
			}
			reply.Chunks = append(reply.Chunks, protocol.Chunk{Bytes: make([]byte, 3)})
			chunks := slices.Clone(reply.Chunks)
			benchmarkRoundTrip(b, toy(1, 17, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
				reply.Chunks = append(reply.Chunks[:0], chunks...)
				return handlers.Answer{Reply: reply}, nil, nil
			}), fetch())
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	response := kmsg.NewPtrProduceResponse()
	response.Version = 11
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = make([]byte, 64<<10)
	topic.Partitions = append(topic.Partitions, partition)
	req := produce().(*kmsg.ProduceRequest)
	small := *req
	req.Topics = append(req.Topics, topic)
	answer := handlers.Answer{Response: response}
	b.Run("empty", func(b *testing.B) {
		benchmarkRoundTrip(b, toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return answer, nil, nil
		}), &small)
	})
	b.Run("64KiB", func(b *testing.B) {
		benchmarkRoundTrip(b, toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return answer, nil, nil
		}), req)
	})
	b.Run("two stages", func(b *testing.B) {
		wait := waitFunc(func(context.Context) (handlers.Answer, error) { return answer, nil })
		benchmarkRoundTrip(b, toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, wait, nil
		}), &small)
	})
}
