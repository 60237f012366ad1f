package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// AllocateProducerIds, v0.
//
// Behaviour: the controller gives a broker the next block of producer ids, which no other broker gets.

// producerIDBlocks is the controller, asked for producer ids.
type producerIDBlocks interface {
	AllocateProducerIDs(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) (metastore.ProducerIDBlock, error)
}

func allocateProducerIDs(b producerIDBlocks) API {
	return on(0, 0, func(ctx context.Context, _ *Call, req *kmsg.AllocateProducerIDsRequest) (*kmsg.AllocateProducerIDsResponse, error) {
		resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		block, err := b.AllocateProducerIDs(ctx, cluster.BrokerID(req.BrokerID), cluster.BrokerEpoch(req.BrokerEpoch))
		if err != nil {
			resp.ErrorCode = protocol.CodeOf(err)
			return resp, nil
		}
		resp.ProducerIDStart, resp.ProducerIDLen = block.First, int32(block.Last-block.First+1)
		return resp, nil
	}, ClusterAction)
}
