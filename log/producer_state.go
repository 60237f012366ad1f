package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"gokafka/protocol"
)

const (
	// producerBatches is how many of a producer's last batches are remembered; a resent one of these is recognised.
	producerBatches = 5
	noTransaction   = int64(-1)
)

// producerBatch is what is remembered of one batch.
type producerBatch struct {
	lastSequence int32
	delta        int32 // last offset minus first, the same in sequences
	lastOffset   int64
	timestamp    int64
}

var noBatch = producerBatch{lastSequence: protocol.NoSequence, lastOffset: -1}

func (b producerBatch) firstOffset() int64 { return b.lastOffset - int64(b.delta) }

func (b producerBatch) firstSequence() int32 {
	return protocol.DecrementSequence(b.lastSequence, b.delta)
}

// producerEntry is the state of one idempotent producer.
type producerEntry struct {
	epoch            int16
	coordinatorEpoch int32
	lastTimestamp    int64
	txnFirst         int64 // first offset of the open transaction
	batches          [producerBatches]producerBatch
	count            int // of batches, oldest first
}

func newProducerEntry() *producerEntry {
	return &producerEntry{epoch: protocol.NoProducerEpoch, coordinatorEpoch: -1, lastTimestamp: protocol.NoTimestamp, txnFirst: noTransaction}
}

// last is the newest batch, noBatch if there is none.
func (e *producerEntry) last() producerBatch {
	if e.count == 0 {
		return noBatch
	}
	return e.batches[e.count-1]
}

func (e *producerEntry) setEpoch(epoch int16) {
	if e.epoch != epoch {
		e.epoch, e.count = epoch, 0
	}
}

func (e *producerEntry) addBatch(epoch int16, b producerBatch) {
	e.setEpoch(epoch)
	if e.count == producerBatches {
		copy(e.batches[:], e.batches[1:])
		e.count--
	}
	e.batches[e.count] = b
	e.count++
	e.lastTimestamp = b.timestamp
}

// duplicate finds the remembered batch with the same epoch and sequences.
func (e *producerEntry) duplicate(b protocol.Batch) (producerBatch, bool) {
	if e.epoch != b.ProducerEpoch() {
		return noBatch, false
	}
	last := b.LastSequence()
	for i := range e.batches[:e.count] {
		if old := &e.batches[i]; old.lastSequence == last && old.firstSequence() == b.BaseSequence() {
			return *old, true
		}
	}
	return noBatch, false
}

// transaction is one that is open, or decided but not yet below the high watermark.
type transaction struct {
	producerID int64
	first      int64
	last       int64    // offset of its marker
	at         Position // where it begins, or the log does, if that is later
}

// completedTxn is a transaction whose marker is being appended.
type completedTxn struct {
	producerID  int64
	first, last int64
	aborted     bool
}

// verification is a transaction that the coordinator is being asked about, before its first batch here (KIP-890).
type verification struct {
	started        int64 // milliseconds
	lowestSequence int32
	epoch          int16
	guard          VerificationGuard
}

// producerStateManager keeps what the log must know of idempotent producers: their last batches, to recognise repeated ones and gaps, and
// their transactions, to know up to where everything is decided. It is guarded by its log's lock.
type producerStateManager struct {
	dir        *logDir
	logger     zerolog.Logger
	expiration *atomic.Int64 // in milliseconds

	producers     map[int64]*producerEntry
	verifications map[int64]verification
	lastGuard     VerificationGuard
	ongoing       []transaction // by first offset
	unreplicated  []transaction // decided, marker not below the high watermark; by first offset

	end       int64   // the state is that of the log up to here
	lastSnap  int64   // offset of the newest snapshot
	snapshots []int64 // offsets of the snapshot files, ascending
}

// listSnapshots learns the snapshot files from the directory's listing.
func (m *producerStateManager) listSnapshots(names []string) {
	m.snapshots = nil
	for _, name := range names {
		if offset, suffix, ok := parseSegmentFileName(name); ok && suffix == snapshotSuffix {
			m.snapshots = append(m.snapshots, offset)
		}
	}
	slices.Sort(m.snapshots)
}

func (m *producerStateManager) snapshotPath(offset int64) string {
	return m.dir.join(segmentFileName(offset, snapshotSuffix))
}

func (m *producerStateManager) empty() bool {
	return len(m.producers) == 0 && len(m.unreplicated) == 0
}

