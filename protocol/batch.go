package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Sizes of the parts that entries of a log have in common. An entry is a record batch (magic 2) or, before Kafka 0.11, a message
// or a wrapper message that holds a compressed set of them (magic 0 and 1).
const (
	// LogOverhead is the length of the offset and size fields that begin every entry; the size field counts what follows it.
	LogOverhead = 12
	// EntryPrefix is how many bytes of an entry it takes to know its size and its magic.
	EntryPrefix = 17
	// BatchOverhead is the length of a magic 2 batch's header; the records follow it.
	BatchOverhead = 61
)

// Where the fields of a magic 2 batch begin. The CRC covers everything from the attributes on, so base offset and leader epoch
// may be stamped without touching it.
const (
	baseOffsetAt      = 0
	sizeAt            = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	countAt           = 57
)

// Bits of a batch's attributes. The first four bits mean the same in magic 1, the first three in magic 0.
const (
	codecMask            = 0x07
	logAppendTimeFlag    = 0x08
	transactionalFlag    = 0x10
	controlFlag          = 0x20
	deleteHorizonFlag    = 0x40
	legacySizeMin        = 14 // CRC, magic, attributes, key length, value length of magic 0
	timestampLength      = 8
	legacyMagicOneAtMost = 1
)

// Absent values of batch fields.
const (
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoLeaderEpoch   int32 = -1
)

var (
	// ErrCorrupt says that bytes are not what was written: a wrong CRC, an impossible size or an unknown magic. It is CORRUPT_MESSAGE.
	ErrCorrupt = fmt.Errorf("corrupt record batch: %w", kerr.CorruptMessage)
	// ErrInvalidRecord says that an intact batch breaks a rule of the format. It is INVALID_RECORD.
	ErrInvalidRecord = fmt.Errorf("invalid record: %w", kerr.InvalidRecord)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a view over the bytes of one log entry, whatever its magic. Its accessors only read the header, so it may be as short as
// BatchOverhead bytes (of magic 0 and 1: as long as the entry, if it is shorter) unless a method says otherwise.
// What a format does not have reads as absent: -1, or false.
type Batch []byte

// EntrySize returns the whole size in bytes of the entry that begins with head, at least EntryPrefix bytes of it. Sizes that no
// entry can have and unknown magics are ErrCorrupt.
func EntrySize(head []byte) (int, error) {
	if len(head) < EntryPrefix {
		return 0, fmt.Errorf("%w: %d bytes are too few to hold an entry's size and magic", ErrCorrupt, len(head))
	}
	size := int(int32(binary.BigEndian.Uint32(head[sizeAt:])))
	magic := int8(head[magicAt])
	smallest := legacySizeMin
	switch magic {
	case 0:
	case 1:
		smallest += timestampLength
	case 2:
		smallest = BatchOverhead - LogOverhead
	default:
		return 0, fmt.Errorf("%w: unknown magic %d", ErrCorrupt, magic)
	}
	if size < smallest {
		return 0, fmt.Errorf("%w: size %d is below the smallest of magic %d, which is %d", ErrCorrupt, size, magic, smallest)
	}
	return LogOverhead + size, nil
}

// NextBatch cuts the first entry off b. A tail that is not a whole entry, empty or cut, yields a nil Batch and no error, since a fetch may
// end anywhere and producers have always been forgiven for it.
func NextBatch(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) < EntryPrefix {
		return nil, b, nil
	}
	size, err := EntrySize(b)
	if err != nil {
		return nil, b, err
	}
	if len(b) < size {
		return nil, b, nil
	}
	return Batch(b[:size:size]), b[size:], nil
}

// Batches iterates over the whole entries of b with NextBatch. An error is the last thing it yields.
func Batches(b []byte) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for {
			batch, rest, err := NextBatch(b)
			if batch == nil && err == nil {
				return
			}
			if !yield(batch, err) || err != nil {
				return
			}
			b = rest
		}
	}
}

// Size is the size in bytes of the whole entry, as its header says.
func (b Batch) Size() int { return LogOverhead + int(int32(binary.BigEndian.Uint32(b[sizeAt:]))) }

// Magic is the format: 2 since Kafka 0.11.
func (b Batch) Magic() int8 { return int8(b[magicAt]) }

func (b Batch) legacy() bool { return b[magicAt] <= legacyMagicOneAtMost }

// BaseOffset is the offset of the first record, also when compaction has removed that record. A compressed magic 0 or 1 entry does
// not say it without being decompressed; then this is the offset of its last record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[baseOffsetAt:])) }

// LastOffset is the offset of the last record that the batch was written with.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta is the distance from the base offset to the last offset; 0 for magic 0 and 1.
func (b Batch) LastOffsetDelta() int32 {
	if b.legacy() {
		return 0
	}
	return b.int32(lastOffsetDeltaAt)
}

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 {
	if b.legacy() {
		return NoLeaderEpoch
	}
	return b.int32(leaderEpochAt)
}

// Attributes are the flags, and the codec in their lowest three bits.
func (b Batch) Attributes() int16 {
	if b.legacy() {
		return int16(b[legacyAttributesAt])
	}
	return int16(binary.BigEndian.Uint16(b[attributesAt:]))
}

// Codec says how the records are compressed. It is not checked: clients can send codecs that do not exist.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & codecMask) }

