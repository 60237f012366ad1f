package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/protocol"
)

// topicDeleter marks topics for deletion and waits until they are gone.
type topicDeleter interface {
	DeleteTopics(ctx context.Context, names []string, timeout time.Duration) []error
}

// deleteTopics deletes topics by name or by id.
//
// Behaviour: the controller's business. The answer comes when the topics are gone from this broker's view, or after the timeout; their
// files go later. A topic that is asked for twice is deleted once and answered twice.
//
// Versions: 1 throttle time · 3 TOPIC_DELETION_DISABLED · 5 error message, may be refused over quota · 6 topic ids.
func deleteTopics(cfg *config.Broker, i clusterImage, a active, deleter topicDeleter) API {
	return on(0, 6, func(ctx context.Context, _ *Call, req *kmsg.DeleteTopicsRequest) (*kmsg.DeleteTopicsResponse, error) {
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		resp.Topics = askedToDelete(req)
		if err := mayDelete(cfg, a, req); err != nil {
			for i := range resp.Topics {
				resp.Topics[i].ErrorCode = protocol.CodeOf(err)
			}
			return resp, nil
		}
		names := resolveDeletions(i.Metadata(), resp.Topics)
		errs := map[string]error{}
		for i, err := range deleter.DeleteTopics(ctx, names, millis(req.TimeoutMillis)) {
			errs[names[i]] = err
		}
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 {
				t.ErrorCode = protocol.CodeOf(errs[*t.Topic])
			}
		}
		return resp, nil
	})
}

// mayDelete says why nothing at all is deleted.
func mayDelete(cfg *config.Broker, a active, req *kmsg.DeleteTopicsRequest) error {
	switch {
	case !a.IsActive():
		return kerr.NotController
	case !cfg.Current().Bool("delete.topic.enable") && req.Version < 3:
		return kerr.InvalidRequest
	case !cfg.Current().Bool("delete.topic.enable"):
		return kerr.TopicDeletionDisabled
	}
	for _, t := range req.Topics {
		if t.Topic != nil && t.TopicID != [16]byte{} {
			return kerr.InvalidRequest // a topic has one name or one id
		}
	}
	return nil
}

func askedToDelete(req *kmsg.DeleteTopicsRequest) []kmsg.DeleteTopicsResponseTopic {
	var topics []kmsg.DeleteTopicsResponseTopic
	add := func(name *string, id [16]byte) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID = name, id
		topics = append(topics, t)
	}
	for i := range req.TopicNames {
		add(&req.TopicNames[i], [16]byte{})
	}
	for _, t := range req.Topics {
		add(t.Topic, t.TopicID)
	}
	return topics
}

// resolveDeletions names the topics that were given by id, refuses those that are unknown, and returns the rest, each once.
func resolveDeletions(m *cluster.Metadata, topics []kmsg.DeleteTopicsResponseTopic) []string {
	var names []string
	seen := map[string]bool{}
	for i := range topics {
		t := &topics[i]
		byID := t.TopicID != [16]byte{}
		if known := m.TopicByID(t.TopicID); byID && known != nil {
			t.Topic = &known.Name
		}
		switch {
		case t.Topic == nil && byID:
			t.ErrorCode = kerr.UnknownTopicID.Code
		case t.Topic == nil:
			t.ErrorCode = kerr.TopicAuthorizationFailed.Code // neither name nor id: Apache asks the authorizer for nothing
		case m.Topic(*t.Topic) == nil:
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		case !seen[*t.Topic]:
			seen[*t.Topic] = true
			names = append(names, *t.Topic)
		}
	}
	return names
}
