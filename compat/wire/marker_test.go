package wire

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What transactions do to partitions, without a coordinator: records are appended and markers written as the cases want it, since
// nobody verifies them.
func TestUnverifiedTransactions(t *testing.T) {
	s := NewSuite(t, map[string]string{"offsets.topic.num.partitions": offsetsPartitions, "transaction.partition.verification.enable": "false",
		"log.retention.ms": "-1"})
	warmUp(t, s)
	for _, cases := range [][]Case{markerCases, txnProduceCases, txnReadCases, txnOffsetCases} {
		for _, c := range cases {
			s.Run(t, c)
		}
	}
	_, gaps := s.Coverage(nil)
	for _, key := range []kmsg.Key{kmsg.WriteTxnMarkers, kmsg.TxnOffsetCommit} {
		for v := s.versions[key][0]; v <= s.versions[key][1]; v++ {
			if !s.compared[key][v] {
				t.Errorf("no case compares %s v%d (of %d)", key.Name(), v, len(gaps))
			}
		}
	}
}

const offsetsPartitions = "4"

// producerOf is a producer id that no other run uses, since partitions of __consumer_offsets are shared.
func producerOf(x *Exchange) int64 {
	n, err := strconv.Atoi(x.N[1:])
	if err != nil {
		x.T.Fatal(err)
	}
	return 1_000_000 + int64(n)*10
}

// txn is a batch of a producer's transaction.
func txn(producer int64, epoch int16, sequence int32, values ...string) []byte {
	return batch{values: values, producer: producer, epoch: epoch, sequence: sequence, attributes: 0x10}.bytes()
}

// txnProduce is a request with records of a transaction.
func txnProduce(topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	r := produce(-1, topic, partition, records)
	r.Version, r.TransactionID = 7, text("x")
	return r
}

// appendTxn appends records of transactions, whatever the case's API.
func appendTxn(x *Exchange, batches ...[]byte) {
	x.T.Helper()
	y := *x
	y.key = -1
	for _, b := range batches {
		y.Send(txnProduce(x.N, 0, b))
	}
}

type markerChange = func(*kmsg.WriteTxnMarkersRequestMarker)

func marker(producer int64, epoch int16, commit bool, topic string, partitions ...int32) kmsg.WriteTxnMarkersRequestMarker {
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = producer, epoch, commit, 3
	t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	t.Topic, t.Partitions = topic, partitions
	m.Topics = append(m.Topics, t)
	return m
}

func markers(m ...kmsg.WriteTxnMarkersRequestMarker) *kmsg.WriteTxnMarkersRequest {
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.Version, r.Markers = 1, m
	return r
}

func endTxn(x *Exchange, producer int64, epoch int16, commit bool) {
	x.T.Helper()
	y := *x
	if y.key != kmsg.WriteTxnMarkers {
		y.key = -1
	}
	y.Send(markers(marker(producer, epoch, commit, x.N, 0)))
}

// lookAtPartition compares what two kinds of readers see, where they stop, and what is known of the producers.
func lookAtPartition(x *Exchange) {
	x.T.Helper()
	readBack(x, x.N)
	y := *x
	y.key = -1
	y.Send(committedRead(x.N, 0, 11))
	latest := listOffsets(5, x.N, 0, -1)
	latest.IsolationLevel = 1
	y.Send(latest)
	y.Send(describeProducers(x.N, 0))
}

func committedRead(topic string, offset int64, version int16) *kmsg.FetchRequest {
	r := fetch(topic, [16]byte{}, 0, offset)
	r.Version, r.IsolationLevel = version, 1
	return r
}

// ending opens a transaction of two batches of producer 4000 in epoch 2 and sends a marker, changed by alter.
func ending(alter markerChange) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		appendTxn(x, txn(4000, 2, 0, "a", "b"), txn(4000, 2, 2, "c"))
		m := marker(4000, 2, true, x.N, 0)
		if alter != nil {
			alter(&m)
		}
		x.Send(markers(m))
		lookAtPartition(x)
	}
}

