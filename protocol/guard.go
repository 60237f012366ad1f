package protocol

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// errCut says that a length in a request points past its end.
var errCut = errors.New("cut short")

// memoryBound is how many bytes a request of n bytes may take in memory once it is decoded: four times its size, and as much
// again and 1 MiB on top for small requests, up to 96 MiB. Decoded requests are larger than their bytes by nature, the most
// where names are short and every topic has one partition: UpdateMetadata with one replica takes 5.3 times its bytes, Metadata
// with names of six characters 8 times. The bound lets those pass at every size that a cluster can reach, and stops what no
// client sends: millions of empty structures.
func memoryBound(n int) int { return 4*n + min(4*n+1<<20, 96<<20) }

// CheckRequest walks the body of a request and reports whether decoding it is safe: every length lies within the body, what
// may not be null is not, every array has room for the elements that it announces, and the decoded request keeps within a
// bound of memory in proportion to the body. It allocates nothing unless it fails. Bytes after the last field are allowed,
// as in Apache Kafka.
//
// kmsg needs this: it makes arrays of any length up to the bytes that are left, though an element of one byte may take 150
// in memory, and reads as many tags as are announced, present or not, which is minutes of work for a frame of 20 bytes.
func CheckRequest(key, version int16, body []byte) error {
	_, err := checkRequest(key, version, body)
	return err
}

// checkRequest also reports whether all strings are UTF-8.
func checkRequest(key, version int16, body []byte) (validUTF8 bool, err error) {
	rs, ok := shapes()[key]
	if !ok || version < 0 || int(version) >= len(rs.versions) {
		return false, fmt.Errorf("check request: unknown key %d version %d", key, version)
	}
	w := walker{b: body, left: memoryBound(len(body))}
	if err := w.structure(rs.versions[version]); err != nil {
		return false, fmt.Errorf("check request, key %d version %d, byte %d: %w", key, version, len(body)-len(w.b), err)
	}
	return !w.invalidUTF8, nil
}

// walker reads a body without keeping anything of it.
type walker struct {
	b           []byte
	left        int  // bytes of memory that decoding may still take
	invalidUTF8 bool // a string is not UTF-8
}

func (w *walker) structure(s *shape) error {
	for i := range s.fields {
		if err := w.field(&s.fields[i], s.flexible); err != nil {
			return err
		}
	}
	if s.flexible {
		return w.tags(s)
	}
	return nil
}

func (w *walker) field(f *step, flexible bool) error {
	switch f.kind {
	case kindScalar:
		return w.skip(f.width)
	case kindString:
		return w.text(f.nullable, flexible)
	case kindBytes:
		_, err := w.content(f.nullable, flexible)
		return err
	case kindStruct:
		return w.structure(f.shape)
	default:
		if err := w.array(f, flexible); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		return nil
	}
}

func (w *walker) skip(n int) error {
	if n > len(w.b) {
		return errCut
	}
	w.b = w.b[n:]
	return nil
}

// stringMax is the largest string in bytes: what the old form can announce, and Apache's readers allow in the compact one.
const stringMax = math.MaxInt16

var errLongString = fmt.Errorf("string of more than %d bytes", stringMax)

// text is a string: kmsg copies it.
func (w *walker) text(nullable, flexible bool) error {
	var n int
	var err error
	if flexible {
		n, err = w.compactLength()
	} else {
		n, err = w.int16()
	}
	if err != nil {
		return err
	}
	switch {
	case n < 0:
		return w.null(nullable)
	case n > stringMax:
		return errLongString
	}
	w.left -= allocated(n)
	if nullable {
		w.left -= stringHeader
	}
	s := w.b
	if err := w.skip(n); err != nil {
		return err
	}
	w.invalidUTF8 = w.invalidUTF8 || !utf8.Valid(s[:n])
	return nil
}

// content is bytes, which kmsg does not copy. It returns their number.
func (w *walker) content(nullable, flexible bool) (int, error) {
	n, err := w.length(flexible)
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, w.null(nullable)
	}
	return n, w.skip(n)
}

func (w *walker) array(f *step, flexible bool) error {
	n, err := w.length(flexible)
	if err != nil {
		return err
	}
	if n < 0 {
		return w.null(f.nullable)
	}
	wire, memory := f.width, f.width
	switch f.kind {
	case kindStructs:
		wire, memory = max(1, f.shape.wireMin), f.shape.size
	case kindStrings:
		wire, memory = 1, stringHeader
	}
	if n > len(w.b)/wire {
		return fmt.Errorf("%d elements: %w", n, errCut)
	}
	if err := w.take(allocated(n * memory)); err != nil {
		return err
	}
	switch f.kind {
	case kindScalars:
		return w.skip(n * wire)
	case kindStrings:
		return w.texts(n, flexible)
	default:
		return w.structures(n, f.shape)
	}
}

