package wire

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// send produces records to partition 0 of a new topic with these settings, at the version under test, and fetches what is there.
func send(records []byte, configs ...string) func(x *Exchange) {
	return sendAll([][]byte{records}, configs...)
}

func sendAll(batches [][]byte, configs ...string) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 1, configs...)
		for _, b := range batches {
			x.Send(produce(-1, x.N, 0, b))
		}
		readBack(x, x.N)
	}
}

// readBack compares what a partition holds.
func readBack(x *Exchange, topic string) {
	x.T.Helper()
	y := *x
	y.key = -1
	req := fetch(topic, [16]byte{}, 0, 0)
	req.Version = 11
	y.Send(req)
}

func altered(alter func(*kmsg.RecordBatch)) []byte {
	return batch{values: []string{"a", "b", "c"}, alter: alter}.bytes()
}

func flip(b []byte, at int) []byte {
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0xff
	return b
}

func stretch(b []byte, length int32) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(length))
	return b
}

var (
	good       = values("a", "b", "c")
	keyed      = batch{values: []string{"a", "b"}, keys: []string{"k1", "k2"}, headers: []kmsg.Header{{Key: "h", Value: []byte("v")}}}
	longValue  = strings.Repeat("x", 3000)
	pastMillis = int64(1_400_000_000_000)
)

func codec(c int8) []byte { return batch{values: []string{"a", "b", longValue}, codec: c}.bytes() }

func idempotent(sequence int32, values ...string) []byte {
	return batch{values: values, producer: 4000, sequence: sequence}.bytes()
}

func from(producer int64, epoch int16, sequence int32, values ...string) []byte {
	return batch{values: values, producer: producer, epoch: epoch, sequence: sequence}.bytes()
}

