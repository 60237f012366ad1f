package log

import (
	"errors"
	"fmt"

	"gokafka/protocol"
)

// errCannotRewrite says that what stays of a batch makes no batch.
var errCannotRewrite = errors.New("batch cannot be rewritten")

// batchFilter appends what stays of each batch to out.
type batchFilter struct {
	*cleaning
	txns              *cleanedTxns
	keepLegacyDeletes bool
	out               []byte

	keep []bool // per record of the batch at hand
}

// filter decides on one batch.
//
// Aborted data goes at once. Tombstones, and markers of transactions without data, stay for delete.retention.ms after the first cleaning that meets
// them, so that a consumer who reads from the begin sees them in time: that cleaning writes the time when they may go into the batch's header, the
// delete horizon (KIP-534). A batch without records stays as a header where its offset or sequence is still needed.
func (f *batchFilter) filter(b protocol.Batch) error {
	emptyTxn, discard, err := f.judge(b)
	if err != nil {
		return err
	}
	keepEmpty := f.mustStay(b)
	if discard && !keepEmpty {
		return nil
	}
	kept, all, tombstones := 0, false, false
	if !discard {
		if kept, all, tombstones, err = f.choose(b); err != nil {
			return err
		}
	}
	_, hasHorizon := b.DeleteHorizon()
	setHorizon := b.Magic() == 2 && (tombstones || emptyTxn) && !hasHorizon
	switch {
	case kept == 0 && keepEmpty:
		f.out = protocol.AppendEmptied(f.out, b)
	case kept == 0:
	case all && !setHorizon:
		f.out = append(f.out, b...)
	default:
		return f.rewrite(b, setHorizon)
	}
	return nil
}

// judge reports whether the batch is the marker of a transaction without data, and whether none of its records need to stay.
func (f *batchFilter) judge(b protocol.Batch) (emptyTxn, discard bool, err error) {
	if !b.Control() {
		return false, f.txns.data(b), nil
	}
	if emptyTxn, err = f.txns.marker(b); err != nil {
		return false, false, err
	}
	horizon, ok := b.DeleteHorizon()
	return emptyTxn, emptyTxn && ok && horizon <= f.now, nil
}

// mustStay reports whether the batch's header is needed: it has the last sequence, or the epoch, of an active producer, or the last offset before
// the part that is not cleaned.
func (f *batchFilter) mustStay(b protocol.Batch) bool {
	if b.NextOffset() == f.job.until {
		return true
	}
	last, ok := f.lastBatches[b.ProducerID()]
	if !ok || !b.HasProducerID() {
		return false
	}
	if last.offset >= 0 {
		return b.LastOffset() == last.offset
	}
	return b.Control() && b.ProducerEpoch() == last.epoch
}

// choose marks the records that stay.
func (f *batchFilter) choose(b protocol.Batch) (kept int, all, tombstones bool, err error) {
	f.keep = f.keep[:0]
	f.reader.Reset(b, protocol.ReadOptions{RecordMax: cleanRecordMax})
	defer f.reader.Close()
	for f.reader.Next() {
		r := f.reader.Record()
		stays := b.Control() || f.stays(b, r)
		f.keep = append(f.keep, stays)
		if stays {
			kept++
			tombstones = tombstones || r.Value == nil
		}
	}
	return kept, kept == len(f.keep), tombstones, f.reader.Err()
}

// stays reports whether a record of data stays: the last one of its key, and no tombstone whose time has come. Records that the map does not reach
// stay; those without a key, which a compacted topic refuses but may have from before, do not.
func (f *batchFilter) stays(b protocol.Batch, r *protocol.Record) bool {
	if r.Offset > f.keys.latest {
		return true
	}
	if r.Key == nil || r.Offset < f.keys.get(r.Key) {
		return false
	}
	return r.Value != nil || f.tombstoneStays(b)
}

func (f *batchFilter) tombstoneStays(b protocol.Batch) bool {
	if b.Magic() < 2 {
		return f.keepLegacyDeletes
	}
	horizon, ok := b.DeleteHorizon()
	return !ok || f.now < horizon
}

// rewrite makes a batch of the records that stay. It ends where the batch ended, so that the producer's last sequence can be told. What stays of a
// compressed set of an old format becomes magic 2. That is all done in memory, so that no error is the disk's: a record with a negative timestamp,
// say, gets into a log as it came but into no new batch, and in Apache too makes the log uncleanable.
func (f *batchFilter) rewrite(b protocol.Batch, setHorizon bool) error {
	o := protocol.BatchOptions{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), Compression: protocol.Compression{Codec: b.Codec()},
		Transactional: b.Transactional(), Control: b.Control(), LogAppendTime: b.LogAppendTime(), AppendTime: b.MaxTimestamp(),
	}
	if b.HasProducerID() {
		o.Producer = &protocol.Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), Sequence: b.BaseSequence()}
	}
	if horizon, ok := b.DeleteHorizon(); ok {
		o.DeleteHorizon = horizon
	} else if setHorizon {
		o.DeleteHorizon = f.now + f.config.Compaction.DeleteRetentionMs
	}
	if err := f.rebuild(b, o); err != nil {
		return fmt.Errorf("%w: %w", errCannotRewrite, err)
	}
	return nil
}

func (f *batchFilter) rebuild(b protocol.Batch, o protocol.BatchOptions) (err error) {
	f.reader.Reset(b, protocol.ReadOptions{RecordMax: cleanRecordMax})
	defer f.reader.Close()
	var builder *protocol.BatchBuilder
	for i := 0; f.reader.Next(); i++ {
		if !f.keep[i] {
			continue
		}
		if builder == nil {
			if b.Magic() < 2 {
				o.BaseOffset = f.reader.Record().Offset
			}
			if builder, err = protocol.NewBatchBuilder(f.out, o); err != nil {
				return err
			}
			defer builder.Abort()
		}
		if err := builder.Append(f.reader.Record()); err != nil {
			return err
		}
	}
	if err := f.reader.Err(); err != nil {
		return err
	}
	builder.ExtendTo(b.LastOffset())
	out, err := builder.Finish()
	if err != nil {
		return err
	}
	f.out = out
	return nil
}
