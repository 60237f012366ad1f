package log

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// RecordError names one record of a refused batch, for Produce v8 and later.
type RecordError struct {
	BatchIndex int32 // position of the record in the batch
	Message    string
}

// InvalidRecordsError refuses a batch for what some of its records are. It wraps INVALID_TIMESTAMP if any record has a timestamp that
// is not allowed, else INVALID_RECORD.
type InvalidRecordsError struct {
	Records []RecordError // at most recordErrorsMax
	Count   int           // of all that are invalid
	code    *kerr.Error
}

// Error is the text that Apache sends, since clients show it to people.
func (e *InvalidRecordsError) Error() string {
	if e.code == kerr.InvalidTimestamp {
		return "One or more records have been rejected due to invalid timestamp"
	}
	text := fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [", e.Count)
	for i, r := range e.Records[:min(3, len(e.Records))] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", r.BatchIndex, r.Message)
	}
	return text + "]"
}

// Unwrap gives the Kafka error.
func (e *InvalidRecordsError) Unwrap() error { return e.code }

// recordErrorsMax bounds the list of invalid records. Apache has no bound; a batch can hold millions.
const recordErrorsMax = 4096

// validation is what the check of a leader's append depends on.
type validation struct {
	partition protocol.TopicPartition // for messages
	config    *Config
	origin    Origin
	now       time.Time
}

// validated is the outcome: the one batch to be written, not yet stamped with its base offset and leader epoch. Both lie outside its CRC, so
// all of the costly work can be done before the log's lock is taken.
type validated struct {
	batch        protocol.Batch // nil: there was nothing to append
	maxTimestamp int64
	appendTime   int64 // -1 unless the topic has LogAppendTime
}

// validate checks what a leader is asked to append by the rules of the topic, and gives records the form in which they are written: one batch
// of magic 2 with the topic's compression. Nearly always that is the given bytes themselves; then nothing is copied, and only timestamps
// that the broker decides are written into them. Otherwise, for message sets of magic 0 and 1, another compression.type, or offsets within
// the batch that have gaps, a new batch is built.
func (v validation) validate(records []byte) (validated, error) {
	set, err := v.analyze(records)
	if err != nil || set.first == nil {
		return validated{}, err
	}
	for batch, err := range protocol.Batches(set.valid) {
		if err != nil {
			return validated{}, err
		}
		if err := v.checkBatch(set.first, batch); err != nil {
			return validated{}, err
		}
	}
	target, err := v.target(set.codec)
	if err != nil {
		return validated{}, err
	}
	asItIs := target.Codec == set.codec || set.codec == protocol.None && set.first.Control()
	if set.first.Magic() == 2 && asItIs {
		return v.inPlace(set, target)
	}
	return v.rebuild(set, target)
}

// entries are the batches of an append after the checks that need no look inside.
type entries struct {
	valid []byte         // all whole entries; a cut tail is not among them
	first protocol.Batch // nil: none
	codec protocol.Codec
}

// analyze checks each entry for its size and CRC.
func (v validation) analyze(records []byte) (entries, error) {
	var set entries
	length, count := 0, 0
	for batch, err := range protocol.Batches(records) {
		if err == nil {
			err = v.analyzeBatch(batch)
		}
		if err != nil {
			return entries{}, err
		}
		if count++; count == 1 {
			set.first = batch
		}
		if codec := batch.Codec(); codec != protocol.None {
			set.codec = codec
		}
		length += len(batch)
	}
	set.valid = records[:length]
	if count > 1 && (set.first.Magic() == 2 || set.codec != protocol.None) {
		return entries{}, fmt.Errorf("%w: %d batches where one is allowed", protocol.ErrInvalidRecord, count)
	}
	return set, nil
}

