package controller

import (
	"context"
	"maps"
	"slices"

	"gokafka/cluster"
)

// admitReplicas keeps the replicas that may go to the phase, and logs the others.
func (m *machines) admitReplicas(replicas []partitionReplica, to replicaPhase) []partitionReplica {
	admitted := make([]partitionReplica, 0, len(replicas))
	for _, r := range replicas {
		if from := r.p.replicaPhase(r.id); to.follows(from) {
			admitted = append(admitted, r)
		} else {
			m.logger.Error().Stringer("partition", r.p.tp).Int32("replica", int32(r.id)).Stringer("from", from).Stringer("to", to).Msg("replica cannot change like this")
		}
	}
	return admitted
}

// startReplicas gives every replica its first phase after a failover: those on live brokers are told what they lead and follow, the
// others leave the ISR.
func (m *machines) startReplicas(ctx context.Context) error {
	var online, offline []partitionReplica
	for _, r := range replicasOf(m.state.allPartitions()) {
		if m.state.online(r.p, r.id) {
			r.p.setReplicaPhase(r.id, replicaOnline)
			online = append(online, r)
		} else {
			// One of a topic that is being deleted waits for its broker.
			r.p.setReplicaPhase(r.id, replicaDeletionIneligible)
			offline = append(offline, r)
		}
	}
	m.onlineReplicas(online)
	return m.offlineReplicas(ctx, offline)
}

// newReplicas creates replicas. Those of a partition that has a leader are told of it at once.
func (m *machines) newReplicas(replicas []partitionReplica) {
	b := newBatch(m.state, m.link)
	for _, r := range m.admitReplicas(replicas, replicaNew) {
		if r.p.hasState && r.p.state.Leader == r.id {
			m.logger.Error().Stringer("partition", r.p.tp).Int32("replica", int32(r.id)).Msg("a new replica cannot be the leader")
			continue
		}
		if r.p.hasState {
			b.addLeaderAndISR([]cluster.BrokerID{r.id}, r.p, true)
		}
		r.p.setReplicaPhase(r.id, replicaNew)
	}
	b.send()
}

// onlineReplicas tells replicas that were there before what they lead and follow; new ones have heard it.
func (m *machines) onlineReplicas(replicas []partitionReplica) {
	b := newBatch(m.state, m.link)
	for _, r := range m.admitReplicas(replicas, replicaOnline) {
		if r.p.replicaPhase(r.id) != replicaNew && r.p.hasState {
			b.addLeaderAndISR([]cluster.BrokerID{r.id}, r.p, false)
		}
		r.p.setReplicaPhase(r.id, replicaOnline)
	}
	b.send()
}

// offlineReplicas stops replicas and takes them out of the ISR; a leader is not replaced here. The other replicas hear of it, whether
// anything changed or not, except of topics that are being deleted.
func (m *machines) offlineReplicas(ctx context.Context, replicas []partitionReplica) error {
	b := newBatch(m.state, m.link)
	admitted := m.admitReplicas(replicas, replicaOffline)
	for _, group := range byBroker(admitted) {
		if err := m.offlineOnBroker(ctx, b, group); err != nil {
			return err
		}
	}
	b.send()
	return nil
}

// byBroker groups replicas by broker, in ascending order of the brokers.
func byBroker(replicas []partitionReplica) [][]partitionReplica {
	groups := map[cluster.BrokerID][]partitionReplica{}
	var ids []cluster.BrokerID
	for _, r := range replicas {
		if groups[r.id] == nil {
			ids = append(ids, r.id)
		}
		groups[r.id] = append(groups[r.id], r)
	}
	slices.Sort(ids)
	ordered := make([][]partitionReplica, len(ids))
	for i, id := range ids {
		ordered[i] = groups[id]
	}
	return ordered
}

