package group

import (
	"encoding/binary"
)

// cursor reads Kafka's encoding from bytes that may hold anything. Once something does not fit it is bad, and everything
// after that reads as nothing; counts never exceed the bytes that are left, so that every loop over them ends soon.
//
// The generated decoders do not serve here: they make arrays as long as announced, and read tags as many as announced.
type cursor struct {
	b        []byte
	flexible bool // compact lengths, and tags
	bad      bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	taken := c.b[:n:n]
	c.b = c.b[n:]
	return taken
}

func (c *cursor) int16() int16 {
	if b := c.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if b := c.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if b := c.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) uvarint() int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > 1<<31 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return int(v)
}

// length reads the length of a string (short) or of something longer; -1 is null.
func (c *cursor) length(short bool) int {
	switch {
	case c.flexible:
		return c.uvarint() - 1
	case short:
		return int(c.int16())
	}
	return int(c.int32())
}

func (c *cursor) nullableString() *string {
	n := c.length(true)
	if n == -1 || c.bad {
		return nil
	}
	s := string(c.take(n))
	return &s
}

func (c *cursor) string() string {
	s := c.nullableString()
	if s == nil {
		c.bad = true
		return ""
	}
	return *s
}

// bytes does not copy.
func (c *cursor) bytes() []byte { return c.take(c.length(false)) }

// count reads the length of an array, null being none.
func (c *cursor) count() int {
	n := c.length(false)
	if n > len(c.b) {
		c.b, c.bad = nil, true
	}
	if c.bad {
		return 0
	}
	return max(n, 0)
}

// tags skips the tagged fields, none of which is known.
func (c *cursor) tags() {
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.uvarint()
		c.take(c.uvarint())
	}
}
