package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// StopReplica, v0 to v4.
//
// Behaviour: the controller has this broker stop replicas, and delete those that it says. What was refused as a whole has no list.
//
// Versions: 1 the broker's epoch; 2 flexible; 3 leader epochs, and deletion by partition; 4 whether the controller is KRaft's.

func stopReplica(b told, own registration) API {
	return on(0, 4, func(_ context.Context, _ *Call, req *protocol.StopReplicaRequest) (*kmsg.StopReplicaResponse, error) {
		resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
		if err := staleEpoch(own, req.BrokerEpoch); err != nil {
			resp.ErrorCode = protocol.CodeOf(err)
			return resp, nil
		}
		r := stopReplicaRequest(req)
		answer := b.ApplyStopReplica(r)
		if answer.Err != nil {
			resp.ErrorCode = protocol.CodeOf(answer.Err)
			return resp, nil
		}
		for _, s := range r.Partitions {
			resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: s.Topic, Partition: s.Partition,
				ErrorCode: protocol.CodeOf(answer.Partitions[s.TopicPartition])})
		}
		return resp, nil
	}, ClusterAction)
}

func stopReplicaRequest(req *protocol.StopReplicaRequest) *cluster.StopReplicaRequest {
	r := &cluster.StopReplicaRequest{ControllerID: cluster.BrokerID(req.ControllerID),
		ControllerEpoch: cluster.ControllerEpoch(req.ControllerEpoch), BrokerEpoch: cluster.BrokerEpoch(req.BrokerEpoch)}
	add := func(topic string, partition int32, epoch cluster.LeaderEpoch, remove bool) {
		r.Partitions = append(r.Partitions, cluster.StopReplica{TopicPartition: protocol.TopicPartition{Topic: topic, Partition: partition},
			LeaderEpoch: epoch, Delete: remove})
	}
	for _, t := range req.Topics {
		if req.Version == 0 {
			add(t.Topic, t.Partition, cluster.NoEpoch, req.DeletePartitions)
		}
		for _, p := range t.Partitions {
			add(t.Topic, p, cluster.NoEpoch, req.DeletePartitions)
		}
		for _, p := range t.PartitionStates {
			add(t.Topic, p.Partition, cluster.LeaderEpoch(p.LeaderEpoch), p.Delete)
		}
	}
	return r
}
