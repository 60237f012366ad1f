package wire

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filled makes a topic of one partition with these batches, and returns its ids.
func filled(x *Exchange, batches ...[]byte) (ids [2][16]byte) {
	x.T.Helper()
	createTopic(x, x.N, 1)
	for _, b := range batches {
		appendRecords(x, x.N, 0, b)
	}
	if x.V >= 10 {
		ids = topicIDs(x, x.N)
	}
	return ids
}

// fetching fetches partition 0 from an offset, changed by alter.
func fetching(offset int64, alter func(*kmsg.FetchRequest), batches ...[]byte) func(x *Exchange) {
	return func(x *Exchange) {
		ids := filled(x, batches...)
		x.SendEach(func(side int) kmsg.Request {
			r := fetch(x.N, ids[side], 0, offset)
			if alter != nil {
				alter(r)
			}
			return r
		})
	}
}

func partition(f func(*kmsg.FetchRequestTopicPartition)) func(*kmsg.FetchRequest) {
	return func(r *kmsg.FetchRequest) { f(&r.Topics[0].Partitions[0]) }
}

func listOffsets(version int16, topic string, p int32, timestamp int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = version, -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	q := kmsg.NewListOffsetsRequestTopicPartition()
	q.Partition, q.Timestamp, q.MaxNumOffsets, q.CurrentLeaderEpoch = p, timestamp, 10, -1
	t.Partitions = append(t.Partitions, q)
	r.Topics = append(r.Topics, t)
	return r
}

// lookup asks for the offset of a time in a partition with nine records in three batches, the second compressed.
func lookup(timestamp int64, configs ...string) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 1, configs...)
		appendRecords(x, x.N, 0, values("a", "b", "c"))
		appendRecords(x, x.N, 0, batch{values: []string{"d", "e", "f"}, codec: 3, time: epochMillis + 10}.bytes())
		appendRecords(x, x.N, 0, batch{values: []string{"g", "h", "i"}, time: epochMillis + 5}.bytes())
		x.Send(listOffsets(x.V, x.N, 0, timestamp))
	}
}

