package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// recordBroker is broker 1 with its replicas in memory: it leads partition 0 of topic "a" alone and partition 1 together with
// broker 2, and follows partition 2.
type recordBroker struct {
	*replica.Manager
	t            testing.TB
	id           protocol.TopicID
	transactions replica.Verification
	answers      map[protocol.TopicPartition]error // the transaction coordinator's; others are not in the transaction
}

// Verify is the transaction coordinator.
func (b *recordBroker) Verify(_ context.Context, _ cluster.TxnProducer, partitions []protocol.TopicPartition) []error {
	errs := make([]error, len(partitions))
	for i, tp := range partitions {
		var known bool
		if errs[i], known = b.answers[tp]; !known {
			errs[i] = kerr.TransactionAbortable
		}
	}
	return errs
}

func newRecordBroker(t testing.TB) *recordBroker {
	t.Helper()
	logs, err := log.Open(log.ManagerOptions{FS: vfs.NewMem(), Dirs: []string{"/data"}, Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	m := replica.New(replica.Options{BrokerID: 1, ClusterID: "c", Logs: logs, Config: func(string) *log.Config { return log.DefaultConfig() },
		LagTimeMax: time.Minute, CheckpointInterval: time.Minute, Logger: zerolog.Nop()})
	t.Cleanup(func() {
		m.Close()
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &recordBroker{Manager: m, t: t, id: protocol.TopicID{1}, answers: map[protocol.TopicPartition]error{}}
	b.transactions = replica.Verification{Manager: m, Coordinators: b, Enabled: func() bool { return true }}
	b.assign(1, 0, 1)
	b.assign(1, 1, 1, 2)
	b.assign(2, 2, 2, 1)
	return b
}

// assign makes a broker the leader of a partition of topic "a".
func (b *recordBroker) assign(leader cluster.BrokerID, partition int32, replicas ...cluster.BrokerID) {
	b.t.Helper()
	live := []cluster.Broker{
		{ID: 1, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "one", Port: 9091}}},
		{ID: 2, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "two", Port: 9092}}},
	}
	s := cluster.PartitionState{TopicPartition: protocol.TopicPartition{Topic: "a", Partition: partition}, TopicID: b.id,
		LeaderAndISR: cluster.LeaderAndISR{Leader: leader, LeaderEpoch: 5, ISR: replicas}, Assignment: cluster.Assignment{Replicas: replicas}}
	if err := b.ApplyUpdateMetadata(&cluster.UpdateMetadataRequest{LiveBrokers: live, States: []cluster.PartitionState{s}}); err != nil {
		b.t.Fatal(err)
	}
	for _, err := range b.ApplyLeaderAndISR(&cluster.LeaderAndISRRequest{States: []cluster.PartitionState{s}}).Partitions {
		b.t.Fatal(err)
	}
}

var testCall = Call{ClientID: "test", Listener: "PLAINTEXT"}

// slowCall is of a request that took a minute to arrive, which is no part of its timeout.
func slowCall() *Call {
	call := testCall
	call.Received = time.Now().Add(-time.Minute)
	return &call
}

// produce sends one request and waits for its answer.
func (b *recordBroker) produce(r *kmsg.ProduceRequest) (*kmsg.ProduceResponse, error) {
	b.t.Helper()
	answer, wait, err := produce(b.Manager, &b.transactions).Begin(b.t.Context(), slowCall(), r)
	if err == nil && wait != nil {
		answer, err = wait.Await(b.t.Context())
	}
	if answer.Response == nil {
		return nil, err
	}
	return answer.Response.(*kmsg.ProduceResponse), err
}

func testBatch(t testing.TB, o protocol.BatchOptions, values ...string) []byte {
	t.Helper()
	var records []protocol.Record
	for _, v := range values {
		records = append(records, protocol.Record{Timestamp: 1000, Value: []byte(v)})
	}
	b, err := protocol.AppendBatch(nil, o, records...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func produceRequest(version, acks int16, partitions ...kmsg.ProduceRequestTopicPartition) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = version, acks, 5000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: "a", Partitions: partitions}}
	return r
}

