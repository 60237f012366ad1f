package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// topicGrower adds partitions to topics and waits for them.
type topicGrower interface {
	CreatePartitions(ctx context.Context, topics []admin.MorePartitions, timeout time.Duration, validateOnly bool) []error
}

// createPartitions adds partitions to topics.
//
// Behaviour: the controller's business. Keys move to other partitions by it, which is the client's concern. The answer comes when
// the new partitions have leaders, or after the timeout.
//
// Versions: 3 may be refused over quota. The body is the same in all.
func createPartitions(a active, grower topicGrower) API {
	return on(0, 3, func(ctx context.Context, _ *Call, req *kmsg.CreatePartitionsRequest) (*kmsg.CreatePartitionsResponse, error) {
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		count := map[string]int{}
		for _, t := range req.Topics {
			count[t.Topic]++
		}
		isActive := a.IsActive()
		var topics []admin.MorePartitions
		for _, t := range req.Topics {
			switch {
			case !isActive:
				resp.Topics = append(resp.Topics, partitionsResult(t.Topic, &admin.Error{Code: kerr.NotController}))
			case count[t.Topic] > 1:
				resp.Topics = append(resp.Topics, partitionsResult(t.Topic, &admin.Error{Code: kerr.InvalidRequest, Message: "Duplicate topic in request."}))
				count[t.Topic] = -1 // answered once
			case count[t.Topic] == 1:
				topics = append(topics, admin.MorePartitions{Topic: t.Topic, Count: t.Count, Assignment: addedAssignment(t.Assignment)})
			}
		}
		for i, err := range grower.CreatePartitions(ctx, topics, millis(req.TimeoutMillis), req.ValidateOnly) {
			resp.Topics = append(resp.Topics, partitionsResult(topics[i].Topic, err))
		}
		return resp, nil
	})
}

func partitionsResult(topic string, err error) kmsg.CreatePartitionsResponseTopic {
	t := kmsg.NewCreatePartitionsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = topic, protocol.CodeOf(err), admin.MessageOf(err)
	return t
}

// addedAssignment keeps null, which leaves the choice to the broker, apart from empty.
func addedAssignment(assignment []kmsg.CreatePartitionsRequestTopicAssignment) [][]cluster.BrokerID {
	if assignment == nil {
		return nil
	}
	out := make([][]cluster.BrokerID, len(assignment))
	for i, a := range assignment {
		out[i] = brokerIDs(a.Replicas)
	}
	return out
}
