package txn

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Journal is the log of __transaction_state on this broker: the replica manager, for a coordinator.
type Journal interface {
	// Append writes a batch, as a coordinator and with acks=all, to a partition that this broker leads. It returns once the
	// batch is in the local log. A nil wait means that it is committed already; else wait blocks until it is, or until it never
	// will be here. The batch's bytes are the journal's from then on.
	//
	// Errors are those of a produce request: NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE and so on.
	Append(tp protocol.TopicPartition, batch []byte) (base int64, wait func(context.Context) error, err error)

	// Replay visits the partition's log from its start to its end (not its high watermark), whole batches at a time, about
	// bytesMax at once. The bytes are valid during the visit. An error of visit ends it and comes back.
	Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func(batches []byte) error) error

	// AwaitCommitted blocks until what the partition's log has now is committed, or never will be here.
	AwaitCommitted(ctx context.Context, tp protocol.TopicPartition) error
}

const (
	// inFlightMax bounds the batches that are written and not yet committed, so that clients that retry while replicas
	// are missing do not pile up writes.
	inFlightMax = 256
	// retryInterval is the pause before something is tried again that failed for a reason which may go away: reading the log, or
	// writing a completion.
	retryInterval = time.Second
)

// shard serves the transactional ids of one partition. Requests, the committer, the markers' senders and the loop change it in turns, each in
// its own goroutine: what a request finds or can have committed at once, it is answered without another goroutine's help.
type shard struct {
	tp       protocol.TopicPartition
	settings *Settings
	journal  Journal
	markers  markerQueue
	inFlight chan flight
	loaded   atomic.Bool
	epoch    atomic.Int32 // of the partition's leader, which is the coordinator's
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan struct{} // closed when the shard has ended

	turn    chan struct{} // full while it is somebody's, and for good at the end; what follows is only touched then
	txns    map[string]*Transaction
	ends    map[*Transaction]chan struct{} // closed when the transaction is complete; only of those that somebody waits for
	stuck   []*Transaction                 // whose completion could not be written
	retry   *time.Timer                    // of those
	flying  int                            // batches in inFlight, or with the committer
	overdue bool                           // there are transactions that abortOverdue had no room for
}

// markerQueue brings markers to where they are to be written: Markers.
type markerQueue interface{ enqueue(j *markerJob) }

// flight is a batch on its way from the local log to being committed.
type flight struct {
	then func(now time.Time, o outcome)
	wait func(context.Context) error
	o    outcome
}

// await waits until it is known what became of the batch. Without enough replicas in sync it is committed all the same; with other errors
// it is for the next leader to say.
func (f *flight) await(ctx context.Context) {
	f.o.awaited = true
	if f.wait != nil {
		f.o.err = f.wait(ctx)
	}
	f.o.logged = f.o.err == nil || is(f.o.err, kerr.NotEnoughReplicasAfterAppend)
}

// outcome is what became of a batch. With an error it may be in the log all the same, and not as safe as was asked for.
type outcome struct {
	logged  bool
	awaited bool // by the committer
	err     error
}

func newShard(ctx context.Context, partition int32, settings *Settings, journal Journal, markers markerQueue) *shard {
	retry := time.NewTimer(retryInterval)
	retry.Stop()
	s := &shard{
		tp:       protocol.TopicPartition{Topic: cluster.TransactionsTopic, Partition: partition},
		settings: settings,
		journal:  journal,
		markers:  markers,
		inFlight: make(chan flight, inFlightMax),
		done:     make(chan struct{}),
		turn:     make(chan struct{}, 1),
		txns:     map[string]*Transaction{},
		ends:     map[*Transaction]chan struct{}{},
		retry:    retry,
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// loop loads the partition and looks after it until ctx ends. It begins when the shard that served the partition before, if any,
// has ended, so that nothing is written behind its back.
func (s *shard) loop(before <-chan struct{}) {
	defer close(s.done)
	if before != nil {
		<-before
	}
	if s.load() {
		s.sweep()
	}
	s.turn <- struct{}{}
}

// sweep does what nobody asks for.
func (s *shard) sweep() {
	abort, expire := time.NewTicker(s.settings.AbortInterval), time.NewTicker(s.settings.ExpirationInterval)
	defer abort.Stop()
	defer expire.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.retry.C:
			s.inTurn(s.ctx, s.unstick)
		case <-abort.C:
			s.inTurn(s.ctx, s.abortOverdue)
		case <-expire.C:
			s.inTurn(s.ctx, s.forgetIdle)
		}
	}
}

// inTurn runs f when it is its turn, unless ctx or the shard ends first.
func (s *shard) inTurn(ctx context.Context, f func(now time.Time)) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		f(time.Now())
	case <-ctx.Done():
	case <-s.done:
	}
}

