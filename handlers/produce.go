package handlers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/protocol"
)

// Produce, v0 to v11.
//
// Behaviour: every partition is refused or appended on its own, in the order of the request. acks=1 answers after the
// local append; acks=-1 when the in-sync replicas have the records, or at the timeout, when they stay in the log all the
// same; acks=0 has no answer, and an error closes the connection. Before the first records of a transaction are appended
// to a partition its coordinator is asked whether it includes the partition; the connection waits for that, so that what its
// producer sends next stays behind.
//
// Versions: 2 log append time; 3 transactional id, and exactly one batch of magic 2 per partition; 5 log start offset; 7
// zstd; 8 errors per record; 9 flexible; 10 the current leader with NOT_LEADER_OR_FOLLOWER (KIP-951); 11
// TRANSACTION_ABORTABLE (KIP-890). Older ones may carry sets of magic 0 and 1.

// appender is what Produce asks of the replicas.
type appender interface {
	leaderHints
	Append(tp protocol.TopicPartition, records []byte, acks int16, o log.AppendOptions) (replica.Appended, error)
	Acked(acks []replica.Ack) bool
	AwaitAcks(ctx context.Context, deadline time.Time, acks []replica.Ack)
}

// txnVerifier is what Produce asks about records of transactions: replica.Verification.
type txnVerifier interface {
	Verify(ctx context.Context, p cluster.TxnProducer, appends []replica.TxnAppend)
}

// adminClientID is what the admin client sends as its client id; by it alone Apache Kafka lets tools write to internal topics.
const adminClientID = "__admin_client"

var (
	errInternalTopic = fmt.Errorf("clients may not write to internal topics: %w", kerr.InvalidTopicException)
	errManyProducers = fmt.Errorf("records of more than one transactional producer: %w", kerr.InvalidProducerIDMapping)
	errNoTxnID       = fmt.Errorf("transactional records without a transactional id: %w", kerr.TransactionalIDAuthorizationFailed)
	errNoSuchTopic   = fmt.Errorf("no such topic or partition: %w", kerr.UnknownTopicOrPartition)
	errBadAcks       = fmt.Errorf("acks is not -1, 0 or 1: %w", kerr.InvalidRequiredAcks)
)

func produce(a appender, v txnVerifier) API {
	return onTwoStage(0, 11, func(ctx context.Context, c *Call, r *kmsg.ProduceRequest) (Answer, Wait, error) {
		p := &production{appender: a, call: c, request: r, response: r.ResponseKind().(*kmsg.ProduceResponse)}
		p.refused = p.refusal()
		if p.producer != protocol.NoProducerID && p.refused == nil {
			p.verified = verifyTxn(ctx, v, p)
		}
		p.run()
		if r.Acks == replica.AcksNone {
			return Answer{}, nil, p.failure
		}
		if len(p.acks) == 0 {
			return p.answer(), nil, nil
		}
		p.deadline = time.Now().Add(millis(r.TimeoutMillis))
		return Answer{}, p, nil
	})
}

// production is one Produce request on its way. It implements Wait, once it is appended, for what is not committed yet.
type production struct {
	appender appender
	call     *Call
	request  *kmsg.ProduceRequest
	response *kmsg.ProduceResponse

	acks     []replica.Ack // of partitions that are appended and not committed yet
	waiting  []*kmsg.ProduceResponseTopicPartition
	deadline time.Time // until which they are waited for
	hints    hints
	refused  error // what all partitions are refused with
	failure  error // acks=0: the first error of a partition

	producer int64 // of transactional records; protocol.NoProducerID if there are none
	epoch    int16
	verified map[protocol.TopicPartition]*replica.TxnAppend // where the records are transactional
}

