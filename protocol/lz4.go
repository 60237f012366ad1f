package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// Kafka's LZ4 is the frame format with independent blocks:
//
//	magic uint32 (little-endian) | flags | block size | [content size 8] | header checksum
//	blocks: size uint32, its top bit set when the block is stored as it is | bytes | [block checksum]
//	0 uint32 | [content checksum]
//
// The first Java clients computed the header's checksum over the magic too (KAFKA-3160). Message format 0 keeps that for ever:
// it is written wrong, and not checked when read.
const (
	lz4Magic         = 0x184d2204
	lz4FlagVersion   = 0x40 // of the two top bits
	lz4FlagVersions  = 0xc0
	lz4FlagsNone     = 0x60 // version 1, independent blocks
	lz4Independent   = 0x20
	lz4BlockChecksum = 0x10
	lz4ContentSize   = 0x08
	lz4ContentCheck  = 0x04
	lz4FlagsReserved = 0x03
	lz4Block64KiB    = 0x40
	lz4BlockReserved = 0x8f
	lz4Stored        = 1 << 31
	lz4HeaderLen     = 7
	lz4EncoderBlock  = 64 << 10
	lz4SizeCodeMin   = 4
)

var (
	errLZ4Cut    = errors.New("LZ4 frame ends too early")
	errLZ4Header = errors.New("LZ4 frame header is malformed")
)

// lz4Decoder decodes one frame, a block (64 KiB to 4 MiB) at a time. What follows the frame is ignored, like by the Java client.
type lz4Decoder struct {
	src      []byte
	flags    byte
	blockMax int
	block    []byte // decoded
	read     int    // of block
	buf      []byte // where blocks are decoded to
	done     bool
}

var lz4Decoders = sync.Pool{New: func() any { return new(lz4Decoder) }}

func newLZ4Decoder(src []byte, anyHeaderChecksum bool) (decompressor, error) {
	d := lz4Decoders.Get().(*lz4Decoder)
	*d = lz4Decoder{src: src, buf: d.buf}
	if err := d.header(anyHeaderChecksum); err != nil {
		d.release()
		return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
	}
	return d, nil
}

// lz4BufferKept is the largest buffer that goes back to the pool: that of the block size which clients use.
const lz4BufferKept = 256 << 10

func (d *lz4Decoder) release() {
	if cap(d.buf) > lz4BufferKept {
		d.buf = nil
	}
	*d = lz4Decoder{buf: d.buf}
	lz4Decoders.Put(d)
}

func (d *lz4Decoder) header(anyChecksum bool) error {
	if len(d.src) < lz4HeaderLen || binary.LittleEndian.Uint32(d.src) != lz4Magic {
		return errLZ4Header
	}
	d.flags = d.src[4]
	sizes := d.src[5]
	code := sizes >> 4
	if d.flags&(lz4FlagVersions|lz4Independent|lz4FlagsReserved) != lz4FlagVersion|lz4Independent ||
		sizes&lz4BlockReserved != 0 || code < lz4SizeCodeMin {
		return errLZ4Header
	}
	d.blockMax = 1 << (8 + 2*code)
	end := 6
	if d.flags&lz4ContentSize != 0 {
		end += 8
	}
	if len(d.src) <= end {
		return errLZ4Cut
	}
	if !anyChecksum && d.src[end] != byte(xxh32(d.src[4:end])>>8) {
		return errLZ4Header
	}
	d.src = d.src[end+1:]
	return nil
}

func (d *lz4Decoder) Read(p []byte) (int, error) {
	for d.read == len(d.block) {
		if err := d.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.block[d.read:])
	d.read += n
	return n, nil
}

func (d *lz4Decoder) nextBlock() error {
	if d.done {
		return io.EOF
	}
	if len(d.src) < 4 {
		return errLZ4Cut
	}
	field := binary.LittleEndian.Uint32(d.src)
	size := int(field &^ lz4Stored)
	d.src = d.src[4:]
	if size == 0 {
		d.done = true
		if d.flags&lz4ContentCheck != 0 && len(d.src) < 4 {
			return errLZ4Cut
		}
		return io.EOF
	}
	if size > d.blockMax {
		return fmt.Errorf("LZ4 block of %d bytes, at most %d", size, d.blockMax)
	}
	if size > len(d.src) {
		return errLZ4Cut
	}
	data := d.src[:size]
	d.src = d.src[size:]
	if err := d.checkBlock(data); err != nil {
		return err
	}
	return d.decode(data, field&lz4Stored != 0)
}

