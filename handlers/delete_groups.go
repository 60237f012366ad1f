package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// deleteGroups
//
// Behaviour: deletes groups without members, with their offsets. A group that is named twice is deleted once.
func deleteGroups(g groupCoordinator) API {
	return on(0, 2, func(ctx context.Context, c *Call, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
		resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
		seen := map[string]bool{}
		for _, id := range req.Groups {
			if seen[id] {
				continue
			}
			seen[id] = true
			deleted := kmsg.NewDeleteGroupsResponseGroup()
			deleted.Group, deleted.ErrorCode = id, protocol.CodeOf(g.Delete(ctx, id))
			resp.Groups = append(resp.Groups, deleted)
		}
		return resp, nil
	})
}
