package protocol

import (
	"errors"
	"math"
	"testing"
)

func TestStampingKeepsTheCRC(t *testing.T) {
	b, err := AppendBatch(nil, BatchOptions{Producer: &Producer{ID: 5, Epoch: 3, Sequence: math.MaxInt32 - 1}}, sampleRecords(4)...)
	if err != nil {
		t.Fatal(err)
	}
	batch := Batch(b)
	batch.SetLastOffset(1003)
	batch.SetLeaderEpoch(7)
	if err := batch.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	if batch.BaseOffset() != 1000 || batch.NextOffset() != 1004 || batch.LeaderEpoch() != 7 {
		t.Fatal(batch)
	}
	if batch.ProducerID() != 5 || batch.ProducerEpoch() != 3 || batch.BaseSequence() != math.MaxInt32-1 || batch.LastSequence() != 1 {
		t.Fatal(batch)
	}
}

func TestSetTimestamp(t *testing.T) {
	for _, entry := range [][]byte{mustBuild(t), appendMessage(nil, 1, false, &Record{Timestamp: 10, Value: []byte("v")})} {
		b := Batch(entry)
		before := string(b)
		b.SetTimestamp(b.MaxTimestamp(), false)
		if string(b) != before {
			t.Fatalf("%v: bytes changed for nothing", b)
		}
		b.SetTimestamp(99, true)
		if !b.LogAppendTime() || b.MaxTimestamp() != 99 || b.CheckCRC() != nil {
			t.Fatal(b)
		}
		for r, err := range Records(b) {
			if err != nil || r.Timestamp != 99 {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		b.SetTimestamp(98, false)
		if b.LogAppendTime() || b.MaxTimestamp() != 98 || b.CheckCRC() != nil {
			t.Fatal(b)
		}
	}
}

func mustBuild(t *testing.T) []byte {
	t.Helper()
	b, err := AppendBatch(nil, BatchOptions{}, sampleRecords(3)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSequencesWrap(t *testing.T) {
	for _, c := range []struct{ sequence, by, want int32 }{
		{0, 0, 0}, {0, 5, 5}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 5, 2},
	} {
		if got := IncrementSequence(c.sequence, c.by); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.sequence, c.by, got, c.want)
		}
		if got := DecrementSequence(c.want, c.by); got != c.sequence {
			t.Errorf("%d - %d = %d, want %d", c.want, c.by, got, c.sequence)
		}
	}
}

func TestNextBatchOfCutAndCorruptBytes(t *testing.T) {
	whole := mustBuild(t)
	for n := range whole {
		if b, rest, err := NextBatch(whole[:n]); b != nil || err != nil || len(rest) != n {
			t.Fatalf("of %d bytes: %v, %v", n, b, err)
		}
	}
	for name, edit := range map[string]func([]byte){
		"size":  func(b []byte) { b[sizeAt+3] = 48; b[sizeAt+2] = 0 },
		"magic": func(b []byte) { b[magicAt] = 3 },
		"huge":  func(b []byte) { b[sizeAt] = 0x80 },
	} {
		b := append([]byte{}, whole...)
		edit(b)
		if batch, _, err := NextBatch(b); batch != nil || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, batch, err)
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	b, err := NewBatchBuilder(nil, BatchOptions{BaseOffset: 10, SizeMax: 100})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Record{
		"offset below the base": {Offset: 9},
		"offset too far":        {Offset: 11 + math.MaxInt32},
		"negative timestamp":    {Offset: 10, Timestamp: -2},
		"too large":             {Offset: 10, Value: make([]byte, 100)},
	} {
		if err := b.Append(&r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	empty, err := AppendBatch([]byte("kept"), BatchOptions{})
	if err != nil || string(empty) != "kept" {
		t.Errorf("no records make %q, %v", empty, err)
	}
}

func TestParseCodec(t *testing.T) {
	for i, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if c, err := ParseCodec(name); err != nil || c != Codec(i) || c.String() != name {
			t.Errorf("%s is %v, %v", name, c, err)
		}
	}
	if c, err := ParseCodec("uncompressed"); err != nil || c != None {
		t.Errorf("uncompressed is %v, %v", c, err)
	}
	if _, err := ParseCodec("lzma"); err == nil {
		t.Error("lzma is no codec")
	}
}
