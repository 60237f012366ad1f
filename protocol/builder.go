package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrTooLarge says that a batch, or what it inflates to, exceeds a limit. It is MESSAGE_TOO_LARGE.
var ErrTooLarge = fmt.Errorf("record batch too large: %w", kerr.MessageTooLarge)

// Producer is the state of an idempotent producer that goes into a batch.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the first record; NoSequence in a control batch
}

// BatchOptions are the header of a batch to be built. The zero value is a plain uncompressed batch at offset 0, leader epoch 0.
type BatchOptions struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Compression   Compression
	Producer      *Producer // nil for none
	Transactional bool
	Control       bool
	// LogAppendTime stamps AppendTime (milliseconds) on the whole batch; the records' own timestamps stay in the bytes but are not seen.
	LogAppendTime bool
	AppendTime    int64
	// DeleteHorizon, if not zero, is the cleaner's mark (Batch.DeleteHorizon) in milliseconds.
	DeleteHorizon int64
	// SizeMax bounds the built batch in bytes, 0 for none. Passing it is ErrTooLarge, as soon as it is certain.
	SizeMax int
}

// BatchBuilder encodes records into one magic 2 batch, compressing as they come.
type BatchBuilder struct {
	options       BatchOptions
	out           sliceWriter
	compressor    compressor // nil for an uncompressed batch
	scratch       []byte     // one encoded record on its way to the compressor
	count         int32
	lastOffset    int64
	baseTimestamp int64
	maxTimestamp  int64
}

// NewBatchBuilder starts a batch that is appended to dst. Every builder is ended by Finish or Abort.
func NewBatchBuilder(dst []byte, o BatchOptions) (*BatchBuilder, error) {
	b := &BatchBuilder{options: o, lastOffset: o.BaseOffset - 1, maxTimestamp: NoTimestamp, baseTimestamp: o.DeleteHorizon}
	b.out = sliceWriter{bytes: append(dst, make([]byte, BatchOverhead)...), start: len(dst), sizeMax: o.SizeMax}
	if o.Compression.Codec == None {
		return b, nil
	}
	var err error
	b.compressor, err = newCompressor(&b.out, o.Compression, 2)
	return b, err
}

// Append adds a record at its own offset, which must be above that of the one before it.
func (b *BatchBuilder) Append(r *Record) error {
	if r.Offset <= b.lastOffset || r.Offset-b.options.BaseOffset > math.MaxInt32 {
		return fmt.Errorf("append record: offset %d does not fit a batch that begins at %d and has reached %d", r.Offset, b.options.BaseOffset, b.lastOffset)
	}
	if r.Timestamp < 0 && r.Timestamp != NoTimestamp {
		return fmt.Errorf("append record: negative timestamp %d", r.Timestamp)
	}
	if b.count == 0 && b.options.DeleteHorizon == 0 {
		b.baseTimestamp = r.Timestamp
	}
	if err := b.write(r); err != nil {
		return err
	}
	b.count++
	b.lastOffset = r.Offset
	b.maxTimestamp = max(b.maxTimestamp, r.Timestamp)
	return nil
}

// scratchMax is the largest value that is copied on its way to the compressor; larger ones go there by themselves.
const scratchMax = 32 << 10

func (b *BatchBuilder) write(r *Record) error {
	timestampDelta, offsetDelta := r.Timestamp-b.baseTimestamp, r.Offset-b.options.BaseOffset
	if b.compressor == nil {
		b.out.bytes = appendRecord(b.out.bytes, r, timestampDelta, offsetDelta)
		return b.out.check()
	}
	if len(r.Value) <= scratchMax {
		b.scratch = appendRecord(b.scratch[:0], r, timestampDelta, offsetDelta)
		_, err := b.compressor.Write(b.scratch)
		return err
	}
	b.scratch = appendVarint(appendRecordHead(b.scratch[:0], r, timestampDelta, offsetDelta), int64(len(r.Value)))
	if _, err := b.compressor.Write(b.scratch); err != nil {
		return err
	}
	if _, err := b.compressor.Write(r.Value); err != nil {
		return err
	}
	b.scratch = appendHeaders(b.scratch[:0], r)
	_, err := b.compressor.Write(b.scratch)
	return err
}

func appendRecord(dst []byte, r *Record, timestampDelta, offsetDelta int64) []byte {
	dst = appendRecordHead(dst, r, timestampDelta, offsetDelta)
	dst = appendBytes(dst, r.Value)
	return appendHeaders(dst, r)
}