func to(partition int32, records []byte) kmsg.ProduceRequestTopicPartition {
	return kmsg.ProduceRequestTopicPartition{Partition: partition, Records: records}
}

func TestProduceAnswersEachPartition(t *testing.T) {
	b := newRecordBroker(t)
	r := produceRequest(11, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x")), to(2, testBatch(t, protocol.BatchOptions{}, "x")),
		to(7, testBatch(t, protocol.BatchOptions{}, "x")), to(1, testBatch(t, protocol.BatchOptions{}, "x", "y")))
	resp, err := b.produce(r)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		partition int32
		code      int16
		offset    int64
	}{{0, 0, 0}, {2, kerr.NotLeaderForPartition.Code, -1}, {7, kerr.UnknownTopicOrPartition.Code, -1}, {1, 0, 0}} {
		if p := resp.Topics[0].Partitions[i]; p.Partition != want.partition || p.ErrorCode != want.code || p.BaseOffset != want.offset {
			t.Errorf("answer %d: %+v, want %+v", i, p, want)
		}
	}
	if l := resp.Topics[0].Partitions[1].CurrentLeader; l.LeaderID != 2 || l.LeaderEpoch != 5 || len(resp.Brokers) != 1 || resp.Brokers[0].Host != "two" {
		t.Errorf("case 65: current leader %+v at %+v", l, resp.Brokers)
	}
}

func TestProduceRefusals(t *testing.T) {
	plain := testBatch(t, protocol.BatchOptions{}, "x")
	transactional := testBatch(t, protocol.BatchOptions{Producer: &protocol.Producer{ID: 7}, Transactional: true}, "x")
	other := testBatch(t, protocol.BatchOptions{Producer: &protocol.Producer{ID: 8}, Transactional: true}, "x")
	oldMagic := func() []byte {
		b, err := protocol.DownConvert(nil, plain, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	id := "id"
	for _, test := range []struct {
		name    string
		version int16
		acks    int16
		client  string
		txn     *string
		topic   string
		records []byte
		more    []byte // for a second partition
		want    *kerr.Error
	}{
		{name: "case 65: acks=2", version: 9, acks: 2, records: plain, want: kerr.InvalidRequiredAcks},
		{name: "case 65: acks=-2", version: 9, acks: -2, records: plain, want: kerr.InvalidRequiredAcks},
		{name: "case 62: no batch", version: 3, acks: 1, records: []byte{}, want: kerr.InvalidRecord},
		{name: "null instead of records", version: 3, acks: 1, records: nil, want: kerr.InvalidRecord},
		{name: "no batch in a request of old", version: 2, acks: 1, records: []byte{}, want: nil},
		{name: "case 62: two batches", version: 3, acks: 1, records: append(append([]byte{}, plain...), plain...), want: kerr.InvalidRecord},
		{name: "a cut second batch", version: 3, acks: 1, records: append(append([]byte{}, plain...), plain[:40]...), want: nil},
		{name: "case 62: magic 1", version: 3, acks: 1, records: oldMagic, want: kerr.InvalidRecord},
		{name: "case 66: magic 1 in a request of old", version: 2, acks: 1, records: oldMagic, want: nil},
		{name: "case 114: transactional without an id", version: 9, acks: -1, records: transactional, want: kerr.TransactionalIDAuthorizationFailed},
		{name: "case 87: transactional without a transaction", version: 9, acks: -1, txn: &id, records: transactional, want: kerr.InvalidTxnState},
		{name: "case 87: and as new clients know it", version: 11, acks: -1, txn: &id, records: transactional, want: kerr.TransactionAbortable},
		{name: "two transactional producers", version: 9, acks: -1, txn: &id, records: transactional, more: other, want: kerr.InvalidProducerIDMapping},
		{name: "case 61: wrong CRC", version: 9, acks: 1, records: append(append([]byte{}, plain[:len(plain)-1]...), 'z'), want: kerr.CorruptMessage},
		{name: "zstd too early", version: 6, acks: 1, records: testBatch(t, protocol.BatchOptions{Compression: protocol.Compression{Codec: protocol.Zstd}}, "x"), want: kerr.UnsupportedCompressionType},
		{name: "zstd", version: 7, acks: 1, records: testBatch(t, protocol.BatchOptions{Compression: protocol.Compression{Codec: protocol.Zstd}}, "x"), want: nil},
		{name: "unknown topic", version: 9, acks: 1, topic: "nosuch", records: plain, want: kerr.UnknownTopicOrPartition},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newRecordBroker(t)
			r := produceRequest(test.version, test.acks, to(0, append([]byte(nil), test.records...)))
			if test.records == nil {
				r.Topics[0].Partitions[0].Records = nil
			}
			if test.more != nil {
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, to(1, test.more))
			}
			r.TransactionID = test.txn
			if test.topic != "" {
				r.Topics[0].Topic = test.topic
			}
			resp, err := b.produce(r)
			if err != nil {
				t.Fatal(err)
			}
			code := int16(0)
			if test.want != nil {
				code = test.want.Code
			}
			if got := resp.Topics[0].Partitions[0].ErrorCode; got != code {
				t.Errorf("error %v, want %v", kerr.ErrorForCode(got), test.want)
			}
		})
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	b := newRecordBroker(t)
	if resp, err := b.produce(produceRequest(9, 0, to(0, testBatch(t, protocol.BatchOptions{}, "x")))); resp != nil || err != nil {
		t.Errorf("acks=0: %v, %v; there is no answer", resp, err)
	}
	if resp, err := b.produce(produceRequest(9, 0, to(2, testBatch(t, protocol.BatchOptions{}, "x")))); resp != nil || !errors.Is(err, ErrClose) {
		t.Errorf("case 65: acks=0 with an error: %v, %v; the connection is closed", resp, err)
	}
}

func TestProduceWaitsForAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecordBroker(t)
		go func() {
			time.Sleep(time.Second)
			b.Fetch(t.Context(), &replica.FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, LeaderOnly: true}, []replica.FetchPartition{
				{TopicPartition: protocol.TopicPartition{Topic: "a", Partition: 1}, Offset: 1, LeaderEpoch: 5, LastFetchedEpoch: cluster.NoEpoch}}, nil)
		}()
		begin := time.Now()
		resp, err := b.produce(produceRequest(9, -1, to(0, testBatch(t, protocol.BatchOptions{}, "x")), to(1, testBatch(t, protocol.BatchOptions{}, "x"))))
		if err != nil || time.Since(begin) != time.Second || resp.Topics[0].Partitions[1].ErrorCode != 0 {
			t.Errorf("after %v: %+v, %v", time.Since(begin), resp, err)
		}
		begin = time.Now()
		resp, err = b.produce(produceRequest(9, -1, to(1, testBatch(t, protocol.BatchOptions{}, "x"))))
		if p := resp.Topics[0].Partitions[0]; err != nil || time.Since(begin) != 5*time.Second || p.ErrorCode != kerr.RequestTimedOut.Code || p.BaseOffset != 1 {
			t.Errorf("without the follower after %v: %+v, %v; the records stay, at their offset", time.Since(begin), p, err)
		}
		synctest.Wait()
	})
}

func TestDeleteRecordsWaitsForReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecordBroker(t)
		if _, err := b.produce(produceRequest(9, 1, to(1, testBatch(t, protocol.BatchOptions{}, "x")))); err != nil {
			t.Fatal(err)
		}
		fetched := func(start, offset int64) {
			b.Fetch(t.Context(), &replica.FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, LeaderOnly: true}, []replica.FetchPartition{
				{TopicPartition: tp("a", 1), Offset: offset, LogStart: start, LeaderEpoch: 5, LastFetchedEpoch: cluster.NoEpoch}}, nil)
		}
		fetched(0, 1)
		r := kmsg.NewPtrDeleteRecordsRequest()
		r.TimeoutMillis = 5000
		r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "a", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 1, Offset: 1}}}}
		go func() {
			time.Sleep(time.Second)
			fetched(1, 1)
		}()
		answer, _, err := deleteRecords(b.Manager).Begin(t.Context(), slowCall(), r)
		if err != nil {
			t.Fatal(err)
		}
		if p := answer.Response.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LowWatermark != 1 {
			t.Errorf("%+v", p)
		}
		synctest.Wait()
	})
}

