package handlers

import (
	"bytes"
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/protocol"
)

// syncGroup
//
// Behaviour: brings the leader's assignment, and answers each member with its own once the group's state is written.
//
// Versions: 3 brings static members, 5 the protocol type and name, which must be there from then on and be the group's.
func syncGroup(g groupCoordinator) API {
	return on(0, 5, func(ctx context.Context, c *Call, req *kmsg.SyncGroupRequest) (*kmsg.SyncGroupResponse, error) {
		resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
		if c.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
			resp.ErrorCode = kerr.InconsistentGroupProtocol.Code
			return resp, nil
		}
		result := g.Sync(ctx, syncRequest(req))
		resp.ErrorCode = protocol.CodeOf(result.Err)
		resp.ProtocolType, resp.Protocol = nullable(result.ProtocolType), nullable(result.Protocol)
		resp.MemberAssignment = result.Assignment
		return resp, nil
	})
}

func syncRequest(req *kmsg.SyncGroupRequest) *group.SyncRequest {
	r := &group.SyncRequest{
		Group: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol,
		Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, a := range req.GroupAssignment {
		r.Assignments[a.MemberID] = bytes.Clone(a.MemberAssignment)
	}
	return r
}
