package handlers

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// leaderElector is the controller, asked for elections.
type leaderElector interface {
	// ElectLeaders elects the preferred leaders of partitions, or with unclean any live replica of those that have no leader. The result has
	// an entry for each partition, nil for one that was elected; the error, NOT_CONTROLLER for one, is that of them all. Whether brokers hear of
	// the new leaders is waited for until the timeout, and with none only looked at.
	ElectLeaders(ctx context.Context, unclean bool, partitions []protocol.TopicPartition, timeout time.Duration) (map[protocol.TopicPartition]error, error)
}

// electLeaders elects leaders of partitions on demand (KIP-183, KIP-460).
//
// Behaviour: the controller's business. Without a list of partitions all are asked for, and those that had nothing to elect are not in the answer.
//
// Versions: 1 unclean elections, an error for all.
func electLeaders(i clusterImage, elector leaderElector) API {
	return on(0, 2, func(ctx context.Context, _ *Call, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
		resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
		partitions := electable(req)
		all := req.Topics == nil
		if all {
			partitions = allPartitions(i)
		}
		results, err := elect(ctx, elector, req, partitions)
		if errors.Is(err, kerr.UnknownServerError) {
			resp.ErrorCode = kerr.UnknownServerError.Code
		}
		if err != nil {
			results = map[protocol.TopicPartition]error{}
			for _, tp := range partitions {
				results[tp] = err
			}
		}
		if all {
			maps.DeleteFunc(results, func(_ protocol.TopicPartition, err error) bool { return errors.Is(err, kerr.ElectionNotNeeded) })
		}
		for topic, tps := range byTopic(results) {
			resp.Topics = append(resp.Topics, electedTopic(topic, tps, results))
		}
		return resp, nil
	})
}

// errElectionType is the answer to a kind of election that does not exist: as when the request could not be handled.
var errElectionType = &admin.Error{Code: kerr.UnknownServerError}

func elect(ctx context.Context, elector leaderElector, req *kmsg.ElectLeadersRequest, partitions []protocol.TopicPartition) (map[protocol.TopicPartition]error, error) {
	const preferred, unclean = 0, 1
	if req.ElectionType != preferred && req.ElectionType != unclean {
		return nil, errElectionType
	}
	return elector.ElectLeaders(ctx, req.ElectionType == unclean, partitions, millis(req.TimeoutMillis))
}

func electable(req *kmsg.ElectLeadersRequest) []protocol.TopicPartition {
	var partitions []protocol.TopicPartition
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, protocol.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	return partitions
}

func allPartitions(i clusterImage) []protocol.TopicPartition {
	var partitions []protocol.TopicPartition
	for t := range i.Metadata().Topics {
		for p := range t.Partitions {
			partitions = append(partitions, protocol.TopicPartition{Topic: t.Name, Partition: p})
		}
	}
	return partitions
}

func electedTopic(topic string, tps []protocol.TopicPartition, results map[protocol.TopicPartition]error) kmsg.ElectLeadersResponseTopic {
	t := kmsg.NewElectLeadersResponseTopic()
	t.Topic = topic
	for _, tp := range tps {
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition, p.ErrorCode, p.ErrorMessage = tp.Partition, protocol.CodeOf(results[tp]), admin.MessageOf(results[tp])
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// byTopic yields the topics of a result in order, each with its partitions in order.
func byTopic[V any](results map[protocol.TopicPartition]V) func(yield func(string, []protocol.TopicPartition) bool) {
	sorted := slices.SortedFunc(maps.Keys(results), func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return func(yield func(string, []protocol.TopicPartition) bool) {
		for len(sorted) > 0 {
			n := slices.IndexFunc(sorted, func(tp protocol.TopicPartition) bool { return tp.Topic != sorted[0].Topic })
			if n < 0 {
				n = len(sorted)
			}
			if !yield(sorted[0].Topic, sorted[:n]) {
				return
			}
			sorted = sorted[n:]
		}
	}
}
