package log

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Dump prints a file of a log, one line per batch or entry, in the words of Kafka's own tool; which kind of file it is its name says. With records
// it also prints each record's offset, timestamp and sizes. It reads and locks nothing else, so a broker may be running. What it finds
// corrupt is the error.
func Dump(w io.Writer, fsys vfs.FS, name string, records bool) error {
	base, suffix, ok := parseSegmentFileName(filepath.Base(name))
	if !ok {
		return fmt.Errorf("dump %s: not a file of a segment", name)
	}
	content, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	d := dumper{out: w, name: name, base: base, records: records}
	switch suffix {
	case logSuffix:
		return d.batches(content)
	case indexSuffix:
		x := newOffsetIndex(&file{base: base})
		return d.entries(content, x.width, func(b []byte) {
			e := x.parse(b)
			fmt.Fprintf(w, "offset: %d position: %d\n", e.offset, e.position)
		}, offsetEntryFollows)
	case timeIndexSuffix:
		x := newTimeIndex(&file{base: base})
		return d.entries(content, x.width, func(b []byte) {
			e := x.parse(b)
			fmt.Fprintf(w, "timestamp: %d offset: %d\n", e.timestamp, e.offset)
		}, timeEntryFollows)
	case txnIndexSuffix:
		return d.entries(content, txnEntrySize, func(b []byte) {
			e := decodeTxnEntry(b)
			fmt.Fprintf(w, "producerId: %d firstOffset: %d lastOffset: %d lastStableOffset: %d\n", e.producerID, e.first, e.last, e.lastStableOffset)
		}, func(_, _ []byte) bool { return true })
	case snapshotSuffix:
		return d.snapshot(content)
	}
	return fmt.Errorf("dump %s: files of this kind cannot be printed", name)
}

type dumper struct {
	out     io.Writer
	name    string
	base    int64
	records bool
}

func (d *dumper) batches(content []byte) error {
	at := 0
	for len(content) > 0 {
		b, rest, err := protocol.NextBatch(content)
		if err == nil && b == nil {
			err = fmt.Errorf("%w: %d bytes are no whole batch", protocol.ErrCorrupt, len(content))
		}
		if err == nil {
			err = d.batch(at, b)
		}
		if err != nil {
			return &CorruptError{File: d.name, Position: int64(at), Err: err}
		}
		at += len(b)
		content = rest
	}
	return nil
}

func (d *dumper) batch(at int, b protocol.Batch) error {
	err := b.CheckCRC()
	fmt.Fprintf(d.out, "baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d "+
		"partitionLeaderEpoch: %d isTransactional: %v isControl: %v position: %d timestamp: %d size: %d magic: %d compresscodec: %v isvalid: %v\n",
		b.BaseOffset(), b.LastOffset(), b.Count(), b.BaseSequence(), b.LastSequence(), b.ProducerID(), b.ProducerEpoch(), b.LeaderEpoch(),
		b.Transactional(), b.Control(), at, b.MaxTimestamp(), len(b), b.Magic(), b.Codec(), err == nil)
	if err != nil || !d.records {
		return err
	}
	r := protocol.NewRecordReader(b, protocol.ReadOptions{})
	defer r.Close()
	for r.Next() {
		d.record(b, r.Record())
	}
	return r.Err()
}

func (d *dumper) record(b protocol.Batch, r *protocol.Record) {
	fmt.Fprintf(d.out, "| offset: %d timestamp: %d keySize: %d valueSize: %d headers: %d", r.Offset, r.Timestamp, size(r.Key), size(r.Value), r.Headers.Len())
	if b.Control() {
		if m, err := protocol.ParseMarker(r); err == nil {
			fmt.Fprintf(d.out, " endTxnMarker: %s coordinatorEpoch: %d", map[protocol.MarkerType]string{protocol.MarkerAbort: "ABORT", protocol.MarkerCommit: "COMMIT"}[m.Type], m.CoordinatorEpoch)
		}
	}
	fmt.Fprintln(d.out)
}

// size is a length, -1 for what is absent.
func size(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

func (d *dumper) entries(content []byte, width int, print func([]byte), follows func(before, entry []byte) bool) error {
	var before []byte
	for at := 0; at < len(content); at += width {
		if at+width > len(content) {
			return &CorruptError{File: d.name, Position: int64(at), Err: fmt.Errorf("size is not a multiple of %d", width)}
		}
		entry := content[at : at+width]
		print(entry)
		if !follows(before, entry) {
			return &CorruptError{File: d.name, Position: int64(at), Err: errDamaged}
		}
		before = entry
	}
	return nil
}

func (d *dumper) snapshot(content []byte) error {
	producers, err := decodeSnapshot(content)
	if err != nil {
		return &CorruptError{File: d.name, Err: err}
	}
	ids := make([]int64, 0, len(producers))
	for id := range producers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		e := producers[id]
		fmt.Fprintf(d.out, "producerId: %d producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %d lastTimestamp: %d lastSequence: %d lastOffset: %d offsetDelta: %d\n",
			id, e.epoch, e.coordinatorEpoch, e.txnFirst, e.lastTimestamp, e.last().lastSequence, e.last().lastOffset, e.last().delta)
	}
	return nil
}
