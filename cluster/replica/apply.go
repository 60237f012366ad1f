package replica

import (
	"gokafka/cluster"
	"gokafka/protocol"
)

// admitController refuses the requests of a controller that was replaced, and of one that means an earlier life of this
// broker. brokerEpoch is this broker's own; -1 from a sender that does not say.
func (m *Manager) admitController(epoch cluster.ControllerEpoch) error {
	if epoch < m.controllerEpoch {
		return ErrStaleControllerEpoch
	}
	m.controllerEpoch = epoch
	return nil
}

// ApplyUpdateMetadata replaces the image of the cluster. It returns ErrStaleControllerEpoch to a controller that was replaced.
func (m *Manager) ApplyUpdateMetadata(r *cluster.UpdateMetadataRequest) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	if err := m.admitController(r.ControllerEpoch); err != nil {
		return err
	}
	before := m.Metadata()
	next, gone := before.With(r)
	m.host.image.Store(next)
	var dead []cluster.BrokerID
	for _, b := range before.Brokers() {
		if next.Broker(b.ID) == nil {
			dead = append(dead, b.ID)
		}
	}
	if len(dead) > 0 {
		lookAgain(m.registry.online())
	}
	m.changes.happened()
	for _, tp := range gone {
		m.host.logs.TakePreferred(tp)
	}
	if m.listener != nil && len(dead) > 0 {
		m.listener.BrokersDied(dead)
	}
	if m.listener != nil && len(gone) > 0 {
		m.listener.PartitionsDeleted(gone)
	}
	return nil
}

// TopicChanged tells that the settings of a topic's logs have changed: what is committed may depend on them.
func (m *Manager) TopicChanged(topic string) {
	t := m.Metadata().Topic(topic)
	if t == nil {
		return
	}
	var here []*Partition
	for i := range t.Partitions {
		if h := m.registry.get(protocol.TopicPartition{Topic: topic, Partition: i}); h.online() {
			here = append(here, h.partition)
		}
	}
	lookAgain(here)
}

// told is what has changed in one of several partitions. They are told of when all have changed, so that who waits for more than one of them
// finds them all as they are to be.
type told struct {
	partition *Partition
	effects   effects
}

func tell(all []told) {
	for _, t := range all { // a fetch of a session that goes on at the first of them looks only where something has happened
		if t.effects.roleChanged || t.effects.highWatermarkMoved {
			t.partition.watchers.reopen()
		}
	}
	for _, t := range all {
		t.partition.apply(t.effects)
	}
}

func lookAgain(partitions []*Partition) {
	all := make([]told, len(partitions))
	for i, p := range partitions {
		all[i] = told{p, p.lookAgain()}
	}
	tell(all)
}

// change is one partition of a LeaderAndIsr request that applies.
type change struct {
	partition *Partition
	state     *cluster.PartitionState
}

// ApplyLeaderAndISR makes this broker lead and follow what the controller says. Each partition is refused or applied on
// its own.
func (m *Manager) ApplyLeaderAndISR(r *cluster.LeaderAndISRRequest) *cluster.LeaderAndISRResponse {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	resp := &cluster.LeaderAndISRResponse{Partitions: map[protocol.TopicPartition]error{}}
	if resp.Err = m.admitController(r.ControllerEpoch); resp.Err != nil {
		return resp
	}
	var lead, follow []change
	for i := range r.States {
		s := &r.States[i]
		switch p, err := m.admit(s); {
		case err != nil:
			resp.Partitions[s.TopicPartition] = err
		case p == nil: // its topic id was recorded, its role stays
		case s.Leader == m.host.id:
			lead = append(lead, change{p, s})
		default:
			follow = append(follow, change{p, s})
		}
	}
	led := m.makeLeaders(lead, resp)
	followed := m.makeFollowers(follow, resp)
	m.resumeMoves(lead, follow)
	if m.listener != nil && len(led)+len(followed) > 0 {
		m.listener.LeadershipChanged(led, followed)
	}
	return resp
}

// admit finds or makes the replica that a state is for and decides whether the state applies. A nil replica without an
// error means that there is nothing more to do.
func (m *Manager) admit(s *cluster.PartitionState) (*Partition, error) {
	h := m.registry.get(s.TopicPartition)
	if h.offline {
		return nil, ErrOffline
	}
	p := h.partition
	if p == nil {
		p = newPartition(&m.host, s.TopicPartition)
	}
	id := p.topicID()
	if !s.TopicID.IsZero() && !id.IsZero() && s.TopicID != id {
		return nil, ErrInconsistentTopicID
	}
	if err := p.admits(s); err != nil {
		if s.LeaderEpoch == p.View().LeaderEpoch && id.IsZero() && !s.TopicID.IsZero() {
			return nil, p.assignTopicID(s.TopicID)
		}
		return nil, err
	}
	if h.partition == nil {
		m.registry.set(s.TopicPartition, hosted{partition: p})
	}
	return p, nil
}

func (m *Manager) makeLeaders(lead []change, resp *cluster.LeaderAndISRResponse) (led []Leadership) {
	m.unfollow(names(lead))
	followers := map[cluster.BrokerID]struct{}{}
	var all []told
	for _, c := range lead {
		applied, e, err := c.partition.lead(c.state)
		all = append(all, told{c.partition, e})
		if err != nil {
			resp.Partitions[c.partition.TopicPartition] = m.refuse(c.partition, err)
		} else if applied {
			led = append(led, Leadership{c.partition.TopicPartition, c.state.LeaderEpoch})
			for _, id := range c.state.Replicas {
				followers[id] = struct{}{}
			}
		}
	}
	delete(followers, m.host.id)
	tell(all)
	m.polls.expect(followers)
	return led
}

