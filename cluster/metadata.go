package cluster

import (
	"hash/maphash"
	"maps"
	"slices"

	"gokafka/protocol"
)

// Metadata is an immutable image of the cluster as the controller last told it: what the Metadata API answers from.
// The holder swaps it whole; With makes the next one and shares what did not change.
type Metadata struct {
	ClusterID    string
	ControllerID BrokerID // -1 before the first UpdateMetadata

	brokers map[BrokerID]*Broker
	topics  [topicShards]map[string]*Topic // sharded, so that one more topic does not copy ten thousand
	ids     [topicShards]map[protocol.TopicID]*Topic
}

const topicShards = 256

var shardSeed = maphash.MakeSeed()

func nameShard(name string) uint64       { return maphash.String(shardSeed, name) % topicShards }
func idShard(id protocol.TopicID) uint64 { return uint64(id[15]) % topicShards }

// Topic is one topic of the image.
type Topic struct {
	Name       string
	ID         protocol.TopicID
	Partitions map[int32]*PartitionState
}

// NewMetadata returns the image of a broker that was told nothing yet.
func NewMetadata(clusterID string) *Metadata {
	return &Metadata{ClusterID: clusterID, ControllerID: -1}
}

// Broker returns a live broker, or nil.
func (m *Metadata) Broker(id BrokerID) *Broker { return m.brokers[id] }

// Brokers returns the live brokers in the order of their ids.
func (m *Metadata) Brokers() []*Broker {
	return slices.SortedFunc(maps.Values(m.brokers), func(a, b *Broker) int { return int(a.ID) - int(b.ID) })
}

// Topic returns a topic by name, or nil.
func (m *Metadata) Topic(name string) *Topic { return m.topics[nameShard(name)][name] }

// TopicByID returns a topic by id, or nil.
func (m *Metadata) TopicByID(id protocol.TopicID) *Topic { return m.ids[idShard(id)][id] }

// Partition returns the state of a partition, or nil.
func (m *Metadata) Partition(tp protocol.TopicPartition) *PartitionState {
	t := m.Topic(tp.Topic)
	if t == nil {
		return nil
	}
	return t.Partitions[tp.Partition]
}

// Topics calls yield with every topic, in no order.
func (m *Metadata) Topics(yield func(*Topic) bool) {
	for _, shard := range m.topics {
		for _, t := range shard {
			if !yield(t) {
				return
			}
		}
	}
}

// With returns the image after an UpdateMetadata: its broker list replaces the old one, its partition states replace
// theirs without comparing epochs (as Apache's ZkMetadataCache does), and a state whose leader is LeaderDuringDelete
// removes the partition. The removed partitions are returned.
func (m *Metadata) With(r *UpdateMetadataRequest) (next *Metadata, removed []protocol.TopicPartition) {
	next = &Metadata{ClusterID: m.ClusterID, ControllerID: r.ControllerID, topics: m.topics, ids: m.ids}
	next.brokers = make(map[BrokerID]*Broker, len(r.LiveBrokers))
	for i := range r.LiveBrokers {
		next.brokers[r.LiveBrokers[i].ID] = &r.LiveBrokers[i]
	}
	e := editor{next: next, fresh: map[string]*Topic{}, shards: map[uint64]bool{}, idShards: map[uint64]bool{}}
	for i := range r.States {
		s := &r.States[i]
		if s.Leader != LeaderDuringDelete {
			e.topic(s.Topic, s.TopicID).Partitions[s.Partition] = s
			continue
		}
		if m.Partition(s.TopicPartition) != nil {
			removed = append(removed, s.TopicPartition)
		}
		e.remove(s)
	}
	return next, removed
}

// editor copies each shard and topic of the image at most once per change.
type editor struct {
	next             *Metadata
	fresh            map[string]*Topic
	shards, idShards map[uint64]bool
}

func (e *editor) shard(name string) map[string]*Topic {
	i := nameShard(name)
	if !e.shards[i] {
		e.shards[i] = true
		e.next.topics[i] = cloneOrMake(e.next.topics[i])
	}
	return e.next.topics[i]
}

func (e *editor) idShard(id protocol.TopicID) map[protocol.TopicID]*Topic {
	i := idShard(id)
	if !e.idShards[i] {
		e.idShards[i] = true
		e.next.ids[i] = cloneOrMake(e.next.ids[i])
	}
	return e.next.ids[i]
}

// topic returns a private copy of the topic that may be changed. A state with another id means that the topic was
// deleted and made again while this broker was away: nothing of the old one is kept.
func (e *editor) topic(name string, id protocol.TopicID) *Topic {
	if t := e.fresh[name]; t != nil && (t.ID == id || id.IsZero()) {
		return t
	}
	t := &Topic{Name: name, ID: id, Partitions: map[int32]*PartitionState{}}
	if old := e.shard(name)[name]; old != nil {
		if old.ID == id || id.IsZero() || old.ID.IsZero() {
			t.Partitions = cloneOrMake(old.Partitions)
		}
		if id.IsZero() {
			t.ID = old.ID
		}
		if old.ID != t.ID && !old.ID.IsZero() {
			delete(e.idShard(old.ID), old.ID)
		}
	}
	e.fresh[name] = t
	e.shard(name)[name] = t
	if !t.ID.IsZero() {
		e.idShard(t.ID)[t.ID] = t
	}
	return t
}

func (e *editor) remove(s *PartitionState) {
	old := e.shard(s.Topic)[s.Topic]
	if old == nil {
		return
	}
	t := e.topic(s.Topic, old.ID)
	delete(t.Partitions, s.Partition)
	if len(t.Partitions) == 0 {
		delete(e.shard(s.Topic), s.Topic)
		delete(e.fresh, s.Topic)
		if !t.ID.IsZero() {
			delete(e.idShard(t.ID), t.ID)
		}
	}
}

func cloneOrMake[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
