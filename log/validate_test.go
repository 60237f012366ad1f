package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"gokafka/protocol"
)

// validationTime is the broker's clock in these tests.
var validationTime = time.UnixMilli(1_700_000_000_000)

// Topics of the validation cases, by what is special about their settings.
var validationTopics = map[string]func(*Config){
	"plain":        func(*Config) {},
	"compact":      func(c *Config) { c.Compact, c.Delete = true, false },
	"append":       func(c *Config) { c.Messages.TimestampType = LogAppendTime },
	"bounded":      func(c *Config) { c.Messages.TimestampBeforeMax, c.Messages.TimestampAfterMax = 3_600_000, 1_800_000 },
	"small":        func(c *Config) { c.Messages.BytesMax = 1000 },
	"uncompressed": func(c *Config) { c.Messages.CompressionType = "uncompressed" },
	"gzip":         func(c *Config) { c.Messages.CompressionType = "gzip" },
	"snappy":       func(c *Config) { c.Messages.CompressionType = "snappy" },
	"lz4":          func(c *Config) { c.Messages.CompressionType = "lz4" },
	"zstd":         func(c *Config) { c.Messages.CompressionType = "zstd" },
}

var allCodecs = []protocol.Codec{protocol.None, protocol.Gzip, protocol.Snappy, protocol.LZ4, protocol.Zstd}

// Kafka's error codes. They are what Apache 3.9.2 answered to the same bytes, but for these:
//   - A compressed record whose length disagrees with its fields: Apache, which skips over compressed records, stores it, and consumers stop
//     there. It is INVALID_RECORD, as it is without compression.
//   - Offset deltas that do not count from 0: without compression Apache stores them as they are, with it the answer is UNKNOWN_SERVER_ERROR.
//     They are counted anew.
//   - A length of six bytes, and a message of magic 0 or 1 whose key does not fit: UNKNOWN_SERVER_ERROR. It is INVALID_RECORD.
const (
	codeUnknown          = -1
	codeNone             = 0
	codeCorrupt          = 2
	codeTooLarge         = 10
	codeInvalidTimestamp = 32
	codeUnsupportedCodec = 76
	codeInvalidRecord    = 87
)

type validationCase struct {
	name    string
	topic   string
	version int16 // of the Produce request
	records func(now time.Time) []byte
	code    int16
	indexes []int32 // records that the answer names
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// someRecords have keys, values, a tombstone, headers, and timestamps around now.
func someRecords(now time.Time) []protocol.Record {
	records := []protocol.Record{
		{Timestamp: now.UnixMilli() - 5, Key: []byte("a"), Value: []byte("first value")},
		{Timestamp: now.UnixMilli(), Key: []byte("b")},
		{Timestamp: now.UnixMilli() - 9, Key: []byte{}, Value: []byte(strings.Repeat("third value ", 20))},
	}
	records[2].Headers.Add("header", []byte("h"))
	records[2].Headers.Add("null", nil)
	return records
}

func batchOf(o protocol.BatchOptions, records ...protocol.Record) protocol.Batch {
	if o.LeaderEpoch == 0 {
		o.LeaderEpoch = -1
	}
	return must(protocol.AppendBatch(nil, o, records...))
}

func compressed(codec protocol.Codec) protocol.BatchOptions {
	return protocol.BatchOptions{Compression: protocol.Compression{Codec: codec}}
}

// good is an intact batch.
func good(codec protocol.Codec) func(time.Time) []byte {
	return func(now time.Time) []byte { return batchOf(compressed(codec), someRecords(now)...) }
}

// edited is an intact batch after a change, with its CRC made right again.
func edited(codec protocol.Codec, edit func(b []byte)) func(time.Time) []byte {
	return func(now time.Time) []byte {
		b := protocol.Batch(good(codec)(now))
		edit(b)
		b.UpdateCRC()
		return b
	}
}

// raw is a batch of one or more records whose payload is given as it is.
func raw(codec protocol.Codec, count int32, payload []byte) func(time.Time) []byte {
	return func(now time.Time) []byte {
		b := bytes.Clone(batchOf(protocol.BatchOptions{}, protocol.Record{Timestamp: now.UnixMilli()})[:protocol.BatchOverhead])
		b = append(b, payload...)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		b[22] = byte(codec)
		binary.BigEndian.PutUint32(b[23:], uint32(count-1))
		binary.BigEndian.PutUint32(b[57:], uint32(count))
		protocol.Batch(b).UpdateCRC()
		return b
	}
}

// plainRecords is the uncompressed encoding of someRecords.
func plainRecords(now time.Time) []byte { return good(protocol.None)(now)[protocol.BatchOverhead:] }

// simpleRecords are the encoded bytes of n records with one-byte values.
func simpleRecords(n int) []byte {
	records := make([]protocol.Record, n)
	for i := range records {
		records[i] = protocol.Record{Key: []byte("k"), Value: []byte("v")}
	}
	return batchOf(protocol.BatchOptions{}, records...)[protocol.BatchOverhead:]
}

// deflate compresses as a batch's payload is compressed.
func deflate(codec protocol.Codec, b []byte) []byte {
	if codec == protocol.None {
		return b
	}
	var out bytes.Buffer
	switch codec {
	case protocol.Gzip:
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
	case protocol.Zstd:
		return must(zstd.NewWriter(nil)).EncodeAll(b, nil)
	case protocol.Snappy:
		return s2.EncodeSnappy(nil, b)
	case protocol.LZ4:
		return lz4Stored(0x60, b)
	}
	return out.Bytes()
}

// lz4Stored is an LZ4 frame with one stored block. The header checksums are those of the flags in use here.
func lz4Stored(flags byte, b []byte) []byte {
	checksums := map[byte]byte{0x60: 0x82, 0x64: 0xa7, 0x40: 0xc0}
	frame := []byte{0x04, 0x22, 0x4d, 0x18, flags, 0x40, checksums[flags]}
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(b))|1<<31)
	frame = append(append(frame, b...), 0, 0, 0, 0)
	if flags&0x04 != 0 {
		frame = append(frame, 1, 2, 3, 4) // a wrong content checksum, which nobody checks
	}
	return frame
}

