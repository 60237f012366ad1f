package protocol

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// blobs are bytes of several sizes and kinds.
func blobs() map[string][]byte {
	random := rand.New(rand.NewPCG(5, 6))
	noise := func(n, alphabet int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.IntN(alphabet))
		}
		return b
	}
	return map[string][]byte{
		"one byte":      {7},
		"text":          []byte("a text that is not long"),
		"noise":         noise(300_000, 256),
		"letters":       noise(300_000, 4),
		"zeros":         make([]byte, 5<<20),
		"repeated":      bytes.Repeat(noise(1000, 256), 400),
		"far repeats":   bytes.Repeat(noise(60_000, 256), 20),
		"block exactly": noise(lz4EncoderBlock, 16),
	}
}

func inflate(codec Codec, magic int8, b []byte) ([]byte, error) {
	d, err := newDecompressor(b, codec, magic)
	if err != nil {
		return nil, err
	}
	defer d.release()
	return io.ReadAll(d)
}

// foreign compresses with implementations that are not ours, or in forms that we do not write.
func foreign(t *testing.T, blob []byte) map[string][]byte {
	m := map[string][]byte{"bare " + Snappy.String(): s2.EncodeSnappy(nil, blob)}
	write := func(name string, newWriter func(io.Writer) (io.WriteCloser, error)) {
		var out bytes.Buffer
		w, err := newWriter(&out)
		if err == nil {
			_, err = w.Write(blob)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		m[name] = out.Bytes()
	}
	write("gzip", func(w io.Writer) (io.WriteCloser, error) { return stdgzip.NewWriterLevel(w, stdgzip.BestSpeed) })
	write("zstd", func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) })
	for _, size := range []lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block1Mb, lz4.Block4Mb} {
		for _, checksums := range []bool{false, true} {
			write(fmt.Sprintf("lz4 in blocks of %v, checksums %v", size, checksums), func(w io.Writer) (io.WriteCloser, error) {
				z := lz4.NewWriter(w)
				return z, z.Apply(lz4.BlockSizeOption(size), lz4.BlockChecksumOption(checksums), lz4.ChecksumOption(checksums), lz4.SizeOption(uint64(len(blob))))
			})
		}
	}
	return m
}

func codecOf(name string) Codec {
	for _, c := range codecs[1:] {
		if bytes.Contains([]byte(name), []byte(c.String())) {
			return c
		}
	}
	return None
}

func TestOthersCompressionIsRead(t *testing.T) {
	for kind, blob := range blobs() {
		for name, compressed := range foreign(t, blob) {
			got, err := inflate(codecOf(name), 2, compressed)
			if err != nil || !bytes.Equal(got, blob) {
				t.Errorf("%s, %s: %d bytes of %d, %v", kind, name, len(got), len(blob), err)
			}
		}
	}
}

func TestOurCompressionIsReadByOthers(t *testing.T) {
	readers := map[Codec]func(io.Reader) (io.Reader, error){
		Gzip: func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) },
		LZ4:  func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
		Zstd: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	for kind, blob := range blobs() {
		for _, codec := range codecs[1:] {
			for _, level := range []int{0, 1, 6, 9, 17} {
				var out bytes.Buffer
				c, err := newCompressor(&out, Compression{Codec: codec, Level: level}, 2)
				if err == nil {
					_, err = c.Write(blob)
				}
				if err == nil {
					err = c.Close()
				}
				if err != nil {
					t.Fatalf("%s, %v, level %d: %v", kind, codec, level, err)
				}
				c.release()
				if got, err := inflate(codec, 2, out.Bytes()); err != nil || !bytes.Equal(got, blob) {
					t.Errorf("%s, %v, level %d, read by us: %d bytes of %d, %v", kind, codec, level, len(got), len(blob), err)
				}
				if readers[codec] == nil {
					continue
				}
				r, err := readers[codec](&out)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, blob) {
					t.Errorf("%s, %v, level %d: %d bytes of %d, %v", kind, codec, level, len(got), len(blob), err)
				}
			}
		}
	}
}

// TestTheOldLZ4Header holds the header checksum of message format 0, which covers the magic too (KAFKA-3160), against what Apache writes.
func TestTheOldLZ4Header(t *testing.T) {
	for magic, checksum := range map[int8]byte{0: 0x1a, 1: 0x82, 2: 0x82} {
		var out bytes.Buffer
		c := newLZ4Encoder(&out, 0, magic == 0)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c.release()
		want := []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, checksum, 0, 0, 0, 0}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("magic %d: %x, want %x", magic, out.Bytes(), want)
		}
		if _, err := inflate(LZ4, magic, want); err != nil {
			t.Errorf("magic %d: %v", magic, err)
		}
	}
	if _, err := inflate(LZ4, 2, []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x1a, 0, 0, 0, 0}); !errors.Is(err, ErrDecompress) {
		t.Errorf("the old checksum in magic 2: %v", err)
	}
}

// FuzzSnappyBlock holds the streaming decoder against the usual one. That one also takes s2's extensions, so it may accept more.
func FuzzSnappyBlock(f *testing.F) {
	for _, blob := range blobs() {
		f.Add(s2.EncodeSnappy(nil, blob[:min(len(blob), 2000)]))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		if n, used := binary.Uvarint(block); used <= 0 || n > 1<<20 {
			return
		}
		got, err := inflate(Snappy, 2, block)
		if err != nil || len(block) >= xerialHeaderLen && block[0] == xerialHeader[0] {
			return
		}
		want, err := s2.Decode(nil, block)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("decoded %d bytes, want %d: %v", len(got), len(want), err)
		}
	})
}
