package group

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Journal is the log of __consumer_offsets on this broker: the replica manager, for a coordinator.
type Journal interface {
	// Append writes a batch, as a coordinator and with the acks of offsets.commit.required.acks, to a partition that this
	// broker leads. It returns once the batch is in the local log. A nil wait means that it is committed already; else
	// wait blocks until it is, or until it never will be here. The batch's bytes are the journal's from then on.
	//
	// Errors are those of a produce request: NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE and so on.
	Append(tp protocol.TopicPartition, batch []byte) (base int64, wait func(context.Context) error, err error)

	// Verify asks whether a producer's transaction includes the partition (KIP-890), and AppendVerified is Append for a batch of
	// that transaction, with the answer. Errors of Verify are the transaction coordinator's, and those of a partition that this
	// broker does not lead.
	Verify(ctx context.Context, tp protocol.TopicPartition, p cluster.TxnProducer) (cluster.TxnGuard, error)
	AppendVerified(tp protocol.TopicPartition, batch []byte, guard cluster.TxnGuard) (base int64, wait func(context.Context) error, err error)

	// Replay visits the partition's log from its start to its end (not its high watermark), whole batches at a time, about
	// bytesMax at once. The bytes are valid during the visit. An error of visit ends it and comes back.
	Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func(batches []byte) error) error
}

const (
	// requestsMax bounds the requests that queue for a busy shard; more of them wait in their connections.
	requestsMax = 128
	// inFlightMax bounds the batches that are written and not yet committed, so that clients that retry while replicas
	// are missing do not pile up writes.
	inFlightMax = 1024
	// loadRetryInterval is the pause before a log that could not be read is tried again.
	loadRetryInterval = time.Second
)

// shard serves the groups of one partition. Its loop owns everything but the channels, loaded and notices.
type shard struct {
	tp       protocol.TopicPartition
	settings *Settings
	journal  Journal
	requests chan func(now time.Time)
	inFlight chan flight
	landed   chan flight
	notices  notices
	loaded   atomic.Bool
	cancel   context.CancelFunc
	done     chan struct{} // closed when the loop has ended

	groups    map[string]*Group
	txnGroups map[int64]map[string]bool // groups that a producer's open transaction commits to
	owing     map[*Group]bool           // groups with tombstones that could not be written
	alarms    alarms
	waiters   map[Ticket]chan<- Answer
	tickets   Ticket
	flying    int   // batches in inFlight, with the committer, or in landed
	last      int64 // place in the log behind which there is no batch of a group
}

// flight is a batch on its way from the local log to being committed.
type flight struct {
	group *Group // nil: of the end of a transaction
	then  func(now time.Time, base int64, err error) Effects
	base  int64
	wait  func(context.Context) error
	err   error
}

func newShard(partition int32, settings *Settings, journal Journal) *shard {
	return &shard{
		tp:        protocol.TopicPartition{Topic: cluster.OffsetsTopic, Partition: partition},
		settings:  settings,
		journal:   journal,
		requests:  make(chan func(time.Time), requestsMax),
		inFlight:  make(chan flight, inFlightMax),
		landed:    make(chan flight),
		notices:   newNotices(),
		done:      make(chan struct{}),
		groups:    map[string]*Group{},
		txnGroups: map[int64]map[string]bool{},
		owing:     map[*Group]bool{},
		alarms:    newAlarms(),
		waiters:   map[Ticket]chan<- Answer{},
	}
}

// loop loads the partition and serves it until ctx ends. It begins when the shard that served the partition before, if any,
// has ended, so that nothing is written behind its back.
func (s *shard) loop(ctx context.Context, before <-chan struct{}) {
	defer close(s.done)
	if before != nil {
		<-before
	}
	if !s.load(ctx) {
		return
	}
	retention := time.NewTicker(s.settings.RetentionCheckInterval)
	defer retention.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var armed time.Time
	for {
		if next := s.alarms.next(); !next.Equal(armed) {
			armed = next
			arm(timer, next)
		}
		select {
		case <-ctx.Done():
			return
		case f := <-s.requests:
			now := time.Now()
			s.dropDeleted(now) // who asks may know of it already
			f(now)
		case <-s.notices.arrived:
			s.dropDeleted(time.Now())
		case f := <-s.landed:
			s.land(f, time.Now())
		case <-timer.C:
			armed = time.Time{}
			s.tick(time.Now())
		case <-retention.C:
			s.expireOffsets(time.Now())
		}
	}
}

// land takes the committer's word for a batch. There is room for another then, and replicas may be back, so owed tombstones are tried again.
func (s *shard) land(f flight, now time.Time) {
	s.flying--
	if e := f.then(now, f.base, f.err); f.group != nil {
		s.settle(f.group, e, now)
	}
	s.payTombstones(now)
}

func arm(timer *time.Timer, at time.Time) {
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

// commit waits for batches to be committed, one after the other, which is the order in which they are.
func (s *shard) commit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-s.inFlight:
			if f.wait != nil {
				f.err = f.wait(ctx)
			}
			if is(f.err, kerr.NotLeaderForPartition) {
				f.base = -1 // whether it stays is for the next leader to say
			}
			select {
			case s.landed <- f:
			case <-ctx.Done():
				return
			}
		}
	}
}

