package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

const (
	sessionsOfScenario = 5
	sessionInterval    = 150 * time.Millisecond
	partitionsOfOutput = 4
	recordsMax         = 4 // of a transaction
	transactionTimeout = 8 * time.Second
)

// session is a producer with a transactional id, until it is fenced or goes away. It takes the next epoch for each transaction, so that nothing
// that comes late can be taken for a part of the next one (KIP-890).
type session struct {
	w             *world
	id            string
	number        int // of its id's sessions
	state, output *topic

	coordinator place
	leaders     map[int32]*place
	producer    txn.Producer
	open        *transaction // nil: none
	waiting     bool
	over        bool
}

// transaction is what a session does between two epochs.
type transaction struct {
	plan     []int32 // the partition of each record
	done     int     // so many are acknowledged
	added    map[int32]bool
	sequence map[int32]int32
	commit   bool
}

func newSession(w *world, id string, number int, state, output *topic) *session {
	s := &session{w: w, id: id, number: number, state: state, output: output, leaders: map[int32]*place{}, producer: txn.NoProducer}
	for n := range output.partitions {
		s.leaders[n] = &place{}
	}
	return s
}

// tick goes on, or asks again what was not answered. finish: it begins nothing new.
func (s *session) tick(finish bool) {
	if s.waiting || s.over || finish && s.open == nil {
		return
	}
	s.coordinator.learn(s.w, s.state, s.shard())
	switch x := s.open; {
	case x != nil && x.done < len(x.plan) && x.added[x.plan[x.done]]:
		s.produce(x, x.plan[x.done])
	case s.coordinator.leader == 0:
	case x == nil:
		s.initialize()
	case x.done < len(x.plan):
		s.add(x, x.plan[x.done])
	default:
		s.end(x)
	}
}

func (s *session) shard() int32 { return cluster.CoordinatorPartition(s.id, shards) }

// named is a request's text.
func (s *session) named(what string) string {
	return fmt.Sprintf("%s %s.%d %d/%d", what, s.id, s.number, s.producer.ID, s.producer.Epoch)
}

func (s *session) initialize() {
	s.waiting = true
	r := &txn.InitRequest{TransactionalID: s.id, TimeoutMillis: int32(transactionTimeout.Milliseconds()), Expected: s.producer}
	fenced := s.w.check.fenced(s.id, s.producer)
	askCoordinator(s.w, s.coordinator.leader, s.shard(), s.named("InitProducerId"), func(ctx context.Context, c *txn.Coordinator) (txn.Producer, error) {
		return c.InitProducerID(ctx, r)
	}, func(p txn.Producer, err error) {
		if !s.answered(err, fenced) {
			return
		}
		s.w.check.initialized(s.id, p)
		s.producer = p
		s.begin()
	})
}

func (s *session) begin() {
	x := &transaction{added: map[int32]bool{}, sequence: map[int32]int32{}, commit: s.w.chance(0.7)}
	for range 1 + s.w.rnd.IntN(recordsMax) {
		x.plan = append(x.plan, s.w.rnd.Int32N(s.output.partitions))
	}
	s.open = x
}

func (s *session) add(x *transaction, partition int32) {
	s.waiting = true
	p, tps, fenced := s.producer, []protocol.TopicPartition{s.output.partition(partition)}, s.w.check.fenced(s.id, s.producer)
	askCoordinator(s.w, s.coordinator.leader, s.shard(), s.named("AddPartitionsToTxn")+fmt.Sprint(tps), func(ctx context.Context, c *txn.Coordinator) (struct{}, error) {
		return struct{}{}, c.AddPartitions(ctx, s.id, p, tps)
	}, func(_ struct{}, err error) {
		if s.answered(err, fenced) {
			x.added[partition] = true
		}
	})
}

func (s *session) produce(x *transaction, partition int32) {
	at := s.leaders[partition]
	if at.learn(s.w, s.output, partition); at.leader == 0 {
		return
	}
	s.waiting = true
	tp, value, fenced := s.output.partition(partition), fmt.Sprintf("x%s-%d/%d-%d", s.id, s.producer.ID, s.producer.Epoch, x.done), s.w.check.fenced(s.id, s.producer)
	batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: s.producer.ID, Epoch: s.producer.Epoch,
		Sequence: x.sequence[partition]}}, protocol.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(value)})
	s.w.must(err)
	p := cluster.TxnProducer{TransactionalID: s.id, ID: s.producer.ID, Epoch: s.producer.Epoch}
	q := request{from: clients, to: at.leader, text: fmt.Sprintf("client>%d Produce %v %s", at.leader, tp, value), again: true, timeout: clientTimeout}
	s.w.send(q, func(r produced) {
		if !s.answered(r.err, fenced) {
			return
		}
		s.w.check.acknowledged(key{s.output.id, partition}, r.first, []string{value}, r.by)
		x.done++
		x.sequence[partition]++
	}, func(l *life) produced { return l.appendVerified(tp, slices.Clone(batch), p) })
}

