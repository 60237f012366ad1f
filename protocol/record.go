package protocol

import (
	"fmt"
	"iter"
)

// Record is one record of a log, with its absolute offset and the timestamp that consumers see.
type Record struct {
	Offset    int64
	Timestamp int64  // milliseconds, NoTimestamp if absent
	Key       []byte // nil if absent, which is not the same as empty
	Value     []byte // nil for a tombstone
	Headers   Headers
}

// Headers are the headers of a record in their stored form, which is checked before a reader hands it out. The zero value is no headers.
type Headers struct {
	count int32
	raw   []byte
}

// Len is the number of headers.
func (h Headers) Len() int { return int(h.count) }

// Add appends a header; a nil value is allowed and kept apart from an empty one.
func (h *Headers) Add(key string, value []byte) {
	h.raw = append(appendVarint(h.raw, int64(len(key))), key...)
	h.raw = appendBytes(h.raw, value)
	h.count++
}

// All iterates over keys and values in their order. Keys may repeat.
func (h Headers) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		at := 0
		for range h.count {
			var key, value []byte
			key, at = lengthPrefixed(h.raw, at)
			value, at = lengthPrefixed(h.raw, at)
			if at < 0 || !yield(string(key), value) {
				return
			}
		}
	}
}

// lengthPrefixed reads bytes after their length; any negative length is nil.
func lengthPrefixed(b []byte, at int) ([]byte, int) {
	n, at := varint(b, at)
	if at < 0 || n < 0 {
		return nil, at
	}
	end := at + int(n)
	if end > len(b) {
		return nil, -1
	}
	return b[at:end:end], end
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return appendVarint(b, -1)
	}
	return append(appendVarint(b, int64(len(v))), v...)
}

// parse reads the body of a record, all of b. Offset and timestamp are left relative to the batch. It is the inner loop of produce.
func (r *Record) parse(b []byte) error {
	if r.parseShort(b) {
		return nil
	}
	return r.parseAny(b)
}

// parseShort reads what nearly all records are: numbers of one or two bytes, no headers. What it does not take may be right or wrong.
func (r *Record) parseShort(b []byte) bool {
	ts, at := short(b, 1) // after a byte of attributes that mean nothing yet
	delta, at := short(b, at)
	key, at := short(b, at)
	keyEnd := at + int(max(unzigzag32(key), 0))
	value, valueAt := short(b, keyEnd)
	end := valueAt + int(max(unzigzag32(value), 0))
	if at == 0 || valueAt == 0 || end != len(b)-1 || b[end] != 0 {
		return false
	}
	r.Timestamp, r.Offset = int64(unzigzag32(ts)), int64(unzigzag32(delta))
	r.Key, r.Value, r.Headers = nil, nil, Headers{}
	if key&1 == 0 {
		r.Key = b[at:keyEnd:keyEnd]
	}
	if value&1 == 0 {
		r.Value = b[valueAt:end:end]
	}
	return true
}

func (r *Record) parseAny(b []byte) error {
	if len(b) == 0 {
		return errRecordCut
	}
	var delta, headers int32
	at := 1
	r.Timestamp, at = varlong(b, at)
	delta, at = varint(b, at)
	r.Offset = int64(delta)
	r.Key, at = lengthPrefixed(b, at)
	r.Value, at = lengthPrefixed(b, at)
	headers, at = varint(b, at)
	r.Headers = Headers{}
	if at == len(b) && headers == 0 {
		return nil
	}
	if at < 0 {
		return errRecordCut
	}
	return r.parseHeaders(b[at:], headers)
}

func (r *Record) parseHeaders(b []byte, count int32) error {
	if count < 0 || int(count) > len(b) {
		return fmt.Errorf("%w: %d headers in %d bytes", ErrInvalidRecord, count, len(b))
	}
	at := 0
	for range count {
		var n int32
		n, at = varint(b, at)
		if at < 0 || n < 0 || int(n) > len(b)-at {
			return fmt.Errorf("%w: header key of %d bytes", ErrInvalidRecord, n)
		}
		_, at = lengthPrefixed(b, at+int(n))
	}
	if at != len(b) {
		return fmt.Errorf("%w: the record's length does not end where its fields do", ErrInvalidRecord)
	}
	r.Headers = Headers{count: count, raw: b}
	return nil
}

var (
	errRecordCut = fmt.Errorf("%w: the record ends within a field", ErrInvalidRecord)
	errFewer     = fmt.Errorf("%w: the batch holds fewer records than its header says", ErrInvalidRecord)
	errTrailing  = fmt.Errorf("%w: bytes remain after the last record of the batch", ErrInvalidRecord)
)

// Records iterates over the records of an entry of any magic. A record's bytes are valid until the next one is asked for; the record of an
// error is nil, and an error is the last thing yielded. The entry must be whole; its CRC is not looked at.
func Records(b Batch) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		r := NewRecordReader(b, ReadOptions{})
		defer r.Close()
		for r.Next() {
			if !yield(r.Record(), nil) {
				return
			}
		}
		if err := r.Err(); err != nil {
			yield(nil, err)
		}
	}
}
