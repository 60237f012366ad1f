package server

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
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
	body := make([]byte, int(in[2])<<8|int(in[3]))
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
		wait := func(context.Context) (handlers.Answer, error) { return answer, nil }
		benchmarkRoundTrip(b, toy(0, 11, func(context.Context, *handlers.Call, kmsg.Request) (handlers.Answer, handlers.Wait, error) {
			return handlers.Answer{}, wait, nil
		}), &small)
	})
}
