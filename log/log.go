package log

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"gokafka/protocol"
)

// host is what all logs of a manager share.
type host struct {
	logger     zerolog.Logger
	now        func() time.Time
	expiration atomic.Int64 // of idle producers, in milliseconds
	cache      *fileCache
}

// Log is one partition's durable log on one disk: segments, their indexes, the state of producers, the leader epochs, and the marks up to
// which all that is committed and decided. Its methods may be called by any goroutine; doc.go has the rules of its lock.
type Log struct {
	tp     protocol.TopicPartition
	dir    *logDir
	host   *host
	config atomic.Pointer[Config]
	epochs LeaderEpochCache
	meta   topicMeta

	// What readers use without the lock. A generation that is odd is a truncation at work.
	offsets    atomic.Pointer[Offsets]
	segments   atomic.Pointer[[]*Segment] // ascending, never empty; the last one is active
	generation atomic.Uint64

	mu            sync.Mutex
	producers     producerStateManager
	staged        stagedAppend
	recoveryPoint int64
	lastFlush     time.Time
	closed        bool

	flushMu     sync.Mutex  // one flush at a time
	epochsMu    sync.Mutex  // one writer of the file of leader epochs at a time
	renamed     atomic.Bool // a file was replaced, or a transaction index begun, since the directory was synced
	retiredSome atomic.Bool // a segment was removed since the directory was synced
	retired     atomic.Bool // the log is being deleted: whoever still works on its files may miss them
}

// Offsets is one consistent look at a log's marks: Start ≤ LastStable ≤ HighWatermark ≤ End.
type Offsets struct {
	Start         int64    // first offset that may be read
	LastStable    Position // below it every transaction is decided
	HighWatermark Position // below it everything is committed
	End           Position // next to be written
}

// TopicPartition is the partition.
func (l *Log) TopicPartition() protocol.TopicPartition { return l.tp }

// Dir is the one of log.dirs that the log lies in.
func (l *Log) Dir() string { return l.dir.volume.path }

// Config returns the settings.
func (l *Log) Config() *Config { return l.config.Load() }

// SetConfig replaces the settings. A segment's size and age are judged by the new ones from the next append on.
func (l *Log) SetConfig(c *Config) { l.config.Store(c) }

// Offsets returns the marks, without a lock.
func (l *Log) Offsets() Offsets { return *l.offsets.Load() }

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.offsets.Load().Start }

// LogEndOffset is the offset of the next record, and where it will be written.
func (l *Log) LogEndOffset() Position { return l.offsets.Load().End }

// HighWatermark is the end of what is committed.
func (l *Log) HighWatermark() Position { return l.offsets.Load().HighWatermark }

// LastStableOffset is the end of what is committed and belongs to no open transaction.
func (l *Log) LastStableOffset() Position { return l.offsets.Load().LastStable }

// EpochCache is the leader epochs of the log's records.
func (l *Log) EpochCache() *LeaderEpochCache { return &l.epochs }

// AssignEpoch notes that a leader epoch begins at the offset; a new leader calls it with its log end. Of a log that is offline it is ErrStorage.
func (l *Log) AssignEpoch(epoch int32, offset int64) error {
	if err := l.dir.check(); err != nil {
		return err
	}
	l.epochs.assign(epoch, offset)
	return nil
}

// AdoptEpoch notes the last leader epoch of a log that has the same records: a leader that has appended nothing yet has it nowhere else.
func (l *Log) AdoptEpoch(from *Log) error {
	epoch, start, ok := from.epochs.last()
	if own, some := l.epochs.Latest(); !ok || some && own >= epoch {
		return nil
	}
	return l.AssignEpoch(epoch, start)
}

// RecoveryPoint is the end of what is known to be durable.
func (l *Log) RecoveryPoint() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recoveryPoint
}

// Size is the number of bytes of all segments.
func (l *Log) Size() int64 {
	var size int64
	for _, s := range *l.segments.Load() {
		size += s.Size()
	}
	return size
}

// Segments lists the segments; the last one is active.
func (l *Log) Segments() []*Segment { return slices.Clone(*l.segments.Load()) }

func (l *Log) activeLocked() *Segment {
	s := *l.segments.Load()
	return s[len(s)-1]
}

// floorSegment is the index of the last segment whose base is not above the offset, -1 if there is none.
func floorSegment(segments []*Segment, offset int64) int {
	return sort.Search(len(segments), func(i int) bool { return segments[i].base > offset }) - 1
}

// openLocked refuses work on a log that was closed or whose directory failed.
func (l *Log) openLocked() error {
	if l.closed {
		return fmt.Errorf("%w: %v is closed", ErrStorage, l.tp)
	}
	return l.dir.check()
}

// storage reports an I/O error to the volume. Others pass: those that were reported already, and corruption, which is of this log only.
func (l *Log) storage(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*StorageError](err); known {
		return err
	}
	if l.retired.Load() && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v is deleted", ErrStorage, l.tp)
	}
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		return fmt.Errorf("%s %v: %w", op, l.tp, err)
	}
	return l.dir.report(op+" "+l.tp.String(), err)
}