func (s *session) end(x *transaction) {
	s.waiting = true
	p := s.producer
	// A former coordinator, which has not heard of the next one, may say how a transaction ended.
	fenced := s.w.check.fenced(s.id, p) && s.coordinator.epoch >= s.w.check.coordinatorEpoch(s.shard())
	askCoordinator(s.w, s.coordinator.leader, s.shard(), s.named("EndTxn")+fmt.Sprint(" commit=", x.commit), func(ctx context.Context, c *txn.Coordinator) (*life, error) {
		return nil, c.End(ctx, s.id, p, x.commit)
	}, func(_ *life, err error) {
		if !s.answered(err, fenced) {
			return
		}
		s.w.check.told(p, x.commit)
		s.open = nil
		s.w.ended++
	})
}

// answered reports whether a request was done. A session is over when it is told that it is fenced, or that it is not what it takes itself for.
func (s *session) answered(err error, fenced bool) bool {
	s.waiting = false
	switch {
	case err == nil && fenced:
		s.w.breaks("%s %d/%d is served, after a later one was given its id", s.id, s.producer.ID, s.producer.Epoch)
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.InvalidProducerIDMapping), errors.Is(err, kerr.InvalidTxnState):
		s.over = true
	case errors.Is(err, kerr.OutOfOrderSequenceNumber):
		s.over = true
		s.w.breaks("the next batch of %s is refused: %v", s.id, err)
	}
	return err == nil
}

// coordinate has the scenario play transactions of coordinators instead of topics that come and go.
func (s *scenario) coordinate() {
	s.coordinated = true
	s.config.UncleanElection = false
	s.populate = s.newSessions
	s.chores = s.moveCoordinators
}

func (s *scenario) newSessions() {
	state := s.createTopic(cluster.TransactionsTopic, s.config, s.someBrokers(3), s.someBrokers(3))
	var assignments [][]cluster.BrokerID
	for range partitionsOfOutput {
		assignments = append(assignments, s.someBrokers(3))
	}
	output := s.createTopic("out", s.config, assignments...)
	s.topics = append(s.topics, state, output)
	for n := range output.partitions {
		s.consumers = append(s.consumers, &consumer{w: s.world, topic: output, partition: n, decided: true})
	}
	for n := range sessionsOfScenario {
		s.sessions = append(s.sessions, newSession(s.world, fmt.Sprintf("t%d", n), 0, state, output))
	}
	s.every(sessionInterval, s.transact)
}

// moveCoordinators does what operators do with transactions under way.
func (s *scenario) moveCoordinators() {
	if t := pick(s.world, s.topics); s.chance(0.5) {
		s.electPreferred(t)
	} else {
		s.reassign(t)
	}
}

// transact has the sessions act. Some go away in the middle of a transaction, and some are fenced by another of the same id, and do not know it.
func (s *scenario) transact() {
	for i, x := range s.sessions {
		switch {
		case x.over && s.chance(0.1):
			s.sessions[i] = newSession(s.world, x.id, x.number+1, x.state, x.output)
		case s.chance(0.004):
			s.tracef("%s.%d goes away", x.id, x.number)
			x.over = true
		case x.open != nil && s.chance(0.008):
			s.zombies = append(s.zombies, x)
			s.sessions[i] = newSession(s.world, x.id, x.number+1, x.state, x.output)
		case s.chance(0.8):
			x.tick(false)
		}
	}
	for _, x := range s.zombies {
		if s.chance(0.3) {
			x.tick(false)
		}
	}
}

// txnState is what a record of __transaction_state says, as far as it matters here.
type txnState struct {
	txn.Producer
	state txn.State
	began int16 // the epoch of the transaction that is open or ended last
}

func parseTxnState(value string) (s txnState, err error) {
	b := []byte(value)
	if len(b) < 17 {
		return s, errNoState
	}
	s.ID, s.Epoch = int64(binary.BigEndian.Uint64(b[2:])), int16(binary.BigEndian.Uint16(b[10:]))
	s.state = txn.State(b[16])
	return s, nil
}

// txnChecker knows what coordinators have decided.
type txnChecker struct {
	states  map[int64]txnState      // as committed, by producer id
	decided map[txn.Producer]bool   // commit?
	given   map[string]txn.Producer // newest that a client was given
}

func newTxnChecker() txnChecker {
	return txnChecker{states: map[int64]txnState{}, decided: map[txn.Producer]bool{}, given: map[string]txn.Producer{}}
}