// firstUnstable is the earliest transaction that is open or not yet decided below the high watermark, nil if there is none.
func (m *producerStateManager) firstUnstable() *transaction {
	switch {
	case len(m.ongoing) == 0 && len(m.unreplicated) == 0:
		return nil
	case len(m.ongoing) == 0:
		return &m.unreplicated[0]
	case len(m.unreplicated) == 0 || m.ongoing[0].first < m.unreplicated[0].first:
		return &m.ongoing[0]
	}
	return &m.unreplicated[0]
}

// forgetReplicated drops decided transactions whose marker is below the offset.
func (m *producerStateManager) forgetReplicated(offset int64) {
	if len(m.unreplicated) > 0 {
		m.unreplicated = slices.DeleteFunc(m.unreplicated, func(t transaction) bool { return t.last < offset })
	}
}

func (m *producerStateManager) expired(e *producerEntry, now time.Time) bool {
	return e.txnFirst == noTransaction && now.UnixMilli()-e.lastTimestamp >= m.expiration.Load()
}

// removeExpired forgets idle producers without an open transaction, and verifications that never came to an append.
func (m *producerStateManager) removeExpired(now time.Time) {
	for id, e := range m.producers {
		if m.expired(e, now) {
			delete(m.producers, id)
		}
	}
	for id, v := range m.verifications {
		if now.UnixMilli()-v.started >= m.expiration.Load() {
			delete(m.verifications, id)
		}
	}
}

// startVerification gives the guard for the first batch of a transaction, zero if one is open.
func (m *producerStateManager) startVerification(id int64, sequence int32, epoch int16, now time.Time) VerificationGuard {
	if e := m.producers[id]; e != nil && e.txnFirst != noTransaction {
		return 0
	}
	v, ok := m.verifications[id]
	switch {
	case !ok:
		m.lastGuard++
		v = verification{started: now.UnixMilli(), lowestSequence: sequence, epoch: epoch, guard: m.lastGuard}
	case epoch > v.epoch:
		v.epoch, v.lowestSequence = epoch, sequence
	case epoch == v.epoch && sequence < v.lowestSequence:
		v.lowestSequence = sequence
	}
	if m.verifications == nil {
		m.verifications = map[int64]verification{}
	}
	m.verifications[id] = v
	return v.guard
}

// staged is the state of a producer as it will be once the batches are in the log.
type staged struct {
	id            int64
	current       *producerEntry // nil: not known yet
	entry         producerEntry
	transactional bool // some batch is
}

// stagedAppend gathers what an append will change, so that a failed write changes nothing. It is reused.
type stagedAppend struct {
	producers []staged
	index     map[int64]int // of producers, once they are many
	started   []transaction
	completed []completedTxn
}

func (s *stagedAppend) reset() {
	s.producers, s.started, s.completed = s.producers[:0], s.started[:0], s.completed[:0]
	clear(s.index)
}

// stagedLinear is up to how many producers are searched one by one.
const stagedLinear = 8

func (s *stagedAppend) producer(m *producerStateManager, id int64) *staged {
	if len(s.producers) <= stagedLinear {
		for i := range s.producers {
			if s.producers[i].id == id {
				return &s.producers[i]
			}
		}
	} else if i, ok := s.index[id]; ok {
		return &s.producers[i]
	}
	p := staged{id: id, current: m.producers[id]}
	if p.current != nil {
		p.entry = *p.current
	} else {
		p.entry = *newProducerEntry()
	}
	s.producers = append(s.producers, p)
	if n := len(s.producers); n > stagedLinear {
		s.reindex(n)
	}
	return &s.producers[len(s.producers)-1]
}

func (s *stagedAppend) reindex(n int) {
	if s.index == nil {
		s.index = map[int64]int{}
	}
	if len(s.index) == 0 {
		for i := range s.producers {
			s.index[s.producers[i].id] = i
		}
	}
	s.index[s.producers[n-1].id] = n - 1
}

// stage checks a batch of an idempotent producer against the state and notes what it will change. first is where the batch will lie.
func (m *producerStateManager) stage(s *stagedAppend, b protocol.Batch, o AppendOptions, first Position) error {
	id := b.ProducerID()
	p := s.producer(m, id)
	p.transactional = p.transactional || b.Transactional()
	e := &p.entry
	if b.Control() {
		return m.stageMarker(s, id, e, b, o.Origin)
	}
	if err := checkProducerEpoch(e, b, o.Origin); err != nil {
		return err
	}
	if o.Origin == OriginClient {
		if err := m.checkSequence(id, e, b); err != nil {
			return err
		}
	}
	e.addBatch(b.ProducerEpoch(), remembered(b))
	switch {
	case e.txnFirst != noTransaction && !b.Transactional():
		return fmt.Errorf("%w: batch outside the open transaction of producer %d", ErrTransactionState, id)
	case e.txnFirst == noTransaction && b.Transactional():
		e.txnFirst = b.BaseOffset()
		s.started = append(s.started, transaction{producerID: id, first: first.Offset, at: first})
	}
	return nil
}

