package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// classicType is the type of all groups here: those of KIP-848 do not exist in ZooKeeper mode.
const classicType = "classic"

// listGroups
//
// Behaviour: lists the groups that this broker coordinates; tools ask every broker. Filters are alternatives each, ignore
// case, and an unknown name matches nothing.
//
// Versions: 4 brings states, 5 types.
func listGroups(g groupCoordinator) API {
	return on(0, 5, func(ctx context.Context, c *Call, req *kmsg.ListGroupsRequest) (*kmsg.ListGroupsResponse, error) {
		resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
		listings, err := g.List(ctx)
		resp.ErrorCode = protocol.CodeOf(err)
		for _, l := range listings {
			if !passes(req.StatesFilter, l.State.String()) || !passes(req.TypesFilter, classicType) {
				continue
			}
			listed := kmsg.NewListGroupsResponseGroup()
			listed.Group, listed.ProtocolType = l.Group, l.ProtocolType
			listed.GroupState, listed.GroupType = l.State.String(), classicType
			resp.Groups = append(resp.Groups, listed)
		}
		return resp, nil
	})
}

// passes reports whether a filter, if there is one, names the value.
func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
