package cluster

import (
	"gokafka/protocol"
)

// The controller's requests and their answers, in the cluster's own values, so that a broker can be told by a direct call
// (one node) or through a socket (cluster/peer) alike. Errors are those that protocol.CodeOf knows.

// LeaderAndISRRequest tells a broker which partitions it leads and follows.
type LeaderAndISRRequest struct {
	ControllerID    BrokerID
	ControllerEpoch ControllerEpoch
	BrokerEpoch     BrokerEpoch
	States          []PartitionState
	LiveLeaders     []Broker
}

// LeaderAndISRResponse has one error per refused partition; nil Err and no entry mean success.
type LeaderAndISRResponse struct {
	Err        error
	Partitions map[protocol.TopicPartition]error
}

// UpdateMetadataRequest replaces the receiver's view of live brokers and of the listed partitions.
type UpdateMetadataRequest struct {
	ControllerID    BrokerID
	ControllerEpoch ControllerEpoch
	BrokerEpoch     BrokerEpoch
	LiveBrokers     []Broker
	States          []PartitionState
}

// StopReplicaRequest tells a broker to stop replicas, and to delete those marked so.
type StopReplicaRequest struct {
	ControllerID    BrokerID
	ControllerEpoch ControllerEpoch
	BrokerEpoch     BrokerEpoch
	Partitions      []StopReplica
}

// StopReplica is one partition of a StopReplicaRequest.
type StopReplica struct {
	protocol.TopicPartition
	LeaderEpoch LeaderEpoch // -1: do not check, -2: the topic is being deleted
	Delete      bool
}

// StopReplicaResponse is like LeaderAndISRResponse.
type StopReplicaResponse struct {
	Err        error
	Partitions map[protocol.TopicPartition]error
}

// AlterPartitionRequest is a leader's proposal of new in-sync replicas for some partitions (KIP-497).
type AlterPartitionRequest struct {
	BrokerID    BrokerID
	BrokerEpoch BrokerEpoch
	Partitions  []AlterPartition
}

// AlterPartition is one proposal.
type AlterPartition struct {
	protocol.TopicPartition
	TopicID        protocol.TopicID
	LeaderEpoch    LeaderEpoch
	NewISR         []BrokerID
	Recovering     bool
	PartitionEpoch PartitionEpoch // the state that the proposal was made from
}

// AlterPartitionResponse carries the committed state per partition, or its error.
type AlterPartitionResponse struct {
	Err        error
	Partitions map[protocol.TopicPartition]AlterPartitionResult
}

// AlterPartitionResult is the new state of a partition, when Err is nil.
type AlterPartitionResult struct {
	Err   error
	State LeaderAndISR
}
