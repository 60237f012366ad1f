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
		states, types := newNameFilter(req.StatesFilter), newNameFilter(req.TypesFilter)
		for _, l := range listings {
			if !states.passes(l.State.String()) || !types.passes(classicType) {
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

// nameFilter passes the values that names name, and all without names. What it says of a value it remembers: there are few, and may be millions of
// names.
type nameFilter struct {
	names []string
	known map[string]bool
}

func newNameFilter(names []string) *nameFilter {
	return &nameFilter{names: names, known: map[string]bool{}}
}

func (f *nameFilter) passes(value string) bool {
	passes, known := f.known[value]
	if !known {
		passes = len(f.names) == 0 || slices.ContainsFunc(f.names, func(n string) bool { return strings.EqualFold(n, value) })
		f.known[value] = passes
	}
	return passes
}
