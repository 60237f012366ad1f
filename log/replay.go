package log

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gokafka/protocol"
)

// Replay visits the log from its start to its end, whole batches at a time and about bytesMax at once. The bytes are valid during the visit. An
// error of visit ends it and comes back.
func (l *Log) Replay(ctx context.Context, bytesMax int, visit func(batches []byte) error) error {
	buf := make([]byte, min(int64(bytesMax), l.Size()))
	for at := l.LogStartOffset(); at < l.LogEndOffset().Offset; {
		if err := ctx.Err(); err != nil {
			return err
		}
		batches, err := l.ReadBatches(at, &buf)
		if err != nil {
			return fmt.Errorf("read from offset %d: %w", at, err)
		}
		next, whole, err := lastOf(batches)
		if err != nil {
			return fmt.Errorf("read from offset %d: %w", at, err)
		}
		if whole == 0 {
			return nil // the rest of the log has no records
		}
		if err := visit(batches[:whole]); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// ReadBatches reads from an offset into buf, which grows for a batch that is larger. The last batch may be cut.
func (l *Log) ReadBatches(at int64, buf *[]byte) ([]byte, error) {
	s, err := l.Read(at, len(*buf), ToLogEnd, true)
	if err != nil {
		return nil, err
	}
	defer s.Release()
	if s.Len() > len(*buf) {
		*buf = make([]byte, s.Len())
	}
	n, err := s.ReadAt((*buf)[:s.Len()], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return (*buf)[:n], nil
}

// lastOf returns the offset after the last whole batch, and the length of all whole ones.
func lastOf(batches []byte) (next int64, whole int, err error) {
	for rest := batches; ; {
		var b protocol.Batch
		b, rest, err = protocol.NextBatch(rest)
		if b == nil || err != nil {
			return next, whole, err
		}
		next, whole = b.NextOffset(), whole+len(b)
	}
}