// run appends what can be appended. Of a partition that is named twice the last records count, and a topic without partitions
// has no place in the answer.
func (p *production) run() {
	last := lastMentions(p.request)
	p.response.Topics = make([]kmsg.ProduceResponseTopic, 0, len(p.request.Topics))
	for i := range p.request.Topics {
		in := &p.request.Topics[i]
		out := kmsg.ProduceResponseTopic{Topic: in.Topic, Partitions: make([]kmsg.ProduceResponseTopicPartition, 0, len(in.Partitions))}
		for j := range in.Partitions {
			tp := protocol.TopicPartition{Topic: in.Topic, Partition: in.Partitions[j].Partition}
			if last != nil && last[tp] != (mention{i, j}) {
				continue
			}
			out.Partitions = append(out.Partitions, kmsg.ProduceResponseTopicPartition{})
			p.partition(tp, in.Partitions[j].Records, &out.Partitions[len(out.Partitions)-1])
		}
		if len(out.Partitions) > 0 {
			p.response.Topics = append(p.response.Topics, out)
		}
	}
}

// mention is a partition's place in a request.
type mention struct{ topic, partition int }

// lastMentions finds where each partition is named last; nil when none can be named twice, as is usual.
func lastMentions(r *kmsg.ProduceRequest) map[protocol.TopicPartition]mention {
	if plainlyOnce(r.Topics) {
		return nil
	}
	last := map[protocol.TopicPartition]mention{}
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			last[protocol.TopicPartition{Topic: r.Topics[i].Topic, Partition: r.Topics[i].Partitions[j].Partition}] = mention{i, j}
		}
	}
	return last
}

// plainlyOnce reports that every partition is named once, where that can be seen without allocating: few topics, of few
// partitions each.
func plainlyOnce(topics []kmsg.ProduceRequestTopic) bool {
	const topicsMax, partitionsMax = 16, 1024
	if len(topics) > topicsMax {
		return false
	}
	for i := range topics {
		if slices.ContainsFunc(topics[:i], func(t kmsg.ProduceRequestTopic) bool { return t.Topic == topics[i].Topic }) {
			return false
		}
		var seen [partitionsMax / 64]uint64
		for _, p := range topics[i].Partitions {
			if p.Partition < 0 || p.Partition >= partitionsMax || seen[p.Partition/64]&(1<<(p.Partition%64)) != 0 {
				return false
			}
			seen[p.Partition/64] |= 1 << (p.Partition % 64)
		}
	}
	return true
}

// refusal is the error that all partitions get, if any: bytes that cannot be a batch; transactional records that do not say
// which transactional id they are under, or are of more than one producer. It is derived from the batches, not from the
// request's field.
func (p *production) refusal() error {
	p.producer = protocol.NoProducerID
	many := false
	for i := range p.request.Topics {
		for j := range p.request.Topics[i].Partitions {
			b, _, err := protocol.NextBatch(p.request.Topics[i].Partitions[j].Records)
			switch {
			case err != nil && unreadable(p.request.Topics[i].Partitions[j].Records):
				return err
			case err != nil || b == nil || !b.Transactional():
				continue
			case p.request.TransactionID == nil:
				return errNoTxnID
			case b.HasProducerID():
				many = many || p.producer != protocol.NoProducerID && (p.producer != b.ProducerID() || p.epoch != b.ProducerEpoch())
				p.producer, p.epoch = b.ProducerID(), b.ProducerEpoch()
			}
		}
	}
	if many {
		return errManyProducers
	}
	return nil
}

// unreadable reports whether bytes of which no batch can be made are not even one by their first look: too short for any
// magic, or of none. Apache Kafka then refuses the whole request.
func unreadable(records []byte) bool {
	const sizeAt, sizeMin, magicAt = 8, 14, 16
	return int32(binary.BigEndian.Uint32(records[sizeAt:])) < sizeMin || records[magicAt] > 2
}

