package log

import (
	"testing"

	"gokafka/protocol"
)

func TestRecentBatches(t *testing.T) {
	var r recentBatches
	if _, ok := r.find(0); ok {
		t.Error("found a batch where none was noted")
	}
	batch := func(first int64, n int) protocol.Batch {
		records := make([]protocol.Record, n)
		b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, records...)
		if err != nil {
			t.Fatal(err)
		}
		protocol.Batch(b).SetBaseOffset(first)
		return b
	}
	at := int64(0)
	for i := range int64(recentMax + 4) { // offsets 10i … 10i+2: gaps as compaction leaves them
		b := batch(10*i, 3)
		r.note(b, at)
		at += int64(len(b))
	}
	size := at / (recentMax + 4)
	for _, c := range []struct {
		offset int64
		batch  int64 // -1: not remembered
	}{
		{0, -1}, {39, -1}, {40, 4}, {42, 4}, {43, 5}, {190, 19}, {192, 19}, {193, -1}, {100, 10},
	} {
		p, ok := r.find(c.offset)
		if ok != (c.batch >= 0) || ok && p.at != c.batch*size {
			t.Errorf("offset %d: %+v, %v, want batch %d", c.offset, p, ok, c.batch)
		}
	}
	r.forget()
	if _, ok := r.find(192); ok {
		t.Error("found a batch after forget")
	}
}
