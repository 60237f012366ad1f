package sim

import (
	"context"
	"fmt"
	"slices"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// entry is one record of a log.
type entry struct {
	offset        int64
	epoch         int32
	value         string // of a control record what it says
	pid           int64
	producerEpoch int16
	transactional bool
	control       bool
}

// key names a partition of one topic; a topic that is made anew under the same name is another.
type key struct {
	id        protocol.TopicID
	partition int32
}

// history is what the checker knows of a partition.
type history struct {
	tp        protocol.TopicPartition
	committed []entry          // what high watermarks of leaders have passed: it is never to change
	at        map[string]int64 // where an idempotent producer's record is
	owed      map[int64]string // acknowledged by a leader that died before it was seen to commit
	leaders   map[cluster.LeaderEpoch]cluster.BrokerID
	state     cluster.LeaderAndISR // as written
	written   bool
	tainted   bool // a leader was elected uncleanly: what was committed may be lost
	deleting  bool
	foretold  map[int64]bool  // by producer id: the end of a transaction of which consumers were told before its marker was committed
	open      map[int64]int16 // by producer id: the epoch of the transaction whose records are committed, and not its end
}

// mirror is what the checker has read of a replica's log.
type mirror struct {
	log      *log.Log
	entries  []entry
	verified int // of them are known to be what was committed
}

// checker looks at everything after each step. It reads only what is new.
type checker struct {
	w           *world
	histories   map[key]*history
	keys        []key // in the order of creation
	mirrors     map[cluster.BrokerID]map[key]*mirror
	controllers map[cluster.ControllerEpoch]cluster.BrokerID
	buffer      []byte
	txns        txnChecker
}

func newChecker(w *world) checker {
	c := checker{w: w, histories: map[key]*history{}, mirrors: map[cluster.BrokerID]map[key]*mirror{}, txns: newTxnChecker()}
	return c
}

// watch begins with a partition.
func (c *checker) watch(id protocol.TopicID, tp protocol.TopicPartition) {
	k := key{id, tp.Partition}
	c.histories[k] = &history{tp: tp, at: map[string]int64{}, owed: map[int64]string{}, leaders: map[cluster.LeaderEpoch]cluster.BrokerID{}, open: map[int64]int16{}, foretold: map[int64]bool{}}
	c.keys = append(c.keys, k)
}

// all checks everything that may have changed.
func (c *checker) all() {
	if c.w.broken != nil {
		return
	}
	if c.w.stored {
		c.w.stored = false
		c.readStates()
	}
	for _, k := range c.keys {
		if h := c.histories[k]; !h.deleting {
			c.partition(k, h)
		}
	}
}

// readStates looks at what is written of partitions.
func (c *checker) readStates() {
	for _, k := range c.keys {
		h := c.histories[k]
		if h.deleting {
			continue
		}
		r, err := c.w.admin.PartitionStates(context.Background(), []protocol.TopicPartition{h.tp})
		c.w.must(err)
		if r[0].Err == nil {
			c.stateWritten(h, r[0].State)
		}
	}
}

func (c *checker) stateWritten(h *history, s cluster.LeaderAndISR) {
	before := h.state
	h.state = s
	if !h.written {
		h.written = true
		return
	}
	if before.PartitionEpoch == s.PartitionEpoch {
		return
	}
	c.w.tracef("%v is L%d e%d v%d isr%v", h.tp, s.Leader, s.LeaderEpoch, s.PartitionEpoch, s.ISR)
	switch {
	case s.LeaderEpoch < before.LeaderEpoch || s.PartitionEpoch < before.PartitionEpoch || s.ControllerEpoch < before.ControllerEpoch:
		c.w.breaks("%v: epochs went back from %+v to %+v", h.tp, before, s)
	case s.Leader != cluster.NoLeader && !slices.Contains(s.ISR, s.Leader):
		c.w.breaks("%v: leader %d is not in the ISR %v", h.tp, s.Leader, s.ISR)
	case s.Leader != before.Leader && s.LeaderEpoch == before.LeaderEpoch:
		c.w.breaks("%v: leaders %d and %d share epoch %d", h.tp, before.Leader, s.Leader, s.LeaderEpoch)
	case len(s.ISR) == 0:
		c.w.breaks("%v: nobody is in sync", h.tp)
	case s.Leader != cluster.NoLeader && !slices.Contains(before.ISR, s.Leader):
		if config := c.w.topicConfig(h.tp.Topic); config == nil || !config.UncleanElection {
			c.w.breaks("%v: leader %d was elected from outside of the ISR %v", h.tp, s.Leader, before.ISR)
		}
		h.tainted = true
	}
}

// partition checks all replicas of a partition.
func (c *checker) partition(k key, h *history) {
	for _, id := range c.w.ids {
		c.refresh(id, k, h)
	}
	for _, id := range c.w.ids {
		c.leader(id, k, h)
	}
	if h.tainted {
		return
	}
	for _, id := range c.w.ids {
		c.replica(id, k, h)
	}
}

// refresh reads what is new in a replica's log.
func (c *checker) refresh(id cluster.BrokerID, k key, h *history) {
	if c.mirrors[id] == nil {
		c.mirrors[id] = map[key]*mirror{}
	}
	var l *log.Log
	if life := c.w.brokers[id].life; life != nil {
		if found, ok := life.logs.Log(h.tp); ok && found.TopicID() == k.id {
			l = found
		}
	}
	m := c.mirrors[id][k]
	if l == nil {
		delete(c.mirrors[id], k)
		return
	}
	if m == nil || m.log != l {
		m = &mirror{log: l}
		c.mirrors[id][k] = m
	}
	end := int(l.LogEndOffset().Offset)
	if end < len(m.entries) {
		m.entries = m.entries[:end]
		m.verified = min(m.verified, end)
	}
	if end > len(m.entries) {
		if err := m.read(&c.buffer); err != nil {
			c.w.breaks("broker %d, %v: %v", id, h.tp, err)
		}
	}
}

// read reads on to the end, and checks that offsets have no gaps.
func (m *mirror) read(buffer *[]byte) error {
	for end := m.log.LogEndOffset().Offset; int64(len(m.entries)) < end; {
		b, err := readLog(m.log, int64(len(m.entries)), log.ToLogEnd, buffer)
		if err != nil {
			return err
		}
		entries, err := entriesFrom(int64(len(m.entries)), b)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("log is to end at %d, but nothing is at %d", end, len(m.entries))
		}
		m.entries = append(m.entries, entries...)
	}
	return nil
}

