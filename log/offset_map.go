package log

import (
	"crypto/sha256"
	"encoding/binary"
)

// offsetSlotBytes is the size of a slot in memory; log.cleaner.dedupe.buffer.size is divided by it, as by Apache.
const offsetSlotBytes = 24

// offsetSlotsFirst is how many slots a map begins with. It doubles up to its limit, so that cleaning a small log takes little memory.
const offsetSlotsFirst = 1 << 10

// keyHash stands for a key. 128 bits of a cryptographic hash: two keys that collide would be one, and one of them lost.
type keyHash [16]byte

// offsetSlot is free while next is 0.
type offsetSlot struct {
	key  keyHash
	next int64 // offset of the key's last record, plus 1
}

// offsetMap has the last offset of each key in a range of a log: open addressing with linear probing.
type offsetMap struct {
	slots      []offsetSlot
	used       int
	slotsMax   int
	loadFactor float64 // of a map that cannot grow any more
	latest     int64   // up to here the log is in the map
}

func newOffsetMap(bytes int64, loadFactor float64) *offsetMap {
	return &offsetMap{slotsMax: max(int(bytes/offsetSlotBytes), 1), loadFactor: loadFactor, latest: -1}
}

func hashKey(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:len(keyHash{})])
}

// put notes that the key's last record is at the offset; false if the map is full.
func (m *offsetMap) put(key []byte, offset int64) bool {
	if !m.room() {
		return false
	}
	h := hashKey(key)
	s := m.slot(&h)
	if s.next == 0 {
		s.key = h
		m.used++
	}
	s.next = offset + 1
	m.latest = offset
	return true
}

// get is the offset of the key's last record, -1 if it has none.
func (m *offsetMap) get(key []byte) int64 {
	if len(m.slots) == 0 {
		return -1
	}
	h := hashKey(key)
	return m.slot(&h).next - 1
}

// slot finds the key's slot, or the free one where it belongs. There always is a free one.
func (m *offsetMap) slot(h *keyHash) *offsetSlot {
	i := binary.LittleEndian.Uint64(h[:]) % uint64(len(m.slots))
	for {
		s := &m.slots[i]
		if s.next == 0 || s.key == *h {
			return s
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
}

// room makes sure that another key fits.
func (m *offsetMap) room() bool {
	if m.used < m.limit() {
		return true
	}
	if len(m.slots) >= m.slotsMax {
		return false
	}
	old := m.slots
	m.slots = make([]offsetSlot, min(max(2*len(old), offsetSlotsFirst), m.slotsMax)+1)
	for i := range old {
		if old[i].next != 0 {
			*m.slot(&old[i].key) = old[i]
		}
	}
	return m.used < m.limit()
}

// limit is how many keys the slots may hold. One slot more than counted is made, so that even a full map has a free one.
func (m *offsetMap) limit() int {
	n := len(m.slots) - 1
	if n >= m.slotsMax {
		return max(int(float64(m.slotsMax)*m.loadFactor), 1)
	}
	return n / 4 * 3
}
