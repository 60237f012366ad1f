package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// listPartitionReassignments tells which replicas are being moved (KIP-455).
//
// Behaviour: the controller's business. Partitions that are asked for and not being moved are not in the answer.
func listPartitionReassignments(r reassigner) API {
	return on(0, 0, func(ctx context.Context, _ *Call, req *kmsg.ListPartitionReassignmentsRequest) (*kmsg.ListPartitionReassignmentsResponse, error) {
		resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		running, err := r.ListPartitionReassignments(ctx, listed(req))
		if err != nil {
			resp.ErrorCode, resp.ErrorMessage = protocol.CodeOf(err), admin.MessageOf(err)
			return resp, nil
		}
		resp.ErrorMessage = new("")
		for topic, tps := range byTopic(running) {
			t := kmsg.NewListPartitionReassignmentsResponseTopic()
			t.Topic = topic
			for _, tp := range tps {
				a := running[tp]
				t.Partitions = append(t.Partitions, kmsg.ListPartitionReassignmentsResponseTopicPartition{
					Partition: tp.Partition, Replicas: int32s(a.Replicas), AddingReplicas: int32s(a.Adding), RemovingReplicas: int32s(a.Removing),
				})
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	})
}

// listed is nil when all are asked for.
func listed(req *kmsg.ListPartitionReassignmentsRequest) []protocol.TopicPartition {
	if req.Topics == nil {
		return nil
	}
	partitions := []protocol.TopicPartition{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, protocol.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	return partitions
}

func int32s(ids []cluster.BrokerID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