func epochEnd(topic string, current, epoch int32) *kmsg.OffsetForLeaderEpochRequest {
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.CurrentLeaderEpoch, p.LeaderEpoch = current, epoch
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func epochs(current, epoch int32) func(x *Exchange) {
	return func(x *Exchange) { filled(x, good); x.Send(epochEnd(x.N, current, epoch)) }
}

var three = [][]byte{values("a", "b", "c"), values("d", "e"), values("f")}

var fetchCases = []Case{
	{"from the start", kmsg.Fetch, 0, 0, fetching(0, nil, three...)},
	{"from inside a batch", kmsg.Fetch, 0, 0, fetching(1, nil, three...)},
	{"from the second batch", kmsg.Fetch, 0, 0, fetching(3, nil, three...)},
	{"at the end", kmsg.Fetch, 0, 0, fetching(6, nil, three...)},
	{"beyond the end", kmsg.Fetch, 0, 0, fetching(7, nil, three...)},
	{"from -1", kmsg.Fetch, 0, 0, fetching(-1, nil, three...)},
	{"empty partition", kmsg.Fetch, 0, 0, fetching(0, nil)},
	{"gzip", kmsg.Fetch, 0, 0, fetching(0, nil, codec(1))},
	{"snappy", kmsg.Fetch, 0, 0, fetching(0, nil, codec(2))},
	{"lz4", kmsg.Fetch, 0, 0, fetching(0, nil, codec(3))},
	{"zstd", kmsg.Fetch, 0, 0, fetching(0, nil, codec(4))},
	{"keys and headers", kmsg.Fetch, 0, 0, fetching(0, nil, keyed.bytes())},
	{"idempotent", kmsg.Fetch, 4, 0, fetching(0, nil, idempotent(0, "a", "b"))},
	{"one byte of the partition", kmsg.Fetch, 0, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = 1 }), three...)},
	{"100 bytes of the partition", kmsg.Fetch, 0, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = 100 }), three...)},
	{"0 bytes of the partition", kmsg.Fetch, 0, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = 0 }), three...)},
	{"negative bytes of the partition", kmsg.Fetch, 4, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = -1 }), three...)},
	{"100 bytes in all", kmsg.Fetch, 3, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MaxBytes = 100 }, three...)},
	{"1 byte in all", kmsg.Fetch, 3, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MaxBytes = 1 }, three...)},
	{"0 bytes in all", kmsg.Fetch, 3, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MaxBytes = 0 }, three...)},
	{"from inside with few bytes", kmsg.Fetch, 0, 0, fetching(1, partition(func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = 80 }), three...)},
	{"read committed", kmsg.Fetch, 4, 0, fetching(0, func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }, three...)},
	{"isolation level 2", kmsg.Fetch, 4, 0, fetching(0, func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 }, three...)},
	{"leader epoch 0", kmsg.Fetch, 9, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 0 }), three...)},
	{"leader epoch 5", kmsg.Fetch, 9, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 5 }), three...)},
	{"leader epoch -2", kmsg.Fetch, 9, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = -2 }), three...)},
	{"last fetched epoch 0", kmsg.Fetch, 12, 0, fetching(3, partition(func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 0 }), three...)},
	{"last fetched epoch 3", kmsg.Fetch, 12, 0, fetching(3, partition(func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 3 }), three...)},
	{"beyond the end with last epoch", kmsg.Fetch, 12, 0, fetching(9, partition(func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 0 }), three...)},
	{"rack", kmsg.Fetch, 11, 0, fetching(0, func(r *kmsg.FetchRequest) { r.Rack = "r1" }, three...)},
	{"unknown partition", kmsg.Fetch, 0, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.Partition = 9 }), three...)},
	{"partition -1", kmsg.Fetch, 0, 0, fetching(0, partition(func(p *kmsg.FetchRequestTopicPartition) { p.Partition = -1 }), three...)},
	{"unknown topic", kmsg.Fetch, 0, 0, func(x *Exchange) { x.Send(fetch(x.N, [16]byte{1, 2}, 0, 0)) }},
	{"zero topic id", kmsg.Fetch, 13, 0, func(x *Exchange) { x.Send(fetch(x.N, [16]byte{}, 0, 0)) }},
	{"bad topic name", kmsg.Fetch, 0, 12, func(x *Exchange) { x.Send(fetch("a b", [16]byte{}, 0, 0)) }},
	{"no topics", kmsg.Fetch, 0, 0, func(x *Exchange) { r := fetch(x.N, [16]byte{}, 0, 0); r.Topics = nil; x.Send(r) }},
	{"partition named twice", kmsg.Fetch, 4, 0, fetching(0, func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		r.Topics[0].Partitions[1].FetchOffset = 3
	}, three...)},
	{"two partitions", kmsg.Fetch, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		appendRecords(x, x.N, 0, good)
		appendRecords(x, x.N, 1, values("d"))
		ids := [2][16]byte{}
		if x.V >= 13 {
			ids = topicIDs(x, x.N)
		}
		x.SendEach(func(side int) kmsg.Request {
			r := fetch(x.N, ids[side], 1, 0)
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetch(x.N, ids[side], 0, 0).Topics[0].Partitions...)
			return r
		})
	}},
	{"waits for records", kmsg.Fetch, 0, 0, func(x *Exchange) {
		ids := filled(x)
		finish := x.On("reader").BeginEach(func(side int) kmsg.Request {
			r := fetch(x.N, ids[side], 0, 0)
			r.MaxWaitMillis, r.MinBytes = 20000, 1
			return r
		})
		time.Sleep(30 * time.Millisecond) // either order is right; this one is what the case is for
		appendRecords(x, x.N, 0, good)
		finish()
	}},
	{"waits its time", kmsg.Fetch, 0, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = 50, 1000 }, good)},
	{"does not wait over an error", kmsg.Fetch, 0, 0, fetching(99, func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = 20000, 1000 }, good)},
	{"max wait negative", kmsg.Fetch, 0, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = -1, 1000 }, good)},
	{"min bytes negative", kmsg.Fetch, 0, 0, fetching(0, func(r *kmsg.FetchRequest) { r.MinBytes = -1 }, good)},
	{"large batches", kmsg.Fetch, 0, 0, fetching(0, nil, values(strings.Repeat("x", 300_000)), values(strings.Repeat("y", 300_000)), values(strings.Repeat("z", 900_000)))},
	{"message format 1", kmsg.Fetch, 0, 0, fetching(0, nil, messages(1, "a", "b"))},
	{"message format 0", kmsg.Fetch, 0, 0, fetching(0, nil, messages(0, "a", "b"))},
	{"message format 1, gzip", kmsg.Fetch, 0, 0, fetching(0, nil, wrapped(1, 1, "a", "b"))},

	{"session", kmsg.Fetch, 7, 0, fetchSession},
	{"session, wrong epoch", kmsg.Fetch, 7, 0, func(x *Exchange) {
		ids := filled(x, good)
		first := x.SendEach(func(side int) kmsg.Request { r := fetch(x.N, ids[side], 0, 0); r.SessionEpoch = 0; return r })
		x.SendEach(sessionRequest(first, 5, nil))
	}},
	{"session, unknown id", kmsg.Fetch, 7, 0, func(x *Exchange) {
		r := fetch(x.N, [16]byte{}, 0, 0)
		r.Topics, r.SessionID, r.SessionEpoch = nil, 12345, 1
		x.Send(r)
	}},
	{"session, epoch -2", kmsg.Fetch, 7, 0, func(x *Exchange) {
		r := fetch(x.N, [16]byte{}, 0, 0)
		r.Topics, r.SessionID, r.SessionEpoch = nil, 0, -2
		x.Send(r)
	}},
	{"session, closed", kmsg.Fetch, 7, 0, func(x *Exchange) {
		ids := filled(x, good)
		first := x.SendEach(func(side int) kmsg.Request { r := fetch(x.N, ids[side], 0, 0); r.SessionEpoch = 0; return r })
		x.SendEach(sessionRequest(first, -1, nil))
		x.SendEach(sessionRequest(first, 1, nil))
	}},
	{"session of an unknown topic", kmsg.Fetch, 7, 0, func(x *Exchange) {
		r := fetch(x.N, [16]byte{1, 2, 3}, 0, 0)
		r.SessionEpoch = 0
		first := x.Send(r)
		x.SendEach(sessionRequest(first, 1, nil))
	}},

	{"latest", kmsg.ListOffsets, 0, 0, lookup(-1)},
	{"earliest", kmsg.ListOffsets, 0, 0, lookup(-2)},
	{"max timestamp", kmsg.ListOffsets, 0, 0, lookup(-3)},
	{"earliest local", kmsg.ListOffsets, 0, 0, lookup(-4)},
	{"latest tiered", kmsg.ListOffsets, 0, 0, lookup(-5)},
	{"timestamp -6", kmsg.ListOffsets, 0, 0, lookup(-6)},
	{"timestamp 0", kmsg.ListOffsets, 0, 0, lookup(0)},
	{"exact time", kmsg.ListOffsets, 0, 0, lookup(epochMillis + 1)},
	{"time inside a compressed batch", kmsg.ListOffsets, 0, 0, lookup(epochMillis + 11)},
	{"time between batches", kmsg.ListOffsets, 0, 0, lookup(epochMillis + 5)},
	{"time after the last", kmsg.ListOffsets, 0, 0, lookup(epochMillis + 1000)},
	{"latest, old-format topic", kmsg.ListOffsets, 0, 0, func(x *Exchange) { filled(x, messages(1, "a", "b")); x.Send(listOffsets(x.V, x.N, 0, -1)) }},
	{"max timestamp, empty", kmsg.ListOffsets, 7, 0, func(x *Exchange) { filled(x); x.Send(listOffsets(x.V, x.N, 0, -3)) }},
	{"time in an empty partition", kmsg.ListOffsets, 0, 0, func(x *Exchange) { filled(x); x.Send(listOffsets(x.V, x.N, 0, 1)) }},
	{"every partition and time", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		for _, p := range []int32{0, -1, -2, 1, 1 << 30} {
			for _, at := range []int64{-1, -2, -3, -4, -5, -6, -7, -1 << 62, 0, 1 << 62} {
				x.Send(listOffsets(x.V, x.N, p, at))
				x.Send(listOffsets(x.V, x.N+"-b", p, at))
			}
		}
	}},
	{"no topics", kmsg.ListOffsets, 0, 0, func(x *Exchange) { r := listOffsets(x.V, x.N, 0, 0); r.Topics = nil; x.Send(r) }},
	{"no partitions", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, 0)
		r.Topics[0].Partitions = nil
		r.Topics = append(r.Topics, listOffsets(x.V, x.N, 0, -1).Topics...)
		x.Send(r)
	}},
	{"partition named twice, once unknown", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		r := listOffsets(x.V, x.N, 0, -1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		x.Send(r)
		r.Topics[0].Partitions[0].Timestamp = -9
		x.Send(r)
	}},
	{"bad topic name", kmsg.ListOffsets, 0, 0, func(x *Exchange) { x.Send(listOffsets(x.V, "a b", 0, -1)); x.Send(listOffsets(x.V, "", 0, -1)) }},
	{"isolation level 2", kmsg.ListOffsets, 2, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.IsolationLevel = 2
		x.Send(r)
	}},
	{"many offsets wanted", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		for _, n := range []int32{-1, 1, 1 << 30} {
			r := listOffsets(x.V, x.N, 0, -1)
			r.Topics[0].Partitions[0].MaxNumOffsets = n
			x.Send(r)
		}
	}},
	{"unknown topic", kmsg.ListOffsets, 0, 0, func(x *Exchange) { x.Send(listOffsets(x.V, x.N, 0, -1)) }},
	{"unknown partition", kmsg.ListOffsets, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(listOffsets(x.V, x.N, 5, -1)) }},
	{"partition named twice", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		x.Send(r)
	}},
	{"read committed", kmsg.ListOffsets, 2, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.IsolationLevel = 1
		x.Send(r)
	}},
	{"as a replica", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.ReplicaID = 1
		x.Send(r)
	}},
	{"as the debugging client", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.ReplicaID = -2
		x.Send(r)
	}},
	{"leader epoch", kmsg.ListOffsets, 4, 0, func(x *Exchange) {
		filled(x, good)
		for _, epoch := range []int32{0, 5, -2} {
			r := listOffsets(x.V, x.N, 0, -1)
			r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			x.Send(r)
		}
	}},
	{"no offsets wanted", kmsg.ListOffsets, 0, 0, func(x *Exchange) {
		filled(x, good)
		r := listOffsets(x.V, x.N, 0, -1)
		r.Topics[0].Partitions[0].MaxNumOffsets = 0
		x.Send(r)
	}},

	{"current epoch", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(-1, 0)},
	{"epoch above", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(-1, 3)},
	{"epoch -1", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(-1, -1)},
	{"fenced", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(-2, 0)},
	{"ahead", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(4, 0)},
	{"known", kmsg.OffsetForLeaderEpoch, 0, 0, epochs(0, 0)},
	{"empty partition", kmsg.OffsetForLeaderEpoch, 0, 0, func(x *Exchange) { filled(x); x.Send(epochEnd(x.N, -1, 0)) }},
	{"unknown topic", kmsg.OffsetForLeaderEpoch, 0, 0, func(x *Exchange) { x.Send(epochEnd(x.N, -1, 0)) }},
	{"as a replica", kmsg.OffsetForLeaderEpoch, 3, 0, func(x *Exchange) {
		filled(x, good)
		r := epochEnd(x.N, -1, 0)
		r.ReplicaID = 1
		x.Send(r)
	}},

	{"active producer", kmsg.DescribeProducers, 0, 0, func(x *Exchange) {
		filled(x, idempotent(0, "a", "b"), from(5000, 3, 0, "c"))
		x.Send(describeProducers(x.N, 0))
	}},
	{"no producer", kmsg.DescribeProducers, 0, 0, func(x *Exchange) { filled(x, good); x.Send(describeProducers(x.N, 0)) }},
	{"unknown", kmsg.DescribeProducers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(describeProducers(x.N, 7))
		x.Send(describeProducers(x.N+"-b", 0))
	}},
	{"bad name", kmsg.DescribeProducers, 0, 0, func(x *Exchange) { x.Send(describeProducers("a b", 0)) }},
}

