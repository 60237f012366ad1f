package handlers

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/protocol"
)

// Fetch, v0 to v17.
//
// Behaviour: partitions are read in order until the limits are used up, but never less than one whole batch in all.
// With fewer bytes than the reader wants, it waits. Records go out as ranges of the segments' files. Consumers see what is
// committed (or decided, when they read committed transactions only), followers everything.
//
// Versions: 1 throttle time; 3 a limit for the whole answer; 4 isolation level and aborted transactions; 5 log start offsets;
// 7 sessions (KIP-227); 9 leader epochs (KIP-320); 10 zstd; 11 reading from followers (KIP-392); 12 flexible, and divergence
// told by the leader (KIP-595); 13 topic ids (KIP-516); 15 replica state instead of id (KIP-903); 16 current leaders
// (KIP-951); 17 a tagged field that only KRaft brokers send. Before 4 records are converted to the formats of old.

// FetchOptions are the limits of Fetch.
type FetchOptions struct {
	BytesMax     int // fetch.max.bytes, of one answer
	SessionSlots int // max.incremental.fetch.session.cache.slots
	Now          func() time.Time
}

// reader is what Fetch asks of the replicas.
type reader interface {
	leaderHints
	Fetch(ctx context.Context, f *replica.FetchParams, parts []replica.FetchPartition, dst []replica.FetchResult) ([]replica.FetchPartition, []replica.FetchResult)
}

var (
	errUnknownTopicID = fmt.Errorf("no topic has this id: %w", kerr.UnknownTopicID)
	errNoConversion   = fmt.Errorf("topic does not convert to old formats: %w", kerr.UnsupportedVersion)
	errZstdTooNew     = fmt.Errorf("topic is compressed with zstd, which the reader does not know: %w", kerr.UnsupportedCompressionType)
)

func fetch(r reader, o FetchOptions) API { return fetchIn(newFetchSessions(o.SessionSlots), r, o) }

func fetchIn(sessions *fetchSessions, r reader, o FetchOptions) API {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return onReply(0, 17, func(ctx context.Context, c *Call, req *kmsg.FetchRequest) (*protocol.Reply, error) {
		f := fetchings.Get().(*fetching)
		defer f.recycle()
		f.reader, f.call, f.request = r, c, req
		return f.run(ctx, sessions, o.BytesMax, now), nil
	})
}

// fetching is one Fetch request on its way. They are pooled with their slices, which are as long as the reader's list of
// partitions.
type fetching struct {
	reader  reader
	call    *Call
	request *kmsg.FetchRequest
	hints   hints

	wants   []replica.FetchPartition  // all that the request or its session asks for
	reads   []replica.FetchPartition  // those of them that exist
	results []replica.FetchResult     // of reads
	answers []protocol.FetchPartition // of wants: first those that were read, then those that do not exist
	told    []bool                    // of answers
	old     int                       // bytes of records in old formats, of all answers
	topics  []protocol.FetchTopic
	seen    map[sessionKey]int // empty between uses
}

var fetchings = sync.Pool{New: func() any { return new(fetching) }}

func (f *fetching) recycle() {
	clear(f.wants)
	clear(f.reads)
	clear(f.results)
	clear(f.answers)
	clear(f.topics)
	*f = fetching{wants: f.wants[:0], reads: f.reads[:0], results: f.results[:0], answers: f.answers[:0], told: f.told[:0], topics: f.topics[:0], seen: f.seen}
	fetchings.Put(f)
}

func (f *fetching) run(ctx context.Context, sessions *fetchSessions, bytesMax int, now func() time.Time) *protocol.Reply {
	image := f.reader.Metadata()
	if unknownIsolation(f.request.IsolationLevel) {
		return f.refuse(kerr.UnknownServerError).Encode()
	}
	p := f.params(bytesMax)
	x, wants := sessions.resolve(f.request, image, p.BytesMin, now(), f.wants)
	f.wants = wants
	if x.session == nil {
		f.dropRepeats()
	}
	resp := protocol.FetchResponse{Version: f.request.Version}
	if x.err != nil {
		resp.ErrorCode = protocol.CodeOf(x.err)
		return resp.Encode()
	}
	if p.Standing = x.standing(); p.Standing != nil {
		defer p.Standing.End()
	}
	missing := f.split(image)
	if len(f.reads) > 0 || p.Standing != nil && p.Standing.Quiet() > 0 {
		f.reads, f.results = f.reader.Fetch(ctx, p, f.reads, f.results)
	}
	f.wants = append(append(f.wants[:0], f.reads...), missing...)
	f.shape()
	id, err := sessions.finish(&x, f.wants, f.answers, f.told, f.follower(), now())
	if err != nil {
		f.release()
	}
	resp.SessionID, resp.ErrorCode = id, protocol.CodeOf(err)
	if err == nil {
		resp.Topics, resp.Nodes = f.group(), f.hints.nodes
	}
	return resp.Encode()
}

