package wire

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopic(name string, partitions int32, replicas int16) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	return t
}

func assigned(t kmsg.CreateTopicsRequestTopic, partition int32, replicas ...int32) kmsg.CreateTopicsRequestTopic {
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Partition, a.Replicas = partition, replicas
	t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	return t
}

func configured(t kmsg.CreateTopicsRequestTopic, name string, value *string) kmsg.CreateTopicsRequestTopic {
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = name, value
	t.Configs = append(t.Configs, c)
	return t
}

func text(s string) *string { return &s }

func create(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.TimeoutMillis = 20000
	r.Topics = topics
	return r
}

// creating makes a topic whose name comes from the run, and looks at it.
func creating(topic func(x *Exchange) kmsg.CreateTopicsRequestTopic) func(x *Exchange) {
	return func(x *Exchange) {
		x.Send(create(topic(x)))
		x.Send(metadata(7, false, x.N))
	}
}

func named(name string) func(x *Exchange) {
	return func(x *Exchange) { x.Send(create(newTopic(name, 1, 1))) }
}

func removing(names ...string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.TimeoutMillis, r.TopicNames = 20000, names
	for _, n := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &n
		r.Topics = append(r.Topics, t)
	}
	return r
}

func growing(topic string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.TimeoutMillis = 20000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, replicas := range assignment {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = replicas
		t.Assignment = append(t.Assignment, a)
	}
	r.Topics = append(r.Topics, t)
	return r
}

func growth(count int32, assignment ...[]int32) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(growing(x.N, count, assignment...))
		x.Send(metadata(7, false, x.N))
	}
}

func cutoff(topic string, offsets ...int64) *kmsg.DeleteRecordsRequest {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.TimeoutMillis = 10000
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	for p, o := range offsets {
		d := kmsg.NewDeleteRecordsRequestTopicPartition()
		d.Partition, d.Offset = int32(p), o
		t.Partitions = append(t.Partitions, d)
	}
	r.Topics = append(r.Topics, t)
	return r
}

// deletion cuts a partition of six records in two batches, and looks at its ends.
func deletion(offset int64) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 1)
		appendRecords(x, x.N, 0, good)
		appendRecords(x, x.N, 0, values("d", "e", "f"))
		x.Send(cutoff(x.N, offset))
		x.Send(listOffsets(4, x.N, 0, -2))
		x.Send(listOffsets(4, x.N, 0, -1))
		readBack(x, x.N)
	}
}

