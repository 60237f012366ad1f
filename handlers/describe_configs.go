package handlers

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/protocol"
)

// configDescriber lists settings.
type configDescriber interface {
	Describe(ctx context.Context, questions []admin.Question) []admin.Description
}

// describeConfigs lists the settings of topics and brokers.
//
// Behaviour: a broker tells only of itself, and of what is set for all brokers (empty name). Secrets have no value; a setting that is
// unknown counts as one. No names, or an empty list of them, asks for all settings.
//
// Versions: 0 says of each setting whether it is a default, which Apache denies of all · 1 the layers that a value comes from (KIP-226) · 3 type and documentation (KIP-569).
func describeConfigs(d configDescriber) API {
	return on(0, 4, func(ctx context.Context, _ *Call, req *kmsg.DescribeConfigsRequest) (*kmsg.DescribeConfigsResponse, error) {
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		questions := make([]admin.Question, len(req.Resources))
		for i, r := range req.Resources {
			questions[i] = admin.Question{Resource: admin.Resource{Type: admin.ResourceType(r.ResourceType), Name: r.ResourceName}}
			if names := r.ConfigNames; len(names) > 0 {
				questions[i].Wanted = func(name string) bool { return slices.Contains(names, name) }
			}
		}
		shape := configShape{synonyms: req.IncludeSynonyms, docs: req.IncludeDocumentation}
		for i, answer := range d.Describe(ctx, questions) {
			r := kmsg.NewDescribeConfigsResponseResource()
			r.ResourceType, r.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
			r.ErrorCode, r.ErrorMessage = protocol.CodeOf(answer.Err), neverNull(admin.MessageOf(answer.Err))
			r.Configs = shape.entries(answer.Entries)
			resp.Resources = append(resp.Resources, r)
		}
		return resp, nil
	})
}

// neverNull is an empty message in place of none: this response alone has it so.
func neverNull(message *string) *string {
	if message == nil {
		return new("")
	}
	return message
}

// configShape is what the client wants to know of each setting.
type configShape struct{ synonyms, docs bool }

func (s configShape) entries(entries []config.Entry) []kmsg.DescribeConfigsResponseResourceConfig {
	out := make([]kmsg.DescribeConfigsResponseResourceConfig, len(entries))
	for i, e := range entries {
		out[i] = kmsg.DescribeConfigsResponseResourceConfig{
			Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: kmsg.ConfigSource(e.Source),
			IsSensitive: e.Sensitive, ConfigType: kmsg.ConfigType(e.Type),
		}
		if s.synonyms {
			out[i].ConfigSynonyms = synonyms(e.Synonyms)
		}
		if s.docs {
			out[i].Documentation = &entries[i].Doc
		}
	}
	return out
}

func synonyms(list []config.Synonym) []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	out := make([]kmsg.DescribeConfigsResponseResourceConfigConfigSynonym, len(list))
	for i, s := range list {
		out[i] = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: s.Name, Value: s.Value, Source: kmsg.ConfigSource(s.Source)}
	}
	return out
}
