package protocol

import (
	"encoding/binary"
	"errors"
	"io"
)

// snappyWindow is how far back a copy may reach. The format allows more, but every compressor works in blocks of 64 KiB.
const snappyWindow = 64 << 10

var errSnappy = errors.New("malformed snappy block")

// snappyBlock decodes one block of the snappy format as a stream: whatever length the block claims, memory is one window and what is
// being handed out. It takes strictly snappy; the s2 extensions that Go's usual decompressor lets through would fail at Java consumers.
type snappyBlock struct {
	src     []byte // elements to come
	left    int    // bytes that the block still owes, by its own claim
	literal int    // bytes of a literal that is not wholly copied yet
	out     []byte // a window that was handed out, then what was not
	read    int
}

func (s *snappyBlock) reset(src []byte) {
	*s = snappyBlock{src: src, out: s.out[:0]}
}

// start begins a block at its length.
func (s *snappyBlock) start(block []byte) error {
	length, n := binary.Uvarint(block)
	if n <= 0 || length > 1<<31-1 {
		return errSnappy
	}
	s.reset(block[n:])
	s.left = int(length)
	if s.left == 0 && len(s.src) > 0 {
		return errSnappy
	}
	return nil
}

// Read hands out decoded bytes; io.EOF is the end of the block.
func (s *snappyBlock) Read(p []byte) (int, error) {
	if s.read == len(s.out) {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.out[s.read:])
	s.read += n
	return n, nil
}

func (s *snappyBlock) fill() error {
	if s.left == 0 {
		if len(s.src) > 0 {
			return errSnappy
		}
		return io.EOF
	}
	s.slide()
	for s.left > 0 && len(s.out) < 2*snappyWindow {
		if err := s.element(); err != nil {
			return err
		}
	}
	return nil
}

// slide drops what no copy can reach any more.
func (s *snappyBlock) slide() {
	if s.out == nil {
		s.out = make([]byte, 0, 2*snappyWindow+64)
	}
	if len(s.out) > snappyWindow {
		s.out = s.out[:copy(s.out, s.out[len(s.out)-snappyWindow:])]
	}
	s.read = len(s.out)
}

// element decodes one literal, or what fits of it, or one copy.
func (s *snappyBlock) element() error {
	if s.literal > 0 {
		return s.copyLiteral()
	}
	if len(s.src) == 0 {
		return errSnappy
	}
	var length, offset, used int
	switch tag := s.src[0]; tag & 3 {
	case 0:
		return s.beginLiteral(int(tag >> 2))
	case 1:
		if used = 2; len(s.src) >= used {
			length, offset = 4+int(tag>>2)&7, int(tag&0xe0)<<3|int(s.src[1])
		}
	case 2:
		if used = 3; len(s.src) >= used {
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint16(s.src[1:]))
		}
	case 3:
		if used = 5; len(s.src) >= used {
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint32(s.src[1:]))
		}
	}
	if offset == 0 || offset > len(s.out) || length > s.left {
		return errSnappy
	}
	s.src = s.src[used:]
	s.copyBack(offset, length)
	return nil
}

// beginLiteral reads the literal's length: small ones stand in the tag, others in one to four bytes after it.
func (s *snappyBlock) beginLiteral(n int) error {
	used := 1
	if n >= 60 {
		used += n - 59
		if len(s.src) < used {
			return errSnappy
		}
		n = 0
		for i := used - 1; i > 0; i-- {
			n = n<<8 | int(s.src[i])
		}
	}
	s.src = s.src[used:]
	s.literal = n + 1
	if s.literal > s.left || s.literal > len(s.src) {
		return errSnappy
	}
	return s.copyLiteral()
}

func (s *snappyBlock) copyLiteral() error {
	n := min(s.literal, cap(s.out)-len(s.out))
	s.out = append(s.out, s.src[:n]...)
	s.src = s.src[n:]
	s.literal -= n
	s.left -= n
	return nil
}

// copyBack repeats length bytes, at most 64, from offset bytes before the end. When they overlap the end, the pattern repeats.
func (s *snappyBlock) copyBack(offset, length int) {
	s.left -= length
	from := len(s.out) - offset
	if offset >= length {
		s.out = append(s.out, s.out[from:from+length]...)
		return
	}
	for range length {
		s.out = append(s.out, s.out[from])
		from++
	}
}
