package protocol

import "encoding/binary"

// The wire's primitive types, appended. kmsg has them too, but keeps them to itself.

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// encoder appends the types whose form depends on whether the message is flexible (KIP-482): lengths are then
// unsigned varints that count from one, so that zero is null.
type encoder struct {
	b        []byte
	flexible bool
}

func (e *encoder) int16(v int16) { e.b = appendInt16(e.b, v) }
func (e *encoder) int32(v int32) { e.b = appendInt32(e.b, v) }
func (e *encoder) int64(v int64) { e.b = appendInt64(e.b, v) }

func (e *encoder) uvarint(v int) { e.b = binary.AppendUvarint(e.b, uint64(v)) }

// length writes the length of an array or of bytes; -1 is null.
func (e *encoder) length(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

func (e *encoder) nullableString(s *string) {
	switch {
	case s != nil:
		e.string(*s)
	case e.flexible:
		e.uvarint(0)
	default:
		e.int16(-1)
	}
}

// noTags ends a structure that has no tagged fields.
func (e *encoder) noTags() {
	if e.flexible {
		e.uvarint(0)
	}
}