func TestPlainlyOnce(t *testing.T) {
	topic := func(name string, partitions ...int32) (out kmsg.ProduceRequestTopic) {
		out.Topic = name
		for _, p := range partitions {
			out.Partitions = append(out.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p})
		}
		return out
	}
	for _, test := range []struct {
		topics []kmsg.ProduceRequestTopic
		want   bool
	}{
		{nil, true},
		{[]kmsg.ProduceRequestTopic{topic("a", 0, 1, 63, 64, 1023), topic("b", 0)}, true},
		{[]kmsg.ProduceRequestTopic{topic("a", 64, 0, 64)}, false},
		{[]kmsg.ProduceRequestTopic{topic("a", 0), topic("b"), topic("a", 1)}, false},
		{[]kmsg.ProduceRequestTopic{topic("a", -1)}, false},
		{[]kmsg.ProduceRequestTopic{topic("a", 1024)}, false},
		{make([]kmsg.ProduceRequestTopic, 17), false},
	} {
		if got := plainlyOnce(test.topics); got != test.want {
			t.Errorf("%+v: %v", test.topics, got)
		}
	}
}

func TestProduceNamesAPartitionTwice(t *testing.T) {
	b := newRecordBroker(t)
	resp, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x", "y")), to(0, testBatch(t, protocol.BatchOptions{}, "z"))))
	if err != nil || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("%+v, %v", resp, err)
	}
	p, _ := b.Partition(protocol.TopicPartition{Topic: "a"})
	if end := p.View().Log.LogEndOffset().Offset; end != 1 {
		t.Errorf("log ends at %d; the last records count", end)
	}
}

// fetch sends a request through the wire's encoding and back.
func (b *recordBroker) fetch(api API, r *kmsg.FetchRequest) *kmsg.FetchResponse {
	b.t.Helper()
	answer, _, err := api.Begin(b.t.Context(), &testCall, r)
	if err != nil {
		b.t.Fatal(err)
	}
	var body []byte
	for _, c := range answer.Reply.Chunks {
		if c.Range == nil {
			body = append(body, c.Bytes...)
			continue
		}
		p := make([]byte, c.Range.Len())
		if _, err := c.Range.ReadAt(p, 0); err != nil && err != io.EOF {
			b.t.Fatal(err)
		}
		body = append(body, p...)
	}
	answer.Reply.Release()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = r.Version
	if err := resp.ReadFrom(body); err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *recordBroker) fetchRequest(version int16, partitions ...int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxBytes, r.SessionEpoch = version, 1<<20, -1
	t := kmsg.FetchRequestTopic{Topic: "a", TopicID: b.id}
	for _, partition := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = partition, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = []kmsg.FetchRequestTopic{t}
	return r
}

func TestFetchInEveryVersion(t *testing.T) {
	b := newRecordBroker(t)
	if _, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x", "y")))); err != nil {
		t.Fatal(err)
	}
	api := fetch(b.Manager, FetchOptions{BytesMax: 1 << 20, SessionSlots: 10})
	for version := int16(0); version <= 17; version++ {
		resp := b.fetch(api, b.fetchRequest(version, 0))
		p := resp.Topics[0].Partitions[0]
		batch, _, err := protocol.NextBatch(p.RecordBatches)
		if p.ErrorCode != 0 || p.HighWatermark != 2 || err != nil || batch == nil {
			t.Fatalf("v%d: %+v, batch %v, %v", version, p, batch, err)
		}
		if want := map[bool]int8{true: 0, false: 1}[version <= 1]; version <= 3 && batch.Magic() != want {
			t.Errorf("case 66: v%d has magic %d, want %d", version, batch.Magic(), want)
		}
	}
}

