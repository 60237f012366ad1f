package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// UpdateMetadata, v0 to v8.
//
// Behaviour: the controller tells this broker who is alive and how partitions stand; clients are answered from that.
//
// Versions: 1 endpoints; 2 racks; 3 listener names; 4 offline replicas; 5 the broker's epoch, states by topic; 6 flexible;
// 7 topic ids; 8 whether the controller is KRaft's.

func updateMetadata(b told, own registration) API {
	return on(0, 8, func(_ context.Context, _ *Call, req *kmsg.UpdateMetadataRequest) (*kmsg.UpdateMetadataResponse, error) {
		resp := req.ResponseKind().(*kmsg.UpdateMetadataResponse)
		err := staleEpoch(own, req.BrokerEpoch)
		if err == nil {
			err = b.ApplyUpdateMetadata(updateMetadataRequest(req))
		}
		resp.ErrorCode = protocol.CodeOf(err)
		return resp, nil
	}, ClusterAction)
}

func updateMetadataRequest(req *kmsg.UpdateMetadataRequest) *cluster.UpdateMetadataRequest {
	r := &cluster.UpdateMetadataRequest{ControllerID: cluster.BrokerID(req.ControllerID),
		ControllerEpoch: cluster.ControllerEpoch(req.ControllerEpoch), BrokerEpoch: cluster.BrokerEpoch(req.BrokerEpoch)}
	for i := range req.PartitionStates {
		r.States = append(r.States, metadataState(req.PartitionStates[i].Topic, protocol.TopicID{}, &req.PartitionStates[i]))
	}
	for _, t := range req.TopicStates {
		for i := range t.PartitionStates {
			r.States = append(r.States, metadataState(t.Topic, t.TopicID, &t.PartitionStates[i]))
		}
	}
	for i := range req.LiveBrokers {
		r.LiveBrokers = append(r.LiveBrokers, liveBroker(req.Version, &req.LiveBrokers[i]))
	}
	return r
}

func metadataState(topic string, id protocol.TopicID, p *kmsg.UpdateMetadataRequestTopicPartition) cluster.PartitionState {
	return cluster.PartitionState{
		TopicPartition: protocol.TopicPartition{Topic: topic, Partition: p.Partition}, TopicID: id,
		LeaderAndISR: cluster.LeaderAndISR{Leader: cluster.BrokerID(p.Leader), LeaderEpoch: cluster.LeaderEpoch(p.LeaderEpoch), ISR: brokerIDs(p.ISR),
			ControllerEpoch: cluster.ControllerEpoch(p.ControllerEpoch), PartitionEpoch: cluster.PartitionEpoch(p.ZKVersion)},
		Assignment: cluster.Assignment{Replicas: brokerIDs(p.Replicas)},
		Offline:    brokerIDs(p.OfflineReplicas),
	}
}

// liveBroker reads a broker. Before listeners had names, their protocols' were theirs.
func liveBroker(version int16, l *kmsg.UpdateMetadataRequestLiveBroker) cluster.Broker {
	b := cluster.Broker{ID: cluster.BrokerID(l.ID)}
	if l.Rack != nil {
		b.Rack = *l.Rack
	}
	if version == 0 {
		b.Endpoints = []cluster.Endpoint{{Listener: cluster.Plaintext.String(), Host: l.Host, Port: l.Port}}
	}
	for _, e := range l.Endpoints {
		p := cluster.SecurityProtocol(e.SecurityProtocol)
		if p < cluster.Plaintext || p > cluster.SASLSSL {
			continue // nobody could connect to it
		}
		name := e.ListenerName
		if version < 3 {
			name = p.String()
		}
		b.Endpoints = append(b.Endpoints, cluster.Endpoint{Listener: name, Protocol: p, Host: e.Host, Port: e.Port})
	}
	return b
}
