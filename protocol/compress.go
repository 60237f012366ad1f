package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Codec is a compression type as the lowest three bits of a batch's attributes number it.
type Codec int8

// The codecs of the protocol.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Known reports whether the protocol defines the codec.
func (c Codec) Known() bool { return c >= None && c <= Zstd }

// String is the codec's name in topic settings.
func (c Codec) String() string {
	if !c.Known() {
		return fmt.Sprintf("codec %d", int8(c))
	}
	return codecNames[c]
}

// ParseCodec reads what String writes; "uncompressed" is the setting's word for none.
func ParseCodec(name string) (Codec, error) {
	if name == "uncompressed" {
		return None, nil
	}
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("parse codec %q: not one of %v", name, codecNames)
}

// Compression is a codec and how hard it tries: the level of compression.gzip.level and its likes (KIP-390). Level 0 is the default.
type Compression struct {
	Codec Codec
	Level int
}

// ErrDecompress says that compressed records cannot be decompressed. Apache answers UNKNOWN_SERVER_ERROR, and so do we: unlike
// CORRUPT_MESSAGE it keeps the producer from sending the same bytes again.
var ErrDecompress = fmt.Errorf("decompress records: %w", kerr.UnknownServerError)

// decompressor inflates one blob as a stream. Its memory is bounded by the codec's window, whatever the blob inflates to.
type decompressor interface {
	io.Reader
	// release gives the decompressor back to its pool; it is not used after that.
	release()
}

// compressor deflates into the writer it was made with; Close ends the stream.
type compressor interface {
	io.WriteCloser
	release()
}

// newDecompressor starts to inflate src. The magic matters to LZ4 alone.
func newDecompressor(src []byte, codec Codec, magic int8) (decompressor, error) {
	switch codec {
	case Gzip:
		return newGzipDecoder(src)
	case Snappy:
		return newSnappyDecoder(src)
	case LZ4:
		return newLZ4Decoder(src, magic == 0)
	case Zstd:
		return newZstdDecoder(src)
	}
	return nil, fmt.Errorf("%w: unknown codec %d", ErrDecompress, codec)
}

func newCompressor(w io.Writer, c Compression, magic int8) (compressor, error) {
	switch c.Codec {
	case Gzip:
		return newGzipEncoder(w, c.Level)
	case Snappy:
		return newSnappyEncoder(w), nil
	case LZ4:
		return newLZ4Encoder(w, c.Level, magic == 0), nil
	case Zstd:
		return newZstdEncoder(w, c.Level)
	}
	return nil, fmt.Errorf("compress records: unknown codec %d", c.Codec)
}

// gzipDecoder reads the members of a gzip stream; bytes after a member that are no other member are ignored, as by the JDK.
type gzipDecoder struct {
	src    bytes.Reader
	member gzip.Reader
}

var gzipDecoders = sync.Pool{New: func() any { return new(gzipDecoder) }}

func newGzipDecoder(src []byte) (decompressor, error) {
	d := gzipDecoders.Get().(*gzipDecoder)
	d.src.Reset(src)
	if err := d.member.Reset(&d.src); err != nil {
		d.release()
		return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
	}
	d.member.Multistream(false)
	return d, nil
}

func (d *gzipDecoder) Read(p []byte) (int, error) {
	for {
		n, err := d.member.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if d.member.Reset(&d.src) != nil {
			return 0, io.EOF
		}
		d.member.Multistream(false)
	}
}

func (d *gzipDecoder) release() {
	d.src.Reset(nil)
	gzipDecoders.Put(d)
}

// gzipLevels are 1 to 9, and the default at 0.
const gzipLevels = 10

type gzipEncoder struct {
	*gzip.Writer
	pool *sync.Pool
}

var gzipEncoders [gzipLevels]sync.Pool

func newGzipEncoder(w io.Writer, level int) (compressor, error) {
	if level < 0 || level >= gzipLevels {
		level = 0
	}
	pool := &gzipEncoders[level]
	if e, ok := pool.Get().(*gzipEncoder); ok {
		e.Reset(w)
		return e, nil
	}
	setting := level
	if level == 0 {
		setting = gzip.DefaultCompression
	}
	z, err := gzip.NewWriterLevel(w, setting)
	if err != nil {
		return nil, fmt.Errorf("compress records: %w", err)
	}
	return &gzipEncoder{Writer: z, pool: pool}, nil
}

func (e *gzipEncoder) release() {
	e.Reset(io.Discard)
	e.pool.Put(e)
}

// Bounds of zstd. A frame announces how far back its matches may reach, however small it is: levels below 20 stay within zstdWindowMax
// and are decoded as a stream. Levels from 20 on announce 32 to 128 MiB (zstdWindowLimit is also Java's); they are decoded at once, into
// at most zstdWholeMax bytes.
const (
	zstdWindowMax   = 8 << 20
	zstdWindowLimit = 128 << 20
	zstdWholeMax    = 14 << 20
	zstdWholeUsual  = 1 << 20 // tried first
)

type zstdDecoder struct {
	src bytes.Reader
	*zstd.Decoder
}

var (
	zstdDecoders sync.Pool
	// zstdWhole is for the rare frames with a large window.
	zstdWhole = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowLimit),
			zstd.WithDecodeAllCapLimit(true))
	})
)

func newZstdDecoder(src []byte) (decompressor, error) {
	var header zstd.Header
	if header.Decode(src) == nil && header.WindowSize > zstdWindowMax {
		return newWholeZstd(src)
	}
	d, ok := zstdDecoders.Get().(*zstdDecoder)
	if !ok {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
		}
		d = &zstdDecoder{Decoder: z}
	}
	d.src.Reset(src)
	if err := d.Reset(&d.src); err != nil {
		d.release()
		return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
	}
	return d, nil
}

func (d *zstdDecoder) release() {
	d.src.Reset(nil)
	_ = d.Reset(nil) // only forgets the source; it cannot fail
	zstdDecoders.Put(d)
}

// wholeZstd is a frame that was decoded at once.
type wholeZstd struct{ bytes.Reader }

func newWholeZstd(src []byte) (decompressor, error) {
	z, err := zstdWhole()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
	}
	inflated, err := z.DecodeAll(src, make([]byte, 0, zstdWholeUsual))
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		inflated, err = z.DecodeAll(src, make([]byte, 0, zstdWholeMax))
	}
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return nil, fmt.Errorf("%w: zstd with a large window inflates to more than %d bytes", ErrTooLarge, zstdWholeMax)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDecompress, err)
	}
	w := new(wholeZstd)
	w.Reset(inflated)
	return w, nil
}

func (w *wholeZstd) release() {}

// zstdDefault is the level that Kafka's setting has by default.
const zstdDefault = 3

type zstdEncoder struct {
	*zstd.Encoder
	pool *sync.Pool
}

var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func newZstdEncoder(w io.Writer, level int) (compressor, error) {
	if level == 0 {
		level = zstdDefault
	}
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdEncoders[speed]
	if e, ok := pool.Get().(*zstdEncoder); ok {
		e.Reset(w)
		return e, nil
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(speed),
		zstd.WithWindowSize(zstdEncoderWindow))
	if err != nil {
		return nil, fmt.Errorf("compress records: %w", err)
	}
	return &zstdEncoder{Encoder: z, pool: pool}, nil
}

// zstdEncoderWindow is what a batch can use: most are well below 1 MiB.
const zstdEncoderWindow = 1 << 20

func (e *zstdEncoder) release() {
	e.Reset(nil)
	e.pool.Put(e)
}
