package log

import (
	"fmt"
	"math"
	"slices"

	"gokafka/protocol"
)

// Origin says who wrote a batch, hence how strictly it is checked.
type Origin uint8

// The origins.
const (
	OriginClient      Origin = iota // a produce request: everything is checked
	OriginReplication               // from the leader, which has checked it
	OriginCoordinator               // group offsets and transaction markers: epochs are checked, sequences do not exist
)

// VerificationGuard ties the transaction coordinator's answer to the question; zero is no guard.
type VerificationGuard uint64

// AppendOptions are what a leader's append may vary in. The zero value is a client's produce request.
type AppendOptions struct {
	Origin Origin
	// Verify demands that the first batch of a transaction carries the guard that StartVerification gave (KIP-890).
	Verify       bool
	Verification VerificationGuard
}

// AppendInfo says what an append did.
type AppendInfo struct {
	FirstOffset, LastOffset int64 // -1 when there was nothing to append
	LeaderEpoch             int32 // of the last batch, -1 none
	MaxTimestamp            int64
	// AppendTime is the broker's time if the topic has LogAppendTime, else -1; of a duplicate it is the timestamp of the batch.
	AppendTime     int64
	LogStartOffset int64
	Bytes          int
	Duplicate      bool // the batch was in the log already; the offsets are the earlier ones
}

// Records is the number of offsets taken.
func (i AppendInfo) Records() int64 {
	if i.FirstOffset < 0 {
		return 0
	}
	return i.LastOffset - i.FirstOffset + 1
}

// batchRange is what rolling and appending need to know of batches.
type batchRange struct {
	first, last  int64
	legacy       bool // they begin with magic 0 or 1: a compressed set has lower offsets than first
	maxTimestamp int64
	bytes        int
}

// segmentBase is an offset that a segment which begins with the batches may have. For magic 0 and 1 it is, as in Apache's UnifiedLog.maybeRoll, the
// lowest from which the last offset can be reached.
func (r batchRange) segmentBase() int64 {
	if r.legacy {
		return r.last - math.MaxInt32
	}
	return r.first
}

// AppendAsLeader checks records by the rules of the topic, gives them offsets and the leader epoch, and appends them. The bytes may be changed
// in place; they are not kept. Errors are for the client: *InvalidRecordsError, those of protocol and of this package.
func (l *Log) AppendAsLeader(records []byte, leaderEpoch int32, o AppendOptions) (AppendInfo, error) {
	v := validation{partition: l.tp, config: l.Config(), origin: o.Origin, now: l.host.now()}
	checked, err := v.validate(records)
	if err != nil {
		return l.nothing(), err
	}
	if checked.batch == nil {
		return l.nothing(), nil
	}
	if o.Origin == OriginClient { // what coordinators write is little, and much depends on it
		if err := l.dir.reserve.admit(len(records)); err != nil {
			return l.nothing(), err
		}
	}
	if err := l.saveTopicID(); err != nil {
		return l.nothing(), err
	}
	info, flush, err := l.appendChecked(checked, leaderEpoch, o)
	if flush && err == nil {
		err = l.Flush()
	}
	return info, err
}

// nothing is the info of an append that has not happened.
func (l *Log) nothing() AppendInfo {
	return AppendInfo{FirstOffset: -1, LastOffset: -1, LeaderEpoch: -1, MaxTimestamp: -1, AppendTime: -1, LogStartOffset: l.LogStartOffset()}
}