var markerCases = []Case{
	{"commit", kmsg.WriteTxnMarkers, 0, 0, ending(nil)},
	{"abort", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Committed = false })},
	{"higher epoch", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerEpoch, m.Committed = 3, false })},
	{"lower epoch", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerEpoch = 1 })},
	{"epoch -1", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerEpoch = -1 })},
	{"unknown producer", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerID = 5000 })},
	{"unknown producer, epoch -1", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerID, m.ProducerEpoch = 5000, -1 })},
	{"producer -1", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.ProducerID = -1 })},
	{"coordinator epoch -1", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.CoordinatorEpoch = -1 })},
	{"unknown partition", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics[0].Partitions = []int32{0, 7, -1} })},
	{"unknown topic", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics[0].Topic += "-b" })},
	{"bad topic name", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics[0].Topic = "a b" })},
	{"no topics", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics = nil })},
	{"no partitions", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics[0].Partitions = nil })},
	{"two partitions", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) { m.Topics[0].Partitions = []int32{1, 0} })},
	{"partition named twice", kmsg.WriteTxnMarkers, 0, 0, differently(func(x *Exchange) {
		createTopic(x, x.N, 1)
		patiently(x, markers(marker(4000, 0, true, x.N, 0, 0)))
	})},
	{"topic named twice", kmsg.WriteTxnMarkers, 0, 0, ending(func(m *kmsg.WriteTxnMarkersRequestMarker) {
		m.Topics = append(m.Topics, m.Topics[0])
		m.Topics[1].Partitions = []int32{1}
	})},
	{"nothing", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) { x.Send(markers()) }},
	{"several producers", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		appendTxn(x, txn(4000, 0, 0, "a"), txn(5000, 0, 0, "b"), txn(4000, 0, 1, "c"), txn(6000, 0, 0, "d"))
		x.Send(markers(marker(5000, 0, false, x.N, 0), marker(4000, 0, true, x.N, 0, 1)))
		lookAtPartition(x)
		x.Send(markers(marker(6000, 0, false, x.N, 0)))
		lookAtPartition(x)
	}},
	{"a producer in two markers", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		appendTxn(x, txn(4000, 0, 0, "a"))
		x.Send(markers(marker(4000, 0, true, x.N, 0), marker(4000, 0, false, x.N, 1, 9)))
		lookAtPartition(x)
	}},
	{"coordinator fenced", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		for _, epoch := range []int32{5, 4, 5, 6} {
			m := marker(4000, 0, true, x.N, 0)
			m.CoordinatorEpoch = epoch
			x.Send(markers(m))
		}
		lookAtPartition(x)
	}},
	{"stamped by the broker", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "message.timestamp.type", "LogAppendTime")
		appendTxn(x, txn(4000, 0, 0, "a"))
		x.Send(markers(marker(4000, 0, true, x.N, 0)))
		lookAtPartition(x)
	}},
	{"compacted topic", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact", "compression.type", "gzip")
		x.Send(markers(marker(4000, 0, true, x.N, 0)))
		lookAtPartition(x)
	}},
}

// then sends batches of transactions at the version under test.
func (x *Exchange) then(batches ...[]byte) {
	x.T.Helper()
	for _, b := range batches {
		x.Send(txnProduce(x.N, 0, b))
	}
}

var txnProduceCases = []Case{
	{"transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 0, 0, "a"), txn(4000, 0, 1, "b", "c"), txn(4000, 0, 1, "b", "c"), txn(4000, 0, 0, "a"), txn(4000, 0, 9, "d"))
		lookAtPartition(x)
	}},
	{"sequence over the end", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 0, 0, "a"), txn(4000, 0, 1, "b"))
		endTxn(x, 4000, 0, true)
		x.then(txn(4000, 0, 1, "b"), txn(4000, 0, 3, "c"), txn(4000, 0, 2, "c"))
		lookAtPartition(x)
	}},
	{"epoch of the marker", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 0, 0, "a"))
		endTxn(x, 4000, 1, false)
		x.then(txn(4000, 0, 1, "b"), txn(4000, 1, 1, "b"), txn(4000, 1, 0, "c"), txn(4000, 1, 0, "c"))
		lookAtPartition(x)
	}},
	{"new epoch in an open transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 0, 0, "a"), txn(4000, 1, 0, "b"), txn(4000, 0, 1, "c"))
		lookAtPartition(x)
	}},
	{"plain batch in an open transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 0, 0, "a"), from(4000, 0, 1, "b"))
		endTxn(x, 4000, 0, true)
		x.then(from(4000, 0, 1, "b"), txn(4000, 0, 2, "c"))
		lookAtPartition(x)
	}},
	{"unknown producer begins anywhere", kmsg.Produce, 9, 9, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(txn(4000, 3, 17, "a"), txn(4000, 3, 18, "b"))
		lookAtPartition(x)
	}},
	{"after a marker alone", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		endTxn(x, 4000, 2, true)
		x.then(txn(4000, 1, 0, "a"), txn(4000, 2, 5, "b"), txn(4000, 2, 6, "c"))
		lookAtPartition(x)
	}},
	{"two producers in a request", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		r := txnProduce(x.N, 0, txn(4000, 0, 0, "a"))
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, txnProduce(x.N, 1, txn(5000, 0, 0, "b")).Topics[0].Partitions...)
		x.Send(r)
	}},
	{"two epochs in a request", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		r := txnProduce(x.N, 0, txn(4000, 0, 0, "a"))
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, txnProduce(x.N, 1, txn(4000, 1, 0, "b")).Topics[0].Partitions...)
		x.Send(r)
	}},
	{"transaction without an id", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := txnProduce(x.N, 0, txn(4000, 0, 0, "a"))
		r.TransactionID = nil
		x.Send(r)
	}},
	{"empty transactional id", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := txnProduce(x.N, 0, txn(4000, 0, 0, "a"))
		r.TransactionID = new(string)
		x.Send(r)
	}},
	{"compressed transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.then(batch{values: []string{"a", longValue}, producer: 4000, attributes: 0x10, codec: 1}.bytes())
		endTxn(x, 4000, 0, true)
		lookAtPartition(x)
	}},
}