func checkProducerEpoch(e *producerEntry, b protocol.Batch, origin Origin) error {
	if b.ProducerEpoch() >= e.epoch || origin == OriginReplication {
		return nil
	}
	return fmt.Errorf("%w: producer %d has epoch %d, and %d was seen", ErrProducerEpoch, b.ProducerID(), b.ProducerEpoch(), e.epoch)
}

// checkSequence accepts the sequence after the last one. A new epoch begins at 0; of an unknown producer any sequence is accepted, since its
// earlier records may have been deleted, unless an earlier one of its transaction was seen while that was being verified.
func (m *producerStateManager) checkSequence(id int64, e *producerEntry, b protocol.Batch) error {
	first := b.BaseSequence()
	if v, ok := m.verifications[id]; ok && first > v.lowestSequence {
		return fmt.Errorf("%w: producer %d sent %d, and %d is waiting", ErrOutOfOrderSequence, id, first, v.lowestSequence)
	}
	if e.epoch == protocol.NoProducerEpoch {
		return nil
	}
	if b.ProducerEpoch() != e.epoch {
		if first != 0 {
			return fmt.Errorf("%w: producer %d begins epoch %d with %d", ErrOutOfOrderSequence, id, b.ProducerEpoch(), first)
		}
		return nil
	}
	if want := protocol.IncrementSequence(e.last().lastSequence, 1); first != want {
		return fmt.Errorf("%w: producer %d sent %d after %d", ErrOutOfOrderSequence, id, first, e.last().lastSequence)
	}
	return nil
}

// stageMarker ends the producer's transaction. A marker without data before it has no effect on what is stable.
func (m *producerStateManager) stageMarker(s *stagedAppend, id int64, e *producerEntry, b protocol.Batch, origin Origin) error {
	marker, timestamp, ok, err := readMarker(b)
	if err != nil || !ok {
		return err
	}
	if err := checkProducerEpoch(e, b, origin); err != nil {
		return err
	}
	if marker.CoordinatorEpoch < e.coordinatorEpoch && origin != OriginReplication {
		return fmt.Errorf("%w: epoch %d, and %d was seen", ErrCoordinatorFenced, marker.CoordinatorEpoch, e.coordinatorEpoch)
	}
	if e.txnFirst != noTransaction {
		s.completed = append(s.completed, completedTxn{
			producerID: id, first: e.txnFirst, last: b.BaseOffset(), aborted: marker.Type == protocol.MarkerAbort,
		})
	}
	e.setEpoch(b.ProducerEpoch())
	e.coordinatorEpoch, e.lastTimestamp, e.txnFirst = marker.CoordinatorEpoch, timestamp, noTransaction
	return nil
}

// readMarker reads the record of a control batch; ok is false if the cleaner has emptied the batch.
func readMarker(b protocol.Batch) (m protocol.Marker, timestamp int64, ok bool, err error) {
	var r protocol.RecordReader
	r.Reset(b, protocol.ReadOptions{})
	defer r.Close()
	if !r.Next() {
		return m, 0, false, r.Err()
	}
	m, err = protocol.ParseMarker(r.Record())
	return m, r.Record().Timestamp, err == nil, err
}

// apply takes over what was staged, except that completed transactions are left to complete. A verification has served once a batch of the
// transaction, or its marker, is in the log.
func (m *producerStateManager) apply(s *stagedAppend) {
	for i := range s.producers {
		p := &s.producers[i]
		if p.transactional {
			delete(m.verifications, p.id)
		}
		if p.current != nil {
			*p.current = p.entry
			continue
		}
		if m.producers == nil {
			m.producers = map[int64]*producerEntry{}
		}
		e := p.entry
		m.producers[p.id] = &e
	}
	m.ongoing = append(m.ongoing, s.started...)
}

// stableAfter is the last stable offset once the transaction is complete, high watermark aside; as Apache Kafka writes it, see abortedTxn.stable.
func (m *producerStateManager) stableAfter(c completedTxn) int64 {
	for _, t := range m.ongoing {
		if t.producerID != c.producerID {
			return t.first
		}
	}
	return c.last + 1
}

// complete moves a transaction from the open to the decided ones.
func (m *producerStateManager) complete(c completedTxn) {
	byFirst := func(t transaction, first int64) int { return cmp.Compare(t.first, first) }
	i, found := slices.BinarySearchFunc(m.ongoing, c.first, byFirst)
	if !found {
		return
	}
	t := m.ongoing[i]
	t.last = c.last
	m.ongoing = slices.Delete(m.ongoing, i, i+1)
	at, _ := slices.BinarySearchFunc(m.unreplicated, c.first, byFirst)
	m.unreplicated = slices.Insert(m.unreplicated, at, t)
}