var topicCases = []Case{
	{"one partition", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, 1, 1) })},
	{"defaults", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, -1, -1) })},
	{"settings", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(configured(newTopic(x.N, 1, 1), "retention.ms", text("1234")), "cleanup.policy", text("compact, delete"))
	})},
	{"unknown setting", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(newTopic(x.N, 1, 1), "no.such", text("1"))
	})},
	{"bad value", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(newTopic(x.N, 1, 1), "retention.ms", text("x"))
	})},
	{"value out of range", kmsg.CreateTopics, 4, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(newTopic(x.N, 1, 1), "segment.bytes", text("1"))
	})},
	{"null value", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(newTopic(x.N, 1, 1), "retention.ms", nil)
	})},
	{"bad list value", kmsg.CreateTopics, 7, 7, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(newTopic(x.N, 1, 1), "cleanup.policy", text("destroy"))
	})},
	{"setting twice", kmsg.CreateTopics, 7, 7, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return configured(configured(newTopic(x.N, 1, 1), "retention.ms", text("1")), "retention.ms", text("2"))
	})},
	{"0 partitions", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, 0, 1) })},
	{"-2 partitions", kmsg.CreateTopics, 4, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, -2, 1) })},
	{"0 replicas", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, 1, 0) })},
	{"2 replicas", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return newTopic(x.N, 1, 2) })},
	{"assignment", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return assigned(assigned(newTopic(x.N, -1, -1), 0, 0), 1, 0)
	})},
	{"assignment and count", kmsg.CreateTopics, 0, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return assigned(newTopic(x.N, 1, 1), 0, 0) })},
	{"assignment with a gap", kmsg.CreateTopics, 4, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return assigned(newTopic(x.N, -1, -1), 1, 0) })},
	{"assignment naming a broker twice", kmsg.CreateTopics, 4, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic { return assigned(newTopic(x.N, -1, -1), 0, 0, 0) })},
	{"assignment of uneven length", kmsg.CreateTopics, 4, 0, creating(func(x *Exchange) kmsg.CreateTopicsRequestTopic {
		return assigned(assigned(newTopic(x.N, -1, -1), 0, 0), 1, 0, 1)
	})},
	{"exists", kmsg.CreateTopics, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(create(newTopic(x.N, 1, 1))) }},
	{"named twice", kmsg.CreateTopics, 0, 0, func(x *Exchange) { x.Send(create(newTopic(x.N, 1, 1), newTopic(x.N, 2, 1))) }},
	{"good and bad", kmsg.CreateTopics, 0, 0, func(x *Exchange) {
		x.Send(create(newTopic(x.N, 1, 1), newTopic(x.N+"-b", 0, 1), newTopic("bad name", 1, 1)))
	}},
	{"only validated", kmsg.CreateTopics, 1, 0, func(x *Exchange) {
		r := create(newTopic(x.N, 3, 1), newTopic(x.N+"-b", 1, 9))
		r.ValidateOnly = true
		x.Send(r)
		x.Send(metadata(7, false, x.N))
	}},
	{"no topics", kmsg.CreateTopics, 0, 0, func(x *Exchange) { x.Send(create()) }},
	{"empty name", kmsg.CreateTopics, 0, 0, named("")},
	{"name .", kmsg.CreateTopics, 4, 4, named(".")},
	{"name ..", kmsg.CreateTopics, 4, 4, named("..")},
	{"name with a blank", kmsg.CreateTopics, 4, 4, named("a b")},
	{"name with an umlaut", kmsg.CreateTopics, 4, 4, named("ü")},
	{"name with a slash", kmsg.CreateTopics, 4, 4, named("a/b")},
	{"name going up", kmsg.CreateTopics, 4, 4, named("../a")},
	{"name of 249 bytes", kmsg.CreateTopics, 4, 4, named(strings.Repeat("n", 249))},
	{"name of 250 bytes", kmsg.CreateTopics, 4, 4, named(strings.Repeat("n", 250))},
	{"internal name", kmsg.CreateTopics, 4, 4, named("__consumer_offsets")},
	{"names that collide", kmsg.CreateTopics, 4, 4, func(x *Exchange) {
		x.Send(create(newTopic("collide.a_b", 1, 1)))
		x.Send(create(newTopic("collide_a.b", 1, 1)))
	}},
	{"timeout 0", kmsg.CreateTopics, 0, 0, func(x *Exchange) {
		r := create(newTopic(x.N, 1, 1))
		r.TimeoutMillis = 0
		x.Send(r)
		x.awaitLeaders(x.N, 1)
	}},
	{"timeout -1", kmsg.CreateTopics, 4, 4, func(x *Exchange) {
		r := create(newTopic(x.N, 1, 1))
		r.TimeoutMillis = -1
		x.Send(r)
		x.awaitLeaders(x.N, 1)
	}},

	{"one topic", kmsg.DeleteTopics, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(removing(x.N))
		x.Until(metadata(7, false, x.N), func(r kmsg.Response) bool { return r.(*kmsg.MetadataResponse).Topics[0].ErrorCode == 3 })
	}},
	{"unknown", kmsg.DeleteTopics, 0, 0, func(x *Exchange) { x.Send(removing(x.N)) }},
	{"unknown and known", kmsg.DeleteTopics, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(removing(x.N, x.N+"-b")) }},
	{"named twice", kmsg.DeleteTopics, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(removing(x.N, x.N)) }},
	{"none", kmsg.DeleteTopics, 0, 0, func(x *Exchange) { x.Send(removing()) }},
	{"bad name", kmsg.DeleteTopics, 0, 0, func(x *Exchange) { x.Send(removing("a b")) }},
	{"by id", kmsg.DeleteTopics, 6, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		ids := topicIDs(x, x.N)
		x.SendEach(func(side int) kmsg.Request { return removingID(ids[side]) })
		gone := func(r kmsg.Response) bool { return r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode == 100 } // UNKNOWN_TOPIC_ID
		x.UntilEach(func(side int) kmsg.Request { return removingID(ids[side]) }, gone)
	}},
	{"by unknown id", kmsg.DeleteTopics, 6, 0, func(x *Exchange) { x.Send(removingID([16]byte{1, 2, 3})) }},
	{"neither name nor id", kmsg.DeleteTopics, 6, 0, func(x *Exchange) { x.Send(removingID([16]byte{})) }},
	{"both name and id", kmsg.DeleteTopics, 6, 0, func(x *Exchange) {
		r := removingID([16]byte{1, 2, 3})
		r.Topics[0].Topic = &x.N
		x.Send(r)
	}},

	{"grow", kmsg.CreatePartitions, 0, 0, growth(3)},
	{"same count", kmsg.CreatePartitions, 0, 0, growth(2)},
	{"shrink", kmsg.CreatePartitions, 0, 0, growth(1)},
	{"to 0", kmsg.CreatePartitions, 0, 0, growth(0)},
	{"to -1", kmsg.CreatePartitions, 0, 0, growth(-1)},
	{"with assignment", kmsg.CreatePartitions, 0, 0, growth(3, []int32{0})},
	{"with too many assignments", kmsg.CreatePartitions, 0, 0, growth(3, []int32{0}, []int32{0})},
	{"with too few assignments", kmsg.CreatePartitions, 0, 0, growth(4, []int32{0})},
	{"assigned to an unknown broker", kmsg.CreatePartitions, 0, 0, growth(3, []int32{9})},
	{"assigned to nobody", kmsg.CreatePartitions, 0, 0, growth(3, []int32{})},
	{"assigned twice", kmsg.CreatePartitions, 0, 0, growth(3, []int32{0, 0})},
	{"unknown topic", kmsg.CreatePartitions, 0, 0, func(x *Exchange) { x.Send(growing(x.N, 3)) }},
	{"only validated", kmsg.CreatePartitions, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := growing(x.N, 3)
		r.ValidateOnly = true
		x.Send(r)
		x.Send(metadata(7, false, x.N))
	}},
	{"named twice", kmsg.CreatePartitions, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := growing(x.N, 3)
		r.Topics = append(r.Topics, r.Topics[0])
		x.Send(r)
	}},

	{"to a batch's start", kmsg.DeleteRecords, 0, 0, deletion(3)},
	{"into a batch", kmsg.DeleteRecords, 0, 0, deletion(4)},
	{"to the high watermark", kmsg.DeleteRecords, 0, 0, deletion(-1)},
	{"to the end", kmsg.DeleteRecords, 0, 0, deletion(6)},
	{"beyond the end", kmsg.DeleteRecords, 0, 0, deletion(7)},
	{"to 0", kmsg.DeleteRecords, 0, 0, deletion(0)},
	{"to -2", kmsg.DeleteRecords, 0, 0, deletion(-2)},
	{"unknown topic", kmsg.DeleteRecords, 0, 0, func(x *Exchange) { x.Send(cutoff(x.N, 1)) }},
	{"unknown partition", kmsg.DeleteRecords, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(cutoff(x.N, 0, 0)) }},
	{"internal topic", kmsg.DeleteRecords, 0, 0, func(x *Exchange) { x.Send(cutoff("__consumer_offsets", 0)) }},
	{"compacted topic", kmsg.DeleteRecords, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact")
		x.Send(cutoff(x.N, 0))
	}},

	{"one topic", kmsg.Metadata, 0, 0, func(x *Exchange) { createTopic(x, x.N, 3); x.Send(metadata(x.V, false, x.N)) }},
	{"all topics", kmsg.Metadata, 0, 0, func(x *Exchange) {
		r := metadata(x.V, false)
		if r.Topics = nil; x.V == 0 {
			r.Topics = []kmsg.MetadataRequestTopic{}
		}
		x.Send(r)
	}},
	{"no topics", kmsg.Metadata, 1, 0, func(x *Exchange) { x.Send(metadata(x.V, false)) }},
	{"unknown topic", kmsg.Metadata, 4, 0, func(x *Exchange) { x.Send(metadata(x.V, false, x.N)) }},
	{"named twice", kmsg.Metadata, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(metadata(x.V, false, x.N, x.N)) }},
	{"bad name", kmsg.Metadata, 0, 0, func(x *Exchange) { x.Send(metadata(x.V, true, "a b")) }},
	{"empty name", kmsg.Metadata, 0, 0, func(x *Exchange) { x.Send(metadata(x.V, true, "")) }},
	{"name going up", kmsg.Metadata, 0, 0, func(x *Exchange) { x.Send(metadata(x.V, true, "../a")) }},
	{"name of 250 bytes", kmsg.Metadata, 0, 0, func(x *Exchange) { x.Send(metadata(x.V, true, strings.Repeat("n", 250))) }},
	{"creates", kmsg.Metadata, 0, 0, func(x *Exchange) {
		x.Send(metadata(x.V, true, x.N))
		x.awaitLeaders(x.N, 1)
		x.Send(metadata(x.V, true, x.N))
	}},
	{"authorized operations", kmsg.Metadata, 8, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := metadata(x.V, false, x.N)
		r.IncludeClusterAuthorizedOperations, r.IncludeTopicAuthorizedOperations = true, true
		x.Send(r)
	}},
	{"by id", kmsg.Metadata, 10, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		ids := topicIDs(x, x.N)
		x.SendEach(func(side int) kmsg.Request { return metadataByID(ids[side]) })
	}},
	{"by unknown id", kmsg.Metadata, 10, 0, func(x *Exchange) { x.Send(metadataByID([16]byte{1, 2, 3})) }},
}

func removingID(id [16]byte) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.TimeoutMillis = 20000
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.TopicID = id
	r.Topics = append(r.Topics, t)
	return r
}

func metadataByID(id [16]byte) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.TopicID = id
	r.Topics = append(r.Topics, t)
	return r
}
