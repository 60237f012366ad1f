package protocol

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// convertible is a batch at offset 100 with a gap, as compaction leaves it.
func convertible(t *testing.T, o BatchOptions) Batch {
	t.Helper()
	o.BaseOffset = 100
	b, err := NewBatchBuilder(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	records := sampleRecords(6)
	for i := range records {
		records[i].Offset = 100 + int64(2*i)
		if err := b.Append(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestDownConvert(t *testing.T) {
	for _, codec := range []Codec{None, Gzip, Snappy, LZ4} {
		for _, magic := range []int8{0, 1} {
			for _, stamped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v to magic %d, stamped %v", codec, magic, stamped), func(t *testing.T) {
					b := convertible(t, BatchOptions{Compression: Compression{Codec: codec}, LogAppendTime: stamped, AppendTime: 12345})
					converted, err := DownConvert(nil, b, magic, 103)
					if err != nil {
						t.Fatal(err)
					}
					want, err := readAll(b, ReadOptions{})
					if err != nil {
						t.Fatal(err)
					}
					if codec == None {
						want = want[2:] // below the offset asked for
					}
					checkConverted(t, want, converted, magic, codec, stamped)
				})
			}
		}
	}
}

func checkConverted(t *testing.T, want []Record, converted []byte, magic int8, codec Codec, stamped bool) {
	t.Helper()
	var got []Record
	for m, err := range Batches(converted) {
		if err != nil || m.Magic() != magic || m.Codec() != codec || m.CheckCRC() != nil || m.LogAppendTime() != (stamped && magic == 1) {
			t.Fatalf("message %v: %v", m, err)
		}
		records, err := readAll(m, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if last := records[len(records)-1].Offset; m.LastOffset() != last {
			t.Fatalf("message of offset %d ends with %d", m.LastOffset(), last)
		}
		latest := slices.MaxFunc(records, func(a, b Record) int { return int(a.Timestamp - b.Timestamp) })
		if m.MaxTimestamp() != latest.Timestamp {
			t.Fatalf("maximal timestamp %d, want %d", m.MaxTimestamp(), latest.Timestamp)
		}
		got = append(got, records...)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		want[i].Headers = Headers{}
		if magic == 0 {
			want[i].Timestamp = NoTimestamp
		}
		sameRecord(t, &want[i], &got[i])
	}
}

func TestDownConvertOfOtherEntries(t *testing.T) {
	plain := convertible(t, BatchOptions{})
	marker, err := MarkerBatch(1, 1, Marker{Type: MarkerAbort}, 5)
	if err != nil {
		t.Fatal(err)
	}
	zstd := convertible(t, BatchOptions{Compression: Compression{Codec: Zstd}})
	old := legacySet(t, 0, None)

	if converted, err := DownConvert(nil, marker, 1, 0); err != nil || len(converted) > 0 {
		t.Errorf("a marker became %x: %v", converted, err)
	}
	if converted, err := DownConvert(nil, old, 1, 2); err != nil || string(converted) != string(old) {
		t.Errorf("old messages became %x: %v", converted, err)
	}
	first, err := DownConvert(nil, plain, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := DownConvert(nil, slices.Concat(plain, marker, zstd), 1, 0)
	if !errors.Is(err, ErrZstdForOldClient) || string(converted) != string(first) {
		t.Errorf("before the zstd batch there are %d bytes, want %d: %v", len(converted), len(first), err)
	}
	if converted, err := DownConvert(nil, plain[:len(plain)-1], 1, 0); err != nil || len(converted) > 0 {
		t.Errorf("a cut batch became %x: %v", converted, err)
	}
}
