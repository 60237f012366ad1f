package protocol

import (
	"os"
	"sync"
)

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

// Chunk is a part of a reply: bytes, or a range of a file. The zero Chunk is empty.
type Chunk struct {
	Bytes []byte
	Range FileRange // nil: Bytes
}

// Len is the number of bytes in the chunk.
func (c Chunk) Len() int {
	if c.Range != nil {
		return c.Range.Len()
	}
	return len(c.Bytes)
}

// Reply is an encoded response body: chunks in the order in which they are sent.
type Reply struct {
	Chunks []Chunk

	head   []byte // what an encoder wrote between the chunks that it was given
	errors []int16
	pooled bool
}

// ErrorCodes are the codes other than 0 that were encoded, for those who count them.
func (r *Reply) ErrorCodes() []int16 { return r.errors }

func (r *Reply) noteError(code int16) {
	if code != 0 {
		r.errors = append(r.errors, code)
	}
}

// replyHeadKept is the largest encoding buffer, in bytes, that goes back to the pool with its reply.
const replyHeadKept = 1 << 20

var replies = sync.Pool{New: func() any { return &Reply{pooled: true} }}

// Len is the number of bytes in the body.
func (r *Reply) Len() int {
	n := 0
	for _, c := range r.Chunks {
		n += c.Len()
	}
	return n
}

// Release releases every file range of the reply, and the buffer into which it was encoded. It is called exactly once;
// the reply and the bytes in its chunks are not used after it.
func (r *Reply) Release() {
	for _, c := range r.Chunks {
		if c.Range != nil {
			c.Range.Release()
		}
	}
	clear(r.Chunks)
	r.Chunks = r.Chunks[:0]
	if r.pooled && cap(r.head) <= replyHeadKept {
		r.head, r.errors = r.head[:0], r.errors[:0]
		replies.Put(r)
	}
}