// readLog reads some batches from an offset on.
func readLog(l *log.Log, offset int64, bound log.Bound, buffer *[]byte) ([]byte, error) {
	s, err := l.Read(offset, 1<<20, bound, true)
	if err != nil {
		return nil, err
	}
	defer s.Release()
	*buffer = slices.Grow((*buffer)[:0], s.Len())[:s.Len()]
	if s.Len() == 0 {
		return nil, nil
	}
	_, err = s.ReadAt(*buffer, 0)
	return *buffer, err
}

// leader checks a broker that leads the partition, and takes over what it has committed.
func (c *checker) leader(id cluster.BrokerID, k key, h *history) {
	m, life := c.mirrors[id][k], c.w.brokers[id].life
	if m == nil || life == nil {
		return
	}
	p, err := life.replicas.Partition(h.tp)
	if err != nil {
		return
	}
	v := p.View()
	if !v.Leads() || v.TopicID != k.id {
		return
	}
	if other, ok := h.leaders[v.LeaderEpoch]; ok && other != id {
		c.w.breaks("%v: brokers %d and %d lead in epoch %d", h.tp, other, id, v.LeaderEpoch)
	}
	h.leaders[v.LeaderEpoch] = id
	if !slices.Contains(v.ISR, id) {
		c.w.breaks("%v: leader %d is not in its ISR %v", h.tp, id, v.ISR)
	}
	if high := int(m.log.HighWatermark().Offset); !h.tainted && high > len(h.committed) {
		c.commit(h, m.entries[len(h.committed):high])
	}
}

