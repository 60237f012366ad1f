package wire

import "github.com/twmb/franz-go/pkg/kmsg"

func describeConfigs(kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	r := kmsg.NewPtrDescribeConfigsRequest()
	s := kmsg.NewDescribeConfigsRequestResource()
	s.ResourceType, s.ResourceName, s.ConfigNames = kind, name, keys
	r.Resources = append(r.Resources, s)
	r.IncludeSynonyms = true
	return r
}

// alterConfigs replaces all settings of a resource; change is pairs of name and value, a nil value is null.
func alterConfigs(kind kmsg.ConfigResourceType, name string, change ...*string) *kmsg.AlterConfigsRequest {
	r := kmsg.NewPtrAlterConfigsRequest()
	s := kmsg.NewAlterConfigsRequestResource()
	s.ResourceType, s.ResourceName = kind, name
	for i := 0; i+1 < len(change); i += 2 {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = *change[i], change[i+1]
		s.Configs = append(s.Configs, c)
	}
	r.Resources = append(r.Resources, s)
	return r
}

func incremental(kind kmsg.ConfigResourceType, name string, op int8, key string, value *string) *kmsg.IncrementalAlterConfigsRequest {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	s := kmsg.NewIncrementalAlterConfigsRequestResource()
	s.ResourceType, s.ResourceName = kind, name
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOp(op), value
	s.Configs = append(s.Configs, c)
	r.Resources = append(r.Resources, s)
	return r
}

// What an IncrementalAlterConfigs does with a value.
const (
	opSet int8 = iota
	opDelete
	opAppend
	opSubtract
)

const (
	topicConfig  = kmsg.ConfigResourceTypeTopic
	brokerConfig = kmsg.ConfigResourceTypeBroker
)

// changing alters a topic's settings step by step and looks at them after the last.
func changing(kind kmsg.ConfigResourceType, op int8, key string, value *string) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact", "retention.ms", "12345")
		x.Send(incremental(kind, x.N, op, key, value))
		x.Send(topicSettings(x.N))
	}
}

func topicSettings(topic string) *kmsg.DescribeConfigsRequest {
	r := describeConfigs(topicConfig, topic, "cleanup.policy", "retention.ms", "segment.bytes", "min.insync.replicas")
	r.Version = 4
	return r
}

// brokerChange sets a broker's setting, looks at it, and takes it away again. Broker "" is the default of all.
func brokerChange(broker, key, value string) func(x *Exchange) {
	look := func(x *Exchange) {
		r := describeConfigs(brokerConfig, "0", key)
		r.Version = 4
		x.Converge(r)
	}
	return func(x *Exchange) {
		x.Send(incremental(brokerConfig, broker, opSet, key, &value))
		x.settle()
		look(x)
		d := describeConfigs(brokerConfig, broker)
		d.Version = 4
		x.Converge(d)
		x.Send(incremental(brokerConfig, broker, opDelete, key, nil))
		x.settle()
		look(x)
	}
}

