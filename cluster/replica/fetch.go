package replica

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// FetchParams are what one Fetch request asks of all its partitions.
type FetchParams struct {
	ReplicaID   cluster.BrokerID    // the follower that fetches; negative: a consumer
	BrokerEpoch cluster.BrokerEpoch // the follower's incarnation, -1 unknown
	Bound       log.Bound
	LeaderOnly  bool          // followers, and consumers that do not know of reading from followers (before KIP-392)
	Rack        string        // the consumer's, empty if it does not care where it reads
	Listener    string        // at which the consumer would ask another replica
	WaitMax     time.Duration // how long to wait for BytesMin
	BytesMin    int
	BytesMax    int       // of all partitions together
	HardLimit   bool      // limits hold even for the first batch, which may be cut (before KIP-74)
	Standing    *Standing // the session whose partitions are fetched, begun for this fetch; nil: none
}

func (f *FetchParams) fromFollower() bool { return f.ReplicaID >= 0 }

// FetchPartition is one partition of a Fetch request.
type FetchPartition struct {
	protocol.TopicPartition
	TopicID          protocol.TopicID // zero: the request has names
	Offset           int64
	LogStart         int64 // the follower's log start, -1 from consumers
	BytesMax         int32
	LeaderEpoch      cluster.LeaderEpoch // in which the reader believes; cluster.NoEpoch is not checked
	LastFetchedEpoch cluster.LeaderEpoch // of the reader's last record; cluster.NoEpoch: no check for divergence

	watch *StandingWatch // of its session; nil: it has none
	turn  int64          // in its session: who has the lowest is read first
}

// FetchResult is one partition's part of the answer. Whoever gets it releases Records.
type FetchResult struct {
	Err           error
	HighWatermark int64 // -1 with an error, as are the next two
	LastStable    int64
	LogStart      int64
	Records       *log.Slice               // nil: none
	Aborted       []log.AbortedTransaction // of the range read; nil unless Bound is log.ToLastStable
	Diverging     EpochEnd                 // Epoch -1: the logs agree
	ReadFrom      cluster.BrokerID         // a replica closer to the consumer; noBroker: none

	// What a wait needs: where the fetch begins, and which state of the partition was read.
	partition *Partition
	view      *View
	start     log.Position
	throttled bool // its records were held back
	settled   bool // there was nothing to read, and nothing has happened to the partition during the wait
}

// EpochEnd is a leader epoch and the offset at which it ends.
type EpochEnd struct {
	Epoch cluster.LeaderEpoch
	End   int64
}

func failedFetch(err error) FetchResult {
	return FetchResult{Err: err, HighWatermark: -1, LastStable: -1, LogStart: -1, Diverging: EpochEnd{-1, -1}, ReadFrom: noBroker}
}

// Release gives back the files that the result reads from.
func (r *FetchResult) Release() {
	if r.Records != nil {
		r.Records.Release()
		r.Records = nil
	}
}

// Config is the settings of the log that was read; not to be called with an error.
func (r *FetchResult) Config() *log.Config { return r.view.Log.Config() }

// Len is the number of bytes of records.
func (r *FetchResult) Len() int {
	if r.Records == nil {
		return 0
	}
	return r.Records.Len()
}

// Fetch reads from partitions in their order and, when that gives less than BytesMin and nothing that must be told at
// once, waits for more up to WaitMax and reads again, also from partitions of a session to which something happened meanwhile: those are appended to
// parts. The results are appended to dst, one for each partition.
func (m *Manager) Fetch(ctx context.Context, f *FetchParams, parts []FetchPartition, dst []FetchResult) ([]FetchPartition, []FetchResult) {
	begin := len(dst)
	dst = append(dst, make([]FetchResult, len(parts))...)
	m.readAll(f, parts, dst[begin:], true)
	if f.WaitMax > 0 && !complete(f, dst[begin:]) {
		m.awaitBytes(ctx, f, parts, dst[begin:])
		if f.Standing != nil {
			parts = f.Standing.more(parts)
			dst = append(dst, make([]FetchResult, len(parts)-len(dst[begin:]))...)
		}
		m.readAll(f, parts, dst[begin:], false)
	}
	if f.fromFollower() {
		m.recordSent(parts, dst[begin:])
	}
	return parts, dst
}

