package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// The kinds of coordinators that a client can ask for.
const (
	coordinatesGroup       = 0
	coordinatesTransaction = 1
	coordinatesShare       = 2
)

// internalTopics creates the topics that the broker itself needs.
type internalTopics interface {
	// CreateInternal creates __consumer_offsets or __transaction_state with its own settings. It does not wait for leaders: clients
	// ask again.
	CreateInternal(ctx context.Context, topic string) error
}

// findCoordinator
//
// Behaviour: the coordinator of a group is the leader of its partition of __consumer_offsets, that of a transactional id the leader
// of its partition of __transaction_state. The topic is created by the first who asks, which is answered with
// COORDINATOR_NOT_AVAILABLE, as it is while the partition has no leader, or none on the listener that the client came in on;
// clients retry. Share groups, of version 6, have no coordinator in Apache 3.9 either.
//
// Versions: 1 brings the kind and the error message, 4 several keys, 6 share groups.
func findCoordinator(f coordinatorFinder) API { return on(0, 6, f.handle) }

// coordinatorFinder is what FindCoordinator needs.
type coordinatorFinder struct {
	Groups       groupCoordinator
	Transactions txnCoordinator
	Image        clusterImage
	Topics       internalTopics
}

func (f coordinatorFinder) handle(ctx context.Context, c *Call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if c.Version < 4 {
		found := f.find(ctx, c, req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage = found.ErrorCode, found.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = found.NodeID, found.Host, found.Port
		if resp.ErrorCode == 0 {
			resp.ErrorMessage = kmsg.StringPtr("NONE")
		}
		return resp, nil
	}
	for _, key := range req.CoordinatorKeys {
		found := f.find(ctx, c, req.CoordinatorType, key)
		found.Key = key
		resp.Coordinators = append(resp.Coordinators, found)
	}
	return resp, nil
}

func (f coordinatorFinder) find(ctx context.Context, c *Call, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.NodeID, found.Port, found.ErrorMessage = -1, -1, kmsg.StringPtr("")
	id, endpoint, err := f.locate(ctx, c, kind, key)
	if err != nil {
		found.ErrorCode, found.ErrorMessage = protocol.CodeOf(err), kmsg.StringPtr(f.message(c, err))
		return found
	}
	found.NodeID, found.Host, found.Port = int32(id), endpoint.Host, endpoint.Port
	return found
}

// message is what the client is told beside the code. With several keys Apache says nothing, unless it does not understand
// the request at all; we also do where the code alone would leave a client's user puzzled.
func (f coordinatorFinder) message(c *Call, err error) string {
	ke, plain := err.(*kerr.Error)
	switch {
	case errors.Is(err, errUnknownKind):
		return kerr.InvalidRequest.Description
	case !plain:
		return err.Error()
	case c.Version >= 4:
		return ""
	}
	return ke.Description
}

var errUnknownKind = fmt.Errorf("unknown kind of coordinator: %w", kerr.InvalidRequest)

// partition is the one that decides who coordinates key.
func (f coordinatorFinder) partition(c *Call, kind int8, key string) (protocol.TopicPartition, error) {
	switch {
	case kind == coordinatesGroup:
		return protocol.TopicPartition{Topic: cluster.OffsetsTopic, Partition: f.Groups.PartitionFor(key)}, nil
	case kind == coordinatesTransaction:
		return protocol.TopicPartition{Topic: cluster.TransactionsTopic, Partition: f.Transactions.PartitionFor(key)}, nil
	case kind == coordinatesShare && c.Version >= 6:
		return protocol.TopicPartition{}, kerr.CoordinatorNotAvailable
	case kind == coordinatesShare:
		return protocol.TopicPartition{}, kerr.InvalidRequest
	}
	return protocol.TopicPartition{}, errUnknownKind
}

func (f coordinatorFinder) locate(ctx context.Context, c *Call, kind int8, key string) (cluster.BrokerID, cluster.Endpoint, error) {
	tp, err := f.partition(c, kind, key)
	if err != nil {
		return 0, cluster.Endpoint{}, err
	}
	image := f.Image.Metadata()
	if image.Topic(tp.Topic) == nil {
		if err := f.Topics.CreateInternal(ctx, tp.Topic); err != nil {
			return 0, cluster.Endpoint{}, kerr.CoordinatorNotAvailable // the creator has logged why
		}
		image = f.Image.Metadata()
	}
	p := image.Partition(tp)
	if p == nil {
		return 0, cluster.Endpoint{}, kerr.CoordinatorNotAvailable
	}
	if b := image.Broker(p.Leader); b != nil {
		if e, ok := b.Endpoint(c.Listener); ok {
			return b.ID, e, nil
		}
	}
	return 0, cluster.Endpoint{}, kerr.CoordinatorNotAvailable
}