func TestFetchRefusals(t *testing.T) {
	b := newRecordBroker(t)
	api := fetch(b.Manager, FetchOptions{BytesMax: 1 << 20, SessionSlots: 10})
	resp := b.fetch(api, b.fetchRequest(17, 0, 2, 7))
	var codes []int16
	for _, p := range resp.Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	if fmt.Sprint(codes) != "[0 0 3]" {
		t.Errorf("codes %v; newer readers may read from followers", codes)
	}
	old := b.fetch(api, b.fetchRequest(10, 2))
	if code := old.Topics[0].Partitions[0].ErrorCode; code != kerr.NotLeaderForPartition.Code {
		t.Errorf("case 27: v10 from a follower: code %d", code)
	}
	fenced := b.fetchRequest(17, 0)
	fenced.Topics[0].Partitions[0].CurrentLeaderEpoch = 4
	resp = b.fetch(api, fenced)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != kerr.FencedLeaderEpoch.Code || p.CurrentLeader.LeaderID != 1 || p.CurrentLeader.LeaderEpoch != 5 ||
		len(resp.Brokers) != 1 || resp.Brokers[0].Host != "one" {
		t.Errorf("case 8: %+v, brokers %+v", p, resp.Brokers)
	}
	unknown := b.fetchRequest(13, 0)
	unknown.Topics[0].TopicID = protocol.TopicID{9}
	if p := b.fetch(api, unknown).Topics[0].Partitions[0]; p.ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("case 38: %+v", p)
	}
	gone := b.fetchRequest(12, 0)
	gone.SessionID, gone.SessionEpoch = 77, 3
	if resp := b.fetch(api, gone); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code || len(resp.Topics) != 0 {
		t.Errorf("case 26: %+v", resp)
	}
	twice := b.fetchRequest(12, 0, 1, 0)
	if resp := b.fetch(api, twice); len(resp.Topics[0].Partitions) != 2 {
		t.Errorf("a partition named twice: %+v", resp.Topics[0].Partitions)
	}
}

func TestFetchSessionEndToEnd(t *testing.T) {
	b := newRecordBroker(t)
	api := fetch(b.Manager, FetchOptions{BytesMax: 1 << 20, SessionSlots: 10})
	full := b.fetchRequest(13, 0, 1)
	full.SessionEpoch = 0
	first := b.fetch(api, full)
	if first.SessionID == 0 || len(first.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", first)
	}
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 13, 1<<20, first.SessionID, 1
	if resp := b.fetch(api, next); len(resp.Topics) != 0 || resp.SessionID != first.SessionID {
		t.Errorf("nothing is new: %+v", resp)
	}
	if _, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x")))); err != nil {
		t.Fatal(err)
	}
	next.SessionEpoch = 2
	if resp := b.fetch(api, next); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Errorf("one partition has records: %+v", resp)
	}
}