// message is a magic 0 or 1 entry.
func message(magic int8, offset int64, attributes byte, timestamp int64, key, value []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(offset))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(magic), attributes)
	if magic == 1 {
		b = binary.BigEndian.AppendUint64(b, uint64(timestamp))
	}
	for _, field := range [][]byte{key, value} {
		if field == nil {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
	return b
}

// messages is a set of n messages with the offsets from 0 on.
func messages(magic int8, n int, now time.Time) []byte {
	var set []byte
	for i := range n {
		set = append(set, message(magic, int64(i), 0, now.UnixMilli()-int64(i), fmt.Append(nil, "key", i), fmt.Append(nil, "value", i))...)
	}
	return set
}

// wrapped is a compressed set in its wrapper.
func wrapped(magic int8, codec protocol.Codec, offset int64, set []byte, now time.Time) []byte {
	return message(magic, offset, byte(codec), now.UnixMilli(), nil, deflate(codec, set))
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// recordBytes encodes one record's fields after its length, with whatever length is given.
func recordBytes(length int, fields ...byte) []byte {
	return append(binary.AppendVarint(nil, int64(length)), fields...)
}

func batchCases() []validationCase {
	flag := func(bit byte) func([]byte) { return func(b []byte) { b[22] |= bit } }
	put32 := func(at int, v int32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
	}
	counts := func(delta, count int32) func([]byte) {
		return func(b []byte) { put32(23, delta)(b); put32(57, count)(b) }
	}
	none := protocol.None
	return []validationCase{
		{name: "base offset", records: edited(none, func(b []byte) { b[7] = 1 }), code: codeInvalidRecord},
		{name: "wrong CRC", records: func(now time.Time) []byte { b := good(none)(now); b[len(b)-1]++; return b }, code: codeCorrupt},
		{name: "nothing", records: func(time.Time) []byte { return []byte{} }, code: codeInvalidRecord},
		{name: "magic 3", records: edited(none, func(b []byte) { b[16] = 3 }), code: codeCorrupt},
		{name: "negative magic", records: edited(none, func(b []byte) { b[16] = 0x80 }), code: codeCorrupt},
		{name: "magic 1", records: func(now time.Time) []byte { return messages(1, 1, now) }, code: codeInvalidRecord},
		{name: "magic 0", records: func(now time.Time) []byte { return messages(0, 1, now) }, code: codeInvalidRecord},
		{name: "two batches", records: func(now time.Time) []byte { return join(good(none)(now), good(none)(now)) }, code: codeInvalidRecord},
		{name: "cut second batch", records: func(now time.Time) []byte { return join(good(none)(now), good(none)(now)[:70]) }, code: codeNone},
		{name: "corrupt second batch", records: func(now time.Time) []byte { return join(good(none)(now), make([]byte, 70)) }, code: codeCorrupt},
		{name: "cut batch", records: func(now time.Time) []byte { b := good(none)(now); return b[:len(b)-1] }, code: codeInvalidRecord},
		{name: "few bytes", records: func(time.Time) []byte { return make([]byte, 11) }, code: codeInvalidRecord},
		{name: "size below minimum", records: edited(none, put32(8, 13)), code: codeCorrupt},
		{name: "size below header", records: edited(none, put32(8, 40)), code: codeCorrupt},
		{name: "negative size", records: edited(none, put32(8, -1)), code: codeCorrupt},
		{name: "count 0", records: edited(none, counts(-1, 0)), code: codeInvalidRecord},
		{name: "count 0 for 3 offsets", records: edited(none, put32(57, 0)), code: codeInvalidRecord},
		{name: "count -1", records: edited(none, put32(57, -1)), code: codeInvalidRecord},
		{name: "count 2 for 3 offsets", records: edited(none, put32(57, 2)), code: codeInvalidRecord},
		{name: "negative last offset delta", records: edited(none, put32(23, -7)), code: codeInvalidRecord},
		{name: "more records claimed", records: edited(none, counts(3, 4)), code: codeInvalidRecord},
		{name: "fewer records claimed", records: edited(none, counts(1, 2)), code: codeInvalidRecord},
		{name: "all claimed", records: edited(none, counts(math.MaxInt32-1, math.MaxInt32)), code: codeInvalidRecord},
		{name: "control", records: edited(none, flag(0x20)), code: codeInvalidRecord},
		{name: "producer without sequence", records: edited(none, func(b []byte) { clear(b[43:53]) }), code: codeInvalidRecord},
		{name: "producer -2", records: edited(none, func(b []byte) { b[50] = 0xfe }), code: codeNone},
		{name: "codec 5", records: edited(none, flag(5)), code: codeUnknown},
		{name: "codec 6", records: edited(none, flag(6)), code: codeUnknown},
		{name: "codec 7", records: edited(none, flag(7)), code: codeUnknown},
		{name: "codec 5 and wrong CRC", records: func(now time.Time) []byte { b := good(none)(now); b[22] = 5; return b }, code: codeCorrupt},
		{name: "codec 5 in v3", version: 3, records: edited(none, flag(5)), code: codeUnknown},
		{name: "unused attributes", records: edited(none, func(b []byte) { b[21], b[22] = 0xff, 0x80 }), code: codeNone},
		{name: "delete horizon", records: edited(none, flag(0x40)), code: codeNone},
		{name: "zstd in v6", version: 6, records: good(protocol.Zstd), code: codeUnsupportedCodec},
		{name: "lz4 in v3", version: 3, records: good(protocol.LZ4), code: codeNone},
		{name: "too large", topic: "small", records: raw(none, 200, simpleRecords(200)), code: codeTooLarge},
		{name: "too large and wrong CRC", topic: "small", records: func(now time.Time) []byte { b := raw(none, 200, simpleRecords(200))(now); b[62]++; return b }, code: codeTooLarge},
		{name: "compressed is not too large", topic: "small", records: raw(protocol.Gzip, 200, deflate(protocol.Gzip, simpleRecords(200))), code: codeNone},
	}
}

func recordCases() []validationCase {
	var cases []validationCase
	for name, c := range map[string]struct {
		records []byte
		count   int32
		code    int16
	}{
		"length too long":              {recordBytes(8, 0, 0, 0, 1, 1, 0), 1, codeInvalidRecord},
		"length too short":             {recordBytes(5, 0, 0, 0, 1, 1, 0), 1, codeInvalidRecord},
		"length 0":                     {recordBytes(0, 0, 0, 0, 1, 1, 0), 1, codeInvalidRecord},
		"negative length":              {recordBytes(-1, 0, 0, 0, 1, 1, 0), 1, codeInvalidRecord},
		"huge length":                  {recordBytes(math.MaxInt32, 0, 0, 0, 1, 1, 0), 1, codeInvalidRecord},
		"a record cut":                 {recordBytes(6, 0, 0, 0), 1, codeInvalidRecord},
		"length of six bytes":          {[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0, 0, 1, 1, 0}, 1, codeInvalidRecord},
		"minimal":                      {recordBytes(6, 0, 0, 0, 1, 1, 0), 1, codeNone},
		"record attributes":            {recordBytes(6, 0xff, 0, 0, 1, 1, 0), 1, codeNone},
		"length not canonical":         {[]byte{0x8c, 0x00, 0, 0, 0, 1, 1, 0}, 1, codeNone},
		"key beyond the record":        {recordBytes(6, 0, 0, 0, 20, 1, 0), 1, codeInvalidRecord},
		"value beyond the record":      {recordBytes(6, 0, 0, 0, 1, 20, 0), 1, codeInvalidRecord},
		"key length -2":                {recordBytes(6, 0, 0, 0, 3, 1, 0), 1, codeNone},
		"negative header count":        {recordBytes(6, 0, 0, 0, 1, 1, 1), 1, codeInvalidRecord},
		"more headers than bytes":      {recordBytes(8, 0, 0, 0, 1, 1, 8, 0, 0), 1, codeInvalidRecord},
		"header without key":           {recordBytes(8, 0, 0, 0, 1, 1, 2, 1, 1), 1, codeInvalidRecord},
		"header with null value":       {recordBytes(8, 0, 0, 0, 1, 1, 2, 0, 1), 1, codeNone},
		"header value beyond record":   {recordBytes(8, 0, 0, 0, 1, 1, 2, 0, 20), 1, codeInvalidRecord},
		"bytes after the last record":  {append(recordBytes(6, 0, 0, 0, 1, 1, 0), 0), 1, codeInvalidRecord},
		"fewer records than claimed":   {recordBytes(6, 0, 0, 0, 1, 1, 0), 2, codeInvalidRecord},
		"offset deltas all 0":          {bytes.Repeat(recordBytes(6, 0, 0, 0, 1, 1, 0), 3), 3, codeNone},
		"negative offset delta":        {recordBytes(6, 0, 0, 1, 1, 1, 0), 1, codeNone},
		"timestamp delta of ten bytes": {recordBytes(15, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 1, 1, 0), 1, codeNone},
	} {
		for _, codec := range allCodecs {
			cases = append(cases, validationCase{name: fmt.Sprint(name, ", ", codec), records: raw(codec, c.count, deflate(codec, c.records)), code: c.code})
		}
	}
	return cases
}

func codecCases() []validationCase {
	records := simpleRecords(2)
	one := simpleRecords(1)
	var cases []validationCase
	for _, codec := range allCodecs[1:] {
		whole := deflate(codec, records)
		cases = append(cases,
			validationCase{name: fmt.Sprint("good, ", codec), records: good(codec), code: codeNone},
			validationCase{name: fmt.Sprint("noise, ", codec), records: raw(codec, 1, []byte(strings.Repeat("noise", 10))), code: codeUnknown},
			validationCase{name: fmt.Sprint("cut stream, ", codec), records: raw(codec, 2, whole[:len(whole)-8]), code: codeUnknown},
		)
		for topic := range validationTopics {
			cases = append(cases, validationCase{name: fmt.Sprintf("good, %v to %s", codec, topic), topic: topic, records: good(codec), code: codeNone})
		}
	}
	frames := join(deflate(protocol.Zstd, one), deflate(protocol.Zstd, must(hex2(one))))
	gzips := join(deflate(protocol.Gzip, one), deflate(protocol.Gzip, must(hex2(one))))
	return append(cases,
		validationCase{name: "empty payload, gzip", records: raw(protocol.Gzip, 1, nil), code: codeUnknown},
		validationCase{name: "empty payload, snappy", records: raw(protocol.Snappy, 1, nil), code: codeUnknown},
		validationCase{name: "empty payload, lz4", records: raw(protocol.LZ4, 1, nil), code: codeUnknown},
		validationCase{name: "empty payload, zstd", records: raw(protocol.Zstd, 1, nil), code: codeInvalidRecord},
		validationCase{name: "gzip of two members", records: raw(protocol.Gzip, 2, gzips), code: codeNone},
		validationCase{name: "gzip and more", records: raw(protocol.Gzip, 1, join(deflate(protocol.Gzip, one), []byte("trailing"))), code: codeNone},
		validationCase{name: "zstd of two frames", records: raw(protocol.Zstd, 2, frames), code: codeNone},
		validationCase{name: "zstd and more", records: raw(protocol.Zstd, 1, join(deflate(protocol.Zstd, one), []byte("trailing"))), code: codeUnknown},
		validationCase{name: "lz4 and more", records: raw(protocol.LZ4, 1, join(deflate(protocol.LZ4, one), []byte("trailing"))), code: codeNone},
		validationCase{name: "lz4 with content checksum", records: raw(protocol.LZ4, 1, lz4Stored(0x64, one)), code: codeNone},
		validationCase{name: "lz4 of linked blocks", records: raw(protocol.LZ4, 1, lz4Stored(0x40, one)), code: codeUnknown},
		validationCase{name: "lz4 with wrong header checksum", records: raw(protocol.LZ4, 1, append([]byte{4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x81}, lz4Stored(0x60, one)[7:]...)), code: codeUnknown},
		validationCase{name: "snappy framed", records: raw(protocol.Snappy, 1, xerial(one)), code: codeNone},
		validationCase{name: "snappy framed twice", records: raw(protocol.Snappy, 2, join(xerial(one), xerial(must(hex2(one))))), code: codeNone},
		validationCase{name: "snappy with s2 repeats", records: raw(protocol.Snappy, 1, s2.EncodeBest(nil, oneRecord(bytes.Repeat([]byte("abcdefgh0123"), 300)))), code: codeUnknown},
		validationCase{name: "zstd window of 128 MiB", records: raw(protocol.Zstd, 1, zstdWindow(128<<20, one)), code: codeNone},
		validationCase{name: "zstd window of 256 MiB", records: raw(protocol.Zstd, 1, zstdWindow(256<<20, one)), code: codeUnknown},
	)
}

// hex2 turns the one record of offset 0 into one of offset 1.
func hex2(record []byte) ([]byte, error) {
	second := bytes.Clone(record)
	second[3] = 2
	return second, nil
}

func oneRecord(value []byte) []byte {
	return batchOf(protocol.BatchOptions{}, protocol.Record{Key: []byte("k"), Value: value})[protocol.BatchOverhead:]
}

func xerial(b []byte) []byte {
	framed := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	block := s2.EncodeSnappy(nil, b)
	return append(binary.BigEndian.AppendUint32(framed, uint32(len(block))), block...)
}

// zstdWindow makes a frame that announces a window of the given size.
func zstdWindow(size int, b []byte) []byte {
	var out bytes.Buffer
	w := must(zstd.NewWriter(&out, zstd.WithWindowSize(size), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1)))
	must(w.Write(b))
	if err := errors.Join(w.Flush(), w.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func timestampCases() []validationCase {
	at := func(codec protocol.Codec, offsets ...time.Duration) func(time.Time) []byte {
		return func(now time.Time) []byte {
			var records []protocol.Record
			for _, o := range offsets {
				records = append(records, protocol.Record{Timestamp: now.Add(o).UnixMilli(), Key: []byte("k")})
			}
			return batchOf(compressed(codec), records...)
		}
	}
	exactly := func(ms int64) func(time.Time) []byte {
		return func(time.Time) []byte {
			b := batchOf(protocol.BatchOptions{}, protocol.Record{Key: []byte("k")})
			binary.BigEndian.PutUint64(b[27:], uint64(ms))
			binary.BigEndian.PutUint64(b[35:], uint64(ms))
			b.UpdateCRC()
			return b
		}
	}
	stamped := func(maxTimestamp time.Duration) func(time.Time) []byte {
		return func(now time.Time) []byte {
			return batchOf(protocol.BatchOptions{LogAppendTime: true, AppendTime: now.Add(maxTimestamp).UnixMilli()}, someRecords(now)...)
		}
	}
	unstamped := func(time.Time) []byte {
		return batchOf(protocol.BatchOptions{LogAppendTime: true, AppendTime: -1}, protocol.Record{Key: []byte("k")}, protocol.Record{Key: []byte("l")})
	}
	wrongMax := edited(protocol.None, func(b []byte) { binary.BigEndian.PutUint64(b[35:], 12345) })
	return []validationCase{
		{name: "within", topic: "bounded", records: at(0, -59*time.Minute, 29*time.Minute), code: codeNone},
		{name: "too old", topic: "bounded", records: at(0, 0, -61*time.Minute, 0), code: codeInvalidTimestamp, indexes: []int32{1}},
		{name: "too new", topic: "bounded", records: at(0, 31*time.Minute, 0, time.Hour), code: codeInvalidTimestamp, indexes: []int32{0, 2}},
		{name: "too new, lz4", topic: "bounded", records: at(protocol.LZ4, 31*time.Minute, 0, time.Hour), code: codeInvalidTimestamp, indexes: []int32{0, 2}},
		{name: "absent", topic: "bounded", records: exactly(-1), code: codeNone},
		{name: "negative", topic: "bounded", records: exactly(-5), code: codeInvalidTimestamp, indexes: []int32{0}},
		{name: "negative, no bound", records: exactly(-5), code: codeNone},
		{name: "any, LogAppendTime topic", topic: "append", records: at(0, -1000*time.Hour, 1000*time.Hour), code: codeNone},
		{name: "any, gzip, LogAppendTime topic", topic: "append", records: at(protocol.Gzip, -1000*time.Hour, 1000*time.Hour), code: codeNone},
		{name: "stamped by the client", records: stamped(0), code: codeNone},
		{name: "stamped by the client, too old", topic: "bounded", records: stamped(-2 * time.Hour), code: codeInvalidTimestamp, indexes: []int32{0, 1, 2}},
		{name: "stamped by the client with -1", records: unstamped, code: codeInvalidTimestamp, indexes: []int32{0, 1}},
		{name: "stamped by the client, LogAppendTime topic", topic: "append", records: stamped(0), code: codeInvalidTimestamp, indexes: []int32{0, 1, 2}},
		{name: "wrong maximum", records: wrongMax, code: codeNone},
		{name: "null keys", topic: "compact", records: func(now time.Time) []byte {
			r := someRecords(now)
			r[0].Key, r[2].Key = nil, nil
			return batchOf(protocol.BatchOptions{}, r...)
		}, code: codeInvalidRecord, indexes: []int32{0, 2}},
		{name: "null keys, zstd", topic: "compact", records: func(now time.Time) []byte {
			r := someRecords(now)
			r[1].Key = nil
			return batchOf(compressed(protocol.Zstd), r...)
		}, code: codeInvalidRecord, indexes: []int32{1}},
		{name: "null keys and a broken record", topic: "compact", records: raw(protocol.None, 2, join(recordBytes(6, 0, 0, 0, 1, 1, 0), []byte{2})), code: codeInvalidRecord},
	}
}

func legacyCases() []validationCase {
	cases := []validationCase{
		{name: "nothing, v0", version: -1, records: func(time.Time) []byte { return []byte{} }, code: codeNone},
		{name: "magic 2, v2", version: 2, records: good(protocol.None), code: codeNone},
		{name: "two batches of magic 2, v2", version: 2, records: func(now time.Time) []byte { return join(good(protocol.None)(now), good(protocol.None)(now)) }, code: codeInvalidRecord},
		{name: "magic 0 and 1", version: 2, records: func(now time.Time) []byte { return join(messages(0, 1, now), messages(1, 1, now)) }, code: codeInvalidRecord},
		{name: "stamped by the client, v1", version: 2, records: func(now time.Time) []byte {
			return message(1, 0, 8, now.UnixMilli(), []byte("k"), []byte("v"))
		}, code: codeNone},
		{name: "wrapper below its last offset", version: 2, records: func(now time.Time) []byte { return wrapped(1, protocol.Gzip, 1, messages(1, 3, now), now) }, code: codeInvalidRecord},
		{name: "wrapper with the last offset", version: 2, records: func(now time.Time) []byte { return wrapped(1, protocol.Gzip, 2, messages(1, 3, now), now) }, code: codeNone},
		{name: "wrapper of zstd", version: 2, records: func(now time.Time) []byte { return wrapped(1, protocol.Zstd, 0, messages(1, 3, now), now) }, code: codeInvalidRecord},
		{name: "codec 5, v1", version: 2, records: func(now time.Time) []byte { return message(1, 0, 5, now.UnixMilli(), nil, []byte("v")) }, code: codeUnknown},
	}
	for _, magic := range []int8{0, 1} {
		version := int16(magic) + 1
		add := func(name string, code int16, records func(now time.Time) []byte) {
			cases = append(cases, validationCase{name: fmt.Sprintf("%s, magic %d", name, magic), version: version, records: records, code: code})
		}
		add("one", codeNone, func(now time.Time) []byte { return messages(magic, 1, now) })
		add("three", codeNone, func(now time.Time) []byte { return messages(magic, 3, now) })
		add("three, the last cut", codeNone, func(now time.Time) []byte { s := messages(magic, 3, now); return s[:len(s)-1] })
		add("null key and value", codeNone, func(now time.Time) []byte { return message(magic, 0, 0, now.UnixMilli(), nil, nil) })
		add("wrong CRC", codeCorrupt, func(now time.Time) []byte { s := messages(magic, 2, now); s[len(s)-1]++; return s })
		add("key beyond the message", codeInvalidRecord, func(now time.Time) []byte {
			s := messages(magic, 1, now)
			s[21+8*int(magic)] = 100
			binary.BigEndian.PutUint32(s[12:], crc32.ChecksumIEEE(s[16:]))
			return s
		})
		for _, codec := range []protocol.Codec{protocol.Gzip, protocol.Snappy, protocol.LZ4} {
			add(fmt.Sprint("wrapped by ", codec), codeNone, func(now time.Time) []byte { return wrapped(magic, codec, 0, messages(magic, 3, now), now) })
			add(fmt.Sprint("noise for ", codec), codeUnknown, func(now time.Time) []byte {
				return message(magic, 0, byte(codec), now.UnixMilli(), nil, []byte("noise noise noise noise noise"))
			})
		}
		gzip := protocol.Gzip
		add("two wrappers", codeInvalidRecord, func(now time.Time) []byte {
			w := wrapped(magic, gzip, 0, messages(magic, 3, now), now)
			return join(w, w)
		})
		add("a wrapper and a message", codeInvalidRecord, func(now time.Time) []byte {
			return join(wrapped(magic, gzip, 0, messages(magic, 3, now), now), messages(magic, 1, now))
		})
		add("wrapped nothing", codeInvalidRecord, func(now time.Time) []byte { return wrapped(magic, gzip, 0, nil, now) })
		add("wrapped null", codeInvalidRecord, func(now time.Time) []byte { return message(magic, 0, byte(gzip), now.UnixMilli(), nil, nil) })
		add("wrapped, the last cut", codeNone, func(now time.Time) []byte {
			s := messages(magic, 3, now)
			return wrapped(magic, gzip, 0, s[:len(s)-1], now)
		})
		add("wrapped wrong CRC", codeCorrupt, func(now time.Time) []byte {
			s := messages(magic, 3, now)
			s[len(s)-1]++
			return wrapped(magic, gzip, 0, s, now)
		})
		add("wrapped other magic", codeInvalidRecord, func(now time.Time) []byte { return wrapped(magic, gzip, 0, messages(1-magic, 3, now), now) })
		add("wrapped wrapper", codeInvalidRecord, func(now time.Time) []byte {
			return wrapped(magic, gzip, 0, wrapped(magic, gzip, 0, messages(magic, 3, now), now), now)
		})
		add("wrapped with the same offset", codeNone, func(now time.Time) []byte {
			return wrapped(magic, gzip, 0, join(messages(magic, 1, now), messages(magic, 1, now)), now)
		})
		add("wrapped small size", codeCorrupt, func(now time.Time) []byte {
			s := messages(magic, 3, now)
			s[11] = 5
			return wrapped(magic, gzip, 0, s, now)
		})
	}
	return cases
}

// validationCases are all cases with their defaults filled in.
func validationCases() []validationCase {
	cases := slices.Concat(batchCases(), recordCases(), codecCases(), timestampCases(), legacyCases())
	for i := range cases {
		c := &cases[i]
		if c.topic == "" {
			c.topic = "plain"
		}
		switch c.version {
		case 0:
			c.version = 9
		case -1:
			c.version = 0
		}
	}
	return cases
}

// produceValidated runs a case through both checks that a produce request meets.
func produceValidated(c validationCase, now time.Time) (validated, error) {
	config := DefaultConfig()
	validationTopics[c.topic](config)
	records := c.records(now)
	if err := protocol.CheckProduceRecords(c.version, records); err != nil {
		return validated{}, err
	}
	v := validation{config: config, now: now, partition: protocol.TopicPartition{Topic: c.topic}}
	return v.validate(records)
}

func TestValidateAnswersLikeApache(t *testing.T) {
	for _, c := range validationCases() {
		t.Run(c.name, func(t *testing.T) {
			out, err := produceValidated(c, validationTime)
			if code := protocol.CodeOf(err); code != c.code {
				t.Fatalf("code %d (%v), want %d", code, err, c.code)
			}
			var indexes []int32
			if invalid, ok := errors.AsType[*InvalidRecordsError](err); ok {
				for _, r := range invalid.Records {
					indexes = append(indexes, r.BatchIndex)
				}
			}
			if c.indexes != nil && !slices.Equal(indexes, c.indexes) {
				t.Fatalf("records %v are named (%v), want %v", indexes, err, c.indexes)
			}
			if out.batch != nil {
				checkValidated(t, c, out)
			}
		})
	}
}

// checkValidated checks what must hold of any batch that is written.
func checkValidated(t *testing.T, c validationCase, out validated) {
	t.Helper()
	b := out.batch
	if err := b.CheckCRC(); err != nil || b.Magic() != 2 || b.BaseOffset() != 0 {
		t.Fatalf("%v: %v", b, err)
	}
	next := int64(0)
	for r, err := range protocol.Records(b) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Offset != next {
			t.Fatalf("record at offset %d, want %d", r.Offset, next)
		}
		next++
	}
	if next != int64(b.Count()) || next != b.NextOffset() {
		t.Fatalf("%d records in %v", next, b)
	}
	if stamped := c.topic == "append"; b.LogAppendTime() != stamped || stamped && (b.MaxTimestamp() != out.appendTime || out.appendTime != validationTime.UnixMilli()) {
		t.Fatalf("append time %d of %v", out.appendTime, b)
	}
	if b.MaxTimestamp() != out.maxTimestamp {
		t.Fatalf("maximal timestamp %d of %v", out.maxTimestamp, b)
	}
}

// repeatedRecords is a payload of n records that compress well: what a topic with another compression.type has to unpack and pack again.
func repeatedRecords(n, valueBytes int) []byte {
	record := oneRecord(make([]byte, valueBytes))
	return bytes.Repeat(record, n)
}

func TestBombsAreConvertedInBoundedMemory(t *testing.T) {
	// All that is allocated, which is more than what is held at one time: two passes may take a decoder's window of 8 MiB each.
	const budget = 32 << 20
	for name, records := range map[string][]byte{
		"one record of 64 MiB": raw(protocol.Zstd, 1, deflate(protocol.Zstd, oneRecord(make([]byte, 64<<20))))(validationTime),
		"64 records of 1 MiB":  raw(protocol.Zstd, 64, deflate(protocol.Zstd, repeatedRecords(64, 1<<20)))(validationTime),
		"200 000 records":      raw(protocol.Gzip, 200_000, deflate(protocol.Gzip, repeatedRecords(200_000, 100)))(validationTime),
	} {
		for _, topic := range []string{"uncompressed", "lz4", "zstd", "compact", "plain"} {
			t.Run(name+" to "+topic, func(t *testing.T) {
				config := DefaultConfig()
				validationTopics[topic](config)
				v := validation{config: config, now: validationTime}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				_, err := v.validate(records)
				runtime.ReadMemStats(&after)
				if code := protocol.CodeOf(err); code != codeNone && code != codeTooLarge {
					t.Fatal(err)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > budget {
					t.Fatalf("%d bytes were allocated for a batch of %d: %v", used, len(records), err)
				}
			})
		}
	}
}

func TestTheListOfInvalidRecordsIsBounded(t *testing.T) {
	config := DefaultConfig()
	config.Compact = true
	v := validation{config: config, now: validationTime, partition: protocol.TopicPartition{Topic: "t", Partition: 2}}
	records := raw(protocol.Gzip, 100_000, deflate(protocol.Gzip, bytes.Repeat(recordBytes(6, 0, 0, 0, 1, 1, 0), 100_000)))(validationTime)
	_, err := v.validate(records)
	invalid, ok := errors.AsType[*InvalidRecordsError](err)
	if !ok || invalid.Count != 100_000 || len(invalid.Records) != recordErrorsMax {
		t.Fatal(err)
	}
	want := "One or more records have been rejected due to 100000 record errors in total, and only showing the first three errors at most: " +
		"[RecordError(batchIndex=0, message='Compacted topic cannot accept message without key in topic partition t-2'), " +
		"RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in topic partition t-2'), " +
		"RecordError(batchIndex=2, message='Compacted topic cannot accept message without key in topic partition t-2')]"
	if invalid.Error() != want {
		t.Fatalf("text %q", invalid.Error())
	}
}