// commit waits for batches to be committed, one after the other, which is the order in which they are.
func (s *shard) commit() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case f := <-s.inFlight:
			f.await(s.ctx)
			if s.ctx.Err() != nil {
				return
			}
			s.inTurn(s.ctx, func(now time.Time) {
				s.flying--
				f.then(now, f.o)
				if s.overdue && s.flying <= inFlightMax/4 {
					s.abortOverdue(now)
				}
			})
		}
	}
}

// load replays the partition's log, over and over until that works: a partition that is served half loaded would give ids away
// that are taken. What the coordinator before has written and not seen committed may still be lost with this broker, and counts only when it cannot.
func (s *shard) load() bool {
	began := time.Now()
	for {
		l := loader{logger: s.settings.Logger, txns: map[string]*Transaction{}}
		err := s.journal.Replay(s.ctx, s.tp, s.settings.LoadBytes, l.add)
		if err == nil {
			err = s.journal.AwaitCommitted(s.ctx, s.tp)
		}
		if s.ctx.Err() != nil {
			return false
		}
		if err == nil {
			level, ids := zerolog.InfoLevel, len(l.txns)
			if ids == 0 {
				level = zerolog.DebugLevel // fifty such partitions would hide what a person looks for
			}
			s.inTurn(s.ctx, func(now time.Time) { s.adopt(l.txns, now) })
			s.settings.Logger.WithLevel(level).Stringer("partition", s.tp).Int("ids", ids).Dur("took", time.Since(began)).
				Msg("loaded transactional ids")
			s.loaded.Store(true)
			return true
		}
		if !is(err, kerr.NotLeaderForPartition) { // else the word that it has resigned is on its way
			s.settings.Logger.Error().Err(err).Stringer("partition", s.tp).Msg("could not load transactional ids")
		}
		select {
		case <-s.ctx.Done():
			return false
		case <-time.After(retryInterval):
		}
	}
}

// adopt takes over what the coordinator before has left: transactions that it decided are brought to their end.
func (s *shard) adopt(txns map[string]*Transaction, now time.Time) {
	s.txns = txns
	var decided []*Transaction
	for _, t := range txns {
		if t.Resume(now) {
			decided = append(decided, t)
		}
	}
	for _, t := range inOrder(decided) {
		s.spread(t, now)
	}
}

// inOrder sorts transactions, so that the same log has the same consequences each time.
func inOrder(all []*Transaction) []*Transaction {
	slices.SortFunc(all, func(a, b *Transaction) int { return cmp.Compare(a.id, b.id) })
	return all
}

// do runs f in its turn, and waits until f, or what it began, has called answer. When the shard ends first, the coordinator has moved.
func (s *shard) do(ctx context.Context, f func(now time.Time, answer func(error))) (answered error, err error) {
	if !s.loaded.Load() {
		return nil, kerr.CoordinatorLoadInProgress
	}
	answers := make(chan error, 1)
	s.inTurn(ctx, func(now time.Time) { f(now, func(err error) { answers <- err }) })
	select {
	case answered = <-answers:
		return answered, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
	}
	select {
	case answered = <-answers: // it was the shard's last
		return answered, nil
	default:
		return nil, kerr.NotCoordinator
	}
}

// write has a transaction's next metadata committed, which then counts. Its consequences come at once when it is committed by then, or
// cannot be written; else with the committer's word.
func (s *shard) write(t *Transaction, next *metadata, now time.Time, then func(error)) {
	r := protocol.Record{Key: appendKey(nil, t.id), Value: next.appendTo(nil)}
	s.append(now, func(now time.Time, o outcome) {
		decided := false
		switch {
		case o.logged:
			if decided = t.Apply(now); !decided {
				s.ended(t)
			}
		case t.state.prepared():
			s.stick(t)
		default:
			t.Revert()
			s.dropVacant(t)
		}
		then(writeError(o.err))
		if decided {
			s.follow(t, now, o)
		}
	}, r)
}

// follow has the markers follow the answer, as Apache does: they are work for the same processors, and more of it. Who waits for the answer
// to a batch that was waited for is another goroutine, which goes first unless there are more batches to tell of.
func (s *shard) follow(t *Transaction, now time.Time, o outcome) {
	if o.awaited && len(s.inFlight) == 0 {
		runtime.Gosched()
	}
	s.spread(t, now)
}

// end is closed when the transaction, which is decided, is complete.
func (s *shard) end(t *Transaction) <-chan struct{} {
	if s.ends[t] == nil {
		s.ends[t] = make(chan struct{})
	}
	return s.ends[t]
}

func (s *shard) ended(t *Transaction) {
	if end := s.ends[t]; end != nil {
		close(end)
		delete(s.ends, t)
	}
}