// partition appends the records of one partition and fills in its answer.
func (p *production) partition(tp protocol.TopicPartition, records []byte, out *kmsg.ProduceResponseTopicPartition) {
	out.Default()
	out.Partition, out.BaseOffset = tp.Partition, -1
	if err := p.check(tp, records); err != nil {
		p.fail(tp, out, err)
		return
	}
	var o log.AppendOptions
	if v := p.verified[tp]; v != nil {
		o = v.Options
	}
	a, err := p.appender.Append(tp, records, p.request.Acks, o)
	if err != nil {
		if tellsLogStart(err) {
			out.LogStartOffset = a.LogStartOffset
		}
		p.fail(tp, out, err)
		return
	}
	out.BaseOffset, out.LogAppendTime, out.LogStartOffset = a.FirstOffset, a.AppendTime, a.LogStartOffset
	if p.request.Acks == replica.AcksAll && !a.Committed {
		p.acks = append(p.acks, a.Ack(tp))
		p.waiting = append(p.waiting, out)
	}
}

// check is what a request is refused for before the partition's log sees it, in Apache Kafka's order.
func (p *production) check(tp protocol.TopicPartition, records []byte) error {
	switch {
	case p.refused != nil:
		return p.refused
	case p.appender.Metadata().Partition(tp) == nil:
		return errNoSuchTopic
	}
	if err := protocol.CheckProduceRecords(p.request.Version, records); err != nil {
		return err
	}
	switch v := p.verified[tp]; {
	case v != nil && v.Err != nil:
		return v.Err
	case p.request.Acks < replica.AcksAll || p.request.Acks > replica.AcksLeader:
		return errBadAcks
	case cluster.InternalTopic(tp.Topic) && p.call.ClientID != adminClientID:
		return errInternalTopic
	}
	return nil
}

// tellsLogStart reports whether the answer to an error has the log start offset: those that any stale or oversized
// request gets do not.
func tellsLogStart(err error) bool {
	switch protocol.CodeOf(err) {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.MessageTooLarge.Code,
		kerr.RecordListTooLarge.Code, kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code:
		return false
	}
	return true
}

func (p *production) fail(tp protocol.TopicPartition, out *kmsg.ProduceResponseTopicPartition, err error) {
	if p.failure == nil {
		p.failure = fmt.Errorf("produce to %s with acks=0: %w: %w", tp, err, ErrClose)
	}
	out.ErrorCode = protocol.CodeOf(err)
	out.ErrorMessage, out.ErrorRecords = p.details(err)
	if out.ErrorCode == kerr.NotLeaderForPartition.Code && p.request.Version >= 10 {
		out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = p.hints.add(p.appender, tp, p.call.Listener)
	}
}

// details are the texts of an answer (v8+): Apache Kafka tells them for invalid records, for what the transaction coordinator
// has against a partition, and for most of what the whole request is refused for.
func (p *production) details(err error) (message *string, records []kmsg.ProduceResponseTopicPartitionErrorRecord) {
	invalid, ok := errors.AsType[*log.InvalidRecordsError](err)
	switch {
	case ok:
		text := invalid.Error()
		return &text, recordErrors(invalid.Records)
	case isUnverified(err):
		text := err.Error()
		return &text, nil
	case err == p.refused && err != errNoTxnID:
		text := err.Error()
		return &text, nil
	}
	return nil, nil
}

func recordErrors(invalid []log.RecordError) []kmsg.ProduceResponseTopicPartitionErrorRecord {
	out := make([]kmsg.ProduceResponseTopicPartitionErrorRecord, len(invalid))
	for i := range invalid {
		out[i].RelativeOffset, out[i].ErrorMessage = invalid[i].BatchIndex, &invalid[i].Message
	}
	return out
}

// Known implements Wait.
func (p *production) Known() bool { return p.appender.Acked(p.acks) }

// Await implements Wait: it blocks until the acks are in, and fills in what became of them. The offsets stay in the answer of a
// failure: the records do stay in the log.
func (p *production) Await(ctx context.Context) (Answer, error) {
	p.appender.AwaitAcks(ctx, p.deadline, p.acks)
	for i, a := range p.acks {
		if a.Err != nil {
			p.fail(a.TopicPartition, p.waiting[i], a.Err)
		}
	}
	return p.answer(), nil
}

func (p *production) answer() Answer {
	for _, n := range p.hints.nodes {
		p.response.Brokers = append(p.response.Brokers, kmsg.ProduceResponseBroker{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: n.Rack})
	}
	return Answer{Response: p.response}
}