func (l *Log) appendChecked(c validated, leaderEpoch int32, o AppendOptions) (info AppendInfo, flush bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info = l.nothing()
	if err := l.openLocked(); err != nil {
		return info, false, err
	}
	b := c.batch
	b.SetBaseOffset(l.LogEndOffset().Offset)
	b.SetLeaderEpoch(leaderEpoch)
	if old, ok := l.duplicateLocked(b, o.Origin); ok {
		info.FirstOffset, info.LastOffset, info.AppendTime = old.firstOffset(), old.lastOffset, old.timestamp
		info.Duplicate = true
		return info, false, nil
	}
	if len(b) > l.Config().SegmentBytesMax {
		return info, false, fmt.Errorf("%w: %d bytes, at most %d fit", ErrBatchTooLarge, len(b), l.Config().SegmentBytesMax)
	}
	r := batchRange{first: b.BaseOffset(), last: b.LastOffset(), maxTimestamp: c.maxTimestamp, bytes: len(b)}
	if err := l.appendLocked(b, r, o); err != nil {
		return info, false, err
	}
	info.FirstOffset, info.LastOffset, info.LeaderEpoch = r.first, r.last, leaderEpoch
	info.MaxTimestamp, info.AppendTime, info.Bytes = c.maxTimestamp, c.appendTime, len(b)
	return info, l.flushDueLocked(), nil
}

// duplicateLocked finds the batch among the last ones of its producer: a retry whose first answer got lost.
func (l *Log) duplicateLocked(b protocol.Batch, origin Origin) (producerBatch, bool) {
	if origin != OriginClient || !b.HasProducerID() {
		return noBatch, false
	}
	if e := l.producers.producers[b.ProducerID()]; e != nil {
		return e.duplicate(b)
	}
	return noBatch, false
}

func (l *Log) flushDueLocked() bool {
	return l.LogEndOffset().Offset-l.recoveryPoint >= l.Config().FlushMessages
}

// AppendAsFollower appends batches as the leader has them. From the first batch with an epoch above leaderEpoch on, the one with which
// they were fetched, they are left out: another leader wrote them (KAFKA-18723). A cut batch at the end is left out as well.
func (l *Log) AppendAsFollower(records []byte, leaderEpoch int32) (AppendInfo, error) {
	batches, r, epoch, err := l.analyzeReplicated(records, leaderEpoch)
	if err != nil || len(batches) == 0 {
		return l.nothing(), err
	}
	if err := l.dir.reserve.admit(len(batches)); err != nil {
		return l.nothing(), err
	}
	if err := l.saveTopicID(); err != nil {
		return l.nothing(), err
	}
	info, flush, err := l.appendReplicated(batches, r, epoch)
	if flush && err == nil {
		err = l.Flush()
	}
	return info, err
}

func (l *Log) appendReplicated(batches []byte, r batchRange, epoch int32) (info AppendInfo, flush bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info = l.nothing()
	if err := l.openLocked(); err != nil {
		return info, false, err
	}
	if len(batches) > l.Config().SegmentBytesMax {
		return info, false, fmt.Errorf("%w: %d bytes, at most %d fit", ErrBatchTooLarge, len(batches), l.Config().SegmentBytesMax)
	}
	if err := l.appendReplicatedLocked(batches, r); err != nil {
		return info, false, err
	}
	info.FirstOffset, info.LastOffset, info.LeaderEpoch = r.first, r.last, epoch
	info.MaxTimestamp, info.Bytes = r.maxTimestamp, r.bytes
	return info, l.flushDueLocked(), nil
}

func (l *Log) appendReplicatedLocked(batches []byte, r batchRange) error {
	end := l.LogEndOffset().Offset
	switch {
	case r.first >= end:
		return l.appendLocked(batches, r, AppendOptions{Origin: OriginReplication})
	case l.emptyLocked() && r.last >= end:
		return l.beginWithinLocked(batches, r)
	}
	return fmt.Errorf("%w: %d, and the log ends at %d", ErrUnexpectedOffset, r.first, end)
}

func (l *Log) emptyLocked() bool {
	o := l.Offsets()
	return o.Start == o.End.Offset && len(*l.segments.Load()) == 1 && l.activeLocked().Size() == 0
}