func (s *shard) append(now time.Time, then func(time.Time, outcome), records ...protocol.Record) {
	if s.flying >= inFlightMax {
		then(now, outcome{err: kerr.CoordinatorNotAvailable})
		return
	}
	for i := range records {
		records[i].Timestamp = now.UnixMilli()
	}
	batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{LeaderEpoch: protocol.NoLeaderEpoch}, records...)
	if err != nil {
		then(now, outcome{err: err})
		return
	}
	_, wait, err := s.journal.Append(s.tp, batch)
	switch {
	case err != nil:
		then(now, outcome{err: err})
	case wait == nil && s.flying == 0:
		then(now, outcome{logged: true})
	default:
		s.flying++
		s.inFlight <- flight{then: then, wait: wait}
	}
}

// spread has a decided transaction's markers written, or its completion if there is nowhere to write any.
func (s *shard) spread(t *Transaction, now time.Time) {
	if len(t.unmarked) == 0 {
		s.complete(t, now)
		return
	}
	s.markers.enqueue(&markerJob{
		ctx: s.ctx, id: t.id,
		marker: cluster.TxnMarker{ProducerID: t.ID, ProducerEpoch: t.Epoch, CoordinatorEpoch: s.epoch.Load(),
			Commit: t.state == PrepareCommit, Partitions: t.unmarked},
		written: func(partitions []protocol.TopicPartition) { s.marked(t, partitions) },
	})
}

// marked is called by whoever has written a transaction's markers.
func (s *shard) marked(t *Transaction, partitions []protocol.TopicPartition) {
	s.inTurn(s.ctx, func(now time.Time) { // if the shard has ended, the next coordinator writes them again
		if t.Marked(partitions) != nil {
			s.complete(t, now)
		}
	})
}

// complete writes a transaction's end.
func (s *shard) complete(t *Transaction, now time.Time) { s.write(t, t.pending, now, func(error) {}) }

// stick has a completion written again later.
func (s *shard) stick(t *Transaction) {
	if s.stuck = append(s.stuck, t); len(s.stuck) == 1 {
		s.retry.Reset(retryInterval)
	}
}

// unstick tries again to write completions.
func (s *shard) unstick(now time.Time) {
	again := s.stuck
	s.stuck = nil
	for _, t := range again {
		s.complete(t, now)
	}
	if n := len(s.stuck); n > 0 {
		s.settings.Logger.Warn().Stringer("partition", s.tp).Int("transactions", n).Msg("could not write that transactions are complete: trying again")
	}
}

func (s *shard) dropVacant(t *Transaction) {
	if t.vacant() && s.txns[t.id] == t {
		delete(s.txns, t.id)
	}
}

// abortOverdue aborts transactions that are open for too long, at a time as many as leave room for what clients ask to be written. The turn of the
// others comes when most of these have landed.
func (s *shard) abortOverdue(now time.Time) {
	var overdue []*Transaction
	for _, t := range s.txns {
		if t.Overdue(now) {
			overdue = append(overdue, t)
		}
	}
	s.overdue = false
	for _, t := range inOrder(overdue) {
		if s.flying >= inFlightMax/2 {
			s.overdue = true
			return
		}
		s.settings.Logger.Info().Str("transactional-id", t.id).Int64("producer", t.ID).Msg("aborting a transaction that timed out")
		s.write(t, t.fence(now), now, func(error) {})
	}
}

// tombstonesMax bounds the bytes of ids that one batch forgets, as Apache Kafka does.
const tombstonesMax = 16 << 10

// forgetIdle writes tombstones for ids that nobody has used for long, and forgets them when these are committed.
func (s *shard) forgetIdle(now time.Time) {
	var batch []*Transaction
	size := 0
	for _, t := range s.txns {
		if !t.Die(now, s.settings.IDExpiration) {
			continue
		}
		if size+len(t.id) > tombstonesMax && len(batch) > 0 {
			s.bury(batch, now)
			batch, size = nil, 0
		}
		batch, size = append(batch, t), size+len(t.id)
	}
	if len(batch) > 0 {
		s.bury(batch, now)
	}
}

func (s *shard) bury(dead []*Transaction, now time.Time) {
	tombstones := make([]protocol.Record, len(dead))
	for i, t := range dead {
		tombstones[i].Key = appendKey(nil, t.id)
	}
	s.append(now, func(_ time.Time, o outcome) {
		if o.err != nil && !o.logged {
			s.settings.Logger.Warn().Err(o.err).Stringer("partition", s.tp).Msg("could not forget transactional ids that expired")
		}
		for _, t := range dead {
			if o.logged {
				delete(s.txns, t.id)
			} else {
				t.Revert()
			}
		}
	}, tombstones...)
}