// A session's requests are about what happened, and now and then about everything: a log start that retention moved is told by nobody.
func TestFetchSessionHearsOfRetention(t *testing.T) {
	b := newRecordBroker(t)
	if _, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x", "y")))); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	api := fetch(b.Manager, FetchOptions{BytesMax: 1 << 20, SessionSlots: 10, Now: func() time.Time { return now }})
	full := b.fetchRequest(13, 0, 1)
	full.Topics[0].Partitions[0].FetchOffset, full.SessionEpoch = 2, 0
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 13, 1<<20, b.fetch(api, full).SessionID, 0
	told := func() (partitions []int32) {
		next.SessionEpoch++
		for _, topic := range b.fetch(api, next).Topics {
			for _, p := range topic.Partitions {
				partitions = append(partitions, p.Partition)
			}
		}
		return partitions
	}
	told() // looks at all, as it is the first
	p, err := b.Partition(protocol.TopicPartition{Topic: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.View().Log.IncrementLogStartOffset(1); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != nil {
		t.Errorf("told of %v at once, though all were looked at a moment ago", got)
	}
	now = now.Add(replica.WholeEvery)
	if got := told(); !slices.Equal(got, []int32{0}) {
		t.Errorf("told of %v when all are looked at, want [0]", got)
	}
}

// What a session leaves in partitions goes with it: when it is ended, and when another takes its place.
func TestFetchSessionLeavesNothingBehind(t *testing.T) {
	for name, end := range map[string]func(b *recordBroker, api API, id int32){
		"ended": func(b *recordBroker, api API, id int32) {
			end := b.fetchRequest(13, 0)
			end.SessionID = id
			b.fetch(api, end)
		},
		"replaced": func(b *recordBroker, api API, id int32) {
			again := b.fetchRequest(13, 1)
			again.SessionID, again.SessionEpoch = id, 0
			b.fetch(api, again)
		},
		"evicted": func(b *recordBroker, api API, _ int32) {
			larger := b.fetchRequest(13, 0, 1, 2)
			larger.SessionEpoch = 0
			b.fetch(api, larger)
		},
		"emptied": func(b *recordBroker, api API, id int32) {
			next := kmsg.NewPtrFetchRequest()
			next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 13, 1<<20, id, 2
			next.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{TopicID: b.id, Partitions: []int32{0, 1}}}
			b.fetch(api, next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRecordBroker(t)
			now := time.Now()
			sessions := newFetchSessions(1)
			api := fetchIn(sessions, b.Manager, FetchOptions{BytesMax: 1 << 20, Now: func() time.Time { return now }})
			full := b.fetchRequest(13, 0, 1)
			full.SessionEpoch = 0
			id := b.fetch(api, full).SessionID
			next := kmsg.NewPtrFetchRequest()
			next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 13, 1<<20, id, 1
			b.fetch(api, next)
			standing := sessions.sessions[id].standing
			if n := standing.Quiet(); n != 2 {
				t.Fatalf("%d partitions are quiet, want 2", n)
			}
			now = now.Add(sessionIdleMax + time.Second)
			end(b, api, id)
			if n := standing.Quiet(); n != 0 || sessions.sessions[id] != nil {
				t.Errorf("%d partitions are watched still; the session: %v", n, sessions.sessions[id])
			}
		})
	}
}

func TestListOffsetsVersions(t *testing.T) {
	b := newRecordBroker(t)
	if _, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, "x", "y")))); err != nil {
		t.Fatal(err)
	}
	ask := func(version int16, timestamps ...int64) (out []kmsg.ListOffsetsResponseTopicPartition) {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID = version, -1
		topic := kmsg.ListOffsetsRequestTopic{Topic: "a"}
		for _, timestamp := range timestamps {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = timestamp
			topic.Partitions = append(topic.Partitions, p)
		}
		r.Topics = append(r.Topics, topic)
		answer, _, err := listOffsets(b.Manager).Begin(t.Context(), &testCall, r)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Response.(*kmsg.ListOffsetsResponse).Topics[0].Partitions
	}
	for _, test := range []struct {
		version   int16
		timestamp int64
		code      int16
		offset    int64
	}{
		{1, -1, 0, 2}, {1, -2, 0, 0}, {1, 1000, 0, 0}, {1, 1001, 0, -1},
		{6, -3, kerr.UnsupportedVersion.Code, -1}, {7, -3, 0, 0}, {7, -4, kerr.UnsupportedVersion.Code, -1}, {8, -4, 0, 0},
		{8, -5, kerr.UnsupportedVersion.Code, -1}, {9, -5, 0, -1}, {9, -6, kerr.UnsupportedVersion.Code, -1},
	} {
		if p := ask(test.version, test.timestamp)[0]; p.ErrorCode != test.code || p.Offset != test.offset {
			t.Errorf("v%d, timestamp %d: %+v, want code %d, offset %d", test.version, test.timestamp, p, test.code, test.offset)
		}
	}
	if p := ask(0, -1)[0]; p.ErrorCode != 0 || fmt.Sprint(p.OldStyleOffsets) != "[2]" {
		t.Errorf("v0, latest: %+v", p)
	}
	if p := ask(0, -2)[0]; p.ErrorCode != 0 || fmt.Sprint(p.OldStyleOffsets) != "[0]" {
		t.Errorf("v0, earliest: %+v", p)
	}
	for _, p := range ask(1, -1, -1) {
		if p.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("a partition named twice: %+v", p)
		}
	}
}

