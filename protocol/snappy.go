package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Snappy comes in two forms: framed as by snappy-java (a header of 16 bytes, then blocks, each after its length as an int32), which
// is what the Java client writes, or as one bare block, which is what others write and Java's reader falls back to.
const (
	xerialHeaderLen = 16
	xerialMagicLen  = 8
	xerialBlock     = 32 << 10
	xerialMagicHead = 0x82534e41 // a header may begin again where a block's length should be
)

var xerialHeader = [xerialHeaderLen]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

// snappyDecoder yields the blocks one after another.
type snappyDecoder struct {
	src    []byte // what is left to decode
	bare   bool   // src is one block without framing
	blocks snappyBlock
}

var snappyDecoders = sync.Pool{New: func() any { return new(snappyDecoder) }}

func newSnappyDecoder(src []byte) (decompressor, error) {
	if len(src) == 0 {
		return nil, fmt.Errorf("%w: nothing where a snappy block should be", ErrDecompress)
	}
	d := snappyDecoders.Get().(*snappyDecoder)
	d.blocks.reset(nil)
	d.src, d.bare = src, true
	if len(src) >= xerialHeaderLen && [xerialMagicLen]byte(src) == [xerialMagicLen]byte(xerialHeader[:]) {
		d.src, d.bare = src[xerialHeaderLen:], false
	}
	return d, nil
}

func (d *snappyDecoder) release() {
	d.src = nil
	d.blocks.shrink()
	snappyDecoders.Put(d)
}

func (d *snappyDecoder) Read(p []byte) (int, error) {
	for {
		n, err := d.blocks.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		if err := d.nextBlock(); err != nil {
			return 0, err
		}
	}
}

func (d *snappyDecoder) nextBlock() error {
	if len(d.src) == 0 {
		return io.EOF
	}
	if d.bare {
		block := d.src
		d.src = nil
		return d.blocks.start(block)
	}
	for len(d.src) >= xerialHeaderLen && binary.BigEndian.Uint32(d.src) == xerialMagicHead {
		d.src = d.src[xerialHeaderLen:]
	}
	if len(d.src) < 4 {
		return io.EOF
	}
	size := int(int32(binary.BigEndian.Uint32(d.src)))
	if size < 0 || size > len(d.src)-4 {
		return fmt.Errorf("snappy block of %d bytes where %d remain", size, len(d.src)-4)
	}
	block := d.src[4 : 4+size]
	d.src = d.src[4+size:]
	return d.blocks.start(block)
}

// snappyEncoder writes snappy-java's framing.
type snappyEncoder struct {
	w       io.Writer
	pending []byte // up to xerialBlock bytes
	block   []byte
	begun   bool
}

var snappyEncoders = sync.Pool{New: func() any { return new(snappyEncoder) }}

func newSnappyEncoder(w io.Writer) compressor {
	e := snappyEncoders.Get().(*snappyEncoder)
	e.w, e.begun, e.pending = w, false, e.pending[:0]
	return e
}

func (e *snappyEncoder) release() {
	e.w = nil
	snappyEncoders.Put(e)
}

func (e *snappyEncoder) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), xerialBlock-len(e.pending))
		e.pending = append(e.pending, p[:n]...)
		p = p[n:]
		if len(e.pending) == xerialBlock {
			if err := e.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (e *snappyEncoder) flush() error {
	if !e.begun {
		e.begun = true
		if _, err := e.w.Write(xerialHeader[:]); err != nil {
			return err
		}
	}
	if need := 4 + s2.MaxEncodedLen(xerialBlock); cap(e.block) < need {
		e.block = make([]byte, need)
	}
	e.block = e.block[:cap(e.block)]
	n := len(s2.EncodeSnappy(e.block[4:], e.pending))
	binary.BigEndian.PutUint32(e.block, uint32(n))
	e.pending = e.pending[:0]
	_, err := e.w.Write(e.block[:4+n])
	return err
}

func (e *snappyEncoder) Close() error {
	if len(e.pending) == 0 && e.begun {
		return nil
	}
	return e.flush()
}
