package handlers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/protocol"
)

// topicCreator makes topics that a client asked for before they exist. Its errors are never nil: LEADER_NOT_AVAILABLE is success.
type topicCreator interface {
	AutoCreate(ctx context.Context, names []string) []error
}

// toldImage is the image of the cluster, and the means to wait for what the controller tells. AwaitMetadata returns an error only when
// it gave up.
type toldImage interface {
	clusterImage
	AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error
}

// toldPatience bounds how long a client of a broker that has just started waits for the controller.
const toldPatience = 5 * time.Second

// imageOnceTold is the image of the cluster, awaited while a broker that has just started was not told of it: for some milliseconds it listens, as
// it must to be told, and knows nobody. Apache's broker answers then that there are no brokers and no topics. librdkafka 2.16 forgets all
// brokers that it knew when it hears that, and its producer has been seen not to come back to life.
func imageOnceTold(ctx context.Context, i toldImage) *cluster.Metadata {
	knows := func(m *cluster.Metadata) bool { return m.ControllerID >= 0 }
	if m := i.Metadata(); knows(m) {
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, toldPatience)
	defer cancel()
	_ = i.AwaitMetadata(ctx, knows) // without a controller the answer is Apache's
	return i.Metadata()
}

// metadata tells a client which brokers there are, and who leads the partitions of the topics that it asks for.
//
// Behaviour: answered from what the controller told last. Brokers and leaders are those with the listener that the request came in
// on. A topic that is missing is created when client and broker allow it, and is LEADER_NOT_AVAILABLE until the client asks again.
//
// Versions: 0 empty list means all topics, replicas that are down are left out · 1 null means all; controller, internal flag, rack
// · 2 cluster id · 3 throttle time · 4 the client may forbid creation · 5 offline replicas · 6 LISTENER_NOT_FOUND · 7 leader epoch
// · 8 authorized operations · 10 topic ids in answers (KIP-516) · 11 no cluster operations (KIP-700) · 12 topic ids in questions.
func metadata(cfg *config.Broker, i toldImage, creator topicCreator) API {
	return on(0, 12, func(ctx context.Context, c *Call, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
		if bad := badMetadataTopics(req); bad != nil {
			return refuseMetadata(req, bad), nil
		}
		m := imageOnceTold(ctx, i)
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.ClusterID = &m.ClusterID
		resp.ControllerID = int32(m.ControllerID)
		resp.Brokers = metadataBrokers(m, c.Listener)
		if req.Version >= 8 && req.Version <= 10 && req.IncludeClusterAuthorizedOperations {
			resp.AuthorizedOperations = clusterOperations
		}
		w := topicWriter{image: m, listener: c.Listener, version: req.Version, operations: req.Version >= 8 && req.IncludeTopicAuthorizedOperations}
		resp.Topics = w.topics(ctx, req, mayCreate(cfg, req), creator)
		return resp, nil
	})
}

// mayCreate: before version 4 no client could forbid it.
func mayCreate(cfg *config.Broker, req *kmsg.MetadataRequest) bool {
	return cfg.Current().Bool("auto.create.topics.enable") && (req.Version < 4 || req.AllowAutoTopicCreation)
}

// badMetadataTopics refuses names and ids where the version has none.
func badMetadataTopics(req *kmsg.MetadataRequest) error {
	for _, t := range req.Topics {
		zero := t.TopicID == [16]byte{}
		switch {
		case req.Version < 12 && (t.Topic == nil || !zero):
			return kerr.InvalidRequest
		case t.Topic == nil && zero:
			return kerr.UnknownServerError
		}
	}
	return nil
}

// refuseMetadata answers as when the request could not be handled: every topic has the error, nothing else is told.
func refuseMetadata(req *kmsg.MetadataRequest, err error) *kmsg.MetadataResponse {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	for _, t := range req.Topics {
		r := kmsg.NewMetadataResponseTopic()
		r.ErrorCode, r.TopicID, r.Topic = protocol.CodeOf(err), t.TopicID, t.Topic
		if r.Topic == nil {
			r.Topic = new("")
		}
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

func metadataBrokers(m *cluster.Metadata, listener string) []kmsg.MetadataResponseBroker {
	var brokers []kmsg.MetadataResponseBroker
	for _, b := range m.Brokers() {
		if e, ok := b.Endpoint(listener); ok {
			brokers = append(brokers, kmsg.MetadataResponseBroker{NodeID: int32(b.ID), Host: e.Host, Port: e.Port, Rack: optional(b.Rack)})
		}
	}
	return brokers
}

// optional is a string that is null when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// topicWriter fills in the topics of one response. The arena holds their lists of brokers, so that ten thousand partitions do not make
// thirty thousand allocations.
type topicWriter struct {
	image      *cluster.Metadata
	listener   string
	version    int16
	operations bool
	arena      []int32
}

// topics answers for all topics, for those with the given ids, or for those with the given names. As soon as one id is asked for,
// names do not count.
func (w *topicWriter) topics(ctx context.Context, req *kmsg.MetadataRequest, create bool, creator topicCreator) []kmsg.MetadataResponseTopic {
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		return w.all()
	}
	byID := func(t kmsg.MetadataRequestTopic) bool { return t.TopicID != [16]byte{} }
	if slices.ContainsFunc(req.Topics, byID) {
		return w.byID(req.Topics)
	}
	var found []kmsg.MetadataResponseTopic
	var missing []string
	seen := make(map[string]bool, len(req.Topics))
	for _, t := range req.Topics {
		if seen[*t.Topic] {
			continue
		}
		seen[*t.Topic] = true
		if known := w.image.Topic(*t.Topic); known != nil {
			found = append(found, w.topic(known))
		} else {
			missing = append(missing, *t.Topic)
		}
	}
	if len(missing) == 0 {
		return found
	}
	var errs []error
	if create {
		errs = creator.AutoCreate(ctx, missing)
	}
	for i, name := range missing {
		err := missingTopic(name)
		if create {
			err = errs[i]
		}
		found = append(found, w.absent(name, err))
	}
	return found
}

func missingTopic(name string) error {
	if err := admin.CheckTopicName(name); err != nil {
		return err
	}
	return kerr.UnknownTopicOrPartition
}

func (w *topicWriter) absent(name string, err error) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.IsInternal = protocol.CodeOf(err), &name, admin.IsInternal(name)
	if w.operations {
		t.AuthorizedOperations = topicOperations
	}
	return t
}

