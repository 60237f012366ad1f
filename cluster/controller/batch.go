package controller

import (
	"slices"

	"gokafka/cluster"
	"gokafka/protocol"
)

// batch gathers what one step of a state machine has to tell the brokers: at most one LeaderAndIsr, one UpdateMetadata and one
// StopReplica each (Apache's ControllerBrokerRequestBatch). What a partition looks like is fixed when it is added.
type batch struct {
	state *State
	link  *links

	leaderAndISR map[cluster.BrokerID]*ordered[cluster.PartitionState]
	stopReplica  map[cluster.BrokerID]*ordered[cluster.StopReplica]
	metadata     ordered[cluster.PartitionState] // the same for every broker
	metadataTo   set[cluster.BrokerID]
	toAll        bool // metadata goes to every registered broker
}

// ordered is a list of partitions in the order in which they were first added, where a later word about one replaces the earlier.
type ordered[T any] struct {
	items []T
	index map[protocol.TopicPartition]int
}

// at returns the place of a partition's item, and whether there was one.
func (o *ordered[T]) at(tp protocol.TopicPartition) (*T, bool) {
	if i, ok := o.index[tp]; ok {
		return &o.items[i], true
	}
	if o.index == nil {
		o.index = map[protocol.TopicPartition]int{}
	}
	o.index[tp] = len(o.items)
	o.items = append(o.items, *new(T))
	return &o.items[len(o.items)-1], false
}

func newBatch(state *State, link *links) *batch {
	return &batch{
		state: state, link: link,
		leaderAndISR: map[cluster.BrokerID]*ordered[cluster.PartitionState]{},
		stopReplica:  map[cluster.BrokerID]*ordered[cluster.StopReplica]{},
		metadataTo:   set[cluster.BrokerID]{},
	}
}

// addLeaderAndISR tells brokers who leads a partition, and every broker the same by UpdateMetadata. Once isNew, a partition stays so within
// the batch.
func (b *batch) addLeaderAndISR(to []cluster.BrokerID, p *partition, isNew bool) {
	for _, id := range to {
		if b.leaderAndISR[id] == nil {
			b.leaderAndISR[id] = &ordered[cluster.PartitionState]{}
		}
		s, _ := b.leaderAndISR[id].at(p.tp)
		*s = cluster.PartitionState{TopicPartition: p.tp, TopicID: p.topic.id, LeaderAndISR: p.state, Assignment: p.assignment, IsNew: isNew || s.IsNew}
	}
	b.addMetadata(p)
}

// addMetadata tells every registered broker of partitions; without any, of the registered brokers alone.
func (b *batch) addMetadata(partitions ...*partition) {
	b.toAll = true
	b.addMetadataTo(nil, partitions...)
}

// addMetadataTo tells some brokers of partitions. One that was never led is left out, one that is being deleted says so.
func (b *batch) addMetadataTo(to []cluster.BrokerID, partitions ...*partition) {
	for _, id := range to {
		b.metadataTo[id] = struct{}{}
	}
	for _, p := range partitions {
		if p.hasState {
			s, _ := b.metadata.at(p.tp)
			*s = b.metadataOf(p)
		}
	}
}

func (b *batch) metadataOf(p *partition) cluster.PartitionState {
	replicas := p.assignment.Replicas
	s := cluster.PartitionState{TopicPartition: p.tp, TopicID: p.topic.id, LeaderAndISR: p.state, Assignment: cluster.Assignment{Replicas: replicas}}
	if p.topic.deleting {
		s.LeaderAndISR = cluster.LeaderAndISR{Leader: cluster.LeaderDuringDelete, ISR: p.state.ISR, ControllerEpoch: p.state.ControllerEpoch}
	}
	for _, id := range replicas {
		if !b.state.online(p, id) {
			s.Offline = append(s.Offline, id)
		}
	}
	return s
}

// addStopReplica tells a broker to stop its replica, and to delete it if so asked by any word within the batch.
func (b *batch) addStopReplica(to cluster.BrokerID, p *partition, deleteIt bool) {
	if b.stopReplica[to] == nil {
		b.stopReplica[to] = &ordered[cluster.StopReplica]{}
	}
	s, _ := b.stopReplica[to].at(p.tp)
	*s = cluster.StopReplica{TopicPartition: p.tp, LeaderEpoch: p.leaderEpoch(), Delete: deleteIt || s.Delete}
}

// send queues the requests: LeaderAndIsr to all before UpdateMetadata to all before StopReplica, and none to a broker that is gone.
func (b *batch) send() {
	for _, id := range b.state.brokerIDs() {
		if states := b.leaderAndISR[id]; states != nil {
			b.link.send(id, b.leaderAndISRRequest(id, states.items))
		}
	}
	live := b.state.registered()
	for _, id := range b.state.brokerIDs() {
		if _, ok := b.metadataTo[id]; ok || b.toAll {
			b.link.send(id, &cluster.UpdateMetadataRequest{ControllerID: b.state.claim.ID, ControllerEpoch: b.state.claim.Epoch,
				BrokerEpoch: b.state.brokers[id].Epoch, LiveBrokers: live, States: b.metadata.items})
		}
	}
	for _, id := range b.state.brokerIDs() {
		if stops := b.stopReplica[id]; stops != nil {
			b.link.send(id, &cluster.StopReplicaRequest{ControllerID: b.state.claim.ID, ControllerEpoch: b.state.claim.Epoch,
				BrokerEpoch: b.state.brokers[id].Epoch, Partitions: stops.items})
		}
	}
}

func (b *batch) leaderAndISRRequest(to cluster.BrokerID, states []cluster.PartitionState) *cluster.LeaderAndISRRequest {
	leaders := set[cluster.BrokerID]{}
	for i := range states {
		leaders[states[i].Leader] = struct{}{}
	}
	live := slices.DeleteFunc(b.state.registered(), func(broker cluster.Broker) bool {
		_, leads := leaders[broker.ID]
		return !leads
	})
	return &cluster.LeaderAndISRRequest{ControllerID: b.state.claim.ID, ControllerEpoch: b.state.claim.Epoch,
		BrokerEpoch: b.state.brokers[to].Epoch, States: states, LiveLeaders: live}
}
