package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/protocol"
)

// heartbeat
//
// Behaviour: keeps a member in its group, and tells it when to join again (REBALANCE_IN_PROGRESS).
//
// Versions: 3 brings static members.
func heartbeat(g groupCoordinator) API {
	return on(0, 4, func(ctx context.Context, c *Call, req *kmsg.HeartbeatRequest) (*kmsg.HeartbeatResponse, error) {
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = protocol.CodeOf(g.Heartbeat(ctx, &group.HeartbeatRequest{
			Group: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		}))
		return resp, nil
	})
}
