package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// LeaderAndIsr, v0 to v7.
//
// Behaviour: the controller tells this broker which partitions it leads and which it follows. A request for an earlier incarnation of
// this broker is refused whole, as is one of a controller that was replaced; other refusals are per partition.
//
// Versions: 1 new partitions are marked; 2 the broker's epoch, states by topic; 3 adding and removing replicas; 4 flexible;
// 5 topic ids, answers by id; 6 leader recovery; 7 whether the controller is KRaft's.

// told is this broker as the controller talks to it.
type told interface {
	ApplyLeaderAndISR(r *cluster.LeaderAndISRRequest) *cluster.LeaderAndISRResponse
	ApplyUpdateMetadata(r *cluster.UpdateMetadataRequest) error
	ApplyStopReplica(r *cluster.StopReplicaRequest) *cluster.StopReplicaResponse
}

// registration is this broker's current incarnation.
type registration interface {
	Epoch() cluster.BrokerEpoch
}

// staleEpoch refuses what was meant for an earlier incarnation. A later one is true: its registration may be on its way here. Senders
// of old do not say.
func staleEpoch(own registration, epoch int64) error {
	if epoch != -1 && cluster.BrokerEpoch(epoch) < own.Epoch() {
		return kerr.StaleBrokerEpoch
	}
	return nil
}

func leaderAndISR(b told, own registration) API {
	return on(0, 7, func(_ context.Context, _ *Call, req *kmsg.LeaderAndISRRequest) (*kmsg.LeaderAndISRResponse, error) {
		if err := staleEpoch(own, req.BrokerEpoch); err != nil {
			return answerLeaderAndISR(req, &cluster.LeaderAndISRResponse{Err: err}), nil
		}
		return answerLeaderAndISR(req, b.ApplyLeaderAndISR(leaderAndISRRequest(req))), nil
	}, ClusterAction)
}

func leaderAndISRRequest(req *kmsg.LeaderAndISRRequest) *cluster.LeaderAndISRRequest {
	r := &cluster.LeaderAndISRRequest{ControllerID: cluster.BrokerID(req.ControllerID),
		ControllerEpoch: cluster.ControllerEpoch(req.ControllerEpoch), BrokerEpoch: cluster.BrokerEpoch(req.BrokerEpoch)}
	for i := range req.PartitionStates {
		r.States = append(r.States, leaderAndISRState(req.PartitionStates[i].Topic, protocol.TopicID{}, &req.PartitionStates[i]))
	}
	for _, t := range req.TopicStates {
		for i := range t.PartitionStates {
			r.States = append(r.States, leaderAndISRState(t.Topic, t.TopicID, &t.PartitionStates[i]))
		}
	}
	for _, l := range req.LiveLeaders {
		r.LiveLeaders = append(r.LiveLeaders, cluster.Broker{ID: cluster.BrokerID(l.BrokerID), Endpoints: []cluster.Endpoint{{Host: l.Host, Port: l.Port}}})
	}
	return r
}

func leaderAndISRState(topic string, id protocol.TopicID, p *kmsg.LeaderAndISRRequestTopicPartition) cluster.PartitionState {
	return cluster.PartitionState{
		TopicPartition: protocol.TopicPartition{Topic: topic, Partition: p.Partition}, TopicID: id, IsNew: p.IsNew,
		LeaderAndISR: cluster.LeaderAndISR{Leader: cluster.BrokerID(p.Leader), LeaderEpoch: cluster.LeaderEpoch(p.LeaderEpoch), ISR: brokerIDs(p.ISR),
			Recovering: p.LeaderRecoveryState != 0, ControllerEpoch: cluster.ControllerEpoch(p.ControllerEpoch), PartitionEpoch: cluster.PartitionEpoch(p.ZKVersion)},
		Assignment: cluster.Assignment{Replicas: brokerIDs(p.Replicas), Adding: brokerIDs(p.AddingReplicas), Removing: brokerIDs(p.RemovingReplicas)},
	}
}

// answerLeaderAndISR lists every partition of the request with its error; an error of them all is told for each as well.
func answerLeaderAndISR(req *kmsg.LeaderAndISRRequest, r *cluster.LeaderAndISRResponse) *kmsg.LeaderAndISRResponse {
	resp := req.ResponseKind().(*kmsg.LeaderAndISRResponse)
	resp.ErrorCode = protocol.CodeOf(r.Err)
	answer := func(topic string, partition int32) kmsg.LeaderAndISRResponseTopicPartition {
		err := r.Err
		if err == nil {
			err = r.Partitions[protocol.TopicPartition{Topic: topic, Partition: partition}]
		}
		return kmsg.LeaderAndISRResponseTopicPartition{Topic: topic, Partition: partition, ErrorCode: protocol.CodeOf(err)}
	}
	for _, p := range req.PartitionStates {
		resp.Partitions = append(resp.Partitions, answer(p.Topic, p.Partition))
	}
	for _, t := range req.TopicStates {
		out := kmsg.LeaderAndISRResponseTopic{TopicID: t.TopicID}
		for _, p := range t.PartitionStates {
			out.Partitions = append(out.Partitions, answer(t.Topic, p.Partition))
		}
		if req.Version < 5 {
			resp.Partitions = append(resp.Partitions, out.Partitions...)
		} else {
			resp.Topics = append(resp.Topics, out)
		}
	}
	return resp
}
