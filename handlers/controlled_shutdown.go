package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// ControlledShutdown, v0 to v3.
//
// Behaviour: a broker that is about to stop has the controller move away what it leads. The answer lists what it still leads.
//
// Versions: 0 has a request header without client id; 2 the broker's epoch; 3 flexible.

// shutdowns is the controller, asked to empty a broker.
type shutdowns interface {
	ControlledShutdown(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) ([]protocol.TopicPartition, error)
}

func controlledShutdown(c shutdowns) API {
	return on(0, 3, func(ctx context.Context, _ *Call, req *kmsg.ControlledShutdownRequest) (*kmsg.ControlledShutdownResponse, error) {
		resp := req.ResponseKind().(*kmsg.ControlledShutdownResponse)
		left, err := c.ControlledShutdown(ctx, cluster.BrokerID(req.BrokerID), cluster.BrokerEpoch(req.BrokerEpoch))
		resp.ErrorCode = protocol.CodeOf(err)
		for _, tp := range left {
			resp.PartitionsRemaining = append(resp.PartitionsRemaining, kmsg.ControlledShutdownResponsePartitionsRemaining{Topic: tp.Topic, Partition: tp.Partition})
		}
		return resp, nil
	}, ClusterAction)
}
