package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// epochMillis is the time of the records that cases produce: long ago, so that it cannot be taken for a clock reading.
const epochMillis = 1_500_000_000_000

// batch describes a record batch of format 2. Its zero value and a few values make a good one; the fields make it bad.
type batch struct {
	values     []string
	keys       []string // nil: every record has a null key
	codec      int8     // 1 gzip, 2 snappy, 3 lz4, 4 zstd
	attributes int16    // beside the codec
	producer   int64    // with a sequence: an idempotent batch. 0 means none
	epoch      int16
	sequence   int32
	time       int64 // of the first record, the next ones follow by a millisecond; 0 means epochMillis
	headers    []kmsg.Header
	alter      func(*kmsg.RecordBatch) // last changes before the checksum
}

// values are a batch with these values.
func values(v ...string) []byte { return batch{values: v}.bytes() }

func (b batch) bytes() []byte {
	at := b.time
	if at == 0 {
		at = epochMillis
	}
	n := int32(len(b.values))
	r := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: b.attributes | int16(b.codec), LastOffsetDelta: n - 1, FirstTimestamp: at,
		MaxTimestamp: at + int64(max(n, 1)) - 1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: n}
	if b.producer != 0 {
		r.ProducerID, r.ProducerEpoch, r.FirstSequence = b.producer, b.epoch, b.sequence
	}
	r.Records = compress(b.codec, b.records())
	if b.alter != nil {
		b.alter(&r)
	}
	return seal(r)
}

// seal sets length and checksum.
func seal(r kmsg.RecordBatch) []byte {
	out := r.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

func (b batch) records() []byte {
	var out []byte
	for i, v := range b.values {
		r := kmsg.Record{TimestampDelta64: int64(i), OffsetDelta: int32(i), Value: []byte(v), Headers: b.headers}
		if i < len(b.keys) {
			r.Key = []byte(b.keys[i])
		}
		body := r.AppendTo(nil)[1:] // a length of 0 takes one byte
		out = binary.AppendVarint(out, int64(len(body)))
		out = append(out, body...)
	}
	return out
}

func compress(codec int8, b []byte) []byte {
	codecs := map[int8]kgo.CompressionCodec{1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression()}
	c, ok := codecs[codec]
	if !ok {
		return b
	}
	compressor, err := kgo.DefaultCompressor(c)
	if err != nil {
		panic(err) // the four codecs are known
	}
	out, _ := compressor.Compress(new(bytes.Buffer), b)
	return out
}

// messages is a message set of format 0 or 1, one message per value.
func messages(magic int8, values ...string) []byte {
	var out []byte
	for i, v := range values {
		out = append(out, message(magic, int64(i), 0, nil, []byte(v))...)
	}
	return out
}

// wrapped is a compressed message set of format 0 or 1: one message whose value is the set.
func wrapped(magic, codec int8, values ...string) []byte {
	return message(magic, int64(len(values)-1), codec, nil, compress(codec, messages(magic, values...)))
}

func message(magic int8, offset int64, codec int8, key, value []byte) []byte {
	body := []byte{byte(magic), byte(codec)}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, epochMillis+uint64(offset))
	}
	body = appendNullable(body, key)
	body = appendNullable(body, value)
	out := binary.BigEndian.AppendUint64(nil, uint64(offset))
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+4))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return binary.BigEndian.AppendUint32(dst, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

// describeRecords renders fetched records batch by batch. Compressed payloads are inflated first: two encoders need not agree
// on bytes. The rest is compared as it is, but for a batch that is cut at the end: every client must expect one and skips it,
// and how much of it comes depends on how a broker counts what it converted for an old client.
func describeRecords(b []byte) string {
	var out strings.Builder
	for len(b) >= 17 {
		size := int(binary.BigEndian.Uint32(b[8:])) + 12
		magic := int8(b[16])
		if size > len(b) {
			break
		}
		if magic == 2 {
			describeBatch(&out, b[:size])
		} else {
			describeMessage(&out, b[:size])
		}
		b = b[size:]
	}
	return out.String()
}

func describeBatch(out *strings.Builder, b []byte) {
	var r kmsg.RecordBatch
	if err := r.ReadFrom(b); err != nil {
		fmt.Fprintf(out, "[undecodable: %v: %x]", err, b)
		return
	}
	sum := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)) == uint32(r.CRC)
	fmt.Fprintf(out, "[%d+%d epoch %d attributes %x first %s max %s producer %d/%d/%d crc ok %v: %x]", r.FirstOffset, r.NumRecords, r.PartitionLeaderEpoch,
		r.Attributes, moment(r.FirstTimestamp), moment(r.MaxTimestamp), min(r.ProducerID, 0), r.ProducerEpoch, r.FirstSequence, sum, inflate(int8(r.Attributes&7), r.Records))
}

func describeMessage(out *strings.Builder, b []byte) {
	codec := int8(b[17] & 7)
	head := 18
	if b[16] == 1 {
		head += 8
	}
	sum := crc32.ChecksumIEEE(b[16:]) == binary.BigEndian.Uint32(b[12:])
	if codec == 0 {
		fmt.Fprintf(out, "[message %x crc ok %v %x]", b[:12], sum, b[16:])
		return
	}
	inner := inflate(codec, b[head+8:])
	fmt.Fprintf(out, "[wrapper at %d %x crc ok %v: %s]", binary.BigEndian.Uint64(b), b[16:head], sum, describeRecords(inner))
}

func inflate(codec int8, b []byte) []byte {
	if codec == 0 {
		return b
	}
	out, err := kgo.DefaultDecompressor().Decompress(b, kgo.CompressionCodecType(codec))
	if err != nil {
		return []byte(err.Error())
	}
	return out
}

// moment renders a timestamp, all times around now alike.
func moment(millis int64) string {
	if time.Since(time.UnixMilli(millis)).Abs() < time.Hour {
		return "<now>"
	}
	return fmt.Sprint(millis)
}
