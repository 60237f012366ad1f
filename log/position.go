package log

// Position is an offset together with the place of its batch on disk. It lets two offsets of one segment be compared in bytes
// without a look at the index.
type Position struct {
	Offset      int64
	SegmentBase int64 // base offset of the segment, -1 when only the offset is known
	Byte        int32 // position in the segment's file
}

// OffsetOnly makes a position whose place on disk is not known.
func OffsetOnly(offset int64) Position { return Position{Offset: offset, SegmentBase: -1} }

// OnDisk reports whether the place on disk is known.
func (p Position) OnDisk() bool { return p.SegmentBase >= 0 }

// OnOlderSegment reports whether p lies in an older segment than q. It is false while either place is unknown.
func (p Position) OnOlderSegment(q Position) bool {
	return p.OnDisk() && q.OnDisk() && p.SegmentBase < q.SegmentBase
}

// OnSameSegment reports whether both lie in one segment.
func (p Position) OnSameSegment(q Position) bool {
	return p.OnDisk() && p.SegmentBase == q.SegmentBase
}

// BytesSince is the number of bytes from an earlier position in the same segment to p.
func (p Position) BytesSince(earlier Position) int { return int(p.Byte) - int(earlier.Byte) }