func (c *checker) commit(h *history, entries []entry) {
	for _, e := range entries {
		if before, ok := h.at[e.value]; ok && once(e.value) {
			c.w.breaks("%v: %q of an idempotent producer is at %d and at %d", h.tp, e.value, before, e.offset)
		}
		h.at[e.value] = e.offset
		if owed, ok := h.owed[e.offset]; ok && owed != e.value {
			c.w.breaks("%v: %q is committed at %d, where %q was acknowledged", h.tp, e.value, e.offset, owed)
		}
		delete(h.owed, e.offset)
		if e.control {
			if commit, ok := h.foretold[e.pid]; ok && commit != (e.value == committedMarker) {
				c.w.breaks("%v: the transaction of %d ends with %s at %d, and consumers were told commit=%v", h.tp, e.pid, e.value, e.offset, commit)
			}
			delete(h.foretold, e.pid)
		}
		if c.w.coordinated {
			c.transactional(h, e)
		}
	}
	h.committed = append(h.committed, entries...)
}

// replica checks that a replica has nothing else below its high watermark than what is committed, and, if it is in the ISR, all of that.
func (c *checker) replica(id cluster.BrokerID, k key, h *history) {
	m := c.mirrors[id][k]
	life := c.w.brokers[id].life
	inSync := h.written && slices.Contains(h.state.ISR, id) && life != nil && !life.diskFails.Load()
	if m == nil {
		if inSync && len(h.committed) > 0 {
			c.w.breaks("%v: broker %d is in the ISR %v and has no log", h.tp, id, h.state.ISR)
		}
		return
	}
	for ; m.verified < min(len(m.entries), len(h.committed)) && m.entries[m.verified] == h.committed[m.verified]; m.verified++ {
	}
	high := int(m.log.HighWatermark().Offset)
	if high > m.verified {
		c.w.breaks("%v: broker %d has a high watermark of %d, but %s", h.tp, id, high, c.difference(m, h))
	}
	if inSync && m.verified < len(h.committed) {
		c.w.breaks("%v: broker %d is in the ISR %v, but %s", h.tp, id, h.state.ISR, c.difference(m, h))
	}
}

func (c *checker) difference(m *mirror, h *history) string {
	at := m.verified
	return fmt.Sprintf("what was committed is %s, and it has %s (of %d)", entryAt(h.committed, at), entryAt(m.entries, at), len(m.entries))
}

func entryAt(entries []entry, at int) string {
	if at >= len(entries) {
		return fmt.Sprintf("nothing at %d", at)
	}
	e := entries[at]
	return fmt.Sprintf("%q of epoch %d at %d", e.value, e.epoch, e.offset)
}

// acknowledged checks an answer of a leader to a produce request with acks=all.
func (c *checker) acknowledged(k key, first int64, values []string, by *life) {
	h := c.histories[k]
	if h == nil || h.tainted || h.deleting {
		return
	}
	alive := c.w.brokers[by.id].life == by
	for i, v := range values {
		at := int(first) + i
		switch {
		case at >= len(h.committed) && !alive:
			h.owed[int64(at)] = v
		case at >= len(h.committed) || h.committed[at].value != v:
			c.w.breaks("%v: %q is acknowledged at %d, where %s is committed", h.tp, v, at, entryAt(h.committed, at))
		}
	}
}

// consumed checks what a consumer read.
func (c *checker) consumed(k key, entries []entry) {
	h := c.histories[k]
	if h == nil || h.tainted || h.deleting {
		return
	}
	for _, e := range entries {
		if int(e.offset) >= len(h.committed) || h.committed[e.offset] != e {
			c.w.breaks("%v: a consumer reads %q of epoch %d at %d, where %s is committed", h.tp, e.value, e.epoch, e.offset, entryAt(h.committed, int(e.offset)))
		}
	}
}