// interleaved has three transactions: 4000 commits at 6, 5000 aborts at 5, 6000 stays open from 7 on. 7000 aborts at 10.
func interleaved(x *Exchange, configs ...string) {
	x.T.Helper()
	createTopic(x, x.N, 1, configs...)
	appendTxn(x, txn(4000, 0, 0, "a", "b"), txn(5000, 0, 0, "c"), txn(4000, 0, 2, "d"), txn(5000, 0, 1, "e"))
	endTxn(x, 5000, 0, false)
	endTxn(x, 4000, 0, true)
	appendTxn(x, txn(6000, 0, 0, "f"), txn(7000, 0, 0, "g", "h"))
	endTxn(x, 7000, 0, false)
	appendRecords(x, x.N, 0, values("i"))
}

func committedFrom(offset int64, configs ...string) func(x *Exchange) {
	return func(x *Exchange) {
		interleaved(x, configs...)
		var ids [2][16]byte
		if x.V >= 10 {
			ids = topicIDs(x, x.N)
		}
		x.SendEach(func(side int) kmsg.Request {
			r := committedRead(x.N, offset, x.V)
			r.Topics[0].TopicID = ids[side]
			return r
		})
	}
}

func isolated(timestamp int64) func(x *Exchange) {
	return func(x *Exchange) {
		interleaved(x)
		r := listOffsets(x.V, x.N, 0, timestamp)
		r.IsolationLevel = 1
		x.Send(r)
	}
}