// complete reports whether a fetch is answered at once.
func complete(f *FetchParams, results []FetchResult) bool {
	bytes := 0
	for i := range results {
		r := &results[i]
		if r.final() {
			return true
		}
		bytes += r.Len()
	}
	return bytes >= f.BytesMin
}

// final reports whether the reader must hear of it at once.
func (r *FetchResult) final() bool { return r.Err != nil || r.Diverging.Epoch >= 0 || r.ReadFrom >= 0 }

// readAll reads every partition that is not settled with what is left of the limit. Until some partition has returned records the limits
// give way to one whole batch, so that a batch larger than they are does not stop a reader for ever (KIP-74).
func (m *Manager) readAll(f *FetchParams, parts []FetchPartition, results []FetchResult, first bool) {
	left, nothingYet := f.BytesMax, !f.HardLimit
	for i := range parts {
		q, r := &parts[i], &results[i]
		if r.settled {
			continue
		}
		r.Release()
		*r = m.read(f, q, min(int(q.BytesMax), left), nothingYet, first)
		if q.watch != nil {
			q.watch.seen(f, q, r)
		}
		if n := r.Len(); n > 0 {
			nothingYet = false
			left = max(0, left-n)
		}
	}
}

// read reads one partition. first tells the first reading of a request from the one after a wait: a follower's
// progress is recorded once.
func (m *Manager) read(f *FetchParams, q *FetchPartition, bytesMax int, minOneBatch, first bool) FetchResult {
	p, err := m.online(q.TopicPartition)
	if err != nil {
		return failedFetch(err)
	}
	if bytesMax < 0 {
		return failedFetch(fmt.Errorf("read %d bytes of %s: %w", bytesMax, p, kerr.UnknownServerError))
	}
	var r FetchResult
	if f.fromFollower() {
		if r, err = p.fetchAsFollower(f, q, bytesMax, minOneBatch, first); err == nil {
			m.holdBack(f, q, &r)
		}
	} else {
		r, err = p.fetchAsConsumer(f, q, bytesMax, minOneBatch)
	}
	if err != nil {
		return failedFetch(err)
	}
	if !f.HardLimit && r.Records != nil && r.Records.FirstBatchCut() {
		r.Release()
	}
	return r
}

// fetchAsConsumer reads by the view alone, unless a replica closer to the consumer is to be named instead.
func (p *Partition) fetchAsConsumer(f *FetchParams, q *FetchPartition, bytesMax int, minOneBatch bool) (FetchResult, error) {
	v := p.View()
	if !q.TopicID.IsZero() && !v.TopicID.IsZero() && q.TopicID != v.TopicID {
		return FetchResult{}, ErrInconsistentTopicID
	}
	if closer := p.closerReplica(f, q.Offset); closer != noBroker {
		l, err := v.local(q.LeaderEpoch, false)
		if err != nil {
			return FetchResult{}, err
		}
		r := p.newResult(v, l.Offsets(), q)
		r.ReadFrom = closer
		return r, nil
	}
	return p.readView(v, f, q, bytesMax, minOneBatch)
}

func (p *Partition) newResult(v *View, o log.Offsets, q *FetchPartition) FetchResult {
	return FetchResult{HighWatermark: o.HighWatermark.Offset, LastStable: o.LastStable.Offset, LogStart: o.Start,
		Diverging: EpochEnd{-1, -1}, ReadFrom: noBroker, partition: p, view: v, start: log.OffsetOnly(q.Offset)}
}

