package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/protocol"
)

// groupOperations are the operations that exist on a group, as the bits that KIP-430 reports to who may do all of them:
// read, delete and describe.
const groupOperations = 1<<3 | 1<<6 | 1<<8

// describeGroups
//
// Behaviour: shows groups and their members. A group that does not exist is Dead, without an error.
//
// Versions: 3 brings the operations that the client may do, 4 static members.
func describeGroups(g groupCoordinator) API {
	return on(0, 5, func(ctx context.Context, c *Call, req *kmsg.DescribeGroupsRequest) (*kmsg.DescribeGroupsResponse, error) {
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		named := mentions[string]{}
		for _, id := range req.Groups {
			var d group.Description
			err := named.add(id)
			if err == nil {
				d, err = g.Describe(ctx, id)
			}
			described := shapeGroup(id, d, err)
			if req.IncludeAuthorizedOperations && described.ErrorCode == 0 {
				described.AuthorizedOperations = groupOperations
			}
			resp.Groups = append(resp.Groups, described)
		}
		return resp, nil
	})
}

func shapeGroup(id string, d group.Description, err error) kmsg.DescribeGroupsResponseGroup {
	resp := kmsg.NewDescribeGroupsResponseGroup()
	resp.Group, resp.ErrorCode = id, protocol.CodeOf(err)
	resp.State, resp.ProtocolType, resp.Protocol = d.State, d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID, member.ClientID, member.ClientHost = m.MemberID, m.InstanceID, m.ClientID, m.ClientHost
		member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
		resp.Members = append(resp.Members, member)
	}
	return resp
}