var configCases = []Case{
	{"topic", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact", "retention.ms", "12345")
		x.Send(describeConfigs(topicConfig, x.N))
	}},
	{"topic, without synonyms", kmsg.DescribeConfigs, 1, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := describeConfigs(topicConfig, x.N)
		r.IncludeSynonyms = false
		x.Send(r)
	}},
	{"topic, some keys", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(describeConfigs(topicConfig, x.N, "retention.ms", "no.such", "retention.ms"))
	}},
	{"topic, no keys", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := describeConfigs(topicConfig, x.N)
		r.Resources[0].ConfigNames = []string{}
		x.Send(r)
	}},
	{"unknown topic", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(topicConfig, x.N)) }},
	{"bad topic name", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(topicConfig, "a b")) }},
	{"empty topic name", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(topicConfig, "")) }},
	{"internal topic", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(topicConfig, "__consumer_offsets")) }},
	{"broker", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(brokerConfig, "0")) }},
	{"broker, some keys", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		x.Send(describeConfigs(brokerConfig, "0", "log.retention.hours", "num.partitions", "ssl.keystore.password", "no.such"))
	}},
	{"broker default", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(brokerConfig, "")) }},
	{"other broker", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(brokerConfig, "7")) }},
	{"broker without number", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(brokerConfig, "x")) }},
	{"broker logger", kmsg.DescribeConfigs, 1, 0, func(x *Exchange) { x.Send(describeConfigs(kmsg.ConfigResourceTypeBrokerLogger, "x")) }},
	{"group", kmsg.DescribeConfigs, 1, 0, func(x *Exchange) { x.Send(describeConfigs(32, x.N)) }},
	{"client metrics", kmsg.DescribeConfigs, 1, 0, func(x *Exchange) { x.Send(describeConfigs(16, x.N)) }},
	{"unknown type", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(1, x.N)) }},
	{"type 77", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { x.Send(describeConfigs(77, x.N)) }},
	{"unknown type beside a topic", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := describeConfigs(topicConfig, x.N)
		r.Resources = append(r.Resources, describeConfigs(77, x.N).Resources...)
		x.Send(r)
	}},
	{"resource twice", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := describeConfigs(topicConfig, x.N, "retention.ms")
		r.Resources = append(r.Resources, r.Resources...)
		x.Send(r)
	}},
	{"none", kmsg.DescribeConfigs, 0, 0, func(x *Exchange) { r := describeConfigs(topicConfig, ""); r.Resources = nil; x.Send(r) }},

	{"set", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "retention.ms", text("777"))},
	{"set to bad", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "retention.ms", text("x"))},
	{"set out of range", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "segment.bytes", text("1"))},
	{"set to null", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "retention.ms", nil)},
	{"set to empty", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "retention.ms", text(""))},
	{"set unknown", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSet, "no.such", text("1"))},
	{"delete", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opDelete, "retention.ms", nil)},
	{"delete what is not set", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opDelete, "segment.bytes", nil)},
	{"delete unknown", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opDelete, "no.such", nil)},
	{"append", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opAppend, "cleanup.policy", text("delete"))},
	{"append what is there", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opAppend, "cleanup.policy", text("compact"))},
	{"append bad", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opAppend, "cleanup.policy", text("destroy"))},
	{"append to a number", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opAppend, "retention.ms", text("1"))},
	{"subtract", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSubtract, "cleanup.policy", text("compact"))},
	{"subtract what is not there", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSubtract, "cleanup.policy", text("delete"))},
	{"subtract from a number", kmsg.IncrementalAlterConfigs, 0, 0, changing(topicConfig, opSubtract, "retention.ms", text("1"))},
	{"client metrics", kmsg.IncrementalAlterConfigs, 0, 0, changing(16, opSet, "interval.ms", text("1000"))},
	{"group", kmsg.IncrementalAlterConfigs, 0, 0, changing(32, opSet, "consumer.session.timeout.ms", text("50000"))},
	{"type 77 beside a topic", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := incremental(topicConfig, x.N, opSet, "retention.ms", text("777"))
		r.Resources = append(r.Resources, incremental(77, x.N, opSet, "retention.ms", text("1")).Resources...)
		x.Send(r)
		x.Send(topicSettings(x.N))
	}},
	{"type 77", kmsg.IncrementalAlterConfigs, 0, 0, changing(77, opSet, "retention.ms", text("1"))},
	{"unknown topic", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) { x.Send(incremental(topicConfig, x.N, opSet, "retention.ms", text("1"))) }},
	{"bad topic name", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) { x.Send(incremental(topicConfig, "a b", opSet, "retention.ms", text("1"))) }},
	{"key twice", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := incremental(topicConfig, x.N, opSet, "retention.ms", text("1"))
		r.Resources[0].Configs = append(r.Resources[0].Configs, incremental(topicConfig, x.N, opSet, "retention.ms", text("2")).Resources[0].Configs...)
		x.Send(r)
	}},
	{"resource twice", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := incremental(topicConfig, x.N, opSet, "retention.ms", text("1"))
		r.Resources = append(r.Resources, incremental(topicConfig, x.N, opSet, "segment.ms", text("2")).Resources...)
		x.Send(r)
	}},
	{"only validated", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		for _, v := range []string{"1", "x"} {
			r := incremental(topicConfig, x.N, opSet, "retention.ms", &v)
			r.ValidateOnly = true
			x.Send(r)
		}
		x.Send(topicSettings(x.N))
	}},
	{"no changes", kmsg.IncrementalAlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := incremental(topicConfig, x.N, opSet, "retention.ms", nil)
		r.Resources[0].Configs = nil
		x.Send(r)
	}},
	{"broker", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("0", "log.retention.ms", "1000000")},
	{"broker default", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("", "log.retention.ms", "1000000")},
	{"broker default, message.max.bytes", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("", "message.max.bytes", "1000001")},
	{"broker, threads", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("0", "num.io.threads", "9")},
	{"broker, read-only setting", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("0", "num.partitions", "3")},
	{"broker default, per-broker setting", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("", "ssl.keystore.location", "/x")},
	{"broker, bad value", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("0", "message.max.bytes", "-5")},
	{"broker, unknown setting", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("0", "no.such", "1")},
	{"other broker", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("7", "log.retention.ms", "1000000")},
	{"broker without number", kmsg.IncrementalAlterConfigs, 0, 0, brokerChange("x", "log.retention.ms", "1000000")},

	{"replaces all", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact", "retention.ms", "12345")
		x.Send(alterConfigs(topicConfig, x.N, text("segment.bytes"), text("1000000")))
		x.Send(topicSettings(x.N))
	}},
	{"clears all", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1, "cleanup.policy", "compact", "retention.ms", "12345")
		x.Send(alterConfigs(topicConfig, x.N))
		x.Send(topicSettings(x.N))
	}},
	{"bad value", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(alterConfigs(topicConfig, x.N, text("segment.bytes"), text("x")))
	}},
	{"null value", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(alterConfigs(topicConfig, x.N, text("segment.bytes"), nil))
	}},
	{"unknown key", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(alterConfigs(topicConfig, x.N, text("no.such"), text("x")))
	}},
	{"unknown topic", kmsg.AlterConfigs, 0, 0, func(x *Exchange) { x.Send(alterConfigs(topicConfig, x.N, text("segment.bytes"), text("1000000"))) }},
	{"only validated", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := alterConfigs(topicConfig, x.N, text("segment.bytes"), text("1000000"))
		r.ValidateOnly = true
		x.Send(r)
		x.Send(topicSettings(x.N))
	}},
	{"other broker", kmsg.AlterConfigs, 0, 0, func(x *Exchange) { x.Send(alterConfigs(brokerConfig, "7", text("log.retention.ms"), text("1000000"))) }},
	{"broker", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		x.Send(alterConfigs(brokerConfig, "0", text("log.retention.ms"), text("1000000")))
		x.settle()
		r := describeConfigs(brokerConfig, "0", "log.retention.ms")
		r.Version = 4
		x.Converge(r)
		x.Send(alterConfigs(brokerConfig, "0"))
		x.settle()
		x.Converge(r)
	}},
	{"type 77 beside a topic", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := alterConfigs(topicConfig, x.N, text("retention.ms"), text("777"))
		r.Resources = append(r.Resources, alterConfigs(77, x.N, text("a"), text("b")).Resources...)
		x.Send(r)
		x.Send(topicSettings(x.N))
	}},
	{"broker logger", kmsg.AlterConfigs, 0, 0, func(x *Exchange) {
		x.Send(alterConfigs(kmsg.ConfigResourceTypeBrokerLogger, "0", text("kafka.x"), text("DEBUG")))
	}},
	{"type 77", kmsg.AlterConfigs, 0, 0, func(x *Exchange) { x.Send(alterConfigs(77, x.N, text("a"), text("b"))) }},
}

// describeBroker asks for all of a broker's settings but those which say where it is and what it runs on.
func describeBroker(name string) *kmsg.DescribeConfigsRequest {
	return describeConfigs(brokerConfig, name)
}
