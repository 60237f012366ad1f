package handlers

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// step is one request of the script, with a name that says what is to be seen.
type step struct {
	name    string
	request kmsg.Request
}

// adminSteps is the script. Each step sees what the ones before it left.
func adminSteps() []step {
	var s []step
	s = append(s, createSteps()...)
	s = append(s, metadataSteps()...)
	s = append(s, growSteps()...)
	s = append(s, describeSteps()...)
	s = append(s, alterSteps()...)
	s = append(s, deleteSteps()...)
	return s
}

func newTopicRequest(name string, partitions int32, factor int16, settings ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(settings); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	return t
}

func assigned(name string, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := newTopicRequest(name, -1, -1)
	for i, r := range replicas {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return t
}

func create(version int16, timeout int32, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis, r.Topics = version, timeout, topics
	return r
}

func validate(r *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsRequest {
	r.ValidateOnly = true
	return r
}

func createSteps() []step {
	gap := assigned("gap", []int32{90})
	gap.ReplicaAssignment[0].Partition = 1
	both := assigned("both", []int32{90})
	both.NumPartitions = 1
	null := newTopicRequest("nullconfig", 1, 1)
	null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
	steps := []step{
		{"create a topic with defaults and settings", create(7, 10000, newTopicRequest("alpha", -1, -1, "retention.ms", "1000", "cleanup.policy", "compact,delete"))},
		{"create a topic that exists", create(7, 10000, newTopicRequest("alpha", 1, 1))},
		{"create without waiting", create(7, 0, newTopicRequest("hasty", 3, 1))},
		{"create with a negative timeout", create(7, -5, newTopicRequest("hastier", 1, 1))},
		{"validate only", validate(create(7, 10000, newTopicRequest("maybe", 2, 1)))},
		{"named twice", create(7, 10000, newTopicRequest("twice", 1, 1), newTopicRequest("twice", 2, 1), newTopicRequest("once", 1, 1))},
		{"reserved name", create(7, 10000, newTopicRequest("__cluster_metadata", 1, 1))},
		{"by hand", create(7, 10000, assigned("byhand", []int32{90}, []int32{90}))},
	}
	for _, c := range []struct {
		name  string
		topic kmsg.CreateTopicsRequestTopic
	}{
		{"no partitions", newTopicRequest("bad", 0, 1)}, {"negative partitions", newTopicRequest("bad", -2, 1)},
		{"no replicas", newTopicRequest("bad", 1, 0)}, {"too many replicas", newTopicRequest("bad", 1, 2)},
		{"empty name", newTopicRequest("", 1, 1)}, {"dot", newTopicRequest(".", 1, 1)}, {"dots", newTopicRequest("..", 1, 1)},
		{"long name", newTopicRequest(strings.Repeat("x", 250), 1, 1)}, {"blank in name", newTopicRequest("a b", 1, 1)},
		{"umlaut", newTopicRequest("ü", 1, 1)}, {"slash", newTopicRequest("a/b", 1, 1)}, {"percent", newTopicRequest("..%2f", 1, 1)},
		{"assignment and count", both}, {"gap in assignment", gap}, {"null setting", null},
		{"broker twice", assigned("bad", []int32{90, 90})}, {"uneven assignment", assigned("bad", []int32{90}, []int32{90, 91})},
		{"unknown setting", newTopicRequest("bad", 1, 1, "no.such", "1")},
		{"malformed setting", newTopicRequest("bad", 1, 1, "retention.ms", "soon")},
		{"setting out of range", newTopicRequest("bad", 1, 1, "segment.bytes", "1")},
		{"setting of no choice", newTopicRequest("bad", 1, 1, "compression.type", "brotli")},
		{"list of no choice", newTopicRequest("bad", 1, 1, "cleanup.policy", "delete,shred")},
		{"ratio too high", newTopicRequest("bad", 1, 1, "min.cleanable.dirty.ratio", "1.5")},
		{"bad boolean", newTopicRequest("bad", 1, 1, "preallocate", "yes")},
		{"bad throttle", newTopicRequest("bad", 1, 1, "leader.replication.throttled.replicas", "a:b")},
		{"bad version", newTopicRequest("bad", 1, 1, "message.format.version", "7.7")},
		{"contradicting lags", newTopicRequest("bad", 1, 1, "min.compaction.lag.ms", "100", "max.compaction.lag.ms", "10")},
		{"tiered storage", newTopicRequest("bad", 1, 1, "remote.storage.enable", "true")},
		{"tiered storage, deleted", newTopicRequest("bad", 1, 1, "remote.log.delete.on.disable", "true")},
		{"gzip level", newTopicRequest("bad", 1, 1, "compression.gzip.level", "0")},
	} {
		steps = append(steps, step{"create: " + c.name, create(7, 10000, c.topic)})
	}
	for v := int16(0); v <= 6; v++ {
		steps = append(steps,
			step{fmt.Sprintf("create v%d", v), create(v, 10000, newTopicRequest(fmt.Sprintf("v%d", v), 1, 1))},
			step{fmt.Sprintf("create v%d: refused", v), create(v, 10000, newTopicRequest("a b", 1, 1))})
	}
	return append(steps,
		step{"create a.b", create(7, 10000, newTopicRequest("a.b", 1, 1))},
		step{"create a_b: collides", create(7, 10000, newTopicRequest("a_b", 1, 1))})
}

func ask(version int16, auto bool, names ...string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Version, r.AllowAutoTopicCreation = version, auto
	r.Topics = []kmsg.MetadataRequestTopic{}
	for i := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &names[i]
		r.Topics = append(r.Topics, t)
	}
	return r
}

func metadataSteps() []step {
	all := kmsg.NewPtrMetadataRequest()
	all.Version = 12
	operations := ask(12, false, "alpha", "nosuch")
	operations.IncludeTopicAuthorizedOperations = true
	cluster := ask(10, false)
	cluster.IncludeClusterAuthorizedOperations = true
	unknownID := ask(12, false)
	id := kmsg.NewMetadataRequestTopic()
	id.TopicID = [16]byte{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}
	unknownID.Topics = append(unknownID.Topics, id)
	steps := []step{
		{"metadata of all", all},
		{"metadata of none", ask(12, true)},
		{"metadata of some, one twice", ask(12, false, "alpha", "byhand", "alpha", "nosuch", "a b", "")},
		{"metadata: operations on topics", operations},
		{"metadata: operations on the cluster", cluster},
		{"metadata: unknown id", unknownID},
		{"metadata: creates", ask(12, true, "auto", "b d")},
		{"metadata: created", ask(12, true, "auto")},
		{"metadata: collides", ask(12, true, "a_b")},
		{"metadata of none v0 is all", ask(0, false)},
	}
	for v := int16(0); v <= 11; v++ {
		steps = append(steps, step{fmt.Sprintf("metadata v%d", v), ask(v, false, "alpha")})
		if v >= 4 {
			steps = append(steps, step{fmt.Sprintf("metadata v%d: missing", v), ask(v, false, "nosuch")})
		}
	}
	for v := int16(0); v <= 1; v++ {
		d := kmsg.NewPtrDescribeClusterRequest()
		d.Version, d.IncludeClusterAuthorizedOperations = v, true
		steps = append(steps, step{fmt.Sprintf("describe cluster v%d", v), d})
	}
	for _, endpoints := range []int8{0, 2, 3} {
		d := kmsg.NewPtrDescribeClusterRequest()
		d.Version, d.EndpointType = 1, endpoints
		steps = append(steps, step{fmt.Sprintf("describe cluster: endpoint type %d", endpoints), d})
	}
	return steps
}

func grow(name string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Version, r.TimeoutMillis = 3, 10000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, count
	for _, a := range assignment {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
	}
	r.Topics = append(r.Topics, t)
	return r
}

func growSteps() []step {
	dry := grow("byhand", 7)
	dry.ValidateOnly = true
	hasty := grow("hasty", 5)
	hasty.TimeoutMillis = 0
	twice := grow("byhand", 8)
	twice.Topics = append(twice.Topics, twice.Topics[0], grow("alpha", 4).Topics[0])
	return []step{
		{"grow", grow("byhand", 4)},
		{"grow by hand", grow("byhand", 6, []int32{90}, []int32{90})},
		{"grow, validate only", dry},
		{"grow without waiting", hasty},
		{"grow: twice", twice},
		{"grow: fewer", grow("byhand", 1)},
		{"grow: none", grow("byhand", 0)},
		{"grow: same", grow("byhand", 6)},
		{"grow: unknown topic", grow("nosuch", 6)},
		{"grow: unknown broker", grow("byhand", 7, []int32{5})},
		{"grow: wrong number", grow("byhand", 9, []int32{90})},
		{"grow: no replicas", grow("byhand", 7, []int32{})},
		{"grow: broker twice", grow("byhand", 7, []int32{90, 90})},
	}
}

func describe(version int16, kind kmsg.ConfigResourceType, name string, names ...string) *kmsg.DescribeConfigsRequest {
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version, r.IncludeSynonyms = version, version >= 1
	r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: names}}
	return r
}

