package log

import (
	"errors"
	"time"

	"gokafka/protocol"
)

const (
	// recallBytesMax bounds how much of the log's tail is read for it.
	recallBytesMax = 1 << 20
	// recallWithin is how long ago a producer was active that may still repeat batches: clients give up after two minutes by default.
	recallWithin = 10 * time.Minute
)

// recall gives producers back the batches that a snapshot has no room for. It holds the last batch of each, while a client may have
// five under way, and sends them again when a leader stops and soon leads again. Apache Kafka does without: there such a client is
// told that its sequence is out of order, takes a new epoch, and writes again what is in the log already. The batches are looked for
// in the log's tail, below the state's end; a tail that cannot be read costs nothing but the recollection.
func (m *producerStateManager) recall(segments []*Segment, now time.Time) {
	if !m.activeSince(now.Add(-recallWithin)) {
		return
	}
	last := floorSegment(segments, m.end-1)
	if last < 0 {
		return
	}
	first := last
	for bytes := segments[last].Size(); first > 0 && bytes < recallBytesMax && last-first < producerBatches; first-- {
		bytes += segments[first-1].Size()
	}
	seen := map[int64]*producerEntry{}
	for _, s := range segments[first : last+1] {
		m.recallFrom(s, seen)
	}
	for id, e := range m.producers {
		if s := seen[id]; s != nil && sameBatch(s.last(), e.last()) {
			e.batches, e.count = s.batches, s.count
		}
	}
}

// activeSince reports whether a producer of the state wrote since then.
func (m *producerStateManager) activeSince(since time.Time) bool {
	for _, e := range m.producers {
		if e.lastTimestamp >= since.UnixMilli() {
			return true
		}
	}
	return false
}

// recallFrom notes the batches at the end of a segment that belong to the epochs that producers have in the state.
func (m *producerStateManager) recallFrom(s *Segment, seen map[int64]*producerEntry) {
	size := s.Size()
	from := int64(0)
	if size > recallBytesMax {
		entry, found, err := s.offsets.firstAt(size - recallBytesMax)
		if err != nil || !found {
			return
		}
		from = int64(entry.position)
	}
	err := readBatches(s, from, size, func(_ int64, b protocol.Batch) error {
		if b.BaseOffset() >= m.end {
			return errStop
		}
		e := m.producers[b.ProducerID()]
		if e == nil || b.Control() || b.ProducerEpoch() != e.epoch {
			return nil
		}
		if seen[b.ProducerID()] == nil {
			seen[b.ProducerID()] = newProducerEntry()
		}
		seen[b.ProducerID()].addBatch(e.epoch, remembered(b))
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		clear(seen)
	}
}

// remembered is what is remembered of a batch.
func remembered(b protocol.Batch) producerBatch {
	return producerBatch{lastSequence: b.LastSequence(), delta: b.LastOffsetDelta(), lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp()}
}

func sameBatch(a, b producerBatch) bool {
	return a.lastOffset == b.lastOffset && a.lastSequence == b.lastSequence && a.delta == b.delta
}
