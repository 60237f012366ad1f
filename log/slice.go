package log

import (
	"io"
	"os"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Slice is a run of bytes of one segment's file, from Log.Read. It holds the file until it is released; it is then not used any more.
type Slice struct {
	log        *Log
	generation uint64
	segment    *Segment // nil: nothing to read
	open       vfs.File
	at         int64
	length     int
	start      Position
	firstCut   bool
	bound      int64 // no record of the slice is at or above it
}

var _ protocol.FileRange = (*Slice)(nil)

// Start is where the slice begins: the offset that was asked for and the place of the batch that contains it. It is set also if the
// slice is empty.
func (s *Slice) Start() Position { return s.start }

// FirstBatchCut reports that the first batch did not fit into the bytes allowed.
func (s *Slice) FirstBatchCut() bool { return s.firstCut }

// EndBound is an offset at or after the end of the slice, near it: the upper bound of a search for the slice's aborted transactions. It comes
// from the index, without a look at the records.
func (s *Slice) EndBound() (int64, error) {
	if s.segment == nil {
		return s.start.Offset, nil
	}
	entry, ok, err := s.segment.offsets.firstAt(s.at + int64(s.length))
	if ok {
		return min(entry.offset, s.bound), nil
	}
	return s.bound, err
}

// Len is the number of bytes.
func (s *Slice) Len() int { return s.length }

// File returns the file and where the slice begins in it; nil in memory.
func (s *Slice) File() (f *os.File, position int64) {
	if s.open == nil {
		return nil, 0
	}
	return s.open.OS(), s.at
}

// ReadAt reads from the slice.
func (s *Slice) ReadAt(p []byte, offset int64) (int, error) {
	if s.open == nil {
		return 0, io.EOF
	}
	return s.open.ReadAt(p[:min(int64(len(p)), max(int64(s.length)-offset, 0))], s.at+offset)
}

// Current reports whether the bytes still are what they were when the slice was made: no truncation came between.
func (s *Slice) Current() bool { return s.log.generation.Load() == s.generation }

// Release lets the file go. A second call does nothing.
func (s *Slice) Release() {
	if s.segment != nil {
		s.segment.file.release()
		s.segment, s.open = nil, nil
	}
}