// publishLocked makes new marks visible. The last stable offset follows from the producers' state.
func (l *Log) publishLocked(o Offsets) {
	o.LastStable = o.HighWatermark
	if t := l.producers.firstUnstable(); t != nil && t.first < o.HighWatermark.Offset {
		if t.at.Offset < o.Start || t.at.SegmentBase < (*l.segments.Load())[0].base {
			t.at = OffsetOnly(max(t.at.Offset, o.Start)) // what it pointed to was deleted
		}
		t.at = l.onDiskLocked(t.at)
		o.LastStable = t.at
	}
	l.offsets.Store(&o)
}

// onDiskLocked finds the place of an offset's batch. If the log cannot be read, readers see nothing in place of too much: the
// position then stays without a place.
func (l *Log) onDiskLocked(p Position) Position {
	if p.OnDisk() {
		return p
	}
	if end := l.offsets.Load(); end != nil && p.Offset == end.End.Offset {
		return end.End
	}
	found, err := l.find(p.Offset, *l.segments.Load())
	if err != nil {
		l.host.logger.Warn().Err(err).Stringer("partition", l.tp).Int64("offset", p.Offset).Msg("offset cannot be found")
		return p
	}
	return found
}

// find locates the batch of an offset, or the first after it, in the segments.
func (l *Log) find(offset int64, segments []*Segment) (Position, error) {
	for i := max(floorSegment(segments, offset), 0); i < len(segments); i++ {
		s := segments[i]
		p, ok, err := s.locate(offset, s.Size())
		if err != nil {
			return OffsetOnly(offset), err
		}
		if ok {
			return Position{Offset: offset, SegmentBase: s.base, Byte: int32(p.at)}, nil
		}
	}
	last := segments[len(segments)-1]
	return Position{Offset: offset, SegmentBase: last.base, Byte: int32(last.Size())}, nil
}

// SetHighWatermark sets the high watermark of a follower, or of a log at start. It is kept within the log; it may move back.
func (l *Log) SetHighWatermark(offset int64) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := *l.offsets.Load()
	l.setHighWatermarkLocked(o, OffsetOnly(offset))
	return l.HighWatermark()
}

// RaiseHighWatermark raises the high watermark of a leader. It moves if the offset is higher, or the same in a newer segment; never back,
// and never above the log's end.
func (l *Log) RaiseHighWatermark(p Position) (moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := *l.offsets.Load()
	old := o.HighWatermark
	if p.Offset < old.Offset || p.Offset > o.End.Offset || (p.Offset == old.Offset && !old.OnOlderSegment(p)) {
		return false
	}
	l.setHighWatermarkLocked(o, p)
	return true
}

func (l *Log) setHighWatermarkLocked(o Offsets, p Position) {
	switch {
	case p.Offset < o.Start:
		p = OffsetOnly(o.Start)
	case p.Offset >= o.End.Offset:
		p = o.End
	}
	o.HighWatermark = l.onDiskLocked(p)
	l.producers.forgetReplicated(p.Offset)
	l.publishLocked(o)
}

// ProducerState is an idempotent producer that the log knows.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1 none
	LastTimestamp    int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // of the open transaction, -1 none
}

// ActiveProducers lists the producers, by id.
func (l *Log) ActiveProducers() []ProducerState {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]ProducerState, 0, len(l.producers.producers))
	for id, e := range l.producers.producers {
		list = append(list, ProducerState{
			ProducerID: id, Epoch: e.epoch, LastSequence: e.last().lastSequence, LastTimestamp: e.lastTimestamp,
			CoordinatorEpoch: e.coordinatorEpoch, TxnFirstOffset: e.txnFirst,
		})
	}
	slices.SortFunc(list, func(a, b ProducerState) int { return int(max(min(a.ProducerID-b.ProducerID, 1), -1)) })
	return list
}

// StartVerification gives the guard that the first batch of a transaction must carry (KIP-890): the transaction coordinator is asked, and
// then the batch is appended, if the guard is still the same. It is zero if a transaction is open in the log already.
func (l *Log) StartVerification(producerID int64, sequence int32, epoch int16) VerificationGuard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.producers.startVerification(producerID, sequence, epoch, l.host.now())
}

// RemoveExpiredProducers forgets producers that were idle for producer.id.expiration.ms.
func (l *Log) RemoveExpiredProducers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.removeExpired(l.host.now())
}

// close makes everything durable and takes the snapshot that spares the next start a scan.
func (l *Log) close() error {
	if err := l.saveTopicID(); err != nil {
		return err
	}
	if err := l.finish(); err != nil {
		return err
	}
	return l.Flush()
}

// finish ends the writing: from now on the log refuses everything but reads.
func (l *Log) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return err
	}
	l.closed = true
	return l.storage("close", l.finishLocked())
}

func (l *Log) finishLocked() error {
	if err := l.saveEpochs(); err != nil {
		return err
	}
	if err := l.producers.takeSnapshot(true); err != nil {
		return err
	}
	active := l.activeLocked()
	active.letGo()
	if err := active.closeIndexes(); err != nil {
		return err
	}
	if l.Config().Preallocate || active.reserved > 0 {
		return active.trim()
	}
	return nil
}