var txnReadCases = []Case{
	{"committed from the start", kmsg.Fetch, 4, 0, committedFrom(0)},
	{"committed from inside", kmsg.Fetch, 4, 0, committedFrom(3)},
	{"committed from the marker", kmsg.Fetch, 4, 0, differently(committedFrom(5))}, // what aborts behind the records that are sent
	{"committed from the last stable offset", kmsg.Fetch, 4, 0, committedFrom(7)},
	{"committed from beyond it", kmsg.Fetch, 4, 0, committedFrom(9)},
	{"committed from the end", kmsg.Fetch, 4, 0, committedFrom(12)},
	{"committed from out of range", kmsg.Fetch, 4, 0, committedFrom(13)},
	{"committed over segments", kmsg.Fetch, 4, 0, committedFrom(0, "segment.bytes", "100")},
	{"committed few bytes", kmsg.Fetch, 4, 11, func(x *Exchange) {
		interleaved(x)
		for _, offset := range []int64{0, 2, 3} {
			r := committedRead(x.N, offset, x.V)
			r.Topics[0].Partitions[0].PartitionMaxBytes = 80
			x.Send(r)
		}
	}},
	{"waits for the end of a transaction", kmsg.Fetch, 4, 11, func(x *Exchange) {
		createTopic(x, x.N, 1)
		appendTxn(x, txn(4000, 0, 0, "a"))
		r := committedRead(x.N, 0, x.V)
		r.MaxWaitMillis, r.MinBytes = 20_000, 1
		finish := x.On("reader").Begin(r)
		time.Sleep(300 * time.Millisecond)
		endTxn(x, 4000, 0, true)
		finish()
	}},
	{"waits for the first of two", kmsg.Fetch, 4, 11, func(x *Exchange) {
		createTopic(x, x.N, 1)
		appendTxn(x, txn(4000, 0, 0, "a"), txn(5000, 0, 0, "b"))
		endTxn(x, 5000, 0, true)
		r := committedRead(x.N, 0, x.V)
		r.MaxWaitMillis, r.MinBytes = 20_000, 1
		finish := x.On("reader").Begin(r)
		time.Sleep(300 * time.Millisecond)
		endTxn(x, 4000, 0, false)
		finish()
	}},
	{"deleted into a transaction", kmsg.Fetch, 4, 11, func(x *Exchange) {
		createTopic(x, x.N, 1)
		appendTxn(x, txn(4000, 0, 0, "a", "b"), txn(5000, 0, 0, "c"), txn(4000, 0, 2, "d"))
		y := *x
		y.key = -1
		y.Send(cutoff(x.N, 1))
		lookAtPartition(x)
		y.Send(cutoff(x.N, 4))
		lookAtPartition(x)
		endTxn(x, 4000, 0, false)
		x.Send(committedRead(x.N, 4, x.V))
		lookAtPartition(x)
		endTxn(x, 5000, 0, true)
		lookAtPartition(x)
	}},

	{"committed latest", kmsg.ListOffsets, 2, 0, isolated(-1)},
	{"committed earliest", kmsg.ListOffsets, 2, 0, isolated(-2)},
	{"committed largest time", kmsg.ListOffsets, 7, 0, isolated(-3)},
	{"committed by time", kmsg.ListOffsets, 2, 0, isolated(epochMillis)},
	{"committed by the last time", kmsg.ListOffsets, 2, 0, isolated(epochMillis + 1)},
	{"committed by a later time", kmsg.ListOffsets, 2, 0, isolated(epochMillis + 2)},

	{"open transactions", kmsg.DescribeProducers, 0, 0, func(x *Exchange) { interleaved(x); x.Send(describeProducers(x.N, 0)) }},
	{"fenced producer", kmsg.DescribeProducers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		appendTxn(x, txn(4000, 0, 0, "a"))
		endTxn(x, 4000, 1, false)
		x.Send(describeProducers(x.N, 0))
	}},
}

// groupPartition is the partition of __consumer_offsets that has the group.
func groupPartition(x *Exchange, group string) int32 {
	var h int32
	for _, c := range group {
		h = 31*h + c
	}
	n, err := strconv.Atoi(offsetsPartitions)
	if err != nil {
		x.T.Fatal(err)
	}
	return (h & 0x7fffffff) % int32(n) // for these names the same as Java's abs
}

