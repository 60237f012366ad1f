package protocol

import "fmt"

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
