package peer

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// The requests are filled in for all versions that may be negotiated; kmsg leaves out what the version does not have.

// grouped gathers items by topic, in the order in which the topics first come.
func grouped[T any](n int, topicOf func(i int) string, begin func(i int) T, add func(t *T, i int)) []T {
	var topics []T
	index := map[string]int{}
	for i := range n {
		name := topicOf(i)
		at, ok := index[name]
		if !ok {
			at = len(topics)
			index[name] = at
			topics = append(topics, begin(i))
		}
		add(&topics[at], i)
	}
	return topics
}

// numbers turns ids into the wire's; nothing becomes an empty list, since null would be another thing.
func numbers(ids []cluster.BrokerID) []int32 {
	n := make([]int32, len(ids))
	for i, id := range ids {
		n[i] = int32(id)
	}
	return n
}

// recovery is the wire's word for whether a leader recovers from an unclean election (KIP-704).
func recovery(recovering bool) int8 {
	if recovering {
		return 1
	}
	return 0
}

func leaderAndISR(r *cluster.LeaderAndISRRequest) *kmsg.LeaderAndISRRequest {
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = int32(r.ControllerID), int32(r.ControllerEpoch), int64(r.BrokerEpoch)
	req.TopicStates = grouped(len(r.States), func(i int) string { return r.States[i].Topic },
		func(i int) kmsg.LeaderAndISRRequestTopicState {
			t := kmsg.NewLeaderAndISRRequestTopicState()
			t.Topic, t.TopicID = r.States[i].Topic, r.States[i].TopicID
			return t
		},
		func(t *kmsg.LeaderAndISRRequestTopicState, i int) {
			t.PartitionStates = append(t.PartitionStates, leaderAndISRState(&r.States[i]))
		})
	for i := range r.LiveLeaders {
		// An endpoint of any listener will do: brokers take addresses from UpdateMetadata.
		l := kmsg.NewLeaderAndISRRequestLiveLeader()
		l.BrokerID = int32(r.LiveLeaders[i].ID)
		if e := r.LiveLeaders[i].Endpoints; len(e) > 0 {
			l.Host, l.Port = e[0].Host, e[0].Port
		}
		req.LiveLeaders = append(req.LiveLeaders, l)
	}
	return req
}

func leaderAndISRState(s *cluster.PartitionState) kmsg.LeaderAndISRRequestTopicPartition {
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	p.Topic, p.Partition = s.Topic, s.Partition
	p.ControllerEpoch, p.Leader, p.LeaderEpoch = int32(s.ControllerEpoch), int32(s.Leader), int32(s.LeaderEpoch)
	p.ISR, p.ZKVersion, p.IsNew, p.LeaderRecoveryState = numbers(s.ISR), int32(s.PartitionEpoch), s.IsNew, recovery(s.Recovering)
	p.Replicas, p.AddingReplicas, p.RemovingReplicas = numbers(s.Replicas), numbers(s.Adding), numbers(s.Removing)
	return p
}

// leaderAndISRAnswer keeps what was refused. Since version 5 the answer names topics by their ids alone.
func leaderAndISRAnswer(req *kmsg.LeaderAndISRRequest, resp *kmsg.LeaderAndISRResponse) *cluster.LeaderAndISRResponse {
	answer := &cluster.LeaderAndISRResponse{Err: kerr.ErrorForCode(resp.ErrorCode), Partitions: map[protocol.TopicPartition]error{}}
	refuse := func(topic string, p *kmsg.LeaderAndISRResponseTopicPartition) {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			answer.Partitions[protocol.TopicPartition{Topic: topic, Partition: p.Partition}] = err
		}
	}
	for i := range resp.Partitions {
		refuse(resp.Partitions[i].Topic, &resp.Partitions[i])
	}
	names := map[[16]byte]string{}
	for _, t := range req.TopicStates {
		names[t.TopicID] = t.Topic
	}
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			refuse(names[t.TopicID], &t.Partitions[i])
		}
	}
	return answer
}

func updateMetadata(r *cluster.UpdateMetadataRequest) *kmsg.UpdateMetadataRequest {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = int32(r.ControllerID), int32(r.ControllerEpoch), int64(r.BrokerEpoch)
	req.TopicStates = grouped(len(r.States), func(i int) string { return r.States[i].Topic },
		func(i int) kmsg.UpdateMetadataRequestTopicState {
			t := kmsg.NewUpdateMetadataRequestTopicState()
			t.Topic, t.TopicID = r.States[i].Topic, r.States[i].TopicID
			return t
		},
		func(t *kmsg.UpdateMetadataRequestTopicState, i int) {
			s, p := &r.States[i], kmsg.NewUpdateMetadataRequestTopicPartition()
			p.Topic, p.Partition = s.Topic, s.Partition
			p.ControllerEpoch, p.Leader, p.LeaderEpoch = int32(s.ControllerEpoch), int32(s.Leader), int32(s.LeaderEpoch)
			p.ISR, p.ZKVersion, p.Replicas, p.OfflineReplicas = numbers(s.ISR), int32(s.PartitionEpoch), numbers(s.Replicas), numbers(s.Offline)
			t.PartitionStates = append(t.PartitionStates, p)
		})
	for i := range r.LiveBrokers {
		req.LiveBrokers = append(req.LiveBrokers, liveBroker(&r.LiveBrokers[i]))
	}
	return req
}

