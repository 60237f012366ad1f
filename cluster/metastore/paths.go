package metastore

import (
	"net/url"
	"strconv"
	"strings"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Every path of Kafka's tree, once. Paths are those of ZkData in Apache Kafka 3.9; a chroot is the tree's business.
const (
	PathClusterID          = "/cluster/id"
	PathBrokerIDs          = "/brokers/ids"
	PathBrokerSequence     = "/brokers/seqid"
	PathTopics             = "/brokers/topics"
	PathController         = "/controller"
	PathControllerEpoch    = "/controller_epoch"
	PathDeleteTopics       = "/admin/delete_topics"
	PathReassignPartitions = "/admin/reassign_partitions"
	PathPreferredElection  = "/admin/preferred_replica_election"
	PathISRChanges         = "/isr_change_notification"
	PathLogDirEvents       = "/log_dir_event_notification"
	PathProducerIDBlock    = "/latest_producer_id_block"
	PathFeature            = "/feature"
	PathConfig             = "/config"
	PathConfigChanges      = "/config/changes"
	PathConsumers          = "/consumers"
)

// persistentPaths are those that every broker makes at start, in Apache's order; parents come first.
var persistentPaths = []string{
	PathConsumers, "/brokers", PathBrokerIDs, PathTopics, PathConfig, PathConfigChanges, "/admin", PathDeleteTopics, PathBrokerSequence,
	PathISRChanges, PathProducerIDBlock, PathLogDirEvents,
	"/config/topics", "/config/clients", "/config/users", "/config/brokers", "/config/ips", "/cluster",
}

// PathBroker is the registration of a broker.
func PathBroker(id cluster.BrokerID) string { return PathBrokerIDs + "/" + strconv.Itoa(int(id)) }

// PathTopic is a topic's assignment.
func PathTopic(name string) string { return PathTopics + "/" + name }

// PathPartition is the parent of a partition's state.
func PathPartition(tp protocol.TopicPartition) string {
	return PathTopics + "/" + tp.Topic + "/partitions/" + strconv.Itoa(int(tp.Partition))
}

// PathPartitionState is a partition's leader and in-sync replicas.
func PathPartitionState(tp protocol.TopicPartition) string { return PathPartition(tp) + "/state" }

// PathDeleteTopic marks a topic for deletion.
func PathDeleteTopic(name string) string { return PathDeleteTopics + "/" + name }

// TopicOf returns the topic whose assignment lies at path.
func TopicOf(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, PathTopics+"/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// BrokerOf returns the broker whose registration lies at path.
func BrokerOf(path string) (cluster.BrokerID, bool) {
	name, ok := strings.CutPrefix(path, PathBrokerIDs+"/")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(name, 10, 32)
	return cluster.BrokerID(id), err == nil && id >= 0
}

// Entity names what a configuration belongs to, as its path below /config: "topics/T", "brokers/1", "brokers/<default>",
// "users/U/clients/C", "clients/C", "ips/I". User and client names in it are sanitized.
type Entity string

// DefaultBrokers is the entity of the settings that all brokers share.
const DefaultBrokers Entity = "brokers/<default>"

// TopicEntity is a topic's.
func TopicEntity(topic string) Entity { return Entity("topics/" + topic) }

// BrokerEntity is one broker's.
func BrokerEntity(id cluster.BrokerID) Entity {
	return Entity("brokers/" + strconv.Itoa(int(id)))
}

// Type is the kind of entity that the path starts with: topics, brokers, users, clients, ips.
func (e Entity) Type() string {
	t, _, _ := strings.Cut(string(e), "/")
	return t
}

// Name is the path after the type.
func (e Entity) Name() string {
	_, n, _ := strings.Cut(string(e), "/")
	return n
}

func (e Entity) path() string { return PathConfig + "/" + string(e) }

// DefaultEntity is the name of the entity that stands for all others of its type; it is never sanitized.
const DefaultEntity = "<default>"

// javaEscapes are where Go's query escaping and what Apache's Sanitizer makes of Java's differ.
var javaEscapes = strings.NewReplacer("+", "%20", "~", "%7E")

// Sanitize makes a user's or client's name fit for a path, as Apache's Sanitizer does: URL encoding, but a blank is %20 and * is %2A.
func Sanitize(name string) string {
	return javaEscapes.Replace(url.QueryEscape(name))
}

// Desanitize is the reverse of Sanitize; what is not encoded properly is returned as it stands.
func Desanitize(name string) string {
	if s, err := url.QueryUnescape(name); err == nil {
		return s
	}
	return name
}

func pathConsumerOffset(group, topic string, partition int32) string {
	return PathConsumers + "/" + group + "/offsets/" + topic + "/" + strconv.Itoa(int(partition))
}

const (
	configChangePrefix = "config_change_"
	logDirEventPrefix  = "log_dir_event_"
	isrChangePrefix    = "isr_change_"
)

// sequenceOf returns the number at the end of a sequential node's name.
func sequenceOf(name, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}