// countedIDs hands out ids from 4000 on.
type countedIDs int64

func (c *countedIDs) Next(context.Context) (int64, error) {
	*c++
	return 3999 + int64(*c), nil
}

func TestInitProducerID(t *testing.T) {
	ids := new(countedIDs)
	taken, unknown := "taken", "unknown"
	for _, test := range []struct {
		txn   *string
		id    int64
		epoch int16
		code  int16
		want  int64
	}{
		{nil, -1, -1, 0, 4000}, {nil, 4000, 3, 0, 4001}, {nil, 4000, -1, kerr.InvalidRequest.Code, -1}, {nil, -1, 0, kerr.InvalidRequest.Code, -1},
		{&taken, 77, 3, 0, 77}, {&taken, -1, 3, kerr.InvalidRequest.Code, -1}, {&unknown, -1, -1, kerr.NotCoordinator.Code, -1},
	} {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 4, test.txn, test.id, test.epoch
		answer, _, err := initProducerID(ids, oneTxn{}).Begin(t.Context(), &testCall, r)
		if err != nil {
			t.Fatal(err)
		}
		if resp := answer.Response.(*kmsg.InitProducerIDResponse); resp.ErrorCode != test.code || resp.ProducerID != test.want || (test.code == 0) != (resp.ProducerEpoch >= 0) {
			t.Errorf("%+v: %+v", test, resp)
		}
	}
}

func TestDownConvertFillsUpToThePromisedSize(t *testing.T) {
	stored := append(testBatch(t, protocol.BatchOptions{}, "x"), testBatch(t, protocol.BatchOptions{BaseOffset: 1}, "y")...)
	zstd := testBatch(t, protocol.BatchOptions{Compression: protocol.Compression{Codec: protocol.Zstd}}, "z")
	for _, test := range []struct {
		name   string
		stored []byte
		size   int
		err    error
	}{
		{"two batches", stored, len(stored), nil},
		{"a cut one after them", append(append([]byte{}, stored...), stored[:30]...), len(stored) + 30, nil},
		{"nothing", nil, 0, nil},
		{"only a cut one", stored[:30], 0, nil},
		{"zstd later", append(append([]byte{}, stored...), zstd...), len(stored) + len(zstd), nil},
		{"zstd first", zstd, 0, kerr.UnsupportedCompressionType},
	} {
		out, err := downConvert(test.stored, 1, 0)
		if len(out) != test.size || !errors.Is(err, test.err) && err != test.err {
			t.Errorf("%s: %d bytes, %v; want %d, %v", test.name, len(out), err, test.size, test.err)
		}
	}
	large := pad(nil, 300<<10)
	if len(large) != 300<<10 {
		t.Errorf("padded to %d", len(large))
	}
}

func TestDownConvertKeepsWhatItGives(t *testing.T) {
	small := testBatch(t, protocol.BatchOptions{}, "x")
	many := testBatch(t, protocol.BatchOptions{BaseOffset: 1}, make([]string, 10_000)...) // which are larger as messages of old
	out, err := downConvert(append(small, many...), 1, 0)
	if err != nil || len(out) != len(small)+len(many) || cap(out) > 2*len(out) {
		t.Errorf("%d bytes in %d, %v; want %d", len(out), cap(out), err, len(small)+len(many))
	}
}