var produceCases = []Case{
	{"one batch", kmsg.Produce, 0, 0, send(good)},
	{"two batches after each other", kmsg.Produce, 0, 0, sendAll([][]byte{good, values("d")})},
	{"keys and headers", kmsg.Produce, 3, 0, send(keyed.bytes())},
	{"gzip", kmsg.Produce, 3, 0, send(codec(1))},
	{"snappy", kmsg.Produce, 3, 0, send(codec(2))},
	{"lz4", kmsg.Produce, 3, 0, send(codec(3))},
	{"zstd", kmsg.Produce, 3, 0, send(codec(4))},
	{"codec 5", kmsg.Produce, 3, 0, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 5 }))},
	{"codec 7", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 7 }))},
	{"noise as gzip", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 1 }))},
	{"noise as snappy", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 2 }))},
	{"noise as lz4", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 3 }))},
	{"noise as zstd", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 4 }))},
	{"cut gzip", kmsg.Produce, 9, 9, send(batch{values: []string{longValue}, codec: 1, alter: cutRecords}.bytes())},
	{"cut lz4", kmsg.Produce, 9, 9, send(batch{values: []string{longValue}, codec: 3, alter: cutRecords}.bytes())},
	{"cut zstd", kmsg.Produce, 9, 9, send(batch{values: []string{longValue}, codec: 4, alter: cutRecords}.bytes())},

	{"message format 0", kmsg.Produce, 0, 0, send(messages(0, "a", "b"))},
	{"message format 1", kmsg.Produce, 0, 0, send(messages(1, "a", "b"))},
	{"message format 0, gzip", kmsg.Produce, 0, 3, send(wrapped(0, 1, "a", "b", "c"))},
	{"message format 1, gzip", kmsg.Produce, 0, 3, send(wrapped(1, 1, "a", "b", "c"))},
	{"message format 1, snappy", kmsg.Produce, 0, 2, send(wrapped(1, 2, "a", "b", "c"))},
	{"message format 1, lz4", kmsg.Produce, 0, 2, send(wrapped(1, 3, "a", "b", "c"))},
	{"message format 1, bad checksum", kmsg.Produce, 0, 2, send(flip(messages(1, "abc"), -1))},
	{"message format 1, stamped by the broker", kmsg.Produce, 0, 2, send(messages(1, "a", "b"), "message.timestamp.type", "LogAppendTime")},
	{"message format 0 into format-2 gzip topic", kmsg.Produce, 0, 2, send(messages(0, "a", "b"), "compression.type", "gzip")},
	{"message format 1 without key, compacted", kmsg.Produce, 0, 2, send(messages(1, "a", "b"), "cleanup.policy", "compact")},

	{"checksum wrong", kmsg.Produce, 3, 0, send(flip(values("abc"), 20))},
	{"payload flipped", kmsg.Produce, 9, 0, send(flip(values("abc"), -2))},
	{"length too long", kmsg.Produce, 3, 0, send(stretch(values("abc"), 1000))},
	{"length too short", kmsg.Produce, 9, 0, send(stretch(values("abc"), 20))},
	{"length below header", kmsg.Produce, 9, 0, send(stretch(values("abc"), 3))},
	{"length negative", kmsg.Produce, 9, 0, send(stretch(values("abc"), -1))},
	{"cut batch", kmsg.Produce, 9, 0, send(values("abcdef")[:66])},
	{"cut header", kmsg.Produce, 9, 0, send(values("abcdef")[:30])},
	{"16 bytes", kmsg.Produce, 9, 0, send(values("abcdef")[:16])},
	{"12 bytes", kmsg.Produce, 9, 0, send(values("abcdef")[:12])},
	{"second batch cut", kmsg.Produce, 9, 0, send(append(values("abc"), values("def")[:40]...))},
	{"two batches in one request", kmsg.Produce, 0, 0, send(append(values("abc"), values("def")...))},
	{"no records", kmsg.Produce, 0, 0, send([]byte{})},
	{"empty batch", kmsg.Produce, 3, 0, send(batch{}.bytes())},
	{"magic 3", kmsg.Produce, 9, 0, send(altered(func(b *kmsg.RecordBatch) { b.Magic = 3 }))},
	{"magic -1", kmsg.Produce, 9, 0, send(altered(func(b *kmsg.RecordBatch) { b.Magic = -1 }))},
	{"base offset 5", kmsg.Produce, 3, 0, send(altered(func(b *kmsg.RecordBatch) { b.FirstOffset = 5 }))},
	{"base offset negative", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.FirstOffset = -5 }))},
	{"count 0", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords = 0 }))},
	{"count -1", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords = -1 }))},
	{"count too high", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords = 4 }))},
	{"count too low", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords = 2 }))},
	{"count and delta too high", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 4, 3 }))},
	{"count and delta too low", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 }))},
	{"last delta wrong", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 7 }))},
	{"last delta negative", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -1 }))},
	{"control bit", kmsg.Produce, 3, 0, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 0x20 }))},
	{"transactional bit", kmsg.Produce, 3, 0, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 0x10 }))},
	{"transactional batch of a producer", kmsg.Produce, 3, 0, send(batch{values: []string{"a"}, producer: 4000, attributes: 0x10}.bytes())},
	{"log append time bit", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 0x08 }))},
	{"delete horizon bit", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 0x40 }))},
	{"unknown attribute bits", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Attributes = 0x0f00 }))},
	{"leader epoch set", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.PartitionLeaderEpoch = 77 }))},
	{"max timestamp wrong", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.MaxTimestamp = 5 }))},
	{"first timestamp -1", kmsg.Produce, 9, 9, send(batch{values: []string{"a", "b"}, time: -1}.bytes())},
	{"first timestamp -2", kmsg.Produce, 9, 9, send(batch{values: []string{"a", "b"}, time: -2}.bytes())},
	{"trailing bytes in records", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records = append(b.Records, 0, 0) }))},
	{"record length wrong", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records[0] = 0x7e }))},
	{"record length negative", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records[0] = 0x01 }))},
	{"record attributes set", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records[1] = 0x7f }))},
	{"record key length -2", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records[4] = 0x03 }))},
	{"record header count huge", kmsg.Produce, 9, 9, send(altered(func(b *kmsg.RecordBatch) { b.Records[7] = 0x7e }))},

	{"null key on a compacted topic", kmsg.Produce, 3, 0, send(good, "cleanup.policy", "compact")},
	{"keys on a compacted topic", kmsg.Produce, 3, 0, send(keyed.bytes(), "cleanup.policy", "compact")},
	{"some null keys on a compacted topic", kmsg.Produce, 8, 0, send(batch{values: []string{"a", "b", "c"}, keys: []string{"k"}}.bytes(), "cleanup.policy", "compact,delete")},
	{"too far in the past", kmsg.Produce, 3, 0, send(good, "message.timestamp.before.max.ms", "1000")},
	{"too far in the future", kmsg.Produce, 3, 0, send(batch{values: []string{"a", "b", "c", "d", "e"}, time: 4_000_000_000_000}.bytes())},
	{"stamped by the broker", kmsg.Produce, 0, 0, send(good, "message.timestamp.type", "LogAppendTime")},
	{"stamped by the broker, gzip", kmsg.Produce, 3, 0, send(codec(1), "message.timestamp.type", "LogAppendTime")},
	{"larger than max.message.bytes", kmsg.Produce, 0, 0, send(values(longValue), "max.message.bytes", "1000")},
	{"exactly max.message.bytes", kmsg.Produce, 9, 9, send(values(longValue), "max.message.bytes", "3073")},
	{"larger than a segment", kmsg.Produce, 0, 0, send(values(longValue), "segment.bytes", "1000")},
	{"compression.type gzip", kmsg.Produce, 3, 0, send(good, "compression.type", "gzip")},
	{"compression.type uncompressed", kmsg.Produce, 3, 0, send(codec(3), "compression.type", "uncompressed")},
	{"compression.type zstd", kmsg.Produce, 3, 0, send(codec(3), "compression.type", "zstd")},
	{"compression.type lz4 from snappy", kmsg.Produce, 9, 9, send(codec(2), "compression.type", "lz4")},
	{"compression.type snappy from gzip", kmsg.Produce, 9, 9, send(codec(1), "compression.type", "snappy")},

	{"sequence of a producer", kmsg.Produce, 3, 0, sendAll([][]byte{idempotent(0, "a", "b"), idempotent(2, "c"), idempotent(2, "c"), idempotent(0, "a", "b")})},
	{"sequence gap", kmsg.Produce, 3, 0, sendAll([][]byte{idempotent(0, "a", "b"), idempotent(3, "c")})},
	{"first sequence not 0", kmsg.Produce, 9, 9, sendAll([][]byte{idempotent(5, "a", "b"), idempotent(7, "c")})},
	{"sixth last duplicate", kmsg.Produce, 9, 9, sendAll([][]byte{idempotent(0, "a"), idempotent(1, "a"), idempotent(2, "a"), idempotent(3, "a"), idempotent(4, "a"), idempotent(5, "a"),
		idempotent(1, "a"), idempotent(0, "a")})},
	{"part of a duplicate", kmsg.Produce, 9, 9, sendAll([][]byte{idempotent(0, "a", "b", "c"), idempotent(0, "a"), idempotent(1, "b", "c")})},
	{"epoch grows", kmsg.Produce, 9, 9, sendAll([][]byte{from(4000, 0, 0, "a"), from(4000, 1, 0, "b"), from(4000, 0, 1, "c"), from(4000, 2, 1, "d"), from(4000, 2, 0, "e")})},
	{"sequence wraps", kmsg.Produce, 9, 9, sendAll([][]byte{from(4000, 0, 2147483645, "a", "b", "c"), from(4000, 0, 0, "d"), from(4000, 0, 1, "e")})},
	{"sequence wraps inside a batch", kmsg.Produce, 9, 9, sendAll([][]byte{from(4000, 0, 2147483646, "a", "b", "c", "d"), from(4000, 0, 2, "e")})},
	{"producer id -2", kmsg.Produce, 9, 9, sendAll([][]byte{from(-2, 0, 0, "a"), from(-2, 0, 0, "a")})},
	{"producer epoch -1", kmsg.Produce, 9, 9, sendAll([][]byte{from(4000, -1, 0, "a")})},
	{"producer without sequence", kmsg.Produce, 9, 9, sendAll([][]byte{from(4000, 0, -1, "a"), from(4000, 0, -1, "a")})},

	{"unknown topic", kmsg.Produce, 0, 0, func(x *Exchange) { x.Send(produce(-1, x.N, 0, good)) }},
	{"unknown partition", kmsg.Produce, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(-1, x.N, 7, good)) }},
	{"partition -1", kmsg.Produce, 9, 9, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(-1, x.N, -1, good)) }},
	{"bad topic name", kmsg.Produce, 9, 9, func(x *Exchange) { x.Send(produce(-1, "a b", 0, good)) }},
	{"empty topic name", kmsg.Produce, 9, 9, func(x *Exchange) { x.Send(produce(-1, "", 0, good)) }},
	{"internal topic", kmsg.Produce, 0, 0, func(x *Exchange) { x.Send(produce(-1, "__consumer_offsets", 0, good)) }},
	{"acks 2", kmsg.Produce, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(2, x.N, 0, good)); readBack(x, x.N) }},
	{"acks -2", kmsg.Produce, 9, 9, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(-2, x.N, 0, good)); readBack(x, x.N) }},
	{"acks 1", kmsg.Produce, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(1, x.N, 0, good)); readBack(x, x.N) }},
	{"acks 0", kmsg.Produce, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.silent(produce(0, x.N, 0, good))
		readBack(x, x.N)
	}},
	{"acks 0, unknown topic", kmsg.Produce, 0, 0, func(x *Exchange) { x.Send(produce(0, x.N, 0, good)) }},
	{"acks 0, bad batch", kmsg.Produce, 3, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(produce(0, x.N, 0, flip(values("abc"), 20))) }},
	{"too few in-sync replicas", kmsg.Produce, 0, 0, send(good, "min.insync.replicas", "2")},
	{"no topics", kmsg.Produce, 0, 0, func(x *Exchange) { r := produce(-1, x.N, 0, good); r.Topics = nil; x.Send(r) }},
	{"no partitions", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := produce(-1, x.N, 0, good)
		r.Topics[0].Partitions = nil
		x.Send(r)
	}},
	{"partition named twice", kmsg.Produce, 9, 9, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := produce(-1, x.N, 0, good)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, produce(-1, x.N, 0, values("d")).Topics[0].Partitions...)
		x.Send(r)
		readBack(x, x.N)
	}},
	{"good and bad partitions", kmsg.Produce, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		r := produce(-1, x.N, 0, good)
		for _, p := range []int32{1, 2} {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, produce(-1, x.N, p, values("d")).Topics[0].Partitions...)
		}
		x.Send(r)
	}},
	{"transactional id without a transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := produce(-1, x.N, 0, good)
		r.TransactionID = &x.N
		x.Send(r)
		readBack(x, x.N)
	}},

	{"first id", kmsg.InitProducerID, 0, 0, func(x *Exchange) {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.TransactionTimeoutMillis = 1000
		x.Send(r)
		x.Send(r)
	}},
	{"timeout 0 without transactional id", kmsg.InitProducerID, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrInitProducerIDRequest()) }},
	{"empty transactional id", kmsg.InitProducerID, 0, 0, func(x *Exchange) {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.TransactionalID, r.TransactionTimeoutMillis = new(string), 1000
		x.Send(r)
	}},
	{"keeping an id", kmsg.InitProducerID, 3, 0, func(x *Exchange) {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 1000, 5, 2
		x.Send(r)
		r.ProducerEpoch = -1
		x.Send(r)
	}},
}

func cutRecords(b *kmsg.RecordBatch) { b.Records = b.Records[:len(b.Records)/2] }

// silent sends a request that has no answer, then one that has, on the same connection: it must be the next thing to arrive.
func (x *Exchange) silent(req kmsg.Request) {
	x.T.Helper()
	req.SetVersion(x.V)
	for _, c := range x.connections() {
		if err := c.Send(req); err != nil {
			x.T.Error(err)
		}
	}
	x.Send(kmsg.NewPtrApiVersionsRequest())
}
