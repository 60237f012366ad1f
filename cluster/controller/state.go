package controller

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// State is what the elected controller remembers of the cluster: Apache's ControllerContext. It opens nothing and reads no clock; only
// the event loop touches it. Slices in it are replaced, never changed, because requests that wait to be sent share them.
//
// The indexes beside the topics keep the cost of an event in proportion to what it changes: a broker's failure looks at the
// partitions assigned to it, an election at those that have no leader.
type State struct {
	claim metastore.Claim

	brokers    map[cluster.BrokerID]*broker
	topics     map[string]*topic
	topicsByID map[protocol.TopicID]*topic

	assigned    map[cluster.BrokerID]set[*partition] // partitions whose replica list names the broker
	offlineDirs map[cluster.BrokerID]set[*partition] // replicas that the broker said lie on a failed directory
	leaderless  set[*partition]                      // new and offline partitions
	reassigning set[*partition]
	deleting    set[*topic] // topics queued for deletion
}

type set[T comparable] = map[T]struct{}

// broker is registered: alive, or about to go away.
type broker struct {
	cluster.Broker
	shuttingDown bool // asked for a controlled shutdown; it is not to lead, nor to enter an ISR
}

// topic is one topic with its assignment.
type topic struct {
	name       string
	id         protocol.TopicID
	partitions map[int32]*partition

	deleting        bool // in /admin/delete_topics
	deletionStarted bool // its partitions were declared gone
	ineligible      bool // deletion waits for a broker to return
}

// partition is one partition: what is assigned, what is written, and the phases that only the controller knows.
type partition struct {
	tp         protocol.TopicPartition
	topic      *topic
	assignment cluster.Assignment
	state      cluster.LeaderAndISR
	hasState   bool // state was written or read
	phase      partitionPhase
	replicas   []replica
}

// replica is the phase of one replica, assigned or being removed.
type replica struct {
	id    cluster.BrokerID
	phase replicaPhase
}

func newState() *State {
	return &State{
		brokers:     map[cluster.BrokerID]*broker{},
		topics:      map[string]*topic{},
		topicsByID:  map[protocol.TopicID]*topic{},
		assigned:    map[cluster.BrokerID]set[*partition]{},
		offlineDirs: map[cluster.BrokerID]set[*partition]{},
		leaderless:  set[*partition]{},
		reassigning: set[*partition]{},
		deleting:    set[*topic]{},
	}
}

// addBroker makes a broker known, with nothing held against it.
func (s *State) addBroker(b cluster.Broker) {
	s.brokers[b.ID] = &broker{Broker: b}
	delete(s.offlineDirs, b.ID)
}

func (s *State) removeBroker(id cluster.BrokerID) {
	delete(s.brokers, id)
	delete(s.offlineDirs, id)
}

// live reports whether the broker is registered and not shutting down.
func (s *State) live(id cluster.BrokerID) bool {
	b := s.brokers[id]
	return b != nil && !b.shuttingDown
}

// online reports whether the broker's replica of the partition can serve.
func (s *State) online(p *partition, id cluster.BrokerID) bool {
	return s.live(id) && !s.onOfflineDir(p, id)
}

// reachable is online, but a broker that is shutting down counts.
func (s *State) reachable(p *partition, id cluster.BrokerID) bool {
	return s.brokers[id] != nil && !s.onOfflineDir(p, id)
}

func (s *State) onOfflineDir(p *partition, id cluster.BrokerID) bool {
	_, failed := s.offlineDirs[id][p]
	return failed
}

// brokerIDs lists the registered brokers in ascending order.
func (s *State) brokerIDs() []cluster.BrokerID { return slices.Sorted(maps.Keys(s.brokers)) }

// registered lists the registered brokers in the order of their ids.
func (s *State) registered() []cluster.Broker {
	brokers := make([]cluster.Broker, 0, len(s.brokers))
	for _, id := range s.brokerIDs() {
		brokers = append(brokers, s.brokers[id].Broker)
	}
	return brokers
}

// addTopic makes a topic known and returns it; its partitions follow by assign.
func (s *State) addTopic(name string, id protocol.TopicID) *topic {
	t := &topic{name: name, id: id, partitions: map[int32]*partition{}}
	s.topics[name] = t
	if !id.IsZero() {
		s.topicsByID[id] = t
	}
	return t
}

// removeTopic forgets a topic and everything about its partitions.
func (s *State) removeTopic(t *topic) {
	for _, p := range t.partitions {
		s.assign(p, cluster.Assignment{})
		delete(s.leaderless, p)
		delete(s.reassigning, p)
		for _, failed := range s.offlineDirs {
			delete(failed, p)
		}
	}
	delete(s.deleting, t)
	delete(s.topics, t.name)
	delete(s.topicsByID, t.id)
}

// addPartition makes a partition known, with its assignment.
func (s *State) addPartition(t *topic, index int32, a cluster.Assignment) *partition {
	p := &partition{tp: protocol.TopicPartition{Topic: t.name, Partition: index}, topic: t}
	t.partitions[index] = p
	s.assign(p, a)
	return p
}

