package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/protocol"
)

// active says whether this broker is the controller: the one that answers requests to change topics.
type active interface {
	IsActive() bool
}

// topicMaker creates topics and waits for them.
type topicMaker interface {
	CreateTopics(ctx context.Context, topics []admin.NewTopic, o admin.CreateOptions) []admin.TopicResult
}

// createTopics makes topics.
//
// Behaviour: the controller's business. A topic that is named twice is refused and the others are made. The answer comes when all
// have leaders, or after the timeout with REQUEST_TIMED_OUT for those that have not, though they may come to be; so always when
// the timeout is not positive.
//
// Versions: 1 error message, validate only · 2 throttle time · 4 -1 for the broker's defaults (KIP-464) · 5 the new topics' settings
// (KIP-525) · 6 may be refused over quota · 7 topic ids.
func createTopics(a active, maker topicMaker) API {
	return on(0, 7, func(ctx context.Context, _ *Call, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(req.Topics))
		refused := duplicateTopics(req.Topics)
		isActive := a.IsActive()
		var topics []admin.NewTopic
		var index []int
		for i, t := range req.Topics {
			resp.Topics[i] = kmsg.NewCreateTopicsResponseTopic()
			resp.Topics[i].Topic, resp.Topics[i].Configs = t.Topic, []kmsg.CreateTopicsResponseTopicConfig{}
			switch {
			case !isActive:
				resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage = kerr.NotController.Code, new("")
			case refused[t.Topic] != "":
				resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage = kerr.InvalidRequest.Code, new(refused[t.Topic])
			default:
				topics, index = append(topics, newTopic(t)), append(index, i)
			}
		}
		o := admin.CreateOptions{Timeout: millis(req.TimeoutMillis), ValidateOnly: req.ValidateOnly, Describe: req.Version >= 5}
		for i, r := range maker.CreateTopics(ctx, topics, o) {
			fillCreated(&resp.Topics[index[i]], r)
		}
		return resp, nil
	})
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

// duplicateTopics says why topics are refused for what stands in the request beside them.
func duplicateTopics(topics []kmsg.CreateTopicsRequestTopic) map[string]string {
	refused := map[string]string{}
	seen := make(map[string]bool, len(topics))
	for _, t := range topics {
		switch {
		case t.Topic == "__cluster_metadata":
			refused[t.Topic] = "Creation of internal topic __cluster_metadata is prohibited."
		case seen[t.Topic]:
			refused[t.Topic] = "Found multiple entries for this topic."
		}
		seen[t.Topic] = true
	}
	return refused
}

func newTopic(t kmsg.CreateTopicsRequestTopic) admin.NewTopic {
	out := admin.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		out.Assignment = append(out.Assignment, admin.Assigned{Partition: a.Partition, Replicas: brokerIDs(a.Replicas)})
	}
	for _, s := range t.Configs {
		out.Settings = append(out.Settings, admin.Setting{Name: s.Name, Value: s.Value})
	}
	return out
}

func brokerIDs(ids []int32) []cluster.BrokerID {
	if ids == nil {
		return nil
	}
	out := make([]cluster.BrokerID, len(ids))
	for i, id := range ids {
		out[i] = cluster.BrokerID(id)
	}
	return out
}

func fillCreated(t *kmsg.CreateTopicsResponseTopic, r admin.TopicResult) {
	t.ErrorCode, t.ErrorMessage = protocol.CodeOf(r.Err), admin.MessageOf(r.Err)
	t.TopicID = r.ID
	if r.Err != nil {
		return
	}
	t.NumPartitions, t.ReplicationFactor = r.Partitions, r.ReplicationFactor
	for _, e := range r.Settings {
		t.Configs = append(t.Configs, createdSetting(e))
	}
}

func createdSetting(e config.Entry) kmsg.CreateTopicsResponseTopicConfig {
	return kmsg.CreateTopicsResponseTopicConfig{
		Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: int8(e.Source), IsSensitive: e.Sensitive,
	}
}
