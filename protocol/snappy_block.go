package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Bounds of a block's decoding. A block that says it is at most snappyWholeMax bytes is decoded at once, which is faster. Of a larger one, copies
// may reach snappyWindow back: the format has no limit, but most encoders work in blocks of 64 KiB. Those that make one block of all that they are
// given may reach farther; then it is decoded at once too, up to snappyFarMax.
const (
	snappyWindow   = 4 << 20
	snappyWholeMax = 1 << 20
	snappyFarMax   = 14 << 20
	snappyChunk    = 128 << 10 // decoded in one go when streaming
	snappySmall    = 512 << 10 // sizes of the buffer
	snappyFull     = snappyWindow + 2<<20
	snappyKept     = 256 << 10 // largest buffer that goes back to the pool
)

var errSnappy = errors.New("malformed snappy block")

// snappyBlock decodes one block of the snappy format. A large one is decoded as a stream: whatever length the block claims, memory is one window
// and what is being handed out. It takes strictly snappy; the s2 extensions that the decoder for small blocks would let through fail at Java
// consumers.
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

// shrink lets a large buffer go.
func (s *snappyBlock) shrink() {
	if cap(s.out) > snappyKept {
		s.out = nil
	}
	s.reset(nil)
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
	far := s.left > snappyWindow && farthestSnappy(s.src) > snappyWindow
	switch {
	case far && s.left > snappyFarMax:
		return fmt.Errorf("%w: a snappy block of %d bytes that reaches back more than %d", ErrTooLarge, s.left, snappyWindow)
	case s.left > snappyWholeMax && !far, !strictSnappy(s.src):
		return nil
	}
	return s.whole(block)
}

// whole decodes the block at once.
func (s *snappyBlock) whole(block []byte) error {
	if cap(s.out) < s.left {
		s.out = make([]byte, 0, s.left)
	}
	out, err := s2.Decode(s.out[:s.left], block)
	if err != nil {
		return errSnappy
	}
	s.out, s.src, s.left = out, nil, 0
	return nil
}

// strictSnappy reports whether a block has none of s2's extensions, which are copies with offset 0. It may be malformed.
func strictSnappy(b []byte) bool {
	for i := 0; i < len(b); {
		switch tag := b[i]; tag & 3 {
		case 0:
			n, used := int(tag>>2), 1
			if n >= 60 {
				if used += n - 59; i+used > len(b) {
					return true
				}
				n = littleEndian(b[i+1 : i+used])
			}
			i += used + n + 1
		case 1:
			if i+1 < len(b) && tag>>5 == 0 && b[i+1] == 0 {
				return false
			}
			i += 2
		case 2:
			if i+2 < len(b) && b[i+1]|b[i+2] == 0 {
				return false
			}
			i += 3
		case 3:
			if i+4 < len(b) && b[i+1]|b[i+2]|b[i+3]|b[i+4] == 0 {
				return false
			}
			i += 5
		}
	}
	return true
}

// farthestSnappy is how far back the copies of a block reach. It may be malformed.
func farthestSnappy(b []byte) (farthest int) {
	for i := 0; i < len(b); {
		switch tag := b[i]; tag & 3 {
		case 0:
			n, used := int(tag>>2), 1
			if n >= 60 {
				if used += n - 59; i+used > len(b) {
					return farthest
				}
				n = littleEndian(b[i+1 : i+used])
			}
			i += used + n + 1
		case 1:
			i += 2
		case 2:
			i += 3 // 64 KiB at most
		case 3:
			if i+4 < len(b) {
				farthest = max(farthest, littleEndian(b[i+1:i+5]))
			}
			i += 5
		}
	}
	return farthest
}

func littleEndian(b []byte) (n int) {
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | int(b[i])
	}
	return n
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
	for end := s.read + snappyChunk; s.left > 0 && len(s.out) < end; {
		if err := s.element(); err != nil {
			return err
		}
	}
	return nil
}

// slide makes room for another chunk: the buffer grows to its full size once it is needed, and then what no copy can reach any more is dropped.
func (s *snappyBlock) slide() {
	const room = snappyChunk + 64 // a copy of 64 bytes may begin one byte before a chunk is full
	switch {
	case cap(s.out)-len(s.out) >= room:
	case len(s.out) < snappySmall-room:
		s.out = slices.Grow(s.out, snappySmall-len(s.out))
	case cap(s.out) < snappyFull:
		s.out = slices.Grow(s.out, snappyFull-len(s.out))
	default:
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
		n = littleEndian(s.src[1:used])
	}
	s.src = s.src[used:]
	s.literal = n + 1
	if s.literal > s.left || s.literal > len(s.src) {
		return errSnappy
	}
	return s.copyLiteral()
}

func (s *snappyBlock) copyLiteral() error {
	n := min(s.literal, snappyChunk, cap(s.out)-len(s.out))
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