// A reader of old gets a few batches at a time, and all of them in the end.
func TestFetchConvertsInParts(t *testing.T) {
	b := newRecordBroker(t)
	b.assign(1, 3, 1)
	const batches = 6
	value := string(make([]byte, 1_000_000))
	for range batches {
		if _, err := b.produce(produceRequest(9, 1, to(0, testBatch(t, protocol.BatchOptions{}, value)))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.produce(produceRequest(9, 1, to(3, testBatch(t, protocol.BatchOptions{}, "x")))); err != nil {
		t.Fatal(err)
	}
	for version := int16(0); version <= 3; version++ {
		api := fetch(b.Manager, FetchOptions{BytesMax: 55 << 20, SessionSlots: 10})
		r := b.fetchRequest(version, 0, 3)
		r.MaxBytes = 55 << 20
		partitions := r.Topics[0].Partitions
		for i := range partitions {
			partitions[i].PartitionMaxBytes = 55 << 20
		}
		answers := 0
		for ; partitions[0].FetchOffset < batches || partitions[1].FetchOffset < 1; answers++ {
			if answers == batches {
				t.Fatalf("v%d: at offsets %d and %d after %d answers", version, partitions[0].FetchOffset, partitions[1].FetchOffset, answers)
			}
			size := 0
			for i, p := range b.fetch(api, r).Topics[0].Partitions {
				size += len(p.RecordBatches)
				for batch, err := range protocol.Batches(p.RecordBatches) {
					if err != nil {
						break // the padding
					}
					partitions[i].FetchOffset = batch.NextOffset()
				}
			}
			if size > convertMax {
				t.Errorf("v%d: %d bytes in one answer", version, size)
			}
		}
		if answers != 2 {
			t.Errorf("v%d: %d answers", version, answers)
		}
	}
}

// memRange is a range of no file.
type memRange []byte

func (r memRange) Len() int                { return len(r) }
func (r memRange) File() (*os.File, int64) { return nil, 0 }
func (r memRange) Current() bool           { return true }
func (r memRange) Release()                {}

func (r memRange) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(r).ReadAt(p, offset)
}

func TestReadStored(t *testing.T) {
	large := testBatch(t, protocol.BatchOptions{}, string(make([]byte, convertMax)))
	for _, test := range []struct {
		name   string
		stored memRange
		old    int
		size   int
	}{
		{"a large batch comes first", append(large, large...), 0, len(large)},
		{"a large batch that is cut", large[:len(large)-1], 0, len(large) - 1},
		{"a large batch behind others", large, 100, convertMax - 100},
		{"a batch behind a large one", large, len(large), 0},
		{"no batch", make([]byte, 5), 0, 5},
		{"of no size that can be", make([]byte, convertMax+5), 0, convertMax},
	} {
		f := fetching{old: test.old}
		if stored, err := f.readStored(test.stored); err != nil || len(stored) != test.size {
			t.Errorf("%s: %d bytes, %v; want %d", test.name, len(stored), err, test.size)
		}
	}
}

// BenchmarkProduceHandler produces 64 KiB to one partition, with acks=all.
func BenchmarkProduceHandler(b *testing.B) {
	m := newRecordBroker(b)
	api := produce(m.Manager, nil)
	value := make([]byte, 1000)
	values := make([]string, 64)
	for i := range values {
		values[i] = string(value)
	}
	records := testBatch(b, protocol.BatchOptions{}, values...)
	r := produceRequest(9, -1, to(0, nil))
	call := testCall
	buf := make([]byte, len(records))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, records)
		r.Topics[0].Partitions[0].Records = buf
		if answer, wait, err := api.Begin(b.Context(), &call, r); err != nil || wait != nil || answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
			b.Fatal(answer, err)
		}
	}
}

// BenchmarkFetchHandler fetches one batch of 64 KiB in a session.
func BenchmarkFetchHandler(b *testing.B) {
	m := newRecordBroker(b)
	api := fetch(m.Manager, FetchOptions{BytesMax: 1 << 20, SessionSlots: 10})
	if _, err := m.produce(produceRequest(9, 1, to(0, testBatch(b, protocol.BatchOptions{}, string(make([]byte, 60<<10)))))); err != nil {
		b.Fatal(err)
	}
	full := m.fetchRequest(13, 0)
	full.SessionEpoch = 0
	first := m.fetch(api, full)
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 13, 1<<20, first.SessionID, 1
	b.ReportAllocs()
	for b.Loop() {
		answer, _, err := api.Begin(b.Context(), &testCall, next)
		if err != nil || len(answer.Reply.Chunks) < 2 {
			b.Fatal(answer.Reply, err)
		}
		answer.Reply.Release()
		next.SessionEpoch = nextSessionEpoch(next.SessionEpoch)
	}
}
