package handlers

import (
	"context"

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
		questions, of := askable(req.Resources)
		tooMany := errManyMentions.Error()
		for _, r := range req.Resources {
			out := kmsg.NewDescribeConfigsResponseResource()
			out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
			out.ErrorCode, out.ErrorMessage = protocol.CodeOf(errManyMentions), &tooMany
			resp.Resources = append(resp.Resources, out)
		}
		shape := configShape{synonyms: req.IncludeSynonyms, docs: req.IncludeDocumentation}
		for i, answer := range d.Describe(ctx, questions) {
			r := &resp.Resources[of[i]]
			r.ErrorCode, r.ErrorMessage = protocol.CodeOf(answer.Err), neverNull(admin.MessageOf(answer.Err))
			r.Configs = shape.entries(answer.Entries)
		}
		return resp, nil
	})
}

// askable makes questions of the resources that are not named too often, and tells which each is of. Many names may be one broker's:
// brokers count together.
func askable(resources []kmsg.DescribeConfigsRequestResource) (questions []admin.Question, of []int) {
	named := mentions[admin.Resource]{}
	for i, r := range resources {
		resource := admin.Resource{Type: admin.ResourceType(r.ResourceType), Name: r.ResourceName}
		counted := resource
		if resource.Type == admin.BrokerResource {
			counted.Name = ""
		}
		if named.add(counted) != nil {
			continue
		}
		q := admin.Question{Resource: resource}
		if len(r.ConfigNames) > 0 {
			names := setOf(r.ConfigNames)
			q.Wanted = func(name string) bool { return names[name] }
		}
		questions, of = append(questions, q), append(of, i)
	}
	return questions, of
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
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