// beginWithinLocked appends to an empty log batches of which the first begins before it: the leader's log starts within a batch, after a
// DeleteRecords. The log then has the whole batch, and starts where it did.
func (l *Log) beginWithinLocked(batches []byte, r batchRange) error {
	start := l.LogStartOffset()
	l.generation.Add(1)
	defer l.generation.Add(1)
	if err := l.restartLocked(r.first); err != nil {
		return l.half("restart", err)
	}
	if err := l.appendLocked(batches, r, AppendOptions{Origin: OriginReplication}); err != nil {
		return err
	}
	l.epochs.truncateFromStart(start)
	o := l.Offsets()
	o.Start = start
	l.setHighWatermarkLocked(o, OffsetOnly(start))
	return nil
}

// analyzeReplicated checks what came from a leader: whole, intact, with ascending offsets.
func (l *Log) analyzeReplicated(records []byte, leaderEpoch int32) (batches []byte, r batchRange, epoch int32, err error) {
	r = batchRange{first: -1, last: -1, maxTimestamp: protocol.NoTimestamp}
	epoch = protocol.NoLeaderEpoch
	for b, err := range protocol.Batches(records) {
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return nil, r, epoch, fmt.Errorf("append to %v as follower: %w", l.tp, err)
		}
		if b.LeaderEpoch() > leaderEpoch {
			break
		}
		if b.LastOffset() <= r.last || b.LastOffsetDelta() < 0 {
			return nil, r, epoch, fmt.Errorf("append to %v as follower: %w: batch at %d after %d", l.tp, protocol.ErrCorrupt, b.BaseOffset(), r.last)
		}
		if r.bytes == 0 {
			r.first, r.legacy = b.BaseOffset(), b.Magic() < 2
		}
		r.last, epoch = b.LastOffset(), b.LeaderEpoch()
		r.maxTimestamp = max(r.maxTimestamp, b.MaxTimestamp())
		r.bytes += len(b)
	}
	return records[:r.bytes], r, epoch, nil
}

// appendLocked writes the batches and then moves everything that describes the log. Until they are written nothing but the epochs and perhaps
// the active segment has changed, so that an append that fails leaves no trace and its retry is not taken for a duplicate.
func (l *Log) appendLocked(batches []byte, r batchRange, o AppendOptions) error {
	active, err := l.rollIfNeededLocked(r)
	if err != nil {
		return l.storage("roll", err)
	}
	if err := l.stageLocked(batches, active, o); err != nil {
		return err
	}
	release, err := l.holdTxnIndexLocked(active)
	if err != nil {
		return l.storage("open transaction index of", err)
	}
	defer release()
	l.assignEpochs(batches)
	if err := active.append(batches, l.Config().IndexIntervalBytes); err != nil {
		return l.storage("append to", err)
	}
	offsets := *l.offsets.Load()
	offsets.End = Position{Offset: r.last + 1, SegmentBase: active.base, Byte: int32(active.Size())}
	// The end moves even if the transaction index cannot be written, so that no offset is used twice. The last stable offset does not: the
	// producers' state is that before the append.
	l.publishLocked(offsets)
	return l.storage("write transaction index of", l.commitStagedLocked(active, r.last+1))
}

func (l *Log) assignEpochs(batches []byte) {
	for b := range protocol.Batches(batches) {
		if b.Magic() >= 2 {
			l.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
		} else {
			l.epochs.clear() // without epochs in the records only the high watermark tells where to truncate
		}
	}
}

// stageLocked checks the batches of idempotent producers and notes what they change.
func (l *Log) stageLocked(batches []byte, active *Segment, o AppendOptions) error {
	l.staged.reset()
	at := Position{SegmentBase: active.base, Byte: int32(active.Size())}
	for b := range protocol.Batches(batches) {
		at.Offset = b.BaseOffset()
		if b.HasProducerID() {
			if err := l.verifyLocked(b, o); err != nil {
				return err
			}
			if err := l.producers.stage(&l.staged, b, o, at); err != nil {
				return fmt.Errorf("append to %v: %w", l.tp, err)
			}
		}
		at.Byte += int32(len(b))
	}
	return nil
}