func (v validation) analyzeBatch(b protocol.Batch) error {
	if b.Magic() == 2 && v.origin == OriginClient && b.BaseOffset() != 0 {
		return fmt.Errorf("%w: base offset %d of a client's batch is not 0", protocol.ErrInvalidRecord, b.BaseOffset())
	}
	if limit := v.config.Messages.BytesMax; len(b) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", protocol.ErrTooLarge, len(b), limit)
	}
	if err := b.CheckCRC(); err != nil {
		return err
	}
	if !b.Codec().Known() {
		return fmt.Errorf("%w: unknown %v", protocol.ErrDecompress, b.Codec())
	}
	return nil
}

// checkBatch checks the header. What clients may not do, the broker's own writers may.
func (v validation) checkBatch(first, b protocol.Batch) error {
	if first.Magic() != b.Magic() {
		return fmt.Errorf("%w: magic %d after a batch of magic %d", protocol.ErrInvalidRecord, b.Magic(), first.Magic())
	}
	if v.origin != OriginClient || b.Magic() < 2 {
		return nil
	}
	span := int64(b.LastOffsetDelta()) + 1
	switch count := int64(b.Count()); {
	case span <= 0:
		return fmt.Errorf("%w: the offsets end before they begin, at %d", protocol.ErrInvalidRecord, b.LastOffset())
	case count <= 0:
		return fmt.Errorf("%w: %d records in the batch", protocol.ErrInvalidRecord, count)
	case span != count:
		return fmt.Errorf("%w: %d records for %d offsets", protocol.ErrInvalidRecord, count, span)
	}
	if b.Control() {
		return fmt.Errorf("%w: clients cannot write control records", protocol.ErrInvalidRecord)
	}
	if b.HasProducerID() && b.BaseSequence() < 0 {
		return fmt.Errorf("%w: sequence number %d of producer %d", protocol.ErrInvalidRecord, b.BaseSequence(), b.ProducerID())
	}
	return nil
}

// target is the compression that the topic wants for a batch that came with source.
func (v validation) target(source protocol.Codec) (protocol.Compression, error) {
	m := &v.config.Messages
	c := protocol.Compression{Codec: source}
	if m.CompressionType != "producer" {
		var err error
		if c.Codec, err = protocol.ParseCodec(m.CompressionType); err != nil {
			return c, err
		}
	}
	switch c.Codec {
	case protocol.Gzip:
		c.Level = m.GzipLevel
	case protocol.LZ4:
		c.Level = m.LZ4Level
	case protocol.Zstd:
		c.Level = m.ZstdLevel
	}
	return c, nil
}

// inPlace checks the records where they are and decides the timestamp. The bytes stay as they came, unless it turns out that the records are not
// numbered from 0 on: then they are numbered anew.
func (v validation) inPlace(set entries, target protocol.Compression) (validated, error) {
	check := recordCheck{validation: v, batch: set.first, maxTimestamp: protocol.NoTimestamp, sequential: true}
	if err := check.all(nil); err != nil {
		return validated{}, err
	}
	if !check.sequential && !set.first.Control() {
		return v.rebuild(set, target)
	}
	out := validated{batch: set.first, maxTimestamp: check.maxTimestamp, appendTime: protocol.NoTimestamp}
	if v.config.Messages.TimestampType == LogAppendTime {
		out.appendTime = v.now.UnixMilli()
		out.maxTimestamp = out.appendTime
	}
	out.batch.SetTimestamp(out.maxTimestamp, out.appendTime != protocol.NoTimestamp)
	return out, nil
}

// rebuild checks the records and writes them into a new batch as it goes. The batch keeps the producer's id, epoch and sequence.
func (v validation) rebuild(set entries, target protocol.Compression) (validated, error) {
	o := protocol.BatchOptions{Compression: target, Transactional: set.first.Transactional(), SizeMax: v.config.Messages.BytesMax}
	if id := set.first.ProducerID(); id != protocol.NoProducerID {
		o.Producer = &protocol.Producer{ID: id, Epoch: set.first.ProducerEpoch(), Sequence: set.first.BaseSequence()}
	}
	if v.config.Messages.TimestampType == LogAppendTime {
		o.LogAppendTime, o.AppendTime = true, v.now.UnixMilli()
	}
	builder, err := protocol.NewBatchBuilder(nil, o)
	if err != nil {
		return validated{}, err
	}
	defer builder.Abort()
	for batch := range protocol.Batches(set.valid) {
		check := recordCheck{validation: v, batch: batch, sequential: true}
		if err := check.all(builder); err != nil {
			return validated{}, err
		}
	}
	return finish(builder, o)
}