// load replays the partition's log, over and over until that works: a partition that is served half loaded would make
// consumers start over.
func (s *shard) load(ctx context.Context) bool {
	began := time.Now()
	for {
		s.notices.forgetEnds()
		l := newLoader(s.settings)
		err := s.journal.Replay(ctx, s.tp, s.settings.LoadBytes, l.add)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			s.adopt(l, time.Now())
			s.catchUp(time.Now())
			level := zerolog.InfoLevel
			if len(s.groups) == 0 {
				level = zerolog.DebugLevel // fifty such partitions would hide what a person looks for
			}
			s.settings.Logger.WithLevel(level).Stringer("partition", s.tp).Int("groups", len(s.groups)).Dur("took", time.Since(began)).
				Msg("loaded groups")
			s.loaded.Store(true)
			return true
		}
		s.settings.Logger.Error().Err(err).Stringer("partition", s.tp).Msg("could not load groups")
		select {
		case <-ctx.Done():
			return false
		case <-time.After(loadRetryInterval):
		}
	}
}

func (s *shard) adopt(l *loader, now time.Time) {
	s.groups, s.last = l.groups(now), l.last
	for _, g := range s.groups {
		for producerID := range g.offsets.txn {
			s.enteredTxn(producerID, g.id)
		}
		s.settle(g, g.Loaded(now), now)
	}
}

// catchUp ends the transactions whose markers were told of while the partition was loaded: the replay may have passed their places
// before. For those that it has read too nothing is left to end. All batches before a marker are in the replay.
func (s *shard) catchUp(now time.Time) {
	for _, end := range s.notices.takeEnds() {
		s.endTxn(now, end)
	}
}

// post hands f to the loop.
func (s *shard) post(ctx context.Context, f func(now time.Time)) error {
	if !s.loaded.Load() {
		return kerr.CoordinatorLoadInProgress
	}
	select {
	case s.requests <- f:
		return nil
	case <-s.done:
		return kerr.NotCoordinator
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do runs f in the loop and waits for its end. What f writes must not be read after an error.
func (s *shard) do(ctx context.Context, f func(now time.Time)) error {
	_, err := s.await(ctx, func(now time.Time, t Ticket) {
		f(now)
		s.answer(Answer{Ticket: t})
	})
	return err
}

// await runs f in the loop and waits for the answer to its ticket. When the shard ends first, the coordinator has moved.
func (s *shard) await(ctx context.Context, f func(now time.Time, t Ticket)) (Answer, error) {
	answer := make(chan Answer, 1)
	err := s.post(ctx, func(now time.Time) {
		s.tickets++
		s.waiters[s.tickets] = answer
		f(now, s.tickets)
	})
	if err != nil {
		return Answer{}, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-s.done:
	}
	select {
	case a := <-answer: // it was the loop's last
		return a, nil
	default:
		return Answer{}, kerr.NotCoordinator
	}
}

func (s *shard) answer(a Answer) {
	if w := s.waiters[a.Ticket]; w != nil {
		delete(s.waiters, a.Ticket)
		w <- a
	}
}

// settle carries out what an event of a group asks for, and what follows from that.
func (s *shard) settle(g *Group, e Effects, now time.Time) {
	for {
		for _, a := range e.Answers {
			s.answer(a)
		}
		var next Effects
		for _, w := range e.Writes {
			more, _ := s.append(g, w, now)
			next.Answers = append(next.Answers, more.Answers...)
			next.Writes = append(next.Writes, more.Writes...)
		}
		if e = next; len(e.Answers)+len(e.Writes) == 0 {
			break
		}
	}
	switch {
	case s.groups[g.id] != g:
	case g.vacant():
		s.drop(g)
	default:
		s.alarms.set(g, g.Deadline())
	}
}

// drop takes a group out of the shard.
func (s *shard) drop(g *Group) {
	delete(s.groups, g.id)
	delete(s.owing, g)
	s.alarms.set(g, time.Time{})
}

// append writes a batch. Its consequences come at once when it is committed by then, or cannot be written; else with the
// committer's word. It reports whether the log has the batch.
func (s *shard) append(g *Group, w Write, now time.Time) (Effects, bool) {
	if s.flying >= inFlightMax {
		return w.Then(now, -1, kerr.CoordinatorNotAvailable), false
	}
	batch, err := s.encode(w, now)
	if err != nil {
		return w.Then(now, -1, err), false
	}
	base, wait, err := s.journalize(batch, w.txn)
	if err != nil {
		return w.Then(now, -1, err), false
	}
	s.last = base
	if wait == nil && s.flying == 0 {
		return w.Then(now, base, nil), true
	}
	s.flying++
	s.inFlight <- flight{group: g, then: w.Then, base: base, wait: wait}
	return Effects{}, true
}

func (s *shard) journalize(batch []byte, t *txnWrite) (base int64, wait func(context.Context) error, err error) {
	if t != nil {
		return s.journal.AppendVerified(s.tp, batch, t.guard)
	}
	return s.journal.Append(s.tp, batch)
}

// encode makes the batch, with Apache's quirk that one of offsets has a sequence although no producer stands behind it.
func (s *shard) encode(w Write, now time.Time) ([]byte, error) {
	o := protocol.BatchOptions{LeaderEpoch: protocol.NoLeaderEpoch, Compression: s.settings.Compression}
	switch {
	case w.txn != nil:
		o.Producer, o.Transactional = &protocol.Producer{ID: w.txn.producer.ID, Epoch: w.txn.producer.Epoch, Sequence: 0}, true
	case w.Offsets:
		o.Producer = &protocol.Producer{ID: protocol.NoProducerID, Epoch: protocol.NoProducerEpoch, Sequence: 0}
	}
	for i := range w.Records {
		w.Records[i].Timestamp = now.UnixMilli()
	}
	return protocol.AppendBatch(nil, o, w.Records...)
}

func (s *shard) tick(now time.Time) {
	for g := s.alarms.due(now); g != nil; g = s.alarms.due(now) {
		s.settle(g, g.Tick(now), now)
	}
}
