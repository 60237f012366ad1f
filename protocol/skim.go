package protocol

import (
	"fmt"
	"io"
)

// skimLarge parses a compressed record that does not fit the window: its fields pass through it and are checked as parse checks them,
// but only the numbers and whether there is a key and a value are kept.
func (r *RecordReader) skimLarge(size int) error {
	s := skimmer{r: r, left: size}
	s.skip(1)
	ts := s.long()
	delta := s.int()
	key := s.bytes()
	value := s.bytes()
	headers := s.int()
	if s.err == nil && (headers < 0 || int(headers) > s.left) {
		s.err = fmt.Errorf("%w: %d headers in %d bytes", ErrInvalidRecord, headers, s.left)
	}
	for i := int32(0); i < headers && s.err == nil; i++ {
		if s.bytes() == nil && s.err == nil {
			s.err = fmt.Errorf("%w: header without a key", ErrInvalidRecord)
		}
		s.bytes()
	}
	if s.err == nil && s.left != 0 {
		s.err = fmt.Errorf("%w: the record's length does not end where its fields do", ErrInvalidRecord)
	}
	r.record = Record{Timestamp: ts, Offset: int64(delta), Key: key, Value: value}
	return s.err
}

// skimmer reads the fields of one record from a reader's stream. After an error it reads nothing.
type skimmer struct {
	r    *RecordReader
	left int // of the record
	err  error
}

// varlongMax is the most bytes that a varlong takes.
const varlongMax = 10

// peek shows the next bytes of the record, enough for a varlong if there are as many.
func (s *skimmer) peek() []byte {
	for s.err == nil && len(s.r.buf) < min(varlongMax, s.left) {
		if s.err = s.r.fill(); s.err == io.EOF {
			s.err = errFewer
		}
	}
	if s.err != nil {
		return nil
	}
	return s.r.buf[:min(len(s.r.buf), s.left)]
}

func (s *skimmer) long() int64 {
	v, at := varlong(s.peek(), 0)
	s.used(at)
	return v
}

func (s *skimmer) int() int32 {
	v, at := varint(s.peek(), 0)
	s.used(at)
	return v
}

func (s *skimmer) used(n int) {
	if s.err != nil {
		return
	}
	if n < 0 {
		s.err = errRecordCut
		return
	}
	s.r.buf = s.r.buf[n:]
	s.left -= n
}

// bytes skips a length-prefixed field: nil if it is absent.
func (s *skimmer) bytes() []byte {
	n := s.int()
	if s.err != nil || n < 0 {
		return nil
	}
	s.skip(int(n))
	return []byte{}
}

func (s *skimmer) skip(n int) {
	if s.err == nil && n > s.left {
		s.err = errRecordCut
	}
	for n > 0 && s.err == nil {
		part := min(n, len(s.r.buf))
		s.used(part)
		n -= part
		if n > 0 && s.err == nil {
			if s.err = s.r.fill(); s.err == io.EOF {
				s.err = errFewer
			}
		}
	}
}