func liveBroker(b *cluster.Broker) kmsg.UpdateMetadataRequestLiveBroker {
	l := kmsg.NewUpdateMetadataRequestLiveBroker()
	l.ID = int32(b.ID)
	if b.Rack != "" {
		l.Rack = &b.Rack
	}
	for _, e := range b.Endpoints {
		out := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
		out.Host, out.Port, out.ListenerName, out.SecurityProtocol = e.Host, e.Port, e.Listener, int16(e.Protocol)
		l.Endpoints = append(l.Endpoints, out)
	}
	return l
}

func stopReplica(r *cluster.StopReplicaRequest) *protocol.StopReplicaRequest {
	req := &protocol.StopReplicaRequest{StopReplicaRequest: kmsg.NewStopReplicaRequest()}
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = int32(r.ControllerID), int32(r.ControllerEpoch), int64(r.BrokerEpoch)
	req.Topics = grouped(len(r.Partitions), func(i int) string { return r.Partitions[i].Topic },
		func(i int) kmsg.StopReplicaRequestTopic {
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic = r.Partitions[i].Topic
			return t
		},
		func(t *kmsg.StopReplicaRequestTopic, i int) {
			p := kmsg.NewStopReplicaRequestTopicPartitionState()
			p.Partition, p.LeaderEpoch, p.Delete = r.Partitions[i].Partition, int32(r.Partitions[i].LeaderEpoch), r.Partitions[i].Delete
			t.PartitionStates = append(t.PartitionStates, p)
		})
	return req
}

func alterPartition(r *cluster.AlterPartitionRequest) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.BrokerID, req.BrokerEpoch = int32(r.BrokerID), int64(r.BrokerEpoch)
	req.Topics = grouped(len(r.Partitions), func(i int) string { return r.Partitions[i].Topic },
		func(i int) kmsg.AlterPartitionRequestTopic {
			t := kmsg.NewAlterPartitionRequestTopic()
			t.Topic, t.TopicID = r.Partitions[i].Topic, r.Partitions[i].TopicID
			return t
		},
		func(t *kmsg.AlterPartitionRequestTopic, i int) {
			t.Partitions = append(t.Partitions, alterPartitionProposal(&r.Partitions[i]))
		})
	return req
}

// alterPartitionProposal gives no epochs for the members of the ISR: controllers in ZooKeeper mode do not know followers' epochs either.
func alterPartitionProposal(a *cluster.AlterPartition) kmsg.AlterPartitionRequestTopicPartition {
	p := kmsg.NewAlterPartitionRequestTopicPartition()
	p.Partition, p.LeaderEpoch, p.PartitionEpoch = a.Partition, int32(a.LeaderEpoch), int32(a.PartitionEpoch)
	p.NewISR, p.LeaderRecoveryState = numbers(a.NewISR), recovery(a.Recovering)
	for _, id := range a.NewISR {
		member := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
		member.BrokerID, member.BrokerEpoch = int32(id), -1
		p.NewEpochISR = append(p.NewEpochISR, member)
	}
	return p
}

func alterPartitionAnswer(req *kmsg.AlterPartitionRequest, resp *kmsg.AlterPartitionResponse) *cluster.AlterPartitionResponse {
	answer := &cluster.AlterPartitionResponse{Err: kerr.ErrorForCode(resp.ErrorCode), Partitions: map[protocol.TopicPartition]cluster.AlterPartitionResult{}}
	names := map[[16]byte]string{}
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
	}
	for _, t := range resp.Topics {
		name := t.Topic
		if resp.Version >= 2 {
			name = names[t.TopidID]
		}
		for i := range t.Partitions {
			tp := protocol.TopicPartition{Topic: name, Partition: t.Partitions[i].Partition}
			answer.Partitions[tp] = alterPartitionResult(&t.Partitions[i])
		}
	}
	return answer
}

func alterPartitionResult(p *kmsg.AlterPartitionResponseTopicPartition) cluster.AlterPartitionResult {
	r := cluster.AlterPartitionResult{Err: kerr.ErrorForCode(p.ErrorCode)}
	r.State = cluster.LeaderAndISR{Leader: cluster.BrokerID(p.LeaderID), LeaderEpoch: cluster.LeaderEpoch(p.LeaderEpoch),
		Recovering: p.LeaderRecoveryState != 0, PartitionEpoch: cluster.PartitionEpoch(p.PartitionEpoch)}
	for _, id := range p.ISR {
		r.State.ISR = append(r.State.ISR, cluster.BrokerID(id))
	}
	return r
}