// takeSnapshot writes the state at the log's end to a file, unless the newest snapshot is of the same offset.
func (m *producerStateManager) takeSnapshot(sync bool) error {
	if m.end <= m.lastSnap {
		return nil
	}
	if err := writeSnapshotFile(m.dir.fs, m.snapshotPath(m.end), m.producers, sync); err != nil {
		return err
	}
	if i, found := slices.BinarySearch(m.snapshots, m.end); !found {
		m.snapshots = slices.Insert(m.snapshots, i, m.end)
	}
	m.lastSnap = m.end
	return nil
}

// truncateAndReload makes the state that of the newest usable snapshot at or below end. The caller then reads the records from m.end on.
func (m *producerStateManager) truncateAndReload(start, end int64, now time.Time) error {
	for _, offset := range slices.Clone(m.snapshots) {
		if offset > end || offset <= start {
			if err := m.removeSnapshot(offset); err != nil {
				return err
			}
		}
	}
	if end == m.end {
		m.startMoved(start)
		return nil
	}
	m.producers, m.ongoing, m.unreplicated = nil, nil, nil
	return m.loadSnapshot(start, now)
}

// loadSnapshot loads the newest snapshot that can be read; a corrupt one is removed.
func (m *producerStateManager) loadSnapshot(start int64, now time.Time) error {
	for len(m.snapshots) > 0 {
		offset := m.snapshots[len(m.snapshots)-1]
		producers, err := readSnapshot(m.dir.fs, m.snapshotPath(offset))
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt || errors.Is(err, fs.ErrNotExist) {
			m.logger.Warn().Err(err).Int64("offset", offset).Msg("producer snapshot is unusable, an older one is taken")
			if err := m.removeSnapshot(offset); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		m.install(producers, now)
		m.lastSnap, m.end = offset, offset
		return nil
	}
	m.lastSnap, m.end = start, start
	return nil
}

func (m *producerStateManager) install(producers map[int64]*producerEntry, now time.Time) {
	for id, e := range producers {
		if m.expired(e, now) {
			delete(producers, id)
			continue
		}
		if e.txnFirst != noTransaction {
			m.ongoing = append(m.ongoing, transaction{producerID: id, first: e.txnFirst, at: OffsetOnly(e.txnFirst)})
		}
	}
	slices.SortFunc(m.ongoing, func(a, b transaction) int { return cmp.Compare(a.first, b.first) })
	if len(producers) > 0 {
		m.producers = producers
	}
}

// startMoved takes notice of a new log start.
func (m *producerStateManager) startMoved(start int64) {
	m.forgetReplicated(start)
	m.end = max(m.end, start)
	m.lastSnap = start
	if n := len(m.snapshots); n > 0 {
		m.lastSnap = m.snapshots[n-1]
	}
}

// reset forgets everything; the log is empty and begins at the offset.
func (m *producerStateManager) reset(offset int64) error {
	m.producers, m.ongoing, m.unreplicated = nil, nil, nil
	m.lastSnap, m.end = 0, offset
	for _, snapshot := range slices.Clone(m.snapshots) {
		if err := m.removeSnapshot(snapshot); err != nil {
			return err
		}
	}
	return nil
}

// removeStraySnapshots removes the files that belong to no segment, except the newest when it lies above all segments: it is the one that a
// clean stop wrote.
func (m *producerStateManager) removeStraySnapshots(segmentBases []int64) error {
	stray := slices.DeleteFunc(slices.Clone(m.snapshots), func(offset int64) bool { return slices.Contains(segmentBases, offset) })
	if n := len(stray); n > 0 && (len(segmentBases) == 0 || stray[n-1] > segmentBases[len(segmentBases)-1]) {
		stray = stray[:n-1]
	}
	for _, offset := range stray {
		if err := m.removeSnapshot(offset); err != nil {
			return err
		}
	}
	return nil
}

func (m *producerStateManager) removeSnapshot(offset int64) error {
	m.forgetSnapshot(offset)
	return ignoreMissing(m.dir.fs.Remove(m.snapshotPath(offset)))
}

// forgetSnapshot takes the file out of the list; reports whether it was there.
func (m *producerStateManager) forgetSnapshot(offset int64) bool {
	i, found := slices.BinarySearch(m.snapshots, offset)
	if found {
		m.snapshots = slices.Delete(m.snapshots, i, i+1)
	}
	return found
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
