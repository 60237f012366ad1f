package cluster

import (
	"gokafka/protocol"
)

// Epochs are types of their own, so that one cannot be passed for another. All only grow.
type (
	// BrokerID is broker.id.
	BrokerID int32
	// BrokerEpoch is one incarnation of a broker: the czxid of its registration.
	BrokerEpoch int64
	// ControllerEpoch is one controller's term.
	ControllerEpoch int32
	// LeaderEpoch is one leader's term in a partition.
	LeaderEpoch int32
	// PartitionEpoch is the version of a partition's state: the znode's version.
	PartitionEpoch int32
)

const (
	// NoLeader is the leader of an offline partition.
	NoLeader BrokerID = -1
	// LeaderDuringDelete is the leader that UpdateMetadata carries for a topic being deleted.
	LeaderDuringDelete BrokerID = -2
	// NoEpoch in a request means that the sender does not check it.
	NoEpoch LeaderEpoch = -1
)

// SecurityProtocol is what a listener speaks, with Kafka's numbers.
type SecurityProtocol int16

// The four security protocols.
const (
	Plaintext     SecurityProtocol = 0
	SSL           SecurityProtocol = 1
	SASLPlaintext SecurityProtocol = 2
	SASLSSL       SecurityProtocol = 3
)

// String is Kafka's name for the protocol.
func (p SecurityProtocol) String() string {
	return [...]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}[p]
}

// Endpoint is one address at which a broker answers.
type Endpoint struct {
	Listener string // listener name, upper case
	Protocol SecurityProtocol
	Host     string
	Port     int32
}

// Broker is a live broker as the cluster knows it.
type Broker struct {
	ID        BrokerID
	Epoch     BrokerEpoch
	Rack      string // empty: none
	Endpoints []Endpoint
}

// Endpoint returns the broker's address on the named listener.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Assignment is the replica set of one partition; the two last are empty unless it is being reassigned.
type Assignment struct {
	Replicas []BrokerID // first is the preferred leader
	Adding   []BrokerID
	Removing []BrokerID
}

// LeaderAndISR is the durable state of a partition: what /brokers/topics/T/partitions/P/state holds.
type LeaderAndISR struct {
	Leader          BrokerID
	LeaderEpoch     LeaderEpoch
	ISR             []BrokerID
	Recovering      bool // leader was elected uncleanly and has not said that it recovered (KIP-704)
	ControllerEpoch ControllerEpoch
	PartitionEpoch  PartitionEpoch // znode version; not part of the JSON
}

// PartitionState is one partition in LeaderAndIsr and UpdateMetadata.
type PartitionState struct {
	protocol.TopicPartition
	TopicID protocol.TopicID
	LeaderAndISR
	Assignment
	Offline []BrokerID // replicas on dead brokers or failed directories; UpdateMetadata only
	IsNew   bool       // LeaderAndIsr only: the replica may be created although a directory is offline
}