// LogAppendTime reports whether the records' timestamps are the broker's (MaxTimestamp for all of them) instead of the producer's.
func (b Batch) LogAppendTime() bool { return b.Magic() > 0 && b.Attributes()&logAppendTimeFlag != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (b Batch) Transactional() bool { return !b.legacy() && b.Attributes()&transactionalFlag != 0 }

// Control reports whether the batch holds a marker that the broker wrote instead of data.
func (b Batch) Control() bool { return !b.legacy() && b.Attributes()&controlFlag != 0 }

// DeleteHorizon is the time in milliseconds after which the cleaner may drop the batch's tombstones and marker (KIP-534), if it is set.
// It takes the place of the base timestamp.
func (b Batch) DeleteHorizon() (ms int64, ok bool) {
	if b.legacy() || b.Attributes()&deleteHorizonFlag == 0 {
		return NoTimestamp, false
	}
	return b.int64(baseTimestampAt), true
}

// BaseTimestamp is what the records' timestamps are relative to, in milliseconds.
func (b Batch) BaseTimestamp() int64 {
	if b.legacy() {
		return b.MaxTimestamp()
	}
	return b.int64(baseTimestampAt)
}

// MaxTimestamp is the largest timestamp of the records in milliseconds, or the time of the append.
func (b Batch) MaxTimestamp() int64 {
	switch b.Magic() {
	case 0:
		return NoTimestamp
	case 1:
		return b.int64(legacyTimestampAt)
	}
	return b.int64(maxTimestampAt)
}

// ProducerID is the id of an idempotent producer.
func (b Batch) ProducerID() int64 {
	if b.legacy() {
		return NoProducerID
	}
	return b.int64(producerIDAt)
}

// HasProducerID reports whether an idempotent producer made the batch. Any negative id counts as none, as in Apache Kafka.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch fences an older instance of the same producer.
func (b Batch) ProducerEpoch() int16 {
	if b.legacy() {
		return NoProducerEpoch
	}
	return int16(binary.BigEndian.Uint16(b[producerEpochAt:]))
}

// BaseSequence is the first record's number among the producer's records for this partition.
func (b Batch) BaseSequence() int32 {
	if b.legacy() {
		return NoSequence
	}
	return b.int32(baseSequenceAt)
}

// LastSequence is the last record's sequence number. Numbers wrap from 2^31-1 to 0.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return IncrementSequence(base, b.LastOffsetDelta())
}

// Count is the number of records that the header claims, -1 for magic 0 and 1. It comes from a client and must not size anything.
func (b Batch) Count() int32 {
	if b.legacy() {
		return -1
	}
	return b.int32(countAt)
}

// Payload is the records as stored, compressed or not. The batch must be whole and of magic 2.
func (b Batch) Payload() []byte { return b[BatchOverhead:] }

// CheckCRC compares the checksum with the one in the header. The batch must be whole.
func (b Batch) CheckCRC() error {
	stored, computed := b.checksums()
	if stored != computed {
		return fmt.Errorf("%w: stored CRC %d, computed %d", ErrCorrupt, stored, computed)
	}
	return nil
}

func (b Batch) checksums() (stored, computed uint32) {
	if b.legacy() {
		return binary.BigEndian.Uint32(b[legacyCRCAt:]), crc32.ChecksumIEEE(b[magicAt:])
	}
	return binary.BigEndian.Uint32(b[crcAt:]), crc32.Checksum(b[attributesAt:], castagnoli)
}

// UpdateCRC computes the checksum anew. The batch must be whole.
func (b Batch) UpdateCRC() {
	_, computed := b.checksums()
	if b.legacy() {
		binary.BigEndian.PutUint32(b[legacyCRCAt:], computed)
		return
	}
	binary.BigEndian.PutUint32(b[crcAt:], computed)
}

// SetBaseOffset stamps the offset; of magic 0 and 1 it is the offset field, so a compressed set takes that of its last record.
// The CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[baseOffsetAt:], uint64(offset))
}

// SetLastOffset stamps the base offset such that offset is the last one.
func (b Batch) SetLastOffset(offset int64) { b.SetBaseOffset(offset - int64(b.LastOffsetDelta())) }

// SetLeaderEpoch stamps the leader's epoch on a magic 2 batch. The CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(epoch))
}

// SetTimestamp writes the maximal timestamp and whether it is the broker's, and the CRC, unless both are already so: then the bytes, and
// the cost of a checksum, are left alone. The batch must be whole and of magic 1 or 2.
func (b Batch) SetTimestamp(maxTimestamp int64, logAppendTime bool) {
	if b.MaxTimestamp() == maxTimestamp && b.LogAppendTime() == logAppendTime {
		return
	}
	at, attributes := maxTimestampAt, attributesAt+1
	if b.legacy() {
		at, attributes = legacyTimestampAt, legacyAttributesAt
	}
	b[attributes] &^= logAppendTimeFlag
	if logAppendTime {
		b[attributes] |= logAppendTimeFlag
	}
	binary.BigEndian.PutUint64(b[at:], uint64(maxTimestamp))
	b.UpdateCRC()
}

// String shows the header, for messages and tests.
func (b Batch) String() string {
	return fmt.Sprintf("batch(magic=%d, offsets=[%d, %d], count=%d, size=%d, epoch=%d, attributes=%#x, producer=%d/%d, sequences=[%d, %d])",
		b.Magic(), b.BaseOffset(), b.LastOffset(), b.Count(), b.Size(), b.LeaderEpoch(), b.Attributes(), b.ProducerID(), b.ProducerEpoch(),
		b.BaseSequence(), b.LastSequence())
}

func (b Batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b Batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }

// IncrementSequence adds to a sequence number, which wraps from 2^31-1 to 0.
func IncrementSequence(sequence, by int32) int32 {
	if sequence > math.MaxInt32-by {
		return by - (math.MaxInt32 - sequence) - 1
	}
	return sequence + by
}

// DecrementSequence takes back IncrementSequence.
func DecrementSequence(sequence, by int32) int32 {
	if sequence < by {
		return math.MaxInt32 - (by - sequence) + 1
	}
	return sequence - by
}
