package wire

import "github.com/twmb/franz-go/pkg/kmsg"

// What brokers and controllers say to each other, from somebody who is behind the times: nothing may come of it. Controller
// epochs start at 1, and -1 stands for a sender that does not know the broker's epoch.

func leaderAndISR(x *Exchange, controllerEpoch int32, brokerEpoch int64) *kmsg.LeaderAndISRRequest {
	r := kmsg.NewPtrLeaderAndISRRequest()
	r.ControllerEpoch, r.BrokerEpoch = controllerEpoch, brokerEpoch
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	p.Topic, p.ISR, p.Replicas = x.N, []int32{0}, []int32{0}
	s := kmsg.NewLeaderAndISRRequestTopicState()
	s.Topic, s.PartitionStates = x.N, append(s.PartitionStates, p)
	r.PartitionStates, r.TopicStates = append(r.PartitionStates, p), append(r.TopicStates, s)
	return r
}

func stopReplica(x *Exchange, controllerEpoch int32, brokerEpoch int64) *kmsg.StopReplicaRequest {
	r := kmsg.NewPtrStopReplicaRequest()
	r.ControllerEpoch, r.BrokerEpoch, r.DeletePartitions = controllerEpoch, brokerEpoch, true
	t := kmsg.NewStopReplicaRequestTopic()
	t.Topic, t.Partitions = x.N, []int32{0}
	t.PartitionStates = append(t.PartitionStates, kmsg.StopReplicaRequestTopicPartitionState{LeaderEpoch: -1, Delete: true})
	r.Topics = append(r.Topics, t)
	return r
}

func updateMetadata(controllerEpoch int32, brokerEpoch int64) *kmsg.UpdateMetadataRequest {
	r := kmsg.NewPtrUpdateMetadataRequest()
	r.ControllerEpoch, r.BrokerEpoch = controllerEpoch, brokerEpoch
	return r
}

func alterPartition(x *Exchange, broker int32, brokerEpoch int64) *kmsg.AlterPartitionRequest {
	r := kmsg.NewPtrAlterPartitionRequest()
	r.BrokerID, r.BrokerEpoch = broker, brokerEpoch
	t := kmsg.NewAlterPartitionRequestTopic()
	t.Topic = x.N
	p := kmsg.NewAlterPartitionRequestTopicPartition()
	p.NewISR = []int32{0}
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func shutdown(broker int32, brokerEpoch int64) *kmsg.ControlledShutdownRequest {
	r := kmsg.NewPtrControlledShutdownRequest()
	r.BrokerID, r.BrokerEpoch = broker, brokerEpoch
	return r
}

func allocate(broker int32, brokerEpoch int64) *kmsg.AllocateProducerIDsRequest {
	r := kmsg.NewPtrAllocateProducerIDsRequest()
	r.BrokerID, r.BrokerEpoch = broker, brokerEpoch
	return r
}

var brokerCases = []Case{
	{"of an old controller", kmsg.LeaderAndISR, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(leaderAndISR(x, 0, -1))
		x.Send(metadata(7, false, x.N))
	}},
	{"to an earlier life", kmsg.LeaderAndISR, 2, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(leaderAndISR(x, 1, 0))
		x.Send(metadata(7, false, x.N))
	}},
	{"of an old controller", kmsg.StopReplica, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(stopReplica(x, 0, -1)); readBack(x, x.N) }},
	{"to an earlier life", kmsg.StopReplica, 1, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(stopReplica(x, 1, 0)); readBack(x, x.N) }},
	{"of an old controller", kmsg.UpdateMetadata, 0, 0, func(x *Exchange) { x.Send(updateMetadata(0, -1)) }},
	{"to an earlier life", kmsg.UpdateMetadata, 5, 0, func(x *Exchange) { x.Send(updateMetadata(1, 0)) }},
	{"of an unknown broker", kmsg.ControlledShutdown, 0, 0, func(x *Exchange) { x.Send(shutdown(7, -1)) }},
	{"of an earlier life", kmsg.ControlledShutdown, 2, 0, func(x *Exchange) { x.Send(shutdown(0, 0)) }},
	{"of an earlier life", kmsg.AlterPartition, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(alterPartition(x, 0, 0)) }},
	{"of an unknown broker", kmsg.AlterPartition, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(alterPartition(x, 7, 0)) }},
	{"of an earlier life", kmsg.AllocateProducerIDs, 0, 0, func(x *Exchange) { x.Send(allocate(0, 0)) }},
	{"of an unknown broker", kmsg.AllocateProducerIDs, 0, 0, func(x *Exchange) { x.Send(allocate(7, 0)) }},
}