const (
	topicKind   = kmsg.ConfigResourceTypeTopic
	brokerKind  = kmsg.ConfigResourceTypeBroker
	loggerKind  = kmsg.ConfigResourceTypeBrokerLogger
	metricsKind = kmsg.ConfigResourceType(16)
)

func describeSteps() []step {
	return []step{
		{"describe a topic", describe(4, topicKind, "alpha")},
		{"describe another topic", describe(4, topicKind, "byhand")},
		{"describe the broker", describe(4, brokerKind, "90")},
		{"describe all brokers", describe(4, brokerKind, "")},
		{"describe some of a topic", describe(4, topicKind, "alpha", "retention.ms", "no.such", "segment.ms")},
		{"describe v0", describe(0, topicKind, "alpha", "retention.ms", "segment.bytes")},
		{"describe v1", describe(1, topicKind, "alpha", "retention.ms", "segment.bytes")},
		{"describe v3", describe(3, brokerKind, "90", "log.retention.hours", "log.retention.ms", "log.segment.bytes")},
		{"describe: unknown topic", describe(4, topicKind, "nosuch")},
		{"describe: bad topic", describe(4, topicKind, "a b")},
		{"describe: another broker", describe(4, brokerKind, "91")},
		{"describe: no broker", describe(4, brokerKind, "x")},
		{"describe: another broker's loggers", describe(4, loggerKind, "91")},
		{"describe: nobody's loggers", describe(4, loggerKind, "")},
		{"describe: root logger", describe(4, loggerKind, "90", "root")},
		{"describe: metrics", describe(4, metricsKind, "m")},
		{"describe: nobody's metrics", describe(4, metricsKind, "")},
	}
}

