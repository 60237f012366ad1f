// Package abuse does to a broker what no client does, and looks at its memory: it stays bounded, and others are served meanwhile.
// Apache Kafka is not asked: it allocates what a frame announces, and keeps what crawls.
package abuse

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/conn"
	"gokafka/compat/load"
)

const mib = 1 << 20

// attack is one thing to do to a broker. What it opens stays open until release.
type attack struct {
	name       string
	properties map[string]string
	bound      int64 // bytes by which the broker may grow
	run        func(t *testing.T, b compat.Broker) (release func())
}

var attacks = []attack{
	{"ten thousand connections with half a header", nil, 300 * mib, func(t *testing.T, b compat.Broker) func() {
		return hold(t, b, 10_000, []byte{0, 0, 1, 0, 0, 3})
	}},
	{"a thousand frames of 100 MiB of which four bytes come", nil, 64 * mib, func(t *testing.T, b compat.Broker) func() {
		return hold(t, b, 1000, append(size(100*mib), 0, 3, 0, 1))
	}},
	{"two hundred frames of 60 MiB of which two come, within queued.max.request.bytes",
		map[string]string{"socket.request.max.bytes": "67108864", "queued.max.request.bytes": "67108864"}, 200 * mib, func(t *testing.T, b compat.Broker) func() {
			return hold(t, b, 200, append(size(60*mib), make([]byte, 2*mib)...))
		}},
	{"answers that nobody reads", nil, 200 * mib, unread},
	{"a megabyte that becomes a quarter of a gigabyte", nil, 100 * mib, bombs("producer")},
	{"a megabyte that becomes a quarter of a gigabyte, to be compressed anew", nil, 100 * mib, bombs("zstd")},
	{"two hundred members with large metadata", nil, 400 * mib, members},
	{"a hundred thousand names", map[string]string{"auto.create.topics.enable": "false"}, 200 * mib, names},
}

func TestMemoryStaysBounded(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			b := compat.Start(t, "gokafka", a.properties)
			serves(t, b)
			before := resident(t, b, "VmRSS")
			release := a.run(t, b)
			serves(t, b)
			grown := resident(t, b, "VmHWM") - before
			t.Logf("grew by %d MiB from %d MiB", grown/mib, before/mib)
			if grown > a.bound {
				t.Errorf("grew by %d MiB, want at most %d", grown/mib, a.bound/mib)
			}
			release()
			serves(t, b)
		})
	}
}

func size(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// resident is a figure of the broker's memory in bytes: VmRSS now, VmHWM at most so far.
func resident(t *testing.T, b compat.Broker, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("%s in\n%s", name, status)
	}
	return kib << 10
}

// serves has an honest client write and read.
func serves(t *testing.T, b compat.Broker) {
	t.Helper()
	topic := fmt.Sprintf("honest-%d", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(load.Client(t, b.Addr())).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := load.Client(t, b.Addr(), kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if all := load.ReadAll(t, b.Addr(), topic); len(all) != 1 {
		t.Fatalf("read %d records", len(all))
	}
}

// hold opens connections and sends the same bytes on each.
func hold(t *testing.T, b compat.Broker, n int, sent []byte) (release func()) {
	t.Helper()
	var conns []net.Conn
	for range n {
		c, err := net.DialTimeout("tcp", b.Addr(), time.Minute)
		if err != nil {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
		conns = append(conns, c)
	}
	end := time.Now().Add(5 * time.Second) // a broker that keeps to its bound stops reading
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			_ = c.SetWriteDeadline(end)
			_, _ = c.Write(sent)
		})
	}
	wg.Wait()
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// unread asks a hundred times on each of twenty connections for eight megabytes, and reads nothing.
func unread(t *testing.T, b compat.Broker) func() {
	t.Helper()
	ctx := context.Background()
	if _, err := kadm.NewClient(load.Client(t, b.Addr())).CreateTopic(ctx, 1, 1, nil, "large"); err != nil {
		t.Fatal(err)
	}
	p := load.Client(t, b.Addr(), kgo.DefaultProduceTopic("large"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 16 {
		if err := p.ProduceSync(ctx, &kgo.Record{Value: bytes.Repeat([]byte("large "), 80_000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.ReplicaID, r.SessionEpoch = 11, 0, 1, 50*mib, -1, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "large"
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.PartitionMaxBytes, partition.CurrentLeaderEpoch = 50*mib, -1
	topic.Partitions = append(topic.Partitions, partition)
	r.Topics = append(r.Topics, topic)
	return hold(t, b, 20, bytes.Repeat(conn.Frame(r, "abuse", 1), 100))
}

// bombs sends batches that inflate to a quarter of a gigabyte each to a topic of a compression.type.
func bombs(compression string) func(t *testing.T, b compat.Broker) func() {
	return func(t *testing.T, b compat.Broker) func() {
		t.Helper()
		configs := map[string]*string{"compression.type": &compression, "max.message.bytes": new("20000000")}
		if _, err := kadm.NewClient(load.Client(t, b.Addr())).CreateTopic(context.Background(), 1, 1, configs, "bombs"); err != nil {
			t.Fatal(err)
		}
		for _, c := range codecs {
			for _, records := range []int{1, 5000} {
				code := send(t, b, bomb(t, c, records))
				if code != 0 && code != 10 { // MESSAGE_TOO_LARGE
					t.Errorf("%s, %d records: answered with %d", c.name, records, code)
				}
			}
		}
		return func() {}
	}
}

func send(t *testing.T, b compat.Broker, records []byte) (code int16) {
	t.Helper()
	c, err := conn.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Patience = 2 * time.Minute
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 9, -1, 10_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "bombs"
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = records
	topic.Partitions = append(topic.Partitions, partition)
	r.Topics = append(r.Topics, topic)
	resp, err := c.Request(r)
	if err != nil {
		t.Fatalf("batch of %d bytes: %v", len(records), err)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
}

// members join a group with a megabyte of metadata each, and stay.
func members(t *testing.T, b compat.Broker) func() {
	t.Helper()
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 3, "abuse", 30_000, 60_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", make([]byte, mib)
	r.Protocols = append(r.Protocols, p)
	return hold(t, b, 200, conn.Frame(r, "abuse", 1))
}

// names asks for the metadata of a hundred thousand topics that do not exist, ten times.
func names(t *testing.T, b compat.Broker) func() {
	t.Helper()
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 12
	for i := range 100_000 {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(fmt.Sprint("name-", i))
		r.Topics = append(r.Topics, topic)
	}
	c, err := conn.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		resp, err := c.Request(r)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(resp.(*kmsg.MetadataResponse).Topics); n != 100_000 {
			t.Fatalf("%d topics are answered", n)
		}
	}
	return func() { c.Close() }
}
