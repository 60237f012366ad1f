package log

import (
	"encoding/binary"
	"math"
)

const offsetEntrySize = 8

// OffsetIndex says, for some batches of a segment, at which byte the batch with a given last offset begins. Entries are 8 bytes: the offset
// relative to the segment's base, and the byte.
type OffsetIndex struct {
	entryFile
	base int64
}

func newOffsetIndex(f *file) *OffsetIndex {
	return &OffsetIndex{entryFile: entryFile{file: f, width: offsetEntrySize, key: int32Key, follows: offsetEntryFollows}, base: f.base}
}

// offsetEntryFollows: offset and byte ascend. The first batch never gets an entry.
func offsetEntryFollows(before, entry []byte) bool {
	offset, position := int32Key(entry), int32Key(entry[4:])
	if before == nil {
		return offset > 0 && position > 0
	}
	return offset > int32Key(before) && position > int32Key(before[4:])
}

// add notes the batch that ends with the offset and begins at the byte.
func (x *OffsetIndex) add(offset int64, position int32) error {
	var b [offsetEntrySize]byte
	binary.BigEndian.PutUint32(b[:], uint32(offset-x.base))
	binary.BigEndian.PutUint32(b[4:], uint32(position))
	return x.entryFile.add(b[:])
}

// offsetEntry is an entry of an offset index.
type offsetEntry struct {
	offset   int64
	position int32
}

// noOffsetEntry stands for no entry: the segment's begin, where the batch may end with any offset.
var noOffsetEntry = offsetEntry{offset: math.MaxInt64}

func (x *OffsetIndex) parse(b []byte) offsetEntry {
	return offsetEntry{
		offset:   x.base + int64(int32(binary.BigEndian.Uint32(b))),
		position: int32(binary.BigEndian.Uint32(b[4:])),
	}
}

// lookup finds the last entry at or below the offset; without one it is the segment's begin.
func (x *OffsetIndex) lookup(offset int64) (offsetEntry, error) {
	var b [offsetEntrySize]byte
	ok, err := x.floor(min(offset-x.base, math.MaxInt32), b[:])
	if !ok || err != nil {
		return noOffsetEntry, err
	}
	return x.parse(b[:]), nil
}

// lastEntry is the last entry, or the segment's begin.
func (x *OffsetIndex) lastEntry() (offsetEntry, error) {
	var b [offsetEntrySize]byte
	ok, err := x.last(b[:])
	if !ok || err != nil || !offsetEntryFollows(nil, b[:]) {
		return noOffsetEntry, err
	}
	return x.parse(b[:]), nil
}

// truncateTo drops entries at or above the offset.
func (x *OffsetIndex) truncateTo(offset int64) error {
	return x.truncate(func(b []byte) bool { return x.parse(b).offset >= offset })
}

// firstAt finds the first entry of a batch that begins at or after the byte.
func (x *OffsetIndex) firstAt(position int64) (e offsetEntry, ok bool, err error) {
	var b [offsetEntrySize]byte
	ok, err = x.first(b[:], func(b []byte) bool { return int64(x.parse(b).position) >= position })
	return x.parse(b[:]), ok, err
}
