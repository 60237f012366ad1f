package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// reassigner is the controller, asked to move replicas.
type reassigner interface {
	// AlterPartitionReassignments gives partitions new replicas, or takes back a reassignment that runs (nil replicas). The result has an
	// entry for each partition; the error is that of them all.
	AlterPartitionReassignments(ctx context.Context, replicas map[protocol.TopicPartition][]cluster.BrokerID) (map[protocol.TopicPartition]error, error)
	// ListPartitionReassignments returns the reassignments that run: those of the partitions, or all when the list is nil.
	ListPartitionReassignments(ctx context.Context, partitions []protocol.TopicPartition) (map[protocol.TopicPartition]cluster.Assignment, error)
}

// alterPartitionReassignments begins and cancels moves of replicas (KIP-455).
//
// Behaviour: the controller's business. The answer comes when the move was begun, not when it is done.
func alterPartitionReassignments(r reassigner) API {
	return on(0, 0, func(ctx context.Context, _ *Call, req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
		resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		replicas := map[protocol.TopicPartition][]cluster.BrokerID{}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				replicas[protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = brokerIDs(p.Replicas)
			}
		}
		results, err := r.AlterPartitionReassignments(ctx, replicas)
		if err != nil {
			resp.ErrorCode, resp.ErrorMessage = protocol.CodeOf(err), admin.MessageOf(err)
			return resp, nil
		}
		resp.ErrorMessage = new("")
		for topic, tps := range byTopic(results) {
			t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
			t.Topic = topic
			for _, tp := range tps {
				p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = tp.Partition, protocol.CodeOf(results[tp]), admin.MessageOf(results[tp])
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	})
}
