package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// MorePartitions is a topic that a client wants to grow. Assignment says the replicas of each new partition; nil leaves them to the broker.
type MorePartitions struct {
	Topic      string
	Count      int32 // in all, afterwards
	Assignment [][]cluster.BrokerID
}

// CreatePartitions grows topics and waits until the new partitions have leaders, or the timeout. The errors are in the topics' order.
func (a *Admin) CreatePartitions(ctx context.Context, topics []MorePartitions, timeout time.Duration, validateOnly bool) []error {
	errs := make([]error, len(topics))
	brokers, err := a.Store.Brokers(ctx, nil, nil)
	if err != nil && len(brokers) == 0 {
		return fill(errs, err)
	}
	alive := make([]candidate, len(brokers))
	for i, b := range brokers {
		alive[i] = candidate{id: b.ID, rack: b.Rack}
	}
	waiting := make([]created, len(topics))
	room := partitionsMax
	for i, t := range topics {
		var added int
		added, errs[i] = a.grow(ctx, t, alive, room, validateOnly)
		room -= added
		waiting[i] = created{name: t.Topic, count: int(t.Count), err: &errs[i]}
	}
	if !validateOnly {
		a.awaitLeaders(ctx, timeout, waiting)
	}
	return errs
}

func fill(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// grow adds partitions to one topic, if there is room for as many, and tells how many. When the topic changes meanwhile it is looked at anew:
// Apache writes over what the controller has written of a reassignment in that moment.
func (a *Admin) grow(ctx context.Context, want MorePartitions, brokers []candidate, room int, validateOnly bool) (n int, err error) {
	for {
		if n, err = a.tryGrow(ctx, want, brokers, room, validateOnly); !errors.Is(err, metastore.ErrBadVersion) {
			return n, err
		}
	}
}

func (a *Admin) tryGrow(ctx context.Context, want MorePartitions, brokers []candidate, room int, validateOnly bool) (n int, err error) {
	if marked, err := a.Store.TopicMarkedForDeletion(ctx, want.Topic); err != nil {
		return 0, err
	} else if marked {
		return 0, refuse(kerr.InvalidTopicException, "The topic is queued for deletion.")
	}
	topic, err := a.Store.Topic(ctx, want.Topic, nil)
	if errors.Is(err, metastore.ErrNoNode) {
		return 0, refuse(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", want.Topic)
	}
	if err != nil {
		return 0, err
	}
	if err := checkGrowth(topic, want); err != nil {
		return 0, err
	}
	added, err := a.addedReplicas(topic, want, brokers, room)
	if err != nil || validateOnly {
		return len(added), err
	}
	topic.Partitions = maps.Clone(topic.Partitions)
	from := int32(len(topic.Partitions))
	for i, replicas := range added {
		topic.Partitions[from+int32(i)] = cluster.Assignment{Replicas: replicas}
	}
	return len(added), a.Store.SetTopic(ctx, topic)
}

func checkGrowth(topic metastore.Topic, want MorePartitions) error {
	for _, p := range topic.Partitions {
		if len(p.Adding) > 0 || len(p.Removing) > 0 {
			return refuse(kerr.ReassignmentInProgress, "A partition reassignment is in progress for the topic '%s'.", topic.Name)
		}
	}
	switch count := int32(len(topic.Partitions)); {
	case want.Count < count:
		return refuse(kerr.InvalidPartitions, "Topic currently has %d partitions, which is higher than the requested %d.", count, want.Count)
	case want.Count == count:
		return refuse(kerr.InvalidPartitions, "Topic already has %d partitions.", count)
	}
	return nil
}

// addedReplicas is the assignment of the new partitions. One made here goes on where the topic's first partition says that it began.
func (a *Admin) addedReplicas(topic metastore.Topic, want MorePartitions, brokers []candidate, room int) ([][]cluster.BrokerID, error) {
	first, ok := topic.Partitions[0]
	if !ok || len(first.Replicas) == 0 {
		return nil, fmt.Errorf("topic %s has no partition 0", topic.Name)
	}
	count := int(want.Count) - len(topic.Partitions)
	if want.Assignment != nil {
		return want.Assignment, checkAdded(want.Assignment, count, len(topic.Partitions), len(first.Replicas), brokers)
	}
	if count > room {
		return nil, tooManyPartitions()
	}
	start := max(0, slices.IndexFunc(brokers, func(c candidate) bool { return c.id >= first.Replicas[0] }))
	s, err := newSpread(brokers, start, start)
	if err != nil {
		return nil, err
	}
	return s.assign(len(topic.Partitions), count, len(first.Replicas))
}

func checkAdded(assignment [][]cluster.BrokerID, count, from, factor int, brokers []candidate) error {
	for _, replicas := range assignment {
		if unknown := unknownBrokers(replicas, brokers); unknown != "" {
			return refuse(kerr.InvalidReplicaAssignment, "Unknown broker(s) in replica assignment: %s.", unknown)
		}
	}
	if len(assignment) != count {
		return refuse(kerr.InvalidReplicaAssignment, "Increasing the number of partitions by %d but %d assignments provided.", count, len(assignment))
	}
	var partitions, factors []int
	for i, replicas := range assignment {
		switch {
		case len(replicas) == 0:
			return refuse(kerr.InvalidReplicaAssignment, "Cannot have replication factor of 0 for partition id %d.", from+i)
		case hasDuplicates(replicas):
			return refuse(kerr.InvalidReplicaAssignment, "Duplicate brokers not allowed in replica assignment: %s for partition id %d.", list(replicas), from+i)
		case len(replicas) != factor:
			partitions, factors = append(partitions, from+i), append(factors, len(replicas))
		}
	}
	if len(partitions) > 0 {
		return refuse(kerr.InvalidReplicaAssignment, "Inconsistent replication factor between partitions, partition 0 has %d while partitions [%s] "+
			"have replication factors [%s], respectively.", factor, list(partitions), list(factors))
	}
	return nil
}
