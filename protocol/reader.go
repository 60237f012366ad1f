package protocol

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Bounds of what reading one compressed batch may cost. Apache Kafka has neither: there, a batch of 1 MiB can take gigabytes of memory.
const (
	// InflatedMax bounds the bytes that one batch may inflate to, which bounds the time. gzip's best ratio is 1032, so a batch
	// of the default message.max.bytes always passes.
	InflatedMax = 1 << 30
	// RecordMax bounds one compressed record that must be held in memory, unless ReadOptions says otherwise.
	RecordMax = 8 << 20
)

// readerWindow is the buffer that compressed records pass through. Records that do not fit are skipped in pieces, or make it grow.
const readerWindow = 64 << 10

// ReadOptions tune a RecordReader; the zero value reads whole records.
type ReadOptions struct {
	// SkipData is for who wants only offsets, timestamps and whether there is a key: of a compressed record that exceeds the reader's
	// window, Key, Value and Headers then do not hold the bytes, and memory stays at the window.
	SkipData bool
	// RecordMax is the largest compressed record in bytes that is read whole; 0 for the constant of that name. Beyond it: ErrTooLarge.
	RecordMax int
}

// RecordReader reads the records of one entry of a log in order, decompressing as a stream. Without compression it allocates nothing.
type RecordReader struct {
	batch    Batch
	options  ReadOptions
	record   Record
	buf      []byte // bytes not parsed yet; of a compressed batch: part of window
	in       decompressor
	window   *[]byte // pooled, while it has readerWindow bytes
	filled   int     // where buf ends in window
	inflated int64
	left     int32 // records to come by the header's count
	done     bool  // the end was checked
	err      error
	legacy   *legacyReader // for magic 0 and 1

	baseOffset, baseTimestamp int64
	appendTime                bool // baseTimestamp is the timestamp of all records
}

// NewRecordReader starts at the first record. The entry must be whole. Every reader is closed.
func NewRecordReader(b Batch, o ReadOptions) *RecordReader {
	r := new(RecordReader)
	r.Reset(b, o)
	return r
}

// Reset makes the reader start on another entry.
func (r *RecordReader) Reset(b Batch, o ReadOptions) {
	r.Close()
	if o.RecordMax == 0 {
		o.RecordMax = RecordMax
	}
	*r = RecordReader{batch: b, options: o}
	if b.legacy() {
		r.legacy = newLegacyReader(b, o)
		return
	}
	r.left = b.Count()
	r.baseOffset, r.baseTimestamp = b.BaseOffset(), b.BaseTimestamp()
	if r.appendTime = b.LogAppendTime(); r.appendTime {
		r.baseTimestamp = b.MaxTimestamp()
	}
	switch {
	case r.left < 0:
		r.err = fmt.Errorf("%w: the batch claims %d records", ErrInvalidRecord, r.left)
	case r.left == 0:
		r.done = true
	case b.Codec() == None:
		r.buf = b.Payload()
	default:
		if r.in, r.err = newDecompressor(b.Payload(), b.Codec(), 2); r.err != nil {
			r.left = 0
		}
	}
}

// Close gives pooled memory back. The last record is not used after it.
func (r *RecordReader) Close() {
	if r.in != nil {
		r.in.release()
		r.in = nil
	}
	if r.window != nil && len(*r.window) == readerWindow {
		readerWindows.Put(r.window)
	}
	r.window = nil
	if r.legacy != nil {
		r.legacy.close()
		r.legacy = nil
	}
	r.buf, r.batch = nil, nil
}

var readerWindows = sync.Pool{New: func() any { b := make([]byte, readerWindow); return &b }}

// Err is why Next returned false; nil at the end of an intact entry.
func (r *RecordReader) Err() error { return r.err }

// Record is the record that Next moved to. It and its bytes are valid until the next call of Next.
func (r *RecordReader) Record() *Record { return &r.record }

// Next moves to the next record. It is false at the end and on an error. The records must be as many as the header says and end where the
// batch ends.
func (r *RecordReader) Next() bool {
	if r.left <= 0 {
		return r.nextOther()
	}
	r.left--
	var err error
	if r.in == nil {
		err = r.nextPlain()
	} else {
		err = r.nextCompressed()
	}
	if err != nil {
		r.err, r.left = err, 0
		return false
	}
	r.record.Offset += r.baseOffset
	if r.appendTime {
		r.record.Timestamp = r.baseTimestamp
	} else {
		r.record.Timestamp += r.baseTimestamp
	}
	return true
}

