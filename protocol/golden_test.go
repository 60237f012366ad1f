package protocol

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// show prints a record so that absent and empty differ.
func show(r *Record) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	s := fmt.Sprintf("%d: %s=%s", r.Offset, text(r.Key), text(r.Value))
	for key, value := range r.Headers.All() {
		s += fmt.Sprintf(" %s:%s", key, text(value))
	}
	return s
}

// TestJavaProducersBatches reads segments that Apache Kafka 3.9.2 wrote from what its console producer sent, and writes them again.
func TestJavaProducersBatches(t *testing.T) {
	want := []string{
		`0: "key1"="first value" h1:"a" h2:"b"`,
		`1: "key2"="second value, a little longer so that it compresses: ` + strings.Repeat("a", 70) + `"`,
		`2: null="no key" x:"y"`,
		`3: "key4"=null`,
	}
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			segment, err := os.ReadFile(fmt.Sprintf("testdata/java-%v.log", codec))
			if err != nil {
				t.Fatal(err)
			}
			b, rest, err := NextBatch(segment)
			if err != nil || len(rest) > 0 || b.CheckCRC() != nil || b.Codec() != codec || b.LastOffset() != 3 || b.Count() != 4 {
				t.Fatalf("%v, then %d bytes: %v", b, len(rest), err)
			}
			o := BatchOptions{
				LeaderEpoch: b.LeaderEpoch(),
				Producer:    &Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), Sequence: b.BaseSequence()},
				Compression: Compression{Codec: codec},
			}
			again, err := NewBatchBuilder(nil, o)
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			for r, err := range Records(b) {
				if err != nil {
					t.Fatal(err)
				}
				if i >= len(want) || show(r) != want[i] {
					t.Fatalf("record %d is %s", i, show(r))
				}
				if err := again.Append(r); err != nil {
					t.Fatal(err)
				}
				i++
			}
			rebuilt, err := again.Finish()
			if err != nil || i != len(want) {
				t.Fatalf("%d records: %v", i, err)
			}
			// What a compressor writes is its own affair; without one, the bytes must be Java's.
			if codec == None && string(rebuilt) != string(segment) {
				t.Fatalf("built\n%x, Java's is\n%x", rebuilt, segment)
			}
		})
	}
}

// TestJavaMarker holds a control batch that Apache's coordinator wrote against ours.
func TestJavaMarker(t *testing.T) {
	golden := Batch(fromHex(t, `00 00 00 00 00 00 00 03 00 00 00 42 00 00 00 00 02 00 00 00 00 00 30 00 00 00 00
		00 00 01 a2 01 c9 14 98 00 00 01 a2 01 c9 14 98 00 00 00 00 00 00 00 07 00 02 ff ff ff ff 00 00 00 01
		20 00 00 00 08 00 00 00 01 0c 00 00 00 00 00 05 00`))
	golden.UpdateCRC()
	ours, err := MarkerBatch(7, 2, Marker{Type: MarkerCommit, CoordinatorEpoch: 5}, 0x1a201c91498)
	if err != nil {
		t.Fatal(err)
	}
	b := Batch(ours)
	b.SetBaseOffset(3)
	b.SetLeaderEpoch(0)
	if string(b) != string(golden) {
		t.Fatalf("marker\n%x, want\n%x", ours, golden)
	}
	if !b.Control() || !b.Transactional() || b.CheckCRC() != nil {
		t.Fatal(b)
	}
	for r, err := range Records(b) {
		m, parseErr := ParseMarker(r)
		if err != nil || parseErr != nil || m != (Marker{Type: MarkerCommit, CoordinatorEpoch: 5}) {
			t.Fatalf("%+v: %v, %v", m, err, parseErr)
		}
	}
}

func TestParseMarker(t *testing.T) {
	for _, c := range []struct {
		key, value string
		want       Marker
		bad        bool
	}{
		{"00000000", "000000000007", Marker{MarkerAbort, 7}, false},
		{"00000001", "0000ffffffff", Marker{MarkerCommit, -1}, false},
		{"0001000100", "00010000000799", Marker{MarkerCommit, 7}, false}, // later versions append
		{"00000002", "", Marker{2, -1}, false},                           // a leader change, not ours to read
		{"0000", "000000000007", Marker{}, true},
		{"ffff0001", "000000000007", Marker{}, true},
		{"00000001", "00000000", Marker{}, true},
		{"00000001", "ffff00000007", Marker{}, true},
	} {
		m, err := ParseMarker(&Record{Key: fromHex(t, c.key), Value: fromHex(t, c.value)})
		if (err != nil) != c.bad || m != c.want {
			t.Errorf("%s=%s is %+v, %v", c.key, c.value, m, err)
		}
	}
}

// TestOldMessages reads messages that brokers of the 0.9 and 0.10 formats wrote.
func TestOldMessages(t *testing.T) {
	for _, c := range []struct{ name, bytes, want string }{
		{"magic 0", "0000000000000000 00000013 59849a91 00 00 00000002 6b31 00000003 616161", `0: "k1"="aaa" at -1`},
		{"magic 1", "0000000000000000 0000001b ddaaa73a 01 00 000001a201cde32d 00000002 6b31 00000003 616161", `0: "k1"="aaa" at 1795326599981`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, rest, err := NextBatch(fromHex(t, c.bytes))
			if err != nil || len(rest) > 0 || b == nil || b.CheckCRC() != nil {
				t.Fatalf("%v, then %d bytes: %v", b, len(rest), err)
			}
			for r, err := range Records(b) {
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%s at %d", show(r), r.Timestamp); got != c.want {
					t.Errorf("read %s, want %s", got, c.want)
				}
				if again := appendMessage(nil, b.Magic(), false, r); string(again) != string(b) {
					t.Errorf("written\n%x, want\n%x", again, b)
				}
			}
		})
	}
}
