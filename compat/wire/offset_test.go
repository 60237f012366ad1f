package wire

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// committing commits from outside of a group, changed by alter, and reads back.
func committing(alter func(*kmsg.OffsetCommitRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		r := commit(x.N, x.N, 42)
		if alter != nil {
			alter(r)
		}
		x.Send(r)
		x.Send(committed(min(x.V, 5), r.Group, x.N))
	}
}

func commitPartition(f func(*kmsg.OffsetCommitRequestTopicPartition)) func(*kmsg.OffsetCommitRequest) {
	return func(r *kmsg.OffsetCommitRequest) { f(&r.Topics[0].Partitions[0]) }
}

// asMember commits as a member of a stable group, changed by alter.
func asMember(alter func(*kmsg.OffsetCommitRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		m := stable(x, x.N)
		m.commit(42, alter)
		x.Send(committed(5, x.N, x.N))
		m.commit(43, nil)
	}
}

func reading(topic string) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		at := int16(7)
		if x.V == 0 {
			at = 0 // version 0 reads what version 0 wrote
		}
		r := commit(x.N, x.N, 42)
		r.Version = at
		x.Send(r)
		name := topic
		if topic == "own" {
			name = x.N
		}
		x.Send(committed(x.V, x.N, name))
	}
}

// without asks for two topics, of which the first few, as count says, are named without partitions.
func without(x *Exchange, count func(topics int) int) *kmsg.OffsetFetchRequest {
	r := committed(x.V, x.N, x.N)
	r.Topics = append(r.Topics, committed(x.V, x.N, x.N+"-b").Topics...)
	r.Groups[0].Topics = append(r.Groups[0].Topics, committed(x.V, x.N, x.N+"-b").Groups[0].Topics...)
	for i := range count(len(r.Topics)) {
		r.Topics[i].Partitions, r.Groups[0].Topics[i].Partitions = []int32{}, []int32{}
	}
	return r
}

func deletingOffset(topic string, partition int32) func(x *Exchange, group string) Answers {
	return func(x *Exchange, group string) Answers {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic
		p := kmsg.NewOffsetDeleteRequestTopicPartition()
		p.Partition = partition
		t.Partitions = append(t.Partitions, p)
		r.Topics = append(r.Topics, t)
		return x.Send(r)
	}
}

