package txn

import (
	"cmp"
	"slices"

	"gokafka/protocol"
)

// partitionSet is a set of partitions in order, each once. That takes a third of a map's memory, is written to the log in the same
// order every time, and is never changed in place, so that a transition may share it with what it came from.
type partitionSet []protocol.TopicPartition

func compare(a, b protocol.TopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// newPartitionSet takes the slice over.
func newPartitionSet(all []protocol.TopicPartition) partitionSet {
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

func (s partitionSet) has(tp protocol.TopicPartition) bool {
	_, ok := slices.BinarySearchFunc(s, tp, compare)
	return ok
}

func (s partitionSet) hasAll(all []protocol.TopicPartition) bool {
	for _, tp := range all {
		if !s.has(tp) {
			return false
		}
	}
	return true
}

// with is the set and more.
func (s partitionSet) with(more []protocol.TopicPartition) partitionSet {
	both := make([]protocol.TopicPartition, 0, len(s)+len(more))
	return newPartitionSet(append(append(both, s...), more...))
}

// without is the set less some.
func (s partitionSet) without(some []protocol.TopicPartition) partitionSet {
	gone := newPartitionSet(slices.Clone(some))
	var left partitionSet
	for _, tp := range s {
		if !gone.has(tp) {
			left = append(left, tp)
		}
	}
	return left
}