func (p *Partition) readView(v *View, f *FetchParams, q *FetchPartition, bytesMax int, minOneBatch bool) (FetchResult, error) {
	l, err := v.local(q.LeaderEpoch, f.LeaderOnly)
	if err != nil {
		return FetchResult{}, err
	}
	o := l.Offsets()
	r := p.newResult(v, o, q)
	if q.LastFetchedEpoch != cluster.NoEpoch {
		diverged, err := diverging(l, q, &o)
		if err != nil {
			return FetchResult{}, err
		}
		if diverged.Epoch >= 0 {
			r.Diverging = diverged
			return r, nil
		}
	}
	if f.Bound == log.ToLogEnd && q.Offset == o.End.Offset { // as of most of a follower's partitions
		r.start = o.End
		return r, nil
	}
	return r, r.read(l, f.Bound, q.Offset, bytesMax, minOneBatch)
}

// read fills in the records from offset on.
func (r *FetchResult) read(l *log.Log, bound log.Bound, offset int64, bytesMax int, minOneBatch bool) error {
	s, err := l.Read(offset, bytesMax, bound, minOneBatch)
	if err != nil {
		return fmt.Errorf("read %s from offset %d: %w", l.TopicPartition(), offset, err)
	}
	r.start = s.Start()
	if bound == log.ToLastStable {
		r.Aborted = []log.AbortedTransaction{}
	}
	if s.Len() == 0 {
		s.Release()
		return nil
	}
	r.Records = s
	if bound != log.ToLastStable {
		return nil
	}
	if err := r.listAborted(l, offset); err != nil {
		r.Release()
		return fmt.Errorf("list aborted transactions of %s: %w", l.TopicPartition(), err)
	}
	return nil
}

// listAborted finds the aborted transactions that have records in what was read.
func (r *FetchResult) listAborted(l *log.Log, offset int64) error {
	end, err := r.Records.EndBound()
	if err != nil {
		return err
	}
	aborted, err := l.AbortedTransactions(offset, end)
	if len(aborted) > 0 {
		r.Aborted = aborted
	}
	return err
}

// diverging compares the reader's last epoch with this log's history. Where they disagree the reader must truncate first;
// the answer tells to where (KIP-595).
func diverging(l *log.Log, q *FetchPartition, o *log.Offsets) (EpochEnd, error) {
	epoch, end := l.EpochCache().EndOffset(int32(q.LastFetchedEpoch), o.End.Offset)
	if epoch < 0 || end < 0 || q.Offset < o.Start {
		return EpochEnd{}, errOutOfRange
	}
	if cluster.LeaderEpoch(epoch) < q.LastFetchedEpoch || end < q.Offset {
		return EpochEnd{cluster.LeaderEpoch(epoch), end}, nil
	}
	return EpochEnd{-1, -1}, nil
}

// fetchAsFollower reads up to the log end and takes the fetch as word of the follower's progress, unless the follower must
// truncate first: what it has then is not what it seems.
func (p *Partition) fetchAsFollower(f *FetchParams, q *FetchPartition, bytesMax int, minOneBatch, first bool) (FetchResult, error) {
	r, e, err := p.fetchLocked(f, q, bytesMax, minOneBatch, first)
	p.apply(e)
	return r, err
}

func (p *Partition) fetchLocked(f *FetchParams, q *FetchPartition, bytesMax int, minOneBatch, first bool) (r FetchResult, e effects, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.View()
	if !q.TopicID.IsZero() && !v.TopicID.IsZero() && q.TopicID != v.TopicID {
		return r, e, ErrInconsistentTopicID
	}
	if _, err := v.local(q.LeaderEpoch, true); err != nil {
		return r, e, err
	}
	follower := p.core.follower(f.ReplicaID)
	if follower == nil && q.LeaderEpoch == cluster.NoEpoch {
		return r, e, errNotLeaderReplica
	} else if follower == nil {
		return r, e, ErrUnknownFollower
	}
	if r, err = p.readView(v, f, q, bytesMax, minOneBatch); err != nil || r.Diverging.Epoch >= 0 || !first {
		return r, e, err
	}
	e = p.progressedLocked(follower, r.start, q.LogStart, f.BrokerEpoch)
	return r, e, nil
}

