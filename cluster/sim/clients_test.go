package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/protocol"
)

const (
	produceTimeout = 3 * time.Second // of the broker
	clientTimeout  = 5 * time.Second
)

// produced is the answer to a produce request.
type produced struct {
	first int64
	err   error
	by    *life // nil: nobody answered
}

// topic is what the clients know of a topic.
type topic struct {
	name       string
	id         protocol.TopicID
	partitions int32
	deleted    bool
}

func (t *topic) partition(n int32) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: t.name, Partition: n}
}

// createTopic writes a topic, as CreateTopics does, and begins to watch it.
func (w *world) createTopic(name string, config *log.Config, assignments ...[]cluster.BrokerID) *topic {
	t := &topic{name: name, partitions: int32(len(assignments))}
	for i := range t.id {
		t.id[i] = byte(w.rnd.Uint32())
	}
	w.mu.Lock()
	w.configs[name] = config
	w.mu.Unlock()
	made := metastore.NewTopic{Topic: metastore.Topic{Name: name, ID: t.id, Partitions: map[int32]cluster.Assignment{}}, Config: map[string]string{}}
	for n, replicas := range assignments {
		made.Topic.Partitions[int32(n)] = cluster.Assignment{Replicas: replicas}
		w.check.watch(t.id, t.partition(int32(n)))
	}
	if config.UncleanElection {
		made.Config["unclean.leader.election.enable"] = "true"
	}
	errs, err := w.admin.CreateTopics(context.Background(), []metastore.NewTopic{made})
	w.must(errors.Join(append(errs, err)...))
	w.stored = true
	w.tracef("topic %s %v", name, assignments)
	return t
}

// deleteTopic asks for a topic's deletion.
func (w *world) deleteTopic(t *topic) {
	w.tracef("delete topic %s", t.name)
	t.deleted = true
	for n := range t.partitions {
		w.check.histories[key{t.id, n}].deleting = true
	}
	w.must(w.admin.MarkTopicForDeletion(context.Background(), t.name))
	w.stored = true
}

// place is where a client believes a partition's leader to be.
type place struct {
	leader cluster.BrokerID // 0: nowhere
	epoch  cluster.LeaderEpoch
}

// learn asks some broker for the leader. What is older than what the client knows does not count (KIP-320), nor what is of an earlier topic.
func (at *place) learn(w *world, t *topic, partition int32) {
	l := w.serving(pick(w, w.ids))
	if l == nil {
		return
	}
	if s := l.replicas.Metadata().Partition(t.partition(partition)); s != nil && s.TopicID == t.id && s.Leader > 0 && s.LeaderEpoch >= at.epoch {
		*at = place{s.Leader, s.LeaderEpoch}
	}
}

// pick chooses one of some.
func pick[T any](w *world, of []T) T { return of[w.rnd.IntN(len(of))] }

// produce sends a batch to a broker, and tells the world's goroutine what became of it.
func (w *world) produce(to cluster.BrokerID, tp protocol.TopicPartition, batch []byte, acks int16, text string, done func(produced)) {
	q := request{from: clients, to: to, text: fmt.Sprintf("client>%d Produce %v acks=%d %s", to, tp, acks, text), again: true, timeout: clientTimeout}
	w.send(q, done, func(l *life) produced { return l.append(tp, slices.Clone(batch), acks, log.AppendOptions{}) })
}

// produceWith is produce with acks=all and more to say.
func (w *world) produceWith(to cluster.BrokerID, tp protocol.TopicPartition, batch []byte, o log.AppendOptions, text string, done func(produced)) {
	q := request{from: clients, to: to, text: fmt.Sprintf("client>%d Produce %v in transaction %s", to, tp, text), again: true, timeout: clientTimeout}
	w.send(q, done, func(l *life) produced { return l.append(tp, slices.Clone(batch), replica.AcksAll, o) })
}

