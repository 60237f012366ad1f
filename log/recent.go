package log

import (
	"sync"

	"gokafka/protocol"
)

// recentMax is how many of a segment's last batches are remembered.
const recentMax = 16

// recentBatches remembers where the last batches of a segment lie, without a gap. Followers, and consumers that keep up, ask for nothing
// else: their batch is found without reading the file.
type recentBatches struct {
	mu    sync.Mutex // a leaf
	ring  *[recentMax]recentBatch
	noted int // since forget
}

type recentBatch struct {
	first, last int64
	place
}

// note remembers a batch that was appended.
func (r *recentBatches) note(b protocol.Batch, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil {
		r.ring = new([recentMax]recentBatch)
	}
	r.ring[r.noted%recentMax] = recentBatch{b.BaseOffset(), b.LastOffset(), place{at, len(b)}}
	r.noted++
}

// forget is called when the segment is cut.
func (r *recentBatches) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted = 0
}

// find returns the first batch that ends at or after the offset. ok is false if that may be an earlier one than those remembered, or none.
func (r *recentBatches) find(offset int64) (p place, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	later := false // p ends at or after the offset
	for i := r.noted - 1; i >= 0 && i >= r.noted-recentMax; i-- {
		b := &r.ring[i%recentMax]
		if b.last < offset {
			return p, later
		}
		p, later = b.place, true
		if b.first <= offset {
			return p, true
		}
	}
	return place{}, false
}