// appendRecordHead appends what comes before the value.
func appendRecordHead(dst []byte, r *Record, timestampDelta, offsetDelta int64) []byte {
	dst = appendVarint(dst, int64(recordLen(r, timestampDelta, offsetDelta)))
	dst = append(dst, 0)
	dst = appendVarint(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	return appendBytes(dst, r.Key)
}

func appendHeaders(dst []byte, r *Record) []byte {
	dst = appendVarint(dst, int64(r.Headers.count))
	return append(dst, r.Headers.raw...)
}

func recordLen(r *Record, timestampDelta, offsetDelta int64) int {
	return 1 + varintLen(timestampDelta) + varintLen(offsetDelta) + bytesLen(r.Key) + bytesLen(r.Value) +
		varintLen(int64(r.Headers.count)) + len(r.Headers.raw)
}

func bytesLen(v []byte) int {
	if v == nil {
		return 1
	}
	return varintLen(int64(len(v))) + len(v)
}

// Count is the number of records so far.
func (b *BatchBuilder) Count() int { return int(b.count) }

// MaxTimestamp is the largest timestamp of the records so far, or the append time, in milliseconds.
func (b *BatchBuilder) MaxTimestamp() int64 {
	if b.options.LogAppendTime {
		return b.options.AppendTime
	}
	return b.maxTimestamp
}

// ExtendTo makes offset the batch's last one although its record is gone, as compaction must.
func (b *BatchBuilder) ExtendTo(offset int64) { b.lastOffset = max(b.lastOffset, offset) }

// Abort gives the builder's resources back.
func (b *BatchBuilder) Abort() {
	if b.compressor != nil {
		b.compressor.release()
		b.compressor = nil
	}
}

// Finish returns dst with the batch appended. A batch without records is no batch: dst comes back as it was.
func (b *BatchBuilder) Finish() ([]byte, error) {
	defer b.Abort()
	if b.count == 0 {
		return b.out.bytes[:b.out.start], nil
	}
	if b.compressor != nil {
		if err := b.compressor.Close(); err != nil {
			return nil, fmt.Errorf("compress records: %w", err)
		}
	}
	if err := b.out.check(); err != nil {
		return nil, err
	}
	b.writeHeader(Batch(b.out.bytes[b.out.start:]))
	return b.out.bytes, nil
}

func (b *BatchBuilder) writeHeader(h Batch) {
	o := &b.options
	writeBatchHeader(h, o, int32(b.lastOffset-o.BaseOffset), b.count)
	binary.BigEndian.PutUint64(h[baseTimestampAt:], uint64(b.baseTimestamp))
	binary.BigEndian.PutUint64(h[maxTimestampAt:], uint64(b.MaxTimestamp()))
	h.UpdateCRC()
}

func writeBatchHeader(h Batch, o *BatchOptions, lastOffsetDelta, count int32) {
	producer := Producer{ID: NoProducerID, Epoch: NoProducerEpoch, Sequence: NoSequence}
	if o.Producer != nil {
		producer = *o.Producer
	}
	h.SetBaseOffset(o.BaseOffset)
	binary.BigEndian.PutUint32(h[sizeAt:], uint32(len(h)-LogOverhead))
	h.SetLeaderEpoch(o.LeaderEpoch)
	h[magicAt] = 2
	binary.BigEndian.PutUint16(h[attributesAt:], uint16(o.attributes()))
	binary.BigEndian.PutUint32(h[lastOffsetDeltaAt:], uint32(lastOffsetDelta))
	binary.BigEndian.PutUint64(h[producerIDAt:], uint64(producer.ID))
	binary.BigEndian.PutUint16(h[producerEpochAt:], uint16(producer.Epoch))
	binary.BigEndian.PutUint32(h[baseSequenceAt:], uint32(producer.Sequence))
	binary.BigEndian.PutUint32(h[countAt:], uint32(count))
}

func (o *BatchOptions) attributes() int16 {
	a := int16(o.Compression.Codec)
	for _, flag := range [...]struct {
		set bool
		bit int16
	}{
		{o.LogAppendTime, logAppendTimeFlag},
		{o.Transactional, transactionalFlag},
		{o.Control, controlFlag},
		{o.DeleteHorizon != 0, deleteHorizonFlag},
	} {
		if flag.set {
			a |= flag.bit
		}
	}
	return a
}

// AppendBatch appends a batch of the records to dst. They take the offsets from the base offset on, whatever is in them.
func AppendBatch(dst []byte, o BatchOptions, records ...Record) ([]byte, error) {
	b, err := NewBatchBuilder(dst, o)
	if err != nil {
		return nil, err
	}
	defer b.Abort()
	for i := range records {
		r := records[i]
		r.Offset = o.BaseOffset + int64(i)
		if err := b.Append(&r); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// sliceWriter gathers a batch's bytes behind what the slice held already.
type sliceWriter struct {
	bytes   []byte
	start   int
	sizeMax int
}

var _ io.Writer = (*sliceWriter)(nil)

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.bytes = append(w.bytes, p...)
	return len(p), w.check()
}

func (w *sliceWriter) check() error {
	if size := len(w.bytes) - w.start; w.sizeMax > 0 && size > w.sizeMax {
		return fmt.Errorf("%w: %d bytes or more, at most %d are allowed", ErrTooLarge, size, w.sizeMax)
	}
	return nil
}

// AppendEmptied appends what the cleaner leaves of a batch none of whose records stay: a batch of no records that keeps the offsets, and the
// last sequence of the producer. Of magic 0 and 1 it keeps the last offset.
func AppendEmptied(dst []byte, b Batch) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, BatchOverhead)...)
	empty := Batch(dst[start:])
	o := BatchOptions{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), Transactional: b.Transactional(), Control: b.Control(), LogAppendTime: b.LogAppendTime(),
	}
	if b.HasProducerID() {
		o.Producer = &Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), Sequence: b.BaseSequence()}
	}
	writeBatchHeader(empty, &o, b.LastOffsetDelta(), 0)
	absent := NoTimestamp
	binary.BigEndian.PutUint64(empty[baseTimestampAt:], uint64(absent))
	binary.BigEndian.PutUint64(empty[maxTimestampAt:], uint64(b.MaxTimestamp()))
	empty.UpdateCRC()
	return dst
}