func (w *topicWriter) all() []kmsg.MetadataResponseTopic {
	topics := []kmsg.MetadataResponseTopic{}
	for t := range w.image.Topics {
		topics = append(topics, w.topic(t))
	}
	return topics
}

func (w *topicWriter) byID(asked []kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
	var topics []kmsg.MetadataResponseTopic
	seen := make(map[[16]byte]bool, len(asked))
	for _, a := range asked {
		if seen[a.TopicID] || a.TopicID == [16]byte{} {
			continue
		}
		seen[a.TopicID] = true
		if t := w.image.TopicByID(a.TopicID); t != nil {
			topics = append(topics, w.topic(t))
			continue
		}
		unknown := kmsg.NewMetadataResponseTopic()
		unknown.ErrorCode, unknown.TopicID = kerr.UnknownTopicID.Code, a.TopicID
		topics = append(topics, unknown)
	}
	return topics
}

func (w *topicWriter) topic(t *cluster.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, admin.IsInternal(t.Name)
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for _, s := range inOrder(t) {
		out.Partitions = append(out.Partitions, w.partition(s))
	}
	if w.operations {
		out.AuthorizedOperations = topicOperations
	}
	return out
}

// inOrder lists the partitions by number: at once when the numbers have no gap, as they should, else sorted.
func inOrder(t *cluster.Topic) []*cluster.PartitionState {
	states := make([]*cluster.PartitionState, len(t.Partitions))
	for p, s := range t.Partitions {
		if p < 0 || int(p) >= len(states) {
			return slices.SortedFunc(maps.Values(t.Partitions), func(a, b *cluster.PartitionState) int { return cmp.Compare(a.Partition, b.Partition) })
		}
		states[p] = s
	}
	return states
}

func (w *topicWriter) partition(s *cluster.PartitionState) kmsg.MetadataResponseTopicPartition {
	p := kmsg.MetadataResponseTopicPartition{
		Partition: s.Partition, Leader: int32(s.Leader), LeaderEpoch: int32(s.LeaderEpoch),
		Replicas: w.ids(s.Replicas), ISR: w.ids(s.ISR), OfflineReplicas: w.ids(s.Offline),
	}
	if w.version == 0 && (len(p.Replicas) < len(s.Replicas) || len(p.ISR) < len(s.ISR)) {
		p.ErrorCode = kerr.ReplicaNotAvailable.Code
	}
	if err := w.leaderError(s.Leader); err != nil {
		p.ErrorCode, p.Leader = protocol.CodeOf(err), int32(cluster.NoLeader)
	}
	return p
}

// leaderError says why a client cannot talk to the leader; nil when it can.
func (w *topicWriter) leaderError(leader cluster.BrokerID) error {
	b := w.image.Broker(leader)
	switch {
	case b == nil:
		return kerr.LeaderNotAvailable
	case w.reachable(b):
		return nil
	case w.version < 6:
		return kerr.LeaderNotAvailable
	}
	return kerr.ListenerNotFound
}

func (w *topicWriter) reachable(b *cluster.Broker) bool {
	_, ok := b.Endpoint(w.listener)
	return ok
}

// ids copies broker ids into the arena. Version 0 tells only of brokers that can be reached.
func (w *topicWriter) ids(ids []cluster.BrokerID) []int32 {
	if cap(w.arena)-len(w.arena) < len(ids) {
		w.arena = make([]int32, 0, max(16, min(2*cap(w.arena), 4096), len(ids)))
	}
	from := len(w.arena)
	for _, id := range ids {
		if b := w.image.Broker(id); w.version > 0 || b != nil && w.reachable(b) {
			w.arena = append(w.arena, int32(id))
		}
	}
	return w.arena[from:len(w.arena):len(w.arena)]
}
