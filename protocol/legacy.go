package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Where the fields of a magic 0 or 1 message begin. The CRC (IEEE) covers everything from the magic on. Magic 1 has a timestamp
// after its attributes; then come the key's length and bytes, the value's length and bytes.
const (
	legacyCRCAt        = 12
	legacyAttributesAt = 17
	legacyTimestampAt  = 18
)

// legacyReader reads the messages of a magic 0 or 1 entry: the one that it is, or those of the compressed set in its value.
//
// Offsets inside a compressed set are absolute in magic 0. In magic 1 they count from 0 and the wrapper has the last one's absolute offset, so
// the set has to be read to its end before the first offset is known: it is inflated twice rather than held in memory.
type legacyReader struct {
	wrapper Batch
	options ReadOptions
	set     *messageSet // nil for a single message, or before the first read
	base    int64       // added to the inner offsets
	ended   bool
}

func newLegacyReader(b Batch, o ReadOptions) *legacyReader {
	return &legacyReader{wrapper: b, options: o}
}

func (l *legacyReader) close() {
	if l.set != nil {
		l.set.close()
		l.set = nil
	}
}

func (r *RecordReader) nextLegacy() bool {
	ok, err := r.legacy.next(&r.record)
	r.err = err
	r.done = !ok
	return ok && err == nil
}

func (l *legacyReader) next(r *Record) (bool, error) {
	if l.ended {
		return false, nil
	}
	if l.wrapper.Codec() == None {
		l.ended = true
		return true, parseMessage(l.wrapper, r)
	}
	if l.set == nil {
		if err := l.open(); err != nil {
			return false, err
		}
	}
	message, err := l.set.next()
	if err != nil || message == nil {
		l.ended = true
		return false, err
	}
	return true, l.inner(message, r)
}

// inner reads a message of the set, which must be intact, of the wrapper's format and no wrapper itself.
func (l *legacyReader) inner(message Batch, r *Record) error {
	if message.Codec() != None {
		return fmt.Errorf("%w: a compressed message within a compressed set", ErrInvalidRecord)
	}
	if err := message.CheckCRC(); err != nil {
		return err
	}
	if message.Magic() != l.wrapper.Magic() {
		return fmt.Errorf("%w: a message of magic %d in a set of magic %d", ErrInvalidRecord, message.Magic(), l.wrapper.Magic())
	}
	err := parseMessage(message, r)
	r.Offset += l.base
	if l.wrapper.LogAppendTime() {
		r.Timestamp = l.wrapper.MaxTimestamp()
	}
	return err
}

// open starts the set and learns what its offsets are relative to.
func (l *legacyReader) open() (err error) {
	if l.set, err = l.newSet(); err != nil {
		return err
	}
	first, err := l.set.next()
	if err != nil {
		return err
	}
	if first == nil {
		return fmt.Errorf("%w: a compressed set without messages", ErrInvalidRecord)
	}
	if l.wrapper.Magic() == 1 {
		if err := l.findBase(first); err != nil {
			return err
		}
	}
	l.close()
	l.set, err = l.newSet()
	return err
}

// findBase reads the set to its end, for the offset of the last message.
func (l *legacyReader) findBase(message Batch) (err error) {
	last := int64(0)
	for message != nil {
		last = message.BaseOffset()
		if message, err = l.set.next(); err != nil {
			return err
		}
	}
	return l.rebase(last)
}

// rebase derives the base from the offset of the last inner message. Producers send 0 in the wrapper.
func (l *legacyReader) rebase(last int64) error {
	outer := l.wrapper.BaseOffset()
	if outer == 0 {
		return nil
	}
	if outer < last {
		return fmt.Errorf("%w: wrapper offset %d below the last inner offset %d", ErrInvalidRecord, outer, last)
	}
	l.base = outer - last
	return nil
}

func (l *legacyReader) newSet() (*messageSet, error) {
	if l.wrapper.Codec() == Zstd {
		return nil, fmt.Errorf("%w: zstd in a set of magic %d", ErrInvalidRecord, l.wrapper.Magic())
	}
	_, value, err := messageData(l.wrapper)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("%w: a compressed set without a value", ErrInvalidRecord)
	}
	in, err := newDecompressor(value, l.wrapper.Codec(), l.wrapper.Magic())
	if err != nil {
		return nil, err
	}
	return &messageSet{RecordReader: RecordReader{in: in, options: l.options}}, nil
}

// messageSet cuts an inflated set into messages.
type messageSet struct{ RecordReader }

func (s *messageSet) close() { s.RecordReader.Close() }

// next is nil at the end. A cut last message is dropped, as everywhere in the old formats.
func (s *messageSet) next() (Batch, error) {
	for len(s.buf) < EntryPrefix {
		if err := s.fill(); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	size, err := EntrySize(s.buf)
	if err != nil {
		return nil, err
	}
	if Batch(s.buf).Magic() > legacyMagicOneAtMost {
		return nil, fmt.Errorf("%w: a message of magic %d within a compressed set", ErrInvalidRecord, Batch(s.buf).Magic())
	}
	if err := s.need(size); err == errFewer {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	message := Batch(s.buf[:size])
	s.buf = s.buf[size:]
	return message, nil
}

// parseMessage reads a single uncompressed message.
func parseMessage(m Batch, r *Record) error {
	key, value, err := messageData(m)
	*r = Record{Offset: m.BaseOffset(), Timestamp: m.MaxTimestamp(), Key: key, Value: value}
	return err
}

// messageData finds key and value. Any negative length is nil.
func messageData(m Batch) (key, value []byte, err error) {
	rest := m[legacyTimestampAt:]
	if m.Magic() == 1 {
		rest = m[legacyTimestampAt+timestampLength:]
	}
	if key, rest, err = sizedBytes(rest); err != nil {
		return nil, nil, err
	}
	if value, _, err = sizedBytes(rest); err != nil {
		return nil, nil, err
	}
	return key, value, nil
}

func sizedBytes(b []byte) (data, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errMessageCut
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if n < 0 {
		return nil, b, nil
	}
	if n > len(b) {
		return nil, nil, errMessageCut
	}
	return b[:n:n], b[n:], nil
}

var errMessageCut = fmt.Errorf("%w: the message ends within a field", ErrInvalidRecord)

// appendMessage appends an uncompressed message of magic 0 or 1.
func appendMessage(dst []byte, magic int8, logAppendTime bool, r *Record) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Offset))
	dst = append(dst, make([]byte, legacyAttributesAt+1-sizeAt)...)
	dst[at+magicAt] = byte(magic)
	if magic == 1 {
		if logAppendTime {
			dst[at+legacyAttributesAt] |= logAppendTimeFlag
		}
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.Timestamp))
	}
	dst = appendSized(dst, r.Key)
	dst = appendSized(dst, r.Value)
	sealMessage(dst[at:])
	return dst
}

func appendSized(dst, v []byte) []byte {
	if v == nil {
		return binary.BigEndian.AppendUint32(dst, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(v))), v...)
}

// sealMessage writes the size and the CRC of a message whose other bytes are in place.
func sealMessage(m []byte) {
	binary.BigEndian.PutUint32(m[sizeAt:], uint32(len(m)-LogOverhead))
	binary.BigEndian.PutUint32(m[legacyCRCAt:], crc32.ChecksumIEEE(m[magicAt:]))
}