func txnCommit(x *Exchange, offset int64) *kmsg.TxnOffsetCommitRequest {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group, r.ProducerID, r.Generation = "x", x.N, producerOf(x), -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = x.N
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, text("m")
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// endCommit ends the transaction in the group's partition.
func endCommit(x *Exchange, commit bool) {
	x.T.Helper()
	y := *x
	y.key = -1
	y.Send(markers(marker(producerOf(x), 0, commit, "__consumer_offsets", groupPartition(x, x.N))))
}

// groupOffsets compares what consumers find, those that insist on stable offsets and those that do not.
func groupOffsets(x *Exchange) {
	x.T.Helper()
	y := *x
	y.key = -1
	y.Send(committed(5, x.N, x.N))
	stable := committed(7, x.N, x.N)
	stable.RequireStable = true
	y.Send(stable)
	all := committed(7, x.N, x.N)
	all.RequireStable, all.Topics = true, nil
	y.Send(all)
}

// committingTxn commits in a transaction, changed by alter, and looks at the offsets before and after its end.
func committingTxn(commit bool, alter func(*kmsg.TxnOffsetCommitRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		r := txnCommit(x, 42)
		if alter != nil {
			alter(r)
		}
		x.Send(r)
		groupOffsets(x)
		endCommit(x, commit)
		groupOffsets(x)
	}
}

func txnCommitPartition(f func(*kmsg.TxnOffsetCommitRequestTopicPartition)) func(*kmsg.TxnOffsetCommitRequest) {
	return func(r *kmsg.TxnOffsetCommitRequest) { f(&r.Topics[0].Partitions[0]) }
}

// lowerEpoch commits in a transaction, and again as a producer that was fenced.
func lowerEpoch(x *Exchange) {
	x.T.Helper()
	createTopic(x, x.N, 2)
	r := txnCommit(x, 42)
	r.ProducerEpoch = 1
	x.Send(r)
	r.ProducerEpoch = 0
	x.Send(r)
}

// memberCommits commits in a transaction for a member of a stable group, changed by alter.
func memberCommits(alter func(*kmsg.TxnOffsetCommitRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		m := stable(x, x.N)
		x.SendEach(func(side int) kmsg.Request {
			r := txnCommit(x, 42)
			r.MemberID, r.Generation = m.ids[side], m.generation
			if alter != nil {
				alter(r)
			}
			return r
		})
		groupOffsets(x)
		endCommit(x, true)
		groupOffsets(x)
	}
}

var txnOffsetCases = []Case{
	{"commit", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, nil)},
	{"abort", kmsg.TxnOffsetCommit, 0, 0, committingTxn(false, nil)},
	{"unknown partition", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, kmsg.TxnOffsetCommitRequestTopicPartition{Partition: 7}, kmsg.TxnOffsetCommitRequestTopicPartition{Partition: 1, LeaderEpoch: 5})
	})},
	{"unknown topic", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Topic += "-b" })},
	{"no topics", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics = nil })},
	{"no group", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "" })},
	{"no transactional id", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) { r.TransactionalID = "" })},
	{"null metadata", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, txnCommitPartition(func(p *kmsg.TxnOffsetCommitRequestTopicPartition) { p.Metadata = nil }))},
	{"long metadata", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, txnCommitPartition(func(p *kmsg.TxnOffsetCommitRequestTopicPartition) { p.Metadata = text(longValue + longValue) }))},
	{"negative offset", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, txnCommitPartition(func(p *kmsg.TxnOffsetCommitRequestTopicPartition) { p.Offset = -7 }))},
	{"leader epoch", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, txnCommitPartition(func(p *kmsg.TxnOffsetCommitRequestTopicPartition) { p.LeaderEpoch = 0 }))},
	{"lower producer epoch", kmsg.TxnOffsetCommit, 0, 0, func(x *Exchange) { lowerEpoch(x) }},
	{"pending after a commit that failed", kmsg.TxnOffsetCommit, 0, 0, differently(func(x *Exchange) {
		lowerEpoch(x)
		groupOffsets(x)
	})},
	{"twice", kmsg.TxnOffsetCommit, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(txnCommit(x, 42))
		x.Send(txnCommit(x, 43))
		y := *x
		y.key = -1
		plain := commit(x.N, x.N, 1)
		plain.Version = 5
		y.Send(plain)
		groupOffsets(x)
		endCommit(x, true)
		groupOffsets(x)
	}},
	{"two producers", kmsg.TxnOffsetCommit, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(txnCommit(x, 42))
		other := txnCommit(x, 43)
		other.ProducerID++
		x.Send(other)
		endCommit(x, false)
		groupOffsets(x)
		y := *x
		y.key = -1
		y.Send(markers(marker(other.ProducerID, 0, true, "__consumer_offsets", groupPartition(x, x.N))))
		groupOffsets(x)
	}},
	{"as a member", kmsg.TxnOffsetCommit, 0, 0, memberCommits(nil)},
	{"of an old generation", kmsg.TxnOffsetCommit, 0, 0, memberCommits(func(r *kmsg.TxnOffsetCommitRequest) { r.Generation-- })},
	{"generation -1", kmsg.TxnOffsetCommit, 0, 0, memberCommits(func(r *kmsg.TxnOffsetCommitRequest) { r.Generation = -1 })},
	{"unknown member", kmsg.TxnOffsetCommit, 0, 0, memberCommits(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID = "x" })},
	{"no member", kmsg.TxnOffsetCommit, 0, 0, memberCommits(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "", -1 })},
	{"unknown instance", kmsg.TxnOffsetCommit, 0, 0, memberCommits(func(r *kmsg.TxnOffsetCommitRequest) { r.InstanceID = text("i") })},
	{"generation of no group", kmsg.TxnOffsetCommit, 0, 0, committingTxn(true, func(r *kmsg.TxnOffsetCommitRequest) { r.Generation, r.MemberID = 3, "x" })},
	{"group deleted within", kmsg.TxnOffsetCommit, 3, 3, differently(func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(txnCommit(x, 42))
		y := *x
		y.key = -1
		del := deleteGroups(x.N)
		del.Version = 1
		y.Send(del)
		endCommit(x, true)
		groupOffsets(x)
	})},
}