func (d *lz4Decoder) decode(data []byte, stored bool) error {
	d.read, d.block = 0, data
	if stored {
		return nil
	}
	if len(d.buf) < d.blockMax {
		d.buf = make([]byte, d.blockMax)
	}
	n, err := lz4.UncompressBlock(data, d.buf[:d.blockMax])
	if err != nil {
		return fmt.Errorf("LZ4 block: %w", err)
	}
	d.block = d.buf[:n]
	return nil
}

func (d *lz4Decoder) checkBlock(data []byte) error {
	if d.flags&lz4BlockChecksum == 0 {
		return nil
	}
	if len(d.src) < 4 {
		return errLZ4Cut
	}
	if binary.LittleEndian.Uint32(d.src) != xxh32(data) {
		return errors.New("LZ4 block checksum does not match")
	}
	d.src = d.src[4:]
	return nil
}

// lz4DefaultLevel is the setting's default; it, and only it, means the fast compressor.
const lz4DefaultLevel = 9

// lz4Encoder writes one frame of 64 KiB blocks, as the Java client does.
type lz4Encoder struct {
	w       io.Writer
	level   lz4.CompressionLevel
	broken  bool // the header checksum of message format 0
	begun   bool
	pending []byte
	block   []byte
	fast    lz4.Compressor
	high    lz4.CompressorHC
}

var lz4Encoders = sync.Pool{New: func() any { return new(lz4Encoder) }}

func newLZ4Encoder(w io.Writer, level int, brokenChecksum bool) compressor {
	e := lz4Encoders.Get().(*lz4Encoder)
	e.w, e.broken, e.begun, e.pending = w, brokenChecksum, false, e.pending[:0]
	e.level = lz4Level(level)
	return e
}

// lz4Level maps Kafka's 1 to 17 to the search depths that there are.
func lz4Level(level int) lz4.CompressionLevel {
	if level <= 0 || level == lz4DefaultLevel {
		return lz4.Fast
	}
	return lz4.Level1 << (min(level, lz4DefaultLevel) - 1)
}

func (e *lz4Encoder) release() {
	e.w = nil
	lz4Encoders.Put(e)
}

func (e *lz4Encoder) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), lz4EncoderBlock-len(e.pending))
		e.pending = append(e.pending, p[:n]...)
		p = p[n:]
		if len(e.pending) == lz4EncoderBlock {
			if err := e.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (e *lz4Encoder) header() error {
	if e.begun {
		return nil
	}
	e.begun = true
	var h [lz4HeaderLen]byte
	binary.LittleEndian.PutUint32(h[:], lz4Magic)
	h[4], h[5] = lz4FlagsNone, lz4Block64KiB
	summed := h[4:6]
	if e.broken {
		summed = h[:6]
	}
	h[6] = byte(xxh32(summed) >> 8)
	_, err := e.w.Write(h[:])
	return err
}

func (e *lz4Encoder) flush() error {
	if err := e.header(); err != nil {
		return err
	}
	if e.block == nil {
		e.block = make([]byte, 4+lz4.CompressBlockBound(lz4EncoderBlock))
	}
	field, size := uint32(0), 0
	n, err := e.compress()
	if err != nil {
		return err
	}
	if n == 0 || n >= len(e.pending) {
		size = copy(e.block[4:], e.pending)
		field = uint32(size) | lz4Stored
	} else {
		size, field = n, uint32(n)
	}
	binary.LittleEndian.PutUint32(e.block, field)
	e.pending = e.pending[:0]
	_, err = e.w.Write(e.block[:4+size])
	return err
}

func (e *lz4Encoder) compress() (int, error) {
	if e.level == lz4.Fast {
		return e.fast.CompressBlock(e.pending, e.block[4:])
	}
	e.high.Level = e.level
	return e.high.CompressBlock(e.pending, e.block[4:])
}

func (e *lz4Encoder) Close() error {
	if len(e.pending) > 0 {
		if err := e.flush(); err != nil {
			return err
		}
	}
	if err := e.header(); err != nil {
		return err
	}
	_, err := e.w.Write([]byte{0, 0, 0, 0})
	return err
}