func describeProducers(topic string, partition int32) *kmsg.DescribeProducersRequest {
	r := kmsg.NewPtrDescribeProducersRequest()
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = topic, []int32{partition}
	r.Topics = append(r.Topics, t)
	return r
}

// sessionRequest goes on with the session that first began.
func sessionRequest(first Answers, epoch int32, topics func(side int) []kmsg.FetchRequestTopic) func(side int) kmsg.Request {
	return func(side int) kmsg.Request {
		r := fetch("", [16]byte{}, 0, 0)
		r.Topics = nil
		if topics != nil {
			r.Topics = topics(side)
		}
		if f, ok := first.Response(side).(*kmsg.FetchResponse); ok {
			r.SessionID = f.SessionID
		}
		r.SessionEpoch = epoch
		return r
	}
}

// fetchSession goes through a session's life: full fetch, nothing new, something new, a partition moved on, one added, one forgotten.
func fetchSession(x *Exchange) {
	createTopic(x, x.N, 2)
	appendRecords(x, x.N, 0, good)
	ids := topicIDs(x, x.N)
	first := x.SendEach(func(side int) kmsg.Request { r := fetch(x.N, ids[side], 0, 0); r.SessionEpoch = 0; return r })
	moved := func(p int32, offset int64) func(side int) []kmsg.FetchRequestTopic {
		return func(side int) []kmsg.FetchRequestTopic { return fetch(x.N, ids[side], p, offset).Topics }
	}
	x.SendEach(sessionRequest(first, 1, moved(0, 3)))
	x.SendEach(sessionRequest(first, 2, nil))
	appendRecords(x, x.N, 0, values("d"))
	x.SendEach(sessionRequest(first, 3, nil))
	x.SendEach(sessionRequest(first, 4, moved(1, 0)))
	x.SendEach(func(side int) kmsg.Request {
		r := sessionRequest(first, 5, nil)(side).(*kmsg.FetchRequest)
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.TopicID, f.Partitions = x.N, ids[side], []int32{0}
		r.ForgottenTopics = append(r.ForgottenTopics, f)
		return r
	})
	x.SendEach(sessionRequest(first, 6, moved(0, 99)))
	x.SendEach(sessionRequest(first, 7, nil))
}