// progressedLocked records that a follower has all below a position, and what follows: it may join the ISR, the
// high watermark or the low watermark may rise.
func (p *Partition) progressedLocked(follower *Progress, at log.Position, logStart int64, epoch cluster.BrokerEpoch) (e effects) {
	image, before, o := p.host.image.Load(), *follower, p.log.Offsets()
	follower.fetched(at, logStart, o.End.Offset, epoch, p.host.now())
	e.proposal = p.core.expansion(follower, o.HighWatermark.Offset, o.End.Offset, image)
	if before.End.Offset != at.Offset {
		p.raiseHighWatermarkLocked(&e)
	}
	if before.LogStart != logStart {
		e.lowWatermark = p.core.lowWatermark(o.Start, image)
	}
	return e
}

// delayedFetch is a fetch in the purgatory.
type delayedFetch struct {
	waiter  waiter
	missing atomic.Int64
	watches []fetchWatch
}

// awaitBytes blocks until the partitions have BytesMin more bytes than none for the reader, or until it is of no use to
// wait. What was read so far counts. When one of many partitions ends the wait, as it does to followers, those to which nothing has
// happened are settled.
func (m *Manager) awaitBytes(ctx context.Context, f *FetchParams, parts []FetchPartition, results []FetchResult) {
	var woken bool
	if f.Standing != nil {
		woken = m.await(ctx, f, f.Standing.waiter)
	} else {
		d := newDelayedFetch(f, parts, results)
		woken = m.await(ctx, f, d.waiter)
		d.end(results)
	}
	for i := range results {
		r := &results[i]
		r.settled = woken && r.Records == nil && !r.throttled && r.asRead(f.Bound)
	}
}

func (m *Manager) await(ctx context.Context, f *FetchParams, w waiter) (woken bool) {
	wait := f.WaitMax
	if f.fromFollower() {
		wait = m.polls.begin(f.ReplicaID, w, wait)
		defer m.polls.end(f.ReplicaID, w)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	return w.await(ctx, deadline.C, m.closing)
}

// asRead reports whether nothing has happened to the partition since it was read.
func (r *FetchResult) asRead(bound log.Bound) bool {
	o := r.view.Log.Offsets()
	return r.partition.View() == r.view && r.shows(&o, bound)
}

// shows reports whether the reader learns all of a log's marks from the result.
func (r *FetchResult) shows(o *log.Offsets, bound log.Bound) bool {
	return o.Start == r.LogStart && o.HighWatermark.Offset == r.HighWatermark && o.LastStable.Offset == r.LastStable &&
		(r.Records != nil || r.throttled || endAt(o, bound).Offset == r.start.Offset)
}

func newDelayedFetch(f *FetchParams, parts []FetchPartition, results []FetchResult) *delayedFetch {
	d := &delayedFetch{waiter: newWaiter(), watches: make([]fetchWatch, len(parts))}
	d.missing.Store(int64(f.BytesMin))
	for i := range results {
		d.watch(i, f.Bound, &parts[i], &results[i])
	}
	return d
}

func (d *delayedFetch) end(results []FetchResult) {
	for i := range results {
		ws := &results[i].partition.watchers
		remove(ws, &ws.fetches, &d.watches[i])
	}
}

func (d *delayedFetch) watch(i int, bound log.Bound, q *FetchPartition, r *FetchResult) {
	w := &d.watches[i]
	*w = fetchWatch{waiter: d.waiter, start: r.start, bound: bound, bytesMax: int(q.BytesMax), missing: &d.missing,
		throttled: r.throttled}
	ws := &r.partition.watchers
	add(ws, &ws.fetches, w)
	o := r.view.Log.Offsets()
	if r.partition.View() != r.view || o.Start != r.LogStart {
		d.waiter.wake()
		return
	}
	ws.mu.Lock()
	w.count(&o)
	ws.mu.Unlock()
}
