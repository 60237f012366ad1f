package replica

import (
	"cmp"
	"slices"
	"sync"

	"gokafka/protocol"
)

// hosted is what this broker has of a partition: online with its replica, offline because its directory failed, or, as
// the zero value, absent.
type hosted struct {
	partition *Partition // nil: absent
	offline   bool
}

func (h hosted) online() bool { return h.partition != nil && !h.offline }

// registry is the map of hosted partitions. Its lock is held for a look-up, never across a call.
type registry struct {
	mu         sync.RWMutex
	partitions map[protocol.TopicPartition]hosted
}

func (r *registry) get(tp protocol.TopicPartition) hosted {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.partitions[tp]
}

func (r *registry) set(tp protocol.TopicPartition, h hosted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partitions[tp] = h
}

func (r *registry) remove(tp protocol.TopicPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.partitions, tp)
}

// online returns the partitions that are, sorted by name, so that what is done to all is done in one order.
func (r *registry) online() []*Partition {
	r.mu.RLock()
	all := make([]*Partition, 0, len(r.partitions))
	for _, h := range r.partitions {
		if h.online() {
			all = append(all, h.partition)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(all, compareNames)
	return all
}

func compareNames(a, b *Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.TopicPartition.Partition, b.TopicPartition.Partition))
}
