package handlers

import (
	"bytes"
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/protocol"
)

// joinGroup
//
// Behaviour: makes the client a member of its group and answers when the rebalance is complete, which can take minutes:
// the connection reads nothing meanwhile.
//
// Versions: 1 brings the rebalance timeout (before, the session timeout serves), 4 the id that a new member must come back
// with, 5 static members, 7 the protocol type and a protocol that can be null, 8 the reason, 9 the leader that need not assign.
func joinGroup(g groupCoordinator) API {
	return on(0, 9, func(ctx context.Context, c *Call, req *kmsg.JoinGroupRequest) (*kmsg.JoinGroupResponse, error) {
		result := group.JoinResult{Err: kerr.UnknownServerError, Generation: -1}
		if max(len(c.ClientID), len(orEmpty(req.InstanceID))) <= memberNameMax {
			result = g.Join(ctx, joinRequest(c, req))
		}
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = protocol.CodeOf(result.Err)
		resp.Generation, resp.MemberID, resp.LeaderID = result.Generation, result.MemberID, result.Leader
		resp.ProtocolType, resp.Protocol = nullable(result.ProtocolType), nullable(result.Protocol)
		resp.SkipAssignment = result.SkipAssignment
		for _, m := range result.Members {
			member := kmsg.NewJoinGroupResponseMember()
			member.MemberID, member.InstanceID, member.ProtocolMetadata = m.MemberID, m.InstanceID, m.Metadata
			resp.Members = append(resp.Members, member)
		}
		return resp, nil
	})
}

// memberNameMax bounds what a member calls itself: its id has a dash and a UUID after that, and is a string, as is a client id that grew when
// it was made UTF-8. Apache fails to write longer ones, and says so as here.
const memberNameMax = math.MaxInt16 - 37

func joinRequest(c *Call, req *kmsg.JoinGroupRequest) *group.JoinRequest {
	r := &group.JoinRequest{
		Group: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID,
		ClientID: c.ClientID, ClientHost: c.ClientHost(),
		SessionTimeout: milliseconds(req.SessionTimeoutMillis), RebalanceTimeout: milliseconds(req.RebalanceTimeoutMillis),
		ProtocolType: req.ProtocolType, Reason: orEmpty(req.Reason),
		RequireKnownMemberID: c.Version >= 4,
		SkipAssignment:       c.Version >= 9,
	}
	if c.Version == 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	for _, p := range req.Protocols {
		r.Protocols = append(r.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return r
}
