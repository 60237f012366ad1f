package handlers

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// AlterPartition, v0 to v3.
//
// Behaviour: leaders propose in-sync replicas to the controller, which answers with the state that is written (KIP-497).
//
// Versions: 1 leader recovery; 2 topic ids instead of names, INELIGIBLE_REPLICA; 3 epochs of the members, which nobody knows here.

// partitionAlterer is the controller, asked to write in-sync replicas.
type partitionAlterer interface {
	AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error)
}

func alterPartition(c partitionAlterer) API {
	return on(0, 3, func(ctx context.Context, _ *Call, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
		resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
		if unknownRecovery(req) {
			resp.ErrorCode = kerr.UnknownServerError.Code
			return resp, nil
		}
		r, err := c.AlterPartition(ctx, alterPartitionRequest(req))
		if err == nil {
			err = r.Err
		}
		if err != nil {
			resp.ErrorCode = protocol.CodeOf(err)
			return resp, nil
		}
		for i := range req.Topics {
			t := &req.Topics[i]
			out := kmsg.AlterPartitionResponseTopic{Topic: t.Topic, TopidID: t.TopicID}
			for _, p := range t.Partitions {
				result := r.Partitions[protocol.TopicPartition{Topic: nameOrID(req.Version, t), Partition: p.Partition}]
				out.Partitions = append(out.Partitions, alteredPartition(req.Version, p.Partition, &result))
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}, ClusterAction)
}

// unknownRecovery reports whether a state of recovery is neither of the two that there are. Apache fails then as a whole.
func unknownRecovery(req *kmsg.AlterPartitionRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.AlterPartitionRequestTopic) bool {
		return slices.ContainsFunc(t.Partitions, func(p kmsg.AlterPartitionRequestTopicPartition) bool {
			return p.LeaderRecoveryState != 0 && p.LeaderRecoveryState != 1
		})
	})
}

// nameOrID tells topics apart until the controller has found them: those that come by id stand under its text.
func nameOrID(version int16, t *kmsg.AlterPartitionRequestTopic) string {
	if version >= 2 {
		return protocol.TopicID(t.TopicID).String()
	}
	return t.Topic
}

func alterPartitionRequest(req *kmsg.AlterPartitionRequest) *cluster.AlterPartitionRequest {
	r := &cluster.AlterPartitionRequest{BrokerID: cluster.BrokerID(req.BrokerID), BrokerEpoch: cluster.BrokerEpoch(req.BrokerEpoch)}
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, p := range t.Partitions {
			a := cluster.AlterPartition{TopicPartition: protocol.TopicPartition{Topic: nameOrID(req.Version, t), Partition: p.Partition},
				TopicID: t.TopicID, LeaderEpoch: cluster.LeaderEpoch(p.LeaderEpoch), NewISR: brokerIDs(p.NewISR),
				Recovering: p.LeaderRecoveryState != 0, PartitionEpoch: cluster.PartitionEpoch(p.PartitionEpoch)}
			for _, member := range p.NewEpochISR {
				a.NewISR = append(a.NewISR, cluster.BrokerID(member.BrokerID))
			}
			r.Partitions = append(r.Partitions, a)
		}
	}
	return r
}

func alteredPartition(version int16, partition int32, r *cluster.AlterPartitionResult) kmsg.AlterPartitionResponseTopicPartition {
	p := kmsg.NewAlterPartitionResponseTopicPartition()
	p.Partition = partition
	if r.Err != nil {
		p.ErrorCode = protocol.CodeOf(r.Err)
		if version < 2 && errors.Is(r.Err, kerr.IneligibleReplica) {
			p.ErrorCode = kerr.OperationNotAttempted.Code // brokers of old do not know the other
		}
		return p
	}
	s := &r.State
	p.LeaderID, p.LeaderEpoch, p.PartitionEpoch = int32(s.Leader), int32(s.LeaderEpoch), int32(s.PartitionEpoch)
	for _, id := range s.ISR {
		p.ISR = append(p.ISR, int32(id))
	}
	if s.Recovering {
		p.LeaderRecoveryState = 1
	}
	return p
}