func (w *walker) texts(n int, flexible bool) error {
	for range n {
		if err := w.text(false, flexible); err != nil {
			return err
		}
	}
	return w.take(0)
}

func (w *walker) structures(n int, s *shape) error {
	for range n {
		if err := w.structure(s); err != nil {
			return err
		}
		if err := w.take(0); err != nil {
			return err
		}
	}
	return nil
}

// What kmsg allocates for a value beside its content, in bytes, rounded up.
const (
	stringHeader = 16 // allocated apart for a string that may be null
	firstTag     = 320
	unknownTag   = 96 // every further entry in a map of unknown tags
)

// allocated is what n bytes take in the heap at most, where sizes come in classes.
func allocated(n int) int {
	if n == 0 {
		return 0
	}
	return n + n/8 + 8
}

// tags walks the tagged fields at the end of a structure: those that kmsg knows by their shape, the others by their size.
func (w *walker) tags(s *shape) error {
	count, err := w.uvarint()
	if err != nil {
		return err
	}
	if int64(count) > int64(len(w.b)/2) {
		return fmt.Errorf("%d tags: %w", count, errCut)
	}
	charge := firstTag
	for range count {
		tag, value, err := w.tag()
		if err != nil {
			return err
		}
		known, err := w.taggedField(s, tag, value)
		if err != nil {
			return fmt.Errorf("tag %d: %w", tag, err)
		}
		if known {
			continue
		}
		if err := w.take(charge); err != nil {
			return err
		}
		charge = unknownTag
	}
	return nil
}

// tag reads the number of a tagged field and cuts out its bytes.
func (w *walker) tag() (tag uint32, value []byte, err error) {
	if tag, err = w.uvarint(); err != nil {
		return 0, nil, err
	}
	size, err := w.uvarint()
	if err != nil {
		return 0, nil, err
	}
	if int64(size) > int64(len(w.b)) {
		return 0, nil, errCut
	}
	value, w.b = w.b[:size], w.b[size:]
	return tag, value, nil
}

func (w *walker) taggedField(s *shape, tag uint32, value []byte) (known bool, err error) {
	for i := range s.tagged {
		if f := &s.tagged[i]; uint32(f.tag) == tag {
			rest := w.b
			w.b = value
			err = w.field(f, true)
			w.b = rest
			return true, err
		}
	}
	return false, nil
}

// take charges n bytes of memory, and looks whether what was charged before was too much.
func (w *walker) take(n int) error {
	if w.left -= n; w.left < 0 {
		return errors.New("too many small parts for a request of its size")
	}
	return nil
}

func (w *walker) null(nullable bool) error {
	if !nullable {
		return errors.New("null where there must be a value")
	}
	return nil
}

// length is that of an array or of bytes. Any negative length is null, as Apache reads it.
func (w *walker) length(flexible bool) (int, error) {
	if flexible {
		return w.compactLength()
	}
	return w.int32()
}

// compactLength counts from one. A length of 2^31 wraps around to the largest one, as in Java, which is then out of bounds.
func (w *walker) compactLength() (int, error) {
	u, err := w.uvarint()
	return int(int32(u) - 1), err
}

func (w *walker) int16() (int, error) {
	if len(w.b) < 2 {
		return 0, errCut
	}
	n := int16(w.b[0])<<8 | int16(w.b[1])
	w.b = w.b[2:]
	return int(n), nil
}

func (w *walker) int32() (int, error) {
	if len(w.b) < 4 {
		return 0, errCut
	}
	n := int32(w.b[0])<<24 | int32(w.b[1])<<16 | int32(w.b[2])<<8 | int32(w.b[3])
	w.b = w.b[4:]
	return int(n), nil
}

// uvarint reads up to five bytes. Bits beyond the 32nd are dropped, as Apache drops them.
func (w *walker) uvarint() (uint32, error) {
	var v uint32
	for i := range min(5, len(w.b)) {
		b := w.b[i]
		v |= uint32(b&0x7f) << (7 * i)
		if b < 0x80 {
			w.b = w.b[i+1:]
			return v, nil
		}
	}
	if len(w.b) < 5 {
		return 0, errCut
	}
	return 0, errors.New("varint of more than five bytes")
}