// offlineOnBroker does the step for the replicas of one broker.
func (m *machines) offlineOnBroker(ctx context.Context, b *batch, replicas []partitionReplica) error {
	id := replicas[0].id
	var led []*partition
	for _, r := range replicas {
		b.addStopReplica(id, r.p, false)
		if r.p.hasState {
			led = append(led, r.p)
		} else {
			b.addMetadata(r.p)
			r.p.setReplicaPhase(id, replicaOffline)
		}
	}
	results := map[*partition]error{}
	known, doubtful := m.rememberedInISR(id, led)
	again, err := m.shrink(ctx, b, id, known, results)
	if err != nil {
		return err
	}
	for again = append(again, doubtful...); len(again) > 0; {
		written, err := m.readStates(ctx, again, results)
		if err != nil {
			return err
		}
		if again, err = m.shrink(ctx, b, id, written, results); err != nil {
			return err
		}
	}
	maps.DeleteFunc(results, func(p *partition, err error) bool { return err == errNoState && p.topic.deleting })
	m.failedAll(results)
	return nil
}

// rememberedInISR parts the partitions that have a broker in their ISR as far as is remembered, for which a write shows whether that
// is still so, from those that must be read to know.
func (m *machines) rememberedInISR(id cluster.BrokerID, partitions []*partition) (known []change, doubtful []*partition) {
	for _, p := range partitions {
		if slices.Contains(p.state.ISR, id) {
			known = append(known, change{p: p, state: p.state})
		} else {
			doubtful = append(doubtful, p)
		}
	}
	return known, doubtful
}

// shrink takes a broker out of the ISR of partitions. It returns those that were changed in between.
func (m *machines) shrink(ctx context.Context, b *batch, id cluster.BrokerID, written []change, results map[*partition]error) (again []*partition, err error) {
	done := func(c change) {
		if !c.p.topic.deleting {
			b.addLeaderAndISR(without(c.p.assignment.Replicas, id), c.p, false)
		}
		c.p.setReplicaPhase(id, replicaOffline)
	}
	next := make([]change, 0, len(written))
	for _, w := range written {
		if slices.Contains(w.state.ISR, id) {
			w.state = shrunk(w.state, id)
			next = append(next, w)
			continue
		}
		w.state.ControllerEpoch = m.state.claim.Epoch
		w.p.setState(w.state)
		done(w)
	}
	return m.writeStates(ctx, next, results, done)
}

// shrunk is the state without one replica. The last one in sync stays in the ISR: it alone has everything.
func shrunk(s cluster.LeaderAndISR, id cluster.BrokerID) cluster.LeaderAndISR {
	leader, isr := s.Leader, s.ISR
	if leader == id {
		leader = cluster.NoLeader
	}
	if len(isr) > 1 {
		isr = without(isr, id)
	}
	return newEpoch(s, leader, isr)
}

// startDeletion tells brokers to delete replicas.
func (m *machines) startDeletion(replicas []partitionReplica) {
	b := newBatch(m.state, m.link)
	for _, r := range m.admitReplicas(replicas, replicaDeletionStarted) {
		r.p.setReplicaPhase(r.id, replicaDeletionStarted)
		b.addStopReplica(r.id, r.p, true)
	}
	b.send()
}

// setReplicaPhases changes the phase in memory alone.
func (m *machines) setReplicaPhases(replicas []partitionReplica, to replicaPhase) {
	for _, r := range m.admitReplicas(replicas, to) {
		r.p.setReplicaPhase(r.id, to)
	}
}

// dropReplicas forgets deleted replicas, also in the assignment.
func (m *machines) dropReplicas(replicas []partitionReplica) {
	for _, r := range m.admitReplicas(replicas, replicaNonExistent) {
		a := r.p.assignment
		m.state.assign(r.p, cluster.Assignment{Replicas: without(a.Replicas, r.id), Adding: without(a.Adding, r.id), Removing: without(a.Removing, r.id)})
		r.p.setReplicaPhase(r.id, replicaNonExistent)
	}
}
