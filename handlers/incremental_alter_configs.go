package handlers

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// configAlterer changes some settings of a resource.
type configAlterer interface {
	IncrementalAlter(ctx context.Context, r admin.Resource, ops []admin.AlterOp, validateOnly bool) error
}

// incrementalAlterConfigs sets and removes single settings of topics and brokers, and the levels of loggers (KIP-339, KIP-412).
//
// Behaviour: a broker changes its own settings, and those of all brokers (empty name). The change is stored; brokers act on it when
// they hear of it, so it may take effect after the answer.
//
// Versions: the body is the same in both.
func incrementalAlterConfigs(alterer configAlterer) API {
	return on(0, 1, func(ctx context.Context, _ *Call, req *kmsg.IncrementalAlterConfigsRequest) (*kmsg.IncrementalAlterConfigsResponse, error) {
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		count := map[admin.Resource]int{}
		for _, r := range req.Resources {
			count[resource(r.ResourceType, r.ResourceName)]++
		}
		for _, r := range req.Resources {
			key := resource(r.ResourceType, r.ResourceName)
			ops, err := alterations(r.Configs, count[key])
			if err == nil {
				err = alterer.IncrementalAlter(ctx, key, ops, req.ValidateOnly)
			}
			out := kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
			out.ErrorCode, out.ErrorMessage = protocol.CodeOf(err), admin.MessageOf(err)
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil
	})
}

// alterations reads the changes of a resource that is in the request count times.
func alterations(list []kmsg.IncrementalAlterConfigsRequestResourceConfig, count int) ([]admin.AlterOp, error) {
	if count > 1 {
		return nil, invalidRequest("Each resource must appear at most once.")
	}
	seen := make(map[string]bool, len(list))
	var ops []admin.AlterOp
	var null []string
	for _, s := range list {
		if seen[s.Name] {
			return nil, invalidRequest("Error due to duplicate config keys")
		}
		seen[s.Name] = true
		op := admin.AlterOp{Name: s.Name, Kind: admin.OpKind(s.Op)}
		switch {
		case s.Value != nil:
			op.Value = *s.Value
		case op.Kind != admin.OpDelete:
			null = append(null, s.Name)
		}
		ops = append(ops, op)
	}
	if len(null) > 0 {
		return nil, invalidRequest("Null value not supported for : " + strings.Join(null, ", "))
	}
	return ops, nil
}