func (w *world) send(q request, done func(produced), serve func(*life) produced) {
	w.clients.Go(func() {
		r, err := call(context.Background(), w, q, func(l *life) (produced, error) { return serve(l), nil })
		if err != nil {
			r = produced{-1, err, nil}
		}
		w.report(q.text, func() {
			if r.err == nil {
				w.tracef("%s is answered: at %d", q.text, r.first)
			} else {
				w.tracef("%s is answered: %s", q.text, code(r.err))
			}
			done(r)
		})
	})
}

// append serves a produce request.
func (l *life) append(tp protocol.TopicPartition, batch []byte, acks int16, o log.AppendOptions) produced {
	if l.w.seams.append != nil {
		if batch = l.w.seams.append(l, batch); batch == nil {
			return produced{-1, nil, l}
		}
	}
	a, err := l.replicas.Append(tp, batch, acks, o)
	r := produced{a.FirstOffset, wire(err), l}
	if err != nil || acks != replica.AcksAll || a.Committed {
		return r
	}
	await := func() produced {
		acks := []replica.Ack{a.Ack(tp)}
		l.replicas.AwaitAcks(l.ctx, time.Now().Add(produceTimeout), acks)
		return produced{a.FirstOffset, wire(acks[0].Err), l}
	}
	if l.w.seams.acked != nil {
		return l.w.seams.acked(r, await)
	}
	return await()
}

// producer writes to one partition, one batch at a time.
type producer struct {
	w          *world
	number     int
	topic      *topic
	partition  int32
	acks       int16
	idempotent bool

	at       place
	sequence int32
	made     int
	waiting  bool
	batch    []byte   // not acknowledged yet; nil: none
	values   []string // in it
}

const batchMax = 3

// tick sends the next batch, or the last one again.
func (p *producer) tick() {
	if p.waiting || p.topic.deleted {
		return
	}
	tp := p.topic.partition(p.partition)
	if p.at.learn(p.w, p.topic, p.partition); p.at.leader == 0 {
		return
	}
	if p.batch == nil {
		p.next()
	}
	p.waiting = true
	p.w.produce(p.at.leader, tp, p.batch, p.acks, fmt.Sprint(p.values), p.answered)
}

func (p *producer) next() {
	p.values = nil
	var o protocol.BatchOptions
	if p.idempotent {
		o.Producer = &protocol.Producer{ID: int64(1000 + p.number), Sequence: p.sequence}
	}
	var records []protocol.Record
	for range 1 + p.w.rnd.IntN(batchMax) {
		p.made++
		p.values = append(p.values, fmt.Sprintf("%s%d-%d", p.kind(), p.number, p.made))
		records = append(records, protocol.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(p.values[len(p.values)-1])})
	}
	var err error
	p.batch, err = protocol.AppendBatch(nil, o, records...)
	p.w.must(err)
}

// kind begins the producer's values.
func (p *producer) kind() string {
	if p.idempotent {
		return "i"
	}
	return "p"
}

// answered takes the answer. An idempotent producer repeats what it has no good answer to; the others give it up, whether it is in the log or not.
func (p *producer) answered(r produced) {
	p.waiting = false
	switch {
	case r.err == nil:
		if p.acks == replica.AcksAll {
			p.w.acked++
			p.w.check.acknowledged(key{p.topic.id, p.partition}, r.first, p.values, r.by)
		}
		p.sequence += int32(len(p.values))
	case errors.Is(r.err, kerr.OutOfOrderSequenceNumber) && p.acks == replica.AcksAll:
		h := p.w.check.histories[key{p.topic.id, p.partition}]
		if !h.tainted && !h.deleting {
			p.w.breaks("%v: the next batch of an idempotent producer is refused: %v %v", h.tp, p.values, r.err)
		}
	case p.idempotent && p.acks == replica.AcksAll:
		return
	}
	p.batch = nil
}

// consumer reads one partition from its start, again and again asking the leader.
type consumer struct {
	w         *world
	topic     *topic
	partition int32
	decided   bool // wants what is decided only
	at        place
	position  int64
	waiting   bool
}

// read is what a fetch brought.
type read struct {
	records []byte
	aborted []log.AbortedTransaction
	err     error
	by      *life
}

