package log

import (
	"encoding/binary"
	"sync"

	"gokafka/protocol"
)

const timeEntrySize = 12

// timeEntry is a timestamp and the last offset of the batch that has it.
type timeEntry struct{ timestamp, offset int64 }

// TimeIndex says from where on a segment's timestamps exceed a given one. An entry of 12 bytes is the largest timestamp so far and, relative
// to the segment's base, the last offset of the batch that brought it. Timestamps and offsets ascend; the last entry of a closed segment has
// its largest timestamp.
type TimeIndex struct {
	entryFile
	base int64

	maxMu     sync.Mutex
	max       timeEntry // largest in the segment, not yet an entry perhaps
	maxKnown  bool
	forgotten int // calls of forgetMax
}

func newTimeIndex(f *file) *TimeIndex {
	return &TimeIndex{entryFile: entryFile{file: f, width: timeEntrySize, key: int64Key, follows: timeEntryFollows}, base: f.base}
}

// timeEntryFollows: timestamp and offset ascend.
func timeEntryFollows(before, entry []byte) bool {
	timestamp, offset := int64Key(entry), int32Key(entry[8:])
	if before == nil {
		return timestamp >= 0 && offset >= 0
	}
	return timestamp > int64Key(before) && offset > int32Key(before[8:])
}

func (x *TimeIndex) none() timeEntry {
	return timeEntry{timestamp: protocol.NoTimestamp, offset: x.base}
}

func (x *TimeIndex) parse(b []byte) timeEntry {
	return timeEntry{timestamp: int64(binary.BigEndian.Uint64(b)), offset: x.base + int64(int32(binary.BigEndian.Uint32(b[8:])))}
}

// lastEntry is the last entry, with NoTimestamp if there is none.
func (x *TimeIndex) lastEntry() (timeEntry, error) {
	var b [timeEntrySize]byte
	ok, err := x.last(b[:])
	if !ok || err != nil {
		return x.none(), err
	}
	return x.parse(b[:]), nil
}

// lookup finds the last entry whose timestamp is not above the given one.
func (x *TimeIndex) lookup(timestamp int64) (timeEntry, error) {
	var b [timeEntrySize]byte
	ok, err := x.floor(timestamp, b[:])
	if !ok || err != nil {
		return x.none(), err
	}
	return x.parse(b[:]), nil
}

// note takes a batch into the largest timestamp.
func (x *TimeIndex) note(timestamp, offset int64) {
	x.maxMu.Lock()
	defer x.maxMu.Unlock()
	if timestamp > x.max.timestamp {
		x.max = timeEntry{timestamp, offset}
	}
}

// setMax says what the largest timestamp is.
func (x *TimeIndex) setMax(e timeEntry) {
	x.maxMu.Lock()
	defer x.maxMu.Unlock()
	x.max, x.maxKnown = e, true
}

// largest is the largest timestamp; known is false for a segment that was loaded and not asked yet. Who finds it out then tells learn, with what
// was forgotten before.
func (x *TimeIndex) largest() (e timeEntry, known bool, forgotten int) {
	x.maxMu.Lock()
	defer x.maxMu.Unlock()
	return x.max, x.maxKnown, x.forgotten
}

// learn says what the largest timestamp was when it was looked for. Readers look without a lock: meanwhile somebody else may have learned it and
// an append exceeded it, or a truncation have made it untrue.
func (x *TimeIndex) learn(e timeEntry, forgotten int) {
	x.maxMu.Lock()
	defer x.maxMu.Unlock()
	if !x.maxKnown && x.forgotten == forgotten {
		x.max, x.maxKnown = e, true
	}
}

// addLargest makes the largest timestamp an entry, if it is above the last one.
func (x *TimeIndex) addLargest() error {
	e, known, _ := x.largest()
	if !known {
		return nil
	}
	last, err := x.lastEntry()
	if err != nil || e.timestamp <= last.timestamp {
		return err
	}
	var b [timeEntrySize]byte
	binary.BigEndian.PutUint64(b[:], uint64(e.timestamp))
	binary.BigEndian.PutUint32(b[8:], uint32(e.offset-x.base))
	return x.entryFile.add(b[:])
}

// truncateTo drops entries at or above the offset.
func (x *TimeIndex) truncateTo(offset int64) error {
	return x.truncate(func(b []byte) bool { return x.parse(b).offset >= offset })
}

// forgetMax makes largest unknown.
func (x *TimeIndex) forgetMax() {
	x.maxMu.Lock()
	defer x.maxMu.Unlock()
	x.max, x.maxKnown = x.none(), false
	x.forgotten++
}
