package protocol

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
)

// Clients that compress all that they send as one block may repeat what came long before.
func TestSnappyThatReachesFarBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		half  int // bytes of noise, which come twice
		large bool
	}{
		{"within what is decoded at once", 400 << 10, false},
		{"within the window", 3 << 20, false},
		{"beyond the window", 5 << 20, false},
		{"beyond what is decoded at once", 8 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			noise := make([]byte, c.half)
			rand.NewChaCha8([32]byte{7}).Read(noise)
			blob := append(bytes.Clone(noise), noise...)
			packed := s2.EncodeSnappyBest(nil, blob)
			if len(packed) > len(blob)*2/3 {
				t.Fatalf("%d bytes of %d: nothing reaches back", len(packed), len(blob))
			}
			d, err := newDecompressor(packed, Snappy, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer d.release()
			got, err := io.ReadAll(d)
			switch {
			case c.large && !errors.Is(err, ErrTooLarge):
				t.Errorf("error %v, want %v", err, ErrTooLarge)
			case !c.large && (err != nil || !bytes.Equal(got, blob)):
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(blob))
			}
		})
	}
}