// verifyLocked refuses the first batch of a transaction that the coordinator has not confirmed. An old epoch is told first, since a producer
// can recover from that.
func (l *Log) verifyLocked(b protocol.Batch, o AppendOptions) error {
	if !o.Verify || o.Origin == OriginReplication || !b.Transactional() || b.Control() {
		return nil
	}
	e := l.producers.producers[b.ProducerID()]
	if e != nil && e.txnFirst != noTransaction {
		return nil
	}
	if e != nil && b.ProducerEpoch() < e.epoch {
		return checkProducerEpoch(e, b, o.Origin)
	}
	if v, ok := l.producers.verifications[b.ProducerID()]; !ok || v.guard != o.Verification {
		return fmt.Errorf("append to %v: %w", l.tp, ErrTransactionState)
	}
	return nil
}

// holdTxnIndexLocked opens the transaction index if an aborted transaction is to go there. That is done before anything has changed, since
// the want of file descriptors does not take the directory offline: a transaction whose marker is in the log would stay open.
func (l *Log) holdTxnIndexLocked(active *Segment) (release func(), err error) {
	if !slices.ContainsFunc(l.staged.completed, func(c completedTxn) bool { return c.aborted }) {
		return func() {}, nil
	}
	if _, err := active.txns.file.create(); err != nil {
		return nil, err
	}
	return active.txns.file.release, nil
}

// commitStagedLocked takes over the producers' new state and records the aborted transactions.
func (l *Log) commitStagedLocked(active *Segment, end int64) error {
	if len(l.staged.producers) == 0 {
		l.producers.end = end
		return nil
	}
	l.producers.apply(&l.staged)
	for _, c := range l.staged.completed {
		if c.aborted {
			e := abortedTxn{producerID: c.producerID, first: c.first, last: c.last, lastStableOffset: l.producers.stableAfter(c)}
			if err := active.txns.add(e); err != nil {
				return err
			}
			l.renamed.Store(true) // the file may be new, in a segment that is older than the recovery point
		}
		l.producers.complete(c)
	}
	l.producers.end = end
	if len(l.staged.started)+len(l.staged.completed) > 0 {
		l.publishLocked(*l.offsets.Load())
	}
	return nil
}

// rollIfNeededLocked returns the segment that takes the batches.
func (l *Log) rollIfNeededLocked(r batchRange) (*Segment, error) {
	active := l.activeLocked()
	roll, err := active.shouldRoll(l.Config(), r, l.host.now())
	base := max(r.segmentBase(), l.LogEndOffset().Offset)
	if err != nil || !roll || active.Size() == 0 && base == active.base {
		return active, err
	}
	return l.rollLocked(base)
}

// rollLocked closes the active segment and begins one at the offset, which is not below the log's end. The old one becomes durable in the
// background.
func (l *Log) rollLocked(base int64) (*Segment, error) {
	offsets := *l.offsets.Load()
	old := l.activeLocked()
	if err := old.closeIndexes(); err != nil {
		return nil, err
	}
	old.letGo()
	if l.Config().Preallocate || old.reserved > 0 {
		if err := old.trim(); err != nil {
			return nil, err
		}
	}
	s, err := createSegment(l.dir, l.host.cache, base, l.Config(), l.host.now())
	if err != nil {
		return nil, err
	}
	l.storeSegments(append(l.Segments(), s))
	atEnd := offsets.HighWatermark.Offset >= offsets.End.Offset
	offsets.End.SegmentBase, offsets.End.Byte = s.base, 0
	if atEnd {
		offsets.HighWatermark = offsets.End
	}
	l.publishLocked(offsets)
	l.producers.end = base
	if err := l.producers.takeSnapshot(false); err != nil {
		return nil, err
	}
	l.dir.worker.flush(l, base)
	return s, nil
}

func (l *Log) storeSegments(segments []*Segment) { l.segments.Store(&segments) }
