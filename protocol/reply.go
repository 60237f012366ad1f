package protocol

import "os"

// FileRange is a run of bytes in a file that goes to a client as it is: what log.Read returns and Fetch sends.
type FileRange interface {
	// Len is the number of bytes.
	Len() int
	// File returns the open file and the byte at which the range begins, for sendfile; nil when the file system has no
	// descriptors (in memory), then ReadAt serves.
	File() (f *os.File, position int64)
	// ReadAt reads from the range; offset is relative to its begin.
	ReadAt(p []byte, offset int64) (int, error)
	// Current reports whether the range still holds what it held when it was made. A truncation ends that; the range
	// is then not sent.
	Current() bool
	// Release lets the segment's file go. The range is not used after it.
	Release()
}

// Chunk is a part of a reply: bytes, or a range of a file.
type Chunk struct {
	Bytes []byte
	Range FileRange // nil: Bytes
}

// Reply is an encoded response body: chunks in the order in which they are sent.
type Reply struct{ Chunks []Chunk }

// Release releases every file range of the reply.
func (r *Reply) Release() {
	for _, c := range r.Chunks {
		if c.Range != nil {
			c.Range.Release()
		}
	}
}
