package abuse

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codec is how one kind of batch is compressed, as a stream, and how large a batch of it a broker takes.
type codec struct {
	name   string
	id     int16
	bytes  int
	writer func(io.Writer) (io.WriteCloser, error)
}

var codecs = []codec{
	{"gzip", 1, 256 << 20, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	{"snappy", 2, 128 << 20, func(w io.Writer) (io.WriteCloser, error) { return &snappyBlock{out: w}, nil }},
	{"lz4", 3, 256 << 20, func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }},
	{"zstd", 4, 256 << 20, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
}

// snappyBlock is a single block, which must be whole before it can be compressed.
type snappyBlock struct {
	bytes.Buffer
	out io.Writer
}

func (b *snappyBlock) Close() error {
	_, err := b.out.Write(snappy.Encode(nil, b.Bytes()))
	return err
}

// bomb is a batch of records full of zeros that inflates to the codec's number of bytes: one record of them all, or many.
func bomb(t *testing.T, c codec, count int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.writer(&out)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for i := range count {
		value := c.bytes/count - 30
		head := []byte{0, 0} // attributes, timestamp delta
		head = binary.AppendVarint(head, int64(i))
		head = binary.AppendVarint(head, -1)
		head = binary.AppendVarint(head, int64(value))
		record := append(binary.AppendVarint(nil, int64(len(head)+value+1)), head...)
		_, err = w.Write(record)
		for left := value + 1; left > 0 && err == nil; left -= len(zeros) { // the last byte is the number of headers
			_, err = w.Write(zeros[:min(left, len(zeros))])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealed(kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: c.id, LastOffsetDelta: int32(count - 1), FirstTimestamp: 1, MaxTimestamp: 1,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(count), Records: out.Bytes()})
}

// sealed sets length and checksum.
func sealed(r kmsg.RecordBatch) []byte {
	b := r.AppendTo(nil)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