// refuse is the answer to a request that makes no sense. Before topic ids, readers look for the error at each partition.
func (f *fetching) refuse(err error) *protocol.FetchResponse {
	resp := &protocol.FetchResponse{Version: f.request.Version, SessionID: f.request.SessionID, ErrorCode: protocol.CodeOf(err)}
	if f.request.Version >= 13 {
		return resp
	}
	for i := range f.request.Topics {
		t := protocol.FetchTopic{Topic: f.request.Topics[i].Topic}
		for _, p := range f.request.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, unread(p.Partition, err))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// unread is the answer for a partition that was not read: in Apache Kafka it has null instead of records, and a list, if an
// empty one, of aborted transactions.
func unread(partition int32, err error) protocol.FetchPartition {
	a := protocol.NewFetchPartition(partition, protocol.CodeOf(err))
	a.NullRecords, a.AbortedTransactions = true, []protocol.AbortedTransaction{}
	return a
}

// dropRepeats leaves one of a partition that is named more than once: in the place of the first, with the wishes of the last.
func (f *fetching) dropRepeats() {
	if len(f.wants) < 2 {
		return
	}
	if f.seen == nil {
		f.seen = map[sessionKey]int{}
	}
	kept := f.wants[:0]
	for _, q := range f.wants {
		key := keyOf(&q)
		if i, again := f.seen[key]; again {
			kept[i] = q
			continue
		}
		f.seen[key] = len(kept)
		kept = append(kept, q)
	}
	clear(f.seen)
	f.wants = kept
}

func (f *fetching) replicaID() cluster.BrokerID {
	if f.request.Version >= 15 {
		return cluster.BrokerID(f.request.ReplicaState.ID)
	}
	return cluster.BrokerID(f.request.ReplicaID)
}

func (f *fetching) follower() bool { return f.replicaID() >= 0 }

// The isolation levels of consumers.
const (
	readUncommitted = 0
	readCommitted   = 1 // see decided transactions only
)

// futureReplica is the id under which a broker reads from itself while it moves a replica between its directories.
const futureReplica = -3

func (f *fetching) params(bytesMax int) *replica.FetchParams {
	r := f.request
	p := &replica.FetchParams{ReplicaID: f.replicaID(), BrokerEpoch: cluster.BrokerEpoch(r.ReplicaState.Epoch),
		Bound: boundOf(int32(f.replicaID()), r.IsolationLevel), HardLimit: r.Version <= 2,
		WaitMax: time.Duration(r.MaxWaitMillis) * time.Millisecond, BytesMax: min(int(r.MaxBytes), bytesMax)}
	p.BytesMin = min(int(r.MinBytes), p.BytesMax)
	if r.Version >= 11 && !f.follower() {
		p.Rack, p.Listener = r.Rack, f.call.Listener
	}
	p.LeaderOnly = f.follower() || p.ReplicaID != futureReplica && r.Version < 11
	return p
}

func unknownIsolation(level int8) bool { return level < readUncommitted || level > readCommitted }

// boundOf is how far a reader may see.
func boundOf(replicaID int32, isolation int8) log.Bound {
	switch {
	case replicaID >= 0 || replicaID == futureReplica:
		return log.ToLogEnd
	case isolation == readCommitted:
		return log.ToLastStable
	}
	return log.ToHighWatermark
}

// split lists the partitions that exist for reading, and returns the others.
func (f *fetching) split(image *cluster.Metadata) (missing []replica.FetchPartition) {
	exists := func(q *replica.FetchPartition) bool {
		return q.Topic != "" && image.Partition(q.TopicPartition) != nil
	}
	for i := range f.wants {
		if q := &f.wants[i]; exists(q) {
			f.reads = append(f.reads, *q)
		} else {
			missing = append(missing, *q)
		}
	}
	return missing
}

// shape makes the answers.
func (f *fetching) shape() {
	for i := range f.wants {
		q := &f.wants[i]
		if i < len(f.results) {
			f.answers = append(f.answers, f.answer(q, &f.results[i]))
			continue
		}
		err := errNoSuchTopic
		if q.Topic == "" {
			err = errUnknownTopicID
		}
		a := unread(q.Partition, err)
		a.NullRecords = false
		f.answers = append(f.answers, a)
	}
	f.told = append(f.told, make([]bool, len(f.answers))...)
}

func (f *fetching) refused(q *replica.FetchPartition, err error) protocol.FetchPartition {
	a := protocol.NewFetchPartition(q.Partition, protocol.CodeOf(err))
	switch a.ErrorCode {
	case kerr.KafkaStorageError.Code:
		if f.request.Version <= 5 {
			a.ErrorCode = kerr.NotLeaderForPartition.Code // readers of old know no other that makes them look for the leader
		}
	case kerr.NotLeaderForPartition.Code, kerr.FencedLeaderEpoch.Code:
		if f.request.Version >= 16 {
			id, epoch := f.hints.add(f.reader, q.TopicPartition, f.call.Listener)
			a.CurrentLeader = &protocol.LeaderIDAndEpoch{ID: id, Epoch: epoch}
		}
	}
	return a
}

// answer shapes one result. The result's file range goes over into the answer.
func (f *fetching) answer(q *replica.FetchPartition, r *replica.FetchResult) protocol.FetchPartition {
	if r.Err != nil {
		return f.refused(q, r.Err)
	}
	a := protocol.FetchPartition{Partition: q.Partition, HighWatermark: r.HighWatermark, LastStableOffset: r.LastStable,
		LogStartOffset: r.LogStart, PreferredReadReplica: int32(r.ReadFrom)}
	if r.Diverging.Epoch >= 0 {
		a.DivergingEpoch = &protocol.EpochEndOffset{Epoch: int32(r.Diverging.Epoch), EndOffset: r.Diverging.End}
	}
	if r.Aborted != nil {
		a.AbortedTransactions = make([]protocol.AbortedTransaction, len(r.Aborted))
		for i, t := range r.Aborted {
			a.AbortedTransactions[i] = protocol.AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}
		}
	}
	if f.request.Version < 10 {
		if err := f.convert(q, r, &a); err != nil {
			r.Release()
			return unread(q.Partition, err)
		}
	}
	if r.Records != nil {
		a.Records.Range, r.Records = r.Records, nil
	}
	return a
}