// nextOther is Next for all but the records of magic 2.
func (r *RecordReader) nextOther() bool {
	switch {
	case r.err != nil || r.done:
		return false
	case r.legacy != nil:
		return r.nextLegacy()
	}
	r.done = true
	r.err = r.checkEnd()
	return false
}

func (r *RecordReader) nextPlain() error {
	size, at := varint(r.buf, 0)
	if at < 0 {
		return errFewer
	}
	if size < 0 || int(size) > len(r.buf)-at {
		return fmt.Errorf("%w: record of %d bytes where %d remain", ErrInvalidRecord, size, len(r.buf)-at)
	}
	end := at + int(size)
	body := r.buf[at:end]
	r.buf = r.buf[end:]
	return r.record.parse(body)
}

func (r *RecordReader) checkEnd() error {
	if len(r.buf) > 0 {
		return errTrailing
	}
	if r.in == nil {
		return nil
	}
	err := r.fill()
	if err == io.EOF {
		return nil
	}
	if err == nil {
		return errTrailing
	}
	return err
}

// varintMax is the most bytes that a varint takes.
const varintMax = 5

func (r *RecordReader) nextCompressed() error {
	for len(r.buf) < varintMax {
		if err := r.fill(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	size, at := varint(r.buf, 0)
	if at < 0 {
		return errFewer
	}
	if size < 0 {
		return fmt.Errorf("%w: record of %d bytes", ErrInvalidRecord, size)
	}
	r.buf = r.buf[at:]
	if int(size) > readerWindow && r.options.SkipData {
		return r.skimLarge(int(size))
	}
	if err := r.need(int(size)); err != nil {
		return err
	}
	body := r.buf[:size]
	r.buf = r.buf[size:]
	return r.record.parse(body)
}

// need makes the next n bytes of the stream lie in buf. The buffer grows as bytes come, not by what a length claims.
func (r *RecordReader) need(n int) error {
	if n > r.options.RecordMax {
		return fmt.Errorf("%w: a record of %d bytes, at most %d are read", ErrTooLarge, n, r.options.RecordMax)
	}
	for len(r.buf) < n {
		if r.window != nil && len(r.buf) == len(*r.window) {
			r.grow(min(2*len(r.buf), n))
		}
		if err := r.fill(); err == io.EOF {
			return errFewer
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *RecordReader) grow(size int) {
	larger := make([]byte, size)
	r.filled = copy(larger, r.buf)
	r.buf = larger[:r.filled]
	if len(*r.window) == readerWindow {
		readerWindows.Put(r.window)
	}
	r.window = &larger
}

// fill moves what is left in buf to the front of the window and reads more behind it; io.EOF says that the stream has ended.
func (r *RecordReader) fill() error {
	if r.window == nil {
		r.window = readerWindows.Get().(*[]byte)
	}
	w := *r.window
	if r.filled > len(r.buf) {
		r.filled = copy(w, r.buf)
	}
	n, err := readSome(r.in, w[r.filled:])
	r.filled += n
	r.buf = w[:r.filled]
	r.inflated += int64(n)
	if r.inflated > InflatedMax {
		return fmt.Errorf("%w: it inflates to more than %d bytes", ErrTooLarge, InflatedMax)
	}
	return err
}

// idleReadsMax is how often a decompressor may say that it has nothing, without an error, before it counts as broken.
const idleReadsMax = 100

func readSome(in io.Reader, p []byte) (int, error) {
	for range idleReadsMax {
		n, err := in.Read(p)
		switch {
		case n > 0:
			return n, nil
		case err == io.EOF:
			return 0, io.EOF
		case errors.Is(err, ErrTooLarge):
			return 0, err
		case err != nil:
			return 0, fmt.Errorf("%w: %v", ErrDecompress, err)
		}
	}
	return 0, fmt.Errorf("%w: %v", ErrDecompress, io.ErrNoProgress)
}