var offsetCases = []Case{
	{"from outside", kmsg.OffsetCommit, 0, 0, committing(nil)},
	{"twice", kmsg.OffsetCommit, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(commit(x.N, x.N, 42))
		x.Send(commit(x.N, x.N, 7))
		x.Send(committed(min(x.V, 5), x.N, x.N))
	}},
	{"metadata of 4096 bytes", kmsg.OffsetCommit, 0, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = text(strings.Repeat("m", 4096)) }))},
	{"metadata of 4097 bytes", kmsg.OffsetCommit, 0, 0, func(x *Exchange) {
		committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = text(strings.Repeat("m", 4097)) }))(x)
		discard(x)
	}},
	{"metadata null", kmsg.OffsetCommit, 0, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = nil }))},
	{"metadata empty", kmsg.OffsetCommit, 1, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = text("") }))},
	{"offset -1", kmsg.OffsetCommit, 1, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset = -1 }))},
	{"offset -2", kmsg.OffsetCommit, 1, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset = -2 }))},
	{"leader epoch -1", kmsg.OffsetCommit, 6, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.LeaderEpoch = -1 }))},
	{"leader epoch 9", kmsg.OffsetCommit, 6, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.LeaderEpoch = 9 }))},
	{"unknown partition", kmsg.OffsetCommit, 0, 0, committing(commitPartition(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Partition = 7 }))},
	{"unknown topic", kmsg.OffsetCommit, 0, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic += "-no" })},
	{"bad topic name", kmsg.OffsetCommit, 0, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "a b" })},
	{"no topics", kmsg.OffsetCommit, 1, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Topics = nil })},
	{"empty group", kmsg.OffsetCommit, 1, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Group = "" })},
	{"retention given", kmsg.OffsetCommit, 2, 4, committing(func(r *kmsg.OffsetCommitRequest) { r.RetentionTimeMillis = 3600_000 })},
	{"generation 1 of no group", kmsg.OffsetCommit, 1, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Generation = 1 })},
	{"member of no group", kmsg.OffsetCommit, 1, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.Generation, r.MemberID = 1, "nobody" })},
	{"instance of no group", kmsg.OffsetCommit, 7, 0, committing(func(r *kmsg.OffsetCommitRequest) { r.InstanceID = text("i") })},
	{"as a member", kmsg.OffsetCommit, 1, 0, asMember(nil)},
	{"as a member of another generation", kmsg.OffsetCommit, 1, 0, asMember(func(r *kmsg.OffsetCommitRequest) { r.Generation++ })},
	{"as an unknown member", kmsg.OffsetCommit, 1, 0, asMember(func(r *kmsg.OffsetCommitRequest) { r.MemberID = "nobody" })},
	{"from outside of a group with members", kmsg.OffsetCommit, 1, 0, asMember(func(r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = "", -1 })},
	{"as an unknown instance", kmsg.OffsetCommit, 7, 0, asMember(func(r *kmsg.OffsetCommitRequest) { r.InstanceID = text("i") })},

	{"own topic", kmsg.OffsetFetch, 0, 0, reading("own")},
	{"unknown topic", kmsg.OffsetFetch, 0, 0, reading("no-such-topic")},
	{"bad topic name", kmsg.OffsetFetch, 0, 0, reading("a b")},
	{"all topics", kmsg.OffsetFetch, 2, 0, func(x *Exchange) {
		reading("own")(x)
		r := committed(x.V, x.N, "")
		r.Topics, r.Groups[0].Topics = nil, nil
		x.Send(r)
	}},
	{"no topics", kmsg.OffsetFetch, 0, 0, func(x *Exchange) {
		r := committed(x.V, x.N, "")
		r.Topics, r.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		x.Send(r)
	}},
	{"unknown group", kmsg.OffsetFetch, 0, 0, func(x *Exchange) { x.Send(committed(x.V, x.N, "no-such-topic")) }},
	{"empty group", kmsg.OffsetFetch, 1, 0, func(x *Exchange) { x.Send(committed(x.V, "", "no-such-topic")) }},
	{"topics without partitions", kmsg.OffsetFetch, 0, 0, func(x *Exchange) {
		reading("own")(x)
		x.Send(without(x, func(topics int) int { return topics }))
		x.Send(without(x, func(int) int { return 1 }))
	}},
	{"topics without partitions, unknown", kmsg.OffsetFetch, 0, 0, func(x *Exchange) { x.Send(without(x, func(topics int) int { return topics })) }},
	{"topics without partitions, empty group", kmsg.OffsetFetch, 0, 0, func(x *Exchange) {
		r := without(x, func(topics int) int { return topics })
		r.Group, r.Groups[0].Group = "", ""
		x.Send(r)
	}},
	{"topic named twice", kmsg.OffsetFetch, 0, 0, func(x *Exchange) {
		reading("own")(x)
		r := committed(x.V, x.N, x.N)
		r.Topics = append(r.Topics, r.Topics...)
		r.Groups[0].Topics = append(r.Groups[0].Topics, r.Groups[0].Topics...)
		x.Send(r)
	}},
	{"partition -1", kmsg.OffsetFetch, 0, 0, func(x *Exchange) {
		reading("own")(x)
		r := committed(x.V, x.N, x.N)
		r.Topics[0].Partitions, r.Groups[0].Topics[0].Partitions = []int32{-1, 7}, []int32{-1, 7}
		x.Send(r)
	}},
	{"stable offsets only", kmsg.OffsetFetch, 7, 0, func(x *Exchange) {
		reading("own")(x)
		r := committed(x.V, x.N, x.N)
		r.RequireStable = true
		x.Send(r)
	}},
	{"two groups", kmsg.OffsetFetch, 8, 0, func(x *Exchange) {
		reading("own")(x)
		r := committed(x.V, x.N, x.N)
		r.Groups = append(r.Groups, committed(x.V, x.N+"-b", x.N).Groups...)
		x.Send(r)
	}},
	{"member of no group", kmsg.OffsetFetch, 9, 0, func(x *Exchange) {
		r := committed(x.V, x.N, "no-such-topic")
		r.Groups[0].MemberID, r.Groups[0].MemberEpoch = text("m"), 3
		x.Send(r)
	}},

	{"of a group without members", kmsg.OffsetDelete, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(commit(x.N, x.N, 42))
		deletingOffset(x.N, 0)(x, x.N)
		deletingOffset(x.N, 1)(x, x.N)
		deletingOffset(x.N, 7)(x, x.N)
		deletingOffset(x.N+"-no", 0)(x, x.N)
		deletingOffset("a b", 0)(x, x.N)
		x.Send(committed(5, x.N, x.N))
	}},
	{"of an unknown group", kmsg.OffsetDelete, 0, 0, func(x *Exchange) { deletingOffset(x.N, 0)(x, x.N); deletingOffset(x.N, 0)(x, "") }},
	{"of a subscribed topic", kmsg.OffsetDelete, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		createTopic(x, x.N+"-b", 1)
		m := stable(x, x.N)
		m.commit(42, nil)
		deletingOffset(x.N, 0)(x, x.N)
		deletingOffset(x.N+"-b", 0)(x, x.N)
		x.Send(committed(5, x.N, x.N))
	}},
}
