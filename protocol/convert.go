package protocol

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrZstdForOldClient says that a batch cannot be given to a client of the old formats, which have no zstd. It is UNSUPPORTED_COMPRESSION_TYPE.
var ErrZstdForOldClient = fmt.Errorf("down-convert a zstd batch: %w", kerr.UnsupportedCompressionType)

// convertedRecordMax is the largest compressed record in bytes that is converted for an old client.
const convertedRecordMax = 64 << 20

// DownConvert appends to dst what clients of message format 0 or 1 can read of the whole entries in b, for Fetch v0–v1 and v2–v3. Transaction
// markers are left out, headers are lost, and entries that are old enough stay as they are. Compression stays, and with it records below
// firstOffset, the offset asked for, that share a batch with later ones; without it they are dropped. On an error, dst has what came before.
func DownConvert(dst, b []byte, magic int8, firstOffset int64) ([]byte, error) {
	for batch, err := range Batches(b) {
		if err == nil {
			var converted []byte
			if converted, err = downConvertBatch(dst, batch, magic, firstOffset); err == nil {
				dst = converted
			}
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func downConvertBatch(dst []byte, b Batch, magic int8, firstOffset int64) ([]byte, error) {
	switch {
	case b.Control():
		return dst, nil
	case b.Codec() == Zstd:
		return dst, ErrZstdForOldClient
	case b.Magic() <= magic:
		return append(dst, b...), nil
	}
	r := NewRecordReader(b, ReadOptions{RecordMax: convertedRecordMax})
	defer r.Close()
	if b.Codec() == None {
		return downConvertPlain(dst, r, b.LogAppendTime(), magic, firstOffset)
	}
	return downConvertCompressed(dst, r, b, magic)
}

func downConvertPlain(dst []byte, r *RecordReader, logAppendTime bool, magic int8, firstOffset int64) ([]byte, error) {
	for r.Next() {
		if r.Record().Offset >= firstOffset {
			dst = appendMessage(dst, magic, logAppendTime, r.Record())
		}
	}
	return dst, r.Err()
}

// downConvertCompressed writes a wrapper message whose value is the compressed set.
func downConvertCompressed(dst []byte, r *RecordReader, b Batch, magic int8) ([]byte, error) {
	w := wrapperWriter{out: sliceWriter{bytes: dst, start: len(dst)}, magic: magic, logAppendTime: b.LogAppendTime()}
	var err error
	w.out.bytes = appendMessage(w.out.bytes, magic, w.logAppendTime, &Record{Timestamp: b.MaxTimestamp()})
	w.compressor, err = newCompressor(&w.out, Compression{Codec: b.Codec()}, magic)
	if err != nil {
		return dst, err
	}
	defer w.compressor.release()
	for r.Next() && err == nil {
		err = w.append(r.Record())
	}
	if err == nil {
		err = r.Err()
	}
	if err != nil || w.count == 0 {
		return dst, err
	}
	return w.finish(b.Codec())
}

type wrapperWriter struct {
	out           sliceWriter
	compressor    compressor
	magic         int8
	logAppendTime bool
	count         int
	first, last   int64 // offsets
	maxTimestamp  int64
	scratch       []byte
}

// append adds a message. Magic 1 counts inner offsets from the set's first, magic 0 has them absolute.
func (w *wrapperWriter) append(r *Record) error {
	if w.count == 0 {
		w.first, w.maxTimestamp = r.Offset, r.Timestamp
	}
	w.count++
	w.last = r.Offset
	w.maxTimestamp = max(w.maxTimestamp, r.Timestamp)
	inner := *r
	if w.magic == 1 {
		inner.Offset -= w.first
	}
	w.scratch = appendMessage(w.scratch[:0], w.magic, w.logAppendTime, &inner)
	_, err := w.compressor.Write(w.scratch)
	return err
}

// finish completes the wrapper's fields now that they are known: its offset is that of the last message.
func (w *wrapperWriter) finish(codec Codec) ([]byte, error) {
	if err := w.compressor.Close(); err != nil {
		return nil, fmt.Errorf("compress messages: %w", err)
	}
	m := Batch(w.out.bytes[w.out.start:])
	valueAt := legacyTimestampAt + 8 // after the lengths of key and value
	if w.magic == 1 {
		binary.BigEndian.PutUint64(m[legacyTimestampAt:], uint64(w.maxTimestamp))
		valueAt += timestampLength
	}
	if len(m) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a message set of %d bytes", ErrTooLarge, len(m))
	}
	m.SetBaseOffset(w.last)
	m[legacyAttributesAt] |= byte(codec)
	binary.BigEndian.PutUint32(m[valueAt-4:], uint32(len(m)-valueAt))
	sealMessage(m)
	return w.out.bytes, nil
}
