package group

import (
	"maps"
	"slices"
	"sync"

	"gokafka/protocol"
)

// notices is what the loop is told by those who do not wait for it, not even while it loads the partition.
type notices struct {
	mu      sync.Mutex
	ends    []txnEnd // while loading
	loaded  bool     // ends go to the loop's requests
	deleted map[protocol.TopicPartition]bool
	arrived chan struct{} // wakes the loop for deleted
}

func newNotices() notices {
	return notices{deleted: map[protocol.TopicPartition]bool{}, arrived: make(chan struct{}, 1)}
}

// end keeps the end of a transaction until the partition is loaded, and reports false when it is already.
func (n *notices) end(e txnEnd) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.loaded {
		return false
	}
	n.ends = append(n.ends, e)
	return true
}

// forgetEnds is for an attempt to replay that begins. The markers that were told until then are committed in this broker's log, and the
// replay, which reads on to the log's end, finds them. So they do not pile up while a log cannot be read.
func (n *notices) forgetEnds() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ends = nil
}

// takeEnds returns the ends that came during the last attempt. It is the last to do so: the partition is loaded.
func (n *notices) takeEnds() []txnEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := n.ends
	n.ends, n.loaded = nil, true
	return ends
}

// delete keeps partitions that were deleted until the loop drops their offsets.
func (n *notices) delete(partitions []protocol.TopicPartition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, tp := range partitions {
		n.deleted[tp] = true
	}
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

func (n *notices) takeDeleted() []protocol.TopicPartition {
	n.mu.Lock()
	defer n.mu.Unlock()
	partitions := slices.Collect(maps.Keys(n.deleted))
	clear(n.deleted)
	return partitions
}
