package protocol

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// sampleRecords are records of many shapes: absent, empty and long fields, headers, timestamps that go back.
func sampleRecords(n int) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]Record, n)
	for i := range records {
		r := &records[i]
		r.Offset = int64(i)
		r.Timestamp = 1_700_000_000_000 + random.Int64N(5000) - 2500
		switch i % 5 {
		case 0:
			r.Key = []byte(fmt.Sprint("key-", i))
		case 1:
			r.Key = []byte{}
		}
		if i%3 != 0 {
			r.Value = []byte(strings.Repeat("value ", random.IntN(100)))
		}
		if i%11 == 3 {
			r.Value = make([]byte, random.IntN(200_000))
		}
		if i%4 == 1 {
			r.Headers.Add("a", []byte("1"))
			r.Headers.Add("", nil)
			r.Headers.Add("a", []byte{})
		}
	}
	return records
}

func sameRecord(t *testing.T, want, got *Record) {
	t.Helper()
	if want.Timestamp != got.Timestamp || show(want) != show(got) {
		t.Fatalf("record %d is %+v, want %+v", want.Offset, got, want)
	}
}

func TestBuiltBatchesAreReadBack(t *testing.T) {
	for _, codec := range codecs {
		for _, n := range []int{1, 2, 100} {
			t.Run(fmt.Sprint(codec, n), func(t *testing.T) {
				want := sampleRecords(n)
				built, err := AppendBatch([]byte("before"), BatchOptions{Compression: Compression{Codec: codec}}, want...)
				if err != nil {
					t.Fatal(err)
				}
				b := Batch(built[len("before"):])
				if err := b.CheckCRC(); err != nil || b.Size() != len(b) || int(b.Count()) != n || int(b.LastOffset()) != n-1 || b.Codec() != codec {
					t.Fatalf("header %v of %d bytes: %v", b, len(b), err)
				}
				i, maximum := 0, int64(math.MinInt64)
				for r, err := range Records(b) {
					if err != nil {
						t.Fatal(err)
					}
					sameRecord(t, &want[i], r)
					maximum = max(maximum, r.Timestamp)
					i++
				}
				if i != n || maximum != b.MaxTimestamp() {
					t.Fatalf("%d records with maximal timestamp %d, want %d with %d", i, maximum, n, b.MaxTimestamp())
				}
			})
		}
	}
}