// makeFollowers stops fetching before the role changes and starts it after. A replica whose leader is not alive gets its
// log, but does not take the epoch: the controller will send another state.
func (m *Manager) makeFollowers(follow []change, resp *cluster.LeaderAndISRResponse) (followed []Leadership) {
	m.unfollow(names(follow))
	var start []Following
	var all []told
	for _, c := range follow {
		if m.Metadata().Broker(c.state.Leader) == nil {
			if err := c.partition.openLog(c.state); err != nil {
				resp.Partitions[c.partition.TopicPartition] = m.refuse(c.partition, err)
			}
			continue
		}
		newEpoch, e, err := c.partition.follow(c.state)
		all = append(all, told{c.partition, e})
		switch {
		case err != nil:
			resp.Partitions[c.partition.TopicPartition] = m.refuse(c.partition, err)
		case newEpoch:
			start = append(start, c.partition.following())
			followed = append(followed, Leadership{c.partition.TopicPartition, c.state.LeaderEpoch})
		}
	}
	tell(all)
	if m.fetchers != nil {
		if !m.retiring.Load() {
			m.fetchers.Follow(start)
		}
		m.fetchers.StopIdle()
	}
	return followed
}

// Retire has this broker, which is about to stop, not fetch what it comes to follow from now on. A new leader would see that it has everything,
// and hold back the high watermark for it until the brokers are told that it is gone. It does not wait for a request of the controller that is
// being carried out, which may have to wait for ZooKeeper.
func (m *Manager) Retire() { m.retiring.Store(true) }

// refuse logs why a change failed. A storage error takes the replica offline.
func (m *Manager) refuse(p *Partition, err error) error {
	m.host.logger.Error().Err(err).Stringer("partition", p).Msg("could not change the partition's role")
	if !isStorage(err) {
		return err
	}
	m.registry.set(p.TopicPartition, hosted{partition: p, offline: true})
	p.leave()
	return ErrOffline
}

// ApplyStopReplica stops replicas, and deletes those marked so.
func (m *Manager) ApplyStopReplica(r *cluster.StopReplicaRequest) *cluster.StopReplicaResponse {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	resp := &cluster.StopReplicaResponse{Partitions: map[protocol.TopicPartition]error{}}
	if resp.Err = m.admitController(r.ControllerEpoch); resp.Err != nil {
		return resp
	}
	var stop []cluster.StopReplica
	for _, s := range r.Partitions {
		if err := m.admitStop(s); err != nil {
			resp.Partitions[s.TopicPartition] = err
		} else {
			stop = append(stop, s)
		}
	}
	m.stop(stop, resp)
	if m.listener != nil && len(stop) > 0 {
		m.listener.ReplicasStopped(stop)
	}
	return resp
}

// admitStop fences a stop by its leader epoch. A topic that is being deleted is not fenced: its leader epoch is -2.
func (m *Manager) admitStop(s cluster.StopReplica) error {
	h := m.registry.get(s.TopicPartition)
	switch {
	case h.offline:
		return ErrOffline
	case h.partition != nil && s.LeaderEpoch >= 0 && s.LeaderEpoch < h.partition.View().LeaderEpoch:
		return ErrFencedEpoch
	}
	return nil
}

func (m *Manager) stop(stop []cluster.StopReplica, resp *cluster.StopReplicaResponse) {
	tps := make([]protocol.TopicPartition, len(stop))
	var gone []protocol.TopicPartition
	for i, s := range stop {
		tps[i] = s.TopicPartition
		if s.Delete {
			gone = append(gone, s.TopicPartition)
		}
	}
	m.unfollow(tps)
	if m.fetchers != nil {
		m.fetchers.StopIdle()
	}
	m.moves.end(gone...)
	for _, tp := range gone {
		if h := m.registry.get(tp); h.partition != nil {
			m.registry.remove(tp)
			h.partition.leave()
		}
	}
	for tp, err := range m.host.logs.Delete(gone...) {
		m.host.logger.Error().Err(err).Stringer("partition", tp).Msg("could not delete the replica")
		resp.Partitions[tp] = err
	}
}

func (m *Manager) unfollow(tps []protocol.TopicPartition) {
	if m.fetchers != nil && len(tps) > 0 {
		m.fetchers.Unfollow(tps)
	}
}

func names(changes []change) []protocol.TopicPartition {
	tps := make([]protocol.TopicPartition, len(changes))
	for i, c := range changes {
		tps[i] = c.partition.TopicPartition
	}
	return tps
}

// admits is core.admits under the lock.
func (p *Partition) admits(s *cluster.PartitionState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.admits(s)
}

// following is where a fetcher begins with this partition. A log with leader epochs finds by itself where it left the
// leader's; one without is only sure of what was committed.
func (p *Partition) following() Following {
	v := p.View()
	f := Following{Partition: p, Leader: v.Leader, Epoch: v.LeaderEpoch, Offset: v.Log.HighWatermark().Offset}
	if _, ok := v.Log.EpochCache().Latest(); ok {
		f.Offset = v.Log.LogEndOffset().Offset
	}
	return f
}
