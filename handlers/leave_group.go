package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/protocol"
)

// leaveGroup
//
// Behaviour: removes members at once instead of waiting for their sessions to end. Tools remove static members by their
// instance id alone.
//
// Versions: 3 brings several members, each with its own error; before, the one member's error is the request's. 5 brings
// the reason.
func leaveGroup(g groupCoordinator) API {
	return on(0, 5, func(ctx context.Context, c *Call, req *kmsg.LeaveGroupRequest) (*kmsg.LeaveGroupResponse, error) {
		resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
		leaving := leavingMembers(c, req)
		errs, err := g.Leave(ctx, req.Group, leaving)
		switch {
		case err != nil:
			resp.ErrorCode = protocol.CodeOf(err)
		case c.Version < 3:
			resp.ErrorCode = protocol.CodeOf(errs[0])
		default:
			for i, l := range leaving {
				m := kmsg.NewLeaveGroupResponseMember()
				m.MemberID, m.InstanceID, m.ErrorCode = l.MemberID, l.InstanceID, protocol.CodeOf(errs[i])
				resp.Members = append(resp.Members, m)
			}
		}
		return resp, nil
	})
}

func leavingMembers(c *Call, req *kmsg.LeaveGroupRequest) []group.LeavingMember {
	if c.Version < 3 {
		return []group.LeavingMember{{MemberID: req.MemberID}}
	}
	leaving := make([]group.LeavingMember, len(req.Members))
	for i, m := range req.Members {
		leaving[i] = group.LeavingMember{MemberID: m.MemberID, InstanceID: m.InstanceID, Reason: orEmpty(m.Reason)}
	}
	return leaving
}
