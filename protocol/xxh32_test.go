package protocol

import "testing"

func TestXXH32(t *testing.T) {
	for text, want := range map[string]uint32{
		"":                           0x02cc5d05,
		"abc":                        0x32d153ff,
		"abcdefghijklmnopqrstuvwxyz": 0x63a14d5f,
	} {
		if got := xxh32([]byte(text)); got != want {
			t.Errorf("xxh32(%q) = %#x, want %#x", text, got, want)
		}
	}
}