// change makes an incremental change: triples of an operation (= - + /), a name and a value.
func change(kind kmsg.ConfigResourceType, name string, ops ...string) *kmsg.IncrementalAlterConfigsRequest {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kind, name
	for i := 0; i < len(ops); i += 3 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Op = kmsg.IncrementalAlterConfigOp(strings.Index("=-+/", ops[i]))
		c.Name, c.Value = ops[i+1], &ops[i+2]
		if ops[i+2] == "null" {
			c.Value = nil
		}
		res.Configs = append(res.Configs, c)
	}
	r.Resources = append(r.Resources, res)
	return r
}

func replace(kind kmsg.ConfigResourceType, name string, pairs ...string) *kmsg.AlterConfigsRequest {
	r := kmsg.NewPtrAlterConfigsRequest()
	r.Version = 2
	res := kmsg.NewAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kind, name
	for i := 0; i < len(pairs); i += 2 {
		c := kmsg.AlterConfigsRequestResourceConfig{Name: pairs[i], Value: &pairs[i+1]}
		if pairs[i+1] == "null" {
			c.Value = nil
		}
		res.Configs = append(res.Configs, c)
	}
	r.Resources = append(r.Resources, res)
	return r
}

func alterSteps() []step {
	steps := []step{
		{"set for a topic", change(topicKind, "alpha", "=", "segment.ms", "5000", "=", "retention.ms", "2000")},
		{"describe what was set", describe(4, topicKind, "alpha", "segment.ms", "retention.ms")},
		{"delete for a topic", change(topicKind, "alpha", "-", "segment.ms", "null", "-", "flush.ms", "x")},
		{"append to a list", change(topicKind, "byhand", "+", "cleanup.policy", "compact")},
		{"subtract from a list", change(topicKind, "byhand", "/", "cleanup.policy", "delete")},
		{"describe the list", describe(4, topicKind, "byhand", "cleanup.policy")},
		{"append to no list", change(topicKind, "byhand", "+", "retention.ms", "1")},
		{"subtract from no list", change(topicKind, "byhand", "/", "retention.ms", "1")},
		{"set: unknown", change(topicKind, "alpha", "=", "no.such", "1")},
		{"set: malformed", change(topicKind, "alpha", "=", "retention.ms", "soon")},
		{"set: contradiction", change(topicKind, "alpha", "=", "min.compaction.lag.ms", "100", "=", "max.compaction.lag.ms", "10")},
		{"set: null", change(topicKind, "alpha", "=", "retention.ms", "null")},
		{"set: key twice", change(topicKind, "alpha", "=", "retention.ms", "1", "=", "retention.ms", "2")},
		{"set: unknown topic", change(topicKind, "nosuch", "=", "retention.ms", "1")},
		{"set: nameless topic", change(topicKind, "", "=", "retention.ms", "1")},
		{"set for all brokers", change(brokerKind, "", "=", "log.retention.ms", "86400000", "=", "log.cleaner.threads", "2")},
		{"set for the broker", change(brokerKind, "90", "=", "log.roll.ms", "7000", "=", "log.cleaner.threads", "1", "=", "follower.replication.throttled.rate", "1000")},
		{"describe all brokers' settings", describe(4, brokerKind, "")},
		{"describe the broker's settings", describe(4, brokerKind, "90")},
		{"describe a topic under them", describe(4, topicKind, "alpha")},
		{"broker: read only", change(brokerKind, "90", "=", "broker.rack", "x")},
		{"broker: another", change(brokerKind, "91", "=", "log.roll.ms", "1")},
		{"broker: no number", change(brokerKind, "x", "=", "log.roll.ms", "1")},
		{"broker: malformed", change(brokerKind, "90", "=", "log.roll.ms", "x")},
		{"broker: out of range", change(brokerKind, "90", "=", "log.segment.bytes", "1")},
		{"broker: per broker for all", change(brokerKind, "", "=", "listeners", "PLAINTEXT://:1")},
		{"broker: TLS without listener", change(brokerKind, "90", "=", "ssl.keystore.location", "/x")},
		{"broker: too many threads", change(brokerKind, "90", "=", "background.threads", "100")},
		{"broker: too few threads", change(brokerKind, "90", "=", "background.threads", "1")},
		{"broker: more threads", change(brokerKind, "90", "=", "background.threads", "16")},
		{"broker: secret without secret", change(brokerKind, "90", "=", "listener.name.plaintext.sasl.jaas.config", "x")},
		{"broker: custom", change(brokerKind, "90", "=", "my.own", "1")},
		{"broker: delete", change(brokerKind, "90", "-", "log.roll.ms", "null", "-", "background.threads", "null", "-", "my.own", "null")},
		{"logger: level", change(loggerKind, "90", "=", "root", "WARN")},
		{"logger: changed", describe(4, loggerKind, "90", "root")},
		{"logger: restored", change(loggerKind, "90", "=", "root", "INFO")},
		{"logger: no level", change(loggerKind, "90", "=", "root", "LOUD")},
		{"logger: no logger", change(loggerKind, "90", "=", "no.such.logger", "INFO")},
		{"logger: delete root", change(loggerKind, "90", "-", "root", "null")},
		{"logger: append", change(loggerKind, "90", "+", "root", "INFO")},
		{"logger: another broker", change(loggerKind, "91", "=", "root", "INFO")},
		{"metrics", change(metricsKind, "m", "=", "interval.ms", "1000")},
		{"resource of no type", change(kmsg.ConfigResourceType(3), "x", "=", "a", "b")},
		{"replace for a topic", replace(topicKind, "alpha", "segment.bytes", "2000000")},
		{"describe what was replaced", describe(4, topicKind, "alpha", "segment.bytes", "retention.ms")},
		{"replace: malformed", replace(topicKind, "alpha", "segment.bytes", "much")},
		{"replace: null", replace(topicKind, "alpha", "segment.bytes", "null")},
		{"replace: unknown topic", replace(topicKind, "nosuch", "segment.bytes", "2000000")},
		{"replace for the broker", replace(brokerKind, "90", "log.roll.ms", "7000")},
		{"replace: loggers", replace(loggerKind, "90", "root", "INFO")},
		{"replace all for the broker", replace(brokerKind, "90")},
		{"replace all for all brokers", replace(brokerKind, "")},
	}
	twice := change(topicKind, "alpha", "=", "retention.ms", "1")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	return append(steps, step{"resource twice", twice})
}

func remove(version int16, names ...string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis, r.TopicNames = version, 10000, names
	for i := range names {
		r.Topics = append(r.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &names[i]})
	}
	return r
}

func deleteSteps() []step {
	unknown := remove(6)
	unknown.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: [16]byte{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}}}
	neither := remove(6)
	neither.Topics = []kmsg.DeleteTopicsRequestTopic{{}}
	hasty := remove(6, "hastier")
	hasty.TimeoutMillis = 0
	steps := []step{
		{"delete", remove(6, "alpha")},
		{"delete twice", remove(6, "byhand", "byhand")},
		{"delete what is gone", remove(6, "alpha", "nosuch", "a b")},
		{"delete by unknown id", unknown},
		{"delete neither name nor id", neither},
		{"delete without waiting", hasty},
	}
	for v := int16(0); v <= 5; v++ {
		steps = append(steps, step{fmt.Sprintf("delete v%d", v), remove(v, fmt.Sprintf("v%d", v), "nosuch")})
	}
	return steps
}