// assign replaces a partition's replica list and keeps the index of each broker's partitions.
func (s *State) assign(p *partition, a cluster.Assignment) {
	for _, id := range p.assignment.Replicas {
		if !slices.Contains(a.Replicas, id) {
			delete(s.assigned[id], p)
		}
	}
	for _, id := range a.Replicas {
		if s.assigned[id] == nil {
			s.assigned[id] = set[*partition]{}
		}
		s.assigned[id][p] = struct{}{}
	}
	p.assignment = a
}

// setState remembers what was written or read of a partition.
func (p *partition) setState(l cluster.LeaderAndISR) { p.state, p.hasState = l, true }

// setPhase moves a partition and keeps the index of those without a leader.
func (s *State) setPhase(p *partition, phase partitionPhase) {
	p.phase = phase
	if phase == partitionNew || phase == partitionOffline {
		s.leaderless[p] = struct{}{}
	} else {
		delete(s.leaderless, p)
	}
}

// partition finds a partition, or nil.
func (s *State) partition(tp protocol.TopicPartition) *partition {
	if t := s.topics[tp.Topic]; t != nil {
		return t.partitions[tp.Partition]
	}
	return nil
}

// replicaPhase is the phase of one replica; a replica that nobody heard of does not exist.
func (p *partition) replicaPhase(id cluster.BrokerID) replicaPhase {
	for _, r := range p.replicas {
		if r.id == id {
			return r.phase
		}
	}
	return replicaNonExistent
}

func (p *partition) setReplicaPhase(id cluster.BrokerID, phase replicaPhase) {
	i := slices.IndexFunc(p.replicas, func(r replica) bool { return r.id == id })
	switch {
	case phase == replicaNonExistent && i >= 0:
		p.replicas = slices.Delete(p.replicas, i, i+1)
	case i >= 0:
		p.replicas[i].phase = phase
	case phase != replicaNonExistent:
		p.replicas = append(p.replicas, replica{id, phase})
	}
}

// leaderEpoch is what StopReplica carries for the partition.
func (p *partition) leaderEpoch() cluster.LeaderEpoch {
	switch {
	case p.topic.deleting:
		return epochDuringDelete
	case !p.hasState:
		return cluster.NoEpoch
	}
	return p.state.LeaderEpoch
}

// epochDuringDelete passes every check of the leader epoch.
const epochDuringDelete cluster.LeaderEpoch = -2

// sorted puts partitions in the order of topic and index, so that what is written and sent does not depend on a map's order.
func sorted(partitions iter.Seq[*partition]) []*partition {
	return slices.SortedFunc(partitions, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition))
	})
}

// allPartitions lists every partition.
func (s *State) allPartitions() []*partition {
	return sorted(func(yield func(*partition) bool) {
		for _, t := range s.topics {
			for _, p := range t.partitions {
				if !yield(p) {
					return
				}
			}
		}
	})
}

// partitionReplica names one replica of one partition.
type partitionReplica struct {
	p  *partition
	id cluster.BrokerID
}

// replicasOn lists the replicas assigned to brokers.
func (s *State) replicasOn(ids ...cluster.BrokerID) []partitionReplica {
	var replicas []partitionReplica
	for _, id := range ids {
		for _, p := range sorted(maps.Keys(s.assigned[id])) {
			replicas = append(replicas, partitionReplica{p, id})
		}
	}
	return replicas
}

// replicasOf lists the assigned replicas of partitions, in the order of assignment.
func replicasOf(partitions []*partition) []partitionReplica {
	var replicas []partitionReplica
	for _, p := range partitions {
		for _, id := range p.assignment.Replicas {
			replicas = append(replicas, partitionReplica{p, id})
		}
	}
	return replicas
}

// isReassigned reports whether the assignment is on its way to another.
func isReassigned(a cluster.Assignment) bool { return len(a.Adding) > 0 || len(a.Removing) > 0 }

// origin is the replica list before a reassignment began, target the one after it.
func origin(a cluster.Assignment) []cluster.BrokerID { return without(a.Replicas, a.Adding...) }
func target(a cluster.Assignment) []cluster.BrokerID { return without(a.Replicas, a.Removing...) }

// reassignTo is the assignment on the way to the target: target first, then what goes away.
func reassignTo(a cluster.Assignment, to []cluster.BrokerID) cluster.Assignment {
	from := origin(a)
	var all []cluster.BrokerID
	for _, id := range slices.Concat(to, from) {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return cluster.Assignment{Replicas: all, Adding: without(all, from...), Removing: without(all, to...)}
}

func sameAssignment(a, b cluster.Assignment) bool {
	return slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.Adding, b.Adding) && slices.Equal(a.Removing, b.Removing)
}

// without returns a new list that lacks some ids; nil when nothing is left.
func without(ids []cluster.BrokerID, gone ...cluster.BrokerID) []cluster.BrokerID {
	var rest []cluster.BrokerID
	for _, id := range ids {
		if !slices.Contains(gone, id) {
			rest = append(rest, id)
		}
	}
	return rest
}