// initialized takes note of an answer to InitProducerId. One that comes late, to a session that another has fenced since, says nothing new.
func (c *checker) initialized(id string, p txn.Producer) {
	if before, ok := c.txns.given[id]; !ok || before.ID != p.ID || p.Epoch > before.Epoch {
		c.txns.given[id] = p
	}
}

// fenced reports whether a client was told of a later producer.
func (c *checker) fenced(id string, p txn.Producer) bool {
	given, ok := c.txns.given[id]
	return ok && p != txn.NoProducer && p != given
}

// coordinatorEpoch is the newest leader epoch of a partition of __transaction_state.
func (c *checker) coordinatorEpoch(shard int32) cluster.LeaderEpoch {
	for k, h := range c.histories {
		if h.tp.Topic == cluster.TransactionsTopic && k.partition == shard {
			return h.state.LeaderEpoch
		}
	}
	return cluster.NoEpoch
}

// told checks the answer to EndTxn: it is decided so, and that is committed.
func (c *checker) told(p txn.Producer, commit bool) {
	c.all() // what a leader alone in sync has appended between two steps
	if found, ok := c.txns.decided[p]; !ok || found != commit {
		c.w.breaks("the end of the transaction of %d/%d (commit=%v) is acknowledged, and in the log is: there=%v, commit=%v", p.ID, p.Epoch, commit, ok, found)
	}
}

// transactional looks at a record that is committed.
func (c *checker) transactional(h *history, e entry) {
	open, ok := h.open[e.pid]
	switch {
	case h.tp.Topic == cluster.TransactionsTopic:
		if s, err := parseTxnState(e.value); err == nil {
			c.coordinated(h, s)
		}
	case e.control && ok:
		p := txn.Producer{ID: e.pid, Epoch: open}
		if commit, decided := c.txns.decided[p]; !decided || commit != (e.value == committedMarker) {
			c.w.breaks("%v: the transaction of %d/%d ends with %s at %d, and was decided=%v with commit=%v", h.tp, p.ID, p.Epoch, e.value, e.offset, decided, commit)
		}
		delete(h.open, e.pid)
	case e.transactional && !e.control:
		h.open[e.pid] = e.producerEpoch
	}
}

// follows has what a transaction's state may come from.
var follows = map[txn.State][]txn.State{
	txn.Empty: {txn.Empty, txn.CompleteCommit, txn.CompleteAbort}, txn.Ongoing: {txn.Empty, txn.Ongoing, txn.CompleteCommit, txn.CompleteAbort},
	txn.PrepareCommit: {txn.Ongoing}, txn.PrepareAbort: {txn.Ongoing}, txn.CompleteCommit: {txn.PrepareCommit}, txn.CompleteAbort: {txn.PrepareAbort},
}

// coordinated checks what a coordinator's log says of a producer next: epochs only grow, each state comes from one that it may come from, and
// what is complete is complete everywhere.
func (c *checker) coordinated(h *history, s txnState) {
	before, ok := c.txns.states[s.ID]
	if ok && (s.Epoch < before.Epoch || !slices.Contains(follows[s.state], before.state)) {
		c.w.breaks("%v: producer %d goes from %v in epoch %d to %v in epoch %d", h.tp, s.ID, before.state, before.Epoch, s.state, s.Epoch)
	}
	s.began = before.began
	switch s.state {
	case txn.Ongoing:
		s.began = s.Epoch
	case txn.PrepareCommit, txn.PrepareAbort:
		c.txns.decided[txn.Producer{ID: s.ID, Epoch: s.began}] = s.state == txn.PrepareCommit
	case txn.CompleteCommit, txn.CompleteAbort:
		c.complete(s)
	}
	c.txns.states[s.ID] = s
}

func (c *checker) complete(s txnState) {
	for _, k := range c.keys {
		if epoch, open := c.histories[k].open[s.ID]; open {
			c.w.breaks("%v: the transaction of %d/%d is open, and %v for its coordinator", c.histories[k].tp, s.ID, epoch, s.state)
		}
	}
}

// unrestOfTransactions says what transaction is not at its end.
func (s *scenario) unrestOfTransactions() string {
	for _, x := range slices.Concat(s.sessions, s.zombies) {
		if x.open != nil && !x.over {
			return fmt.Sprintf("%s.%d is not done", x.id, x.number)
		}
	}
	for id, state := range s.check.txns.states {
		if state.state == txn.Ongoing || state.state == txn.PrepareCommit || state.state == txn.PrepareAbort {
			return fmt.Sprintf("the transaction of %d/%d is %v", id, state.Epoch, state.state)
		}
	}
	return ""
}