func finish(builder *protocol.BatchBuilder, o protocol.BatchOptions) (validated, error) {
	out := validated{maxTimestamp: builder.MaxTimestamp(), appendTime: protocol.NoTimestamp}
	if o.LogAppendTime {
		out.appendTime = o.AppendTime
	}
	built, err := builder.Finish()
	if err != nil {
		return validated{}, err
	}
	if len(built) > 0 {
		out.batch = built
	}
	return out, nil
}

// readers are reused, so that checking an uncompressed batch allocates nothing.
var readers = sync.Pool{New: func() any { return new(protocol.RecordReader) }}

// recordCheck walks the records of one batch.
type recordCheck struct {
	validation
	batch        protocol.Batch
	index        int32 // of the record in the batch
	maxTimestamp int64
	sequential   bool // offsets count from 0
	failure      *InvalidRecordsError
}

// all checks every record; with a builder, it appends those that pass, until one has failed.
func (c *recordCheck) all(builder *protocol.BatchBuilder) error {
	reader := readers.Get().(*protocol.RecordReader)
	defer readers.Put(reader)
	reader.Reset(c.batch, protocol.ReadOptions{SkipData: builder == nil, RecordMax: max(protocol.RecordMax, c.config.Messages.BytesMax)})
	defer reader.Close()
	base := c.batch.BaseOffset()
	for reader.Next() {
		r := reader.Record()
		c.record(r)
		c.maxTimestamp = max(c.maxTimestamp, r.Timestamp)
		c.sequential = c.sequential && r.Offset-base == int64(c.index)
		c.index++
		if builder != nil && c.failure == nil {
			if err := c.appendTo(builder, r); err != nil {
				return err
			}
		}
	}
	if err := reader.Err(); err != nil {
		return err
	}
	if c.failure != nil {
		return c.failure
	}
	return nil
}

func (c *recordCheck) appendTo(builder *protocol.BatchBuilder, r *protocol.Record) error {
	renumbered := *r
	renumbered.Offset = int64(builder.Count())
	return builder.Append(&renumbered)
}

// record checks one record: compacted topics need keys, and a producer's clock must not be too far off.
func (c *recordCheck) record(r *protocol.Record) {
	switch m := &c.config.Messages; {
	case c.config.Compact && r.Key == nil:
		c.fail(kerr.InvalidRecord, "Compacted topic cannot accept message without key in topic partition %v", c.partition)
	case m.TimestampType == CreateTime && r.Timestamp != protocol.NoTimestamp:
		now := c.now.UnixMilli()
		if age := now - r.Timestamp; age > m.TimestampBeforeMax || -age > m.TimestampAfterMax {
			c.fail(kerr.InvalidTimestamp, "Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
				r.Timestamp, r.Offset, now-m.TimestampBeforeMax, now+m.TimestampAfterMax)
		}
	case c.batch.LogAppendTime():
		c.fail(kerr.InvalidTimestamp, "Invalid timestamp type in message with offset %d. Producer should not set timestamp type to LogAppendTime.", r.Offset)
	}
}

func (c *recordCheck) fail(code *kerr.Error, format string, args ...any) {
	if c.failure == nil {
		c.failure = &InvalidRecordsError{code: code}
	}
	f := c.failure
	f.Count++
	if code == kerr.InvalidTimestamp {
		f.code = code
	}
	if len(f.Records) < recordErrorsMax {
		f.Records = append(f.Records, RecordError{BatchIndex: c.index, Message: fmt.Sprintf(format, args...)})
	}
}