// convert gives readers of old what they can read, or an error.
func (f *fetching) convert(q *replica.FetchPartition, r *replica.FetchResult, a *protocol.FetchPartition) error {
	config := r.Config()
	switch {
	case config.Messages.CompressionType == "zstd":
		return errZstdTooNew
	case f.request.Version > 3:
		return nil
	case !f.follower() && !config.DownConversionEnable:
		return errNoConversion
	case r.Records == nil:
		return nil
	}
	magic := int8(1)
	if f.request.Version <= 1 {
		magic = 0
	}
	stored, err := f.readStored(r.Records)
	if err != nil {
		return fmt.Errorf("read records of %s: %w", q, err)
	}
	converted, err := downConvert(stored, magic, q.Offset)
	if err != nil {
		return fmt.Errorf("convert records of %s to magic %d: %w", q, magic, err)
	}
	r.Release()
	f.old += len(converted)
	a.Records.Bytes = converted
	return nil
}

// convertMax bounds the bytes of one answer that are converted, which wait in memory until the reader takes them; Apache converts while it sends.
// The first batch is converted however large it is, and the reader asks again for what is missing.
const convertMax = 4 << 20

// readStored reads of a partition's records what is to be converted.
func (f *fetching) readStored(records protocol.FileRange) ([]byte, error) {
	n := max(0, convertMax-f.old)
	if f.old == 0 && n < records.Len() {
		var head [protocol.LogOverhead]byte
		if _, err := records.ReadAt(head[:], 0); err != nil {
			return nil, err
		}
		n = max(n, len(head)+int(int32(binary.BigEndian.Uint32(head[8:]))))
	}
	stored := make([]byte, min(n, records.Len()))
	_, err := io.ReadFull(io.NewSectionReader(records, 0, int64(records.Len())), stored)
	return stored, err
}

// group gathers the answers that the reader is told by topic. As in Apache Kafka only neighbours meet, so that the order
// stays.
func (f *fetching) group() []protocol.FetchTopic {
	n := 0
	for i := range f.answers {
		if f.told[i] {
			f.answers[n], f.wants[n] = f.answers[i], f.wants[i]
			n++
		} else if c := &f.answers[i].Records; c.Range != nil {
			c.Range.Release() // the partition left the session in the meantime
		}
	}
	for begin := 0; begin < n; {
		q, end := &f.wants[begin], begin+1
		for end < n && f.wants[end].Topic == q.Topic && f.wants[end].TopicID == q.TopicID {
			end++
		}
		f.topics = append(f.topics, protocol.FetchTopic{Topic: q.Topic, TopicID: q.TopicID, Partitions: f.answers[begin:end]})
		begin = end
	}
	return f.topics
}

// release lets go of the records of an answer that is not given.
func (f *fetching) release() {
	for i := range f.answers {
		if c := &f.answers[i].Records; c.Range != nil {
			c.Range.Release()
		}
	}
}
