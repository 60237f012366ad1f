package handlers

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/admin"
	"gokafka/protocol"
)

// configReplacer replaces all settings of a resource.
type configReplacer interface {
	Alter(ctx context.Context, r admin.Resource, settings map[string]string, validateOnly bool) error
}

// alterConfigs replaces all settings of topics and brokers; IncrementalAlterConfigs took its place (KIP-339).
//
// Behaviour: what a client does not list goes back to its default. A resource that is named twice is refused, both times.
//
// Versions: the body is the same in all.
func alterConfigs(replacer configReplacer) API {
	return on(0, 2, func(ctx context.Context, _ *Call, req *kmsg.AlterConfigsRequest) (*kmsg.AlterConfigsResponse, error) {
		resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
		count := map[admin.Resource]int{}
		for _, r := range req.Resources {
			count[resource(r.ResourceType, r.ResourceName)]++
		}
		for _, r := range req.Resources {
			key := resource(r.ResourceType, r.ResourceName)
			settings, err := replacements(r.Configs, count[key])
			if err == nil {
				err = replacer.Alter(ctx, key, settings, req.ValidateOnly)
			}
			out := kmsg.NewAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
			out.ErrorCode, out.ErrorMessage = protocol.CodeOf(err), admin.MessageOf(err)
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil
	})
}

func resource(t kmsg.ConfigResourceType, name string) admin.Resource {
	return admin.Resource{Type: admin.ResourceType(t), Name: name}
}

func invalidRequest(message string) error {
	return &admin.Error{Code: kerr.InvalidRequest, Message: message}
}

// replacements reads the settings of a resource that is in the request count times.
func replacements(list []kmsg.AlterConfigsRequestResourceConfig, count int) (map[string]string, error) {
	if count > 1 {
		return nil, invalidRequest("Each resource must appear at most once.")
	}
	settings := make(map[string]string, len(list))
	seen := make(map[string]bool, len(list))
	var null []string
	for _, s := range list {
		if seen[s.Name] {
			return nil, invalidRequest("Error due to duplicate config keys")
		}
		seen[s.Name] = true
		if s.Value == nil {
			null = append(null, s.Name)
			continue
		}
		settings[s.Name] = *s.Value
	}
	if len(null) > 0 {
		return nil, invalidRequest("Null value not supported for : " + strings.Join(null, ", "))
	}
	return settings, nil
}