func (c *consumer) tick() {
	if c.waiting || c.topic.deleted {
		return
	}
	tp := c.topic.partition(c.partition)
	if c.at.learn(c.w, c.topic, c.partition); c.at.leader == 0 {
		return
	}
	c.waiting = true
	position, id, at, bound := c.position, c.topic.id, c.at, c.w.seams.bound
	if c.decided {
		bound = c.w.seams.decided
	}
	c.w.clients.Go(func() {
		q := request{from: clients, to: at.leader, text: fmt.Sprintf("client>%d Fetch %v@%d decided=%v", at.leader, tp, position, c.decided), again: true, timeout: clientTimeout}
		r, err := call(context.Background(), c.w, q, func(l *life) (read, error) { return l.read(tp, id, at.epoch, position, bound), nil })
		if err != nil {
			r.err = err
		}
		c.w.report(q.text, func() { c.answered(r) })
	})
}

// read serves a consumer.
func (l *life) read(tp protocol.TopicPartition, id protocol.TopicID, epoch cluster.LeaderEpoch, position int64, bound log.Bound) (r read) {
	f := replica.FetchParams{ReplicaID: -1, BrokerEpoch: -1, Bound: bound, LeaderOnly: true, BytesMin: 1, BytesMax: 1 << 20}
	parts := []replica.FetchPartition{{TopicPartition: tp, TopicID: id, Offset: position, LogStart: -1, BytesMax: 1 << 20, LeaderEpoch: epoch, LastFetchedEpoch: cluster.NoEpoch}}
	_, results := l.replicas.Fetch(l.ctx, &f, parts, nil)
	got := &results[0]
	defer got.Release()
	r.by = l
	if r.err = wire(got.Err); r.err == nil && got.Records != nil {
		r.aborted = slices.Clone(got.Aborted)
		r.records = make([]byte, got.Records.Len())
		_, err := got.Records.ReadAt(r.records, 0)
		r.err = wire(err)
	}
	return r
}

func (c *consumer) answered(r read) {
	c.waiting = false
	k := key{c.topic.id, c.partition}
	h := c.w.check.histories[k]
	if errors.Is(r.err, kerr.OffsetOutOfRange) && !h.tainted && !h.deleting {
		c.w.breaks("%v: a consumer at offset %d is out of range", h.tp, c.position)
	}
	if r.err != nil {
		return
	}
	entries, err := entriesFrom(c.position, r.records)
	if err != nil {
		c.w.breaks("%v: a consumer at offset %d: %v", h.tp, c.position, err)
	}
	c.w.check.consumed(k, entries)
	if c.decided {
		if c.w.seams.aborted != nil {
			r.aborted = c.w.seams.aborted(r.aborted)
		}
		delivered, skipped := decided(entries, r.aborted)
		c.w.check.readDecided(k, delivered, skipped, r.by)
	}
	c.w.read += len(entries)
	c.position += int64(len(entries))
}

// entriesFrom reads the records of batches from an offset on.
func entriesFrom(offset int64, b []byte) ([]entry, error) {
	var entries []entry
	for batch, err := range protocol.Batches(b) {
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			return nil, err
		}
		for r, err := range protocol.Records(batch) {
			if err != nil {
				return nil, err
			}
			if r.Offset < offset {
				continue
			}
			if r.Offset != offset+int64(len(entries)) {
				return nil, fmt.Errorf("offset %d follows %d", r.Offset, offset+int64(len(entries))-1)
			}
			e := entry{r.Offset, batch.LeaderEpoch(), string(r.Value), batch.ProducerID(), batch.ProducerEpoch(), batch.Transactional(), batch.Control()}
			if e.control {
				e.value = markerText(r)
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func markerText(r *protocol.Record) string {
	m, err := protocol.ParseMarker(r)
	switch {
	case err != nil:
		return err.Error()
	case m.Type == protocol.MarkerCommit:
		return committedMarker
	}
	return "ABORT"
}
