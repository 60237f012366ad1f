package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
)

// ResourceType is the kind of thing that has settings, with the protocol's numbers.
type ResourceType int8

// The resources that this broker knows.
const (
	TopicResource         ResourceType = 2
	BrokerResource        ResourceType = 4
	BrokerLoggerResource  ResourceType = 8
	ClientMetricsResource ResourceType = 16
)

// String is the resource type's name in error texts.
func (t ResourceType) String() string {
	switch t {
	case TopicResource:
		return "TOPIC"
	case BrokerResource:
		return "BROKER"
	case BrokerLoggerResource:
		return "BROKER_LOGGER"
	case ClientMetricsResource:
		return "CLIENT_METRICS"
	}
	return "UNKNOWN"
}

func (t ResourceType) known() bool { return t.String() != "UNKNOWN" }

// Resource is a thing that has settings: a topic or a broker by its name; a broker resource without name is the layer for all brokers.
type Resource struct {
	Type ResourceType
	Name string
}

// String is the resource in Apache's error texts.
func (r Resource) String() string {
	return fmt.Sprintf("ConfigResource(type=%s, name='%s')", r.Type, r.Name)
}

// Question asks for the settings of a resource; a nil Wanted for all.
type Question struct {
	Resource
	Wanted func(name string) bool
}

// Description is the answer to a Question.
type Description struct {
	Entries []config.Entry
	Err     error
}

// Describe lists the settings of resources, in the order asked. A question about a type that does not exist spoils them all.
func (a *Admin) Describe(ctx context.Context, questions []Question) []Description {
	answers := make([]Description, len(questions))
	if slices.ContainsFunc(questions, func(q Question) bool { return !q.Type.known() }) {
		for i := range answers {
			answers[i].Err = kerr.InvalidRequest
		}
		return answers
	}
	stored := a.topicSettings(ctx, questions)
	for i, q := range questions {
		switch q.Type {
		case TopicResource:
			answers[i] = a.describeTopic(q, stored[q.Name])
		case BrokerResource:
			answers[i] = a.describeBroker(q)
		case BrokerLoggerResource:
			answers[i] = a.describeLoggers(q)
		case ClientMetricsResource:
			answers[i] = describeClientMetrics(q)
		}
	}
	return answers
}

// topicSettings reads what is set for the topics among the questions, all in one go.
func (a *Admin) topicSettings(ctx context.Context, questions []Question) map[string]metastore.ConfigResult {
	var names []string
	var entities []metastore.Entity
	for _, q := range questions {
		if q.Type == TopicResource && a.Image.Metadata().Topic(q.Name) != nil {
			names = append(names, q.Name)
			entities = append(entities, metastore.TopicEntity(q.Name))
		}
	}
	results, err := a.Store.Configs(ctx, entities)
	stored := make(map[string]metastore.ConfigResult, len(names))
	for i, name := range names {
		if err != nil {
			stored[name] = metastore.ConfigResult{Err: err}
			continue
		}
		stored[name] = results[i]
	}
	return stored
}

func (a *Admin) describeTopic(q Question, stored metastore.ConfigResult) (d Description) {
	if d.Err = CheckTopicName(q.Name); d.Err != nil {
		return d
	}
	if a.Image.Metadata().Topic(q.Name) == nil {
		d.Err = &Error{Code: kerr.UnknownTopicOrPartition}
		return d
	}
	if d.Err = stored.Err; d.Err == nil {
		d.Entries, d.Err = a.Config.DescribeTopic(stored.Config, q.Wanted)
	}
	return d
}

func (a *Admin) describeBroker(q Question) (d Description) {
	if q.Name == "" {
		d.Entries = a.Config.DescribeDefault(q.Wanted)
		return d
	}
	own, err := a.Config.IsID(q.Name)
	switch {
	case err != nil:
		d.Err = refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: %s", q.Name)
	case !own:
		d.Err = refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d or empty string, but received %s", a.Config.ID(), q.Name)
	default:
		d.Entries = a.Config.DescribeBroker(q.Wanted)
	}
	return d
}

func (a *Admin) describeLoggers(q Question) (d Description) {
	own, err := a.Config.IsID(q.Name)
	switch {
	case q.Name == "":
		d.Err = refuse(kerr.InvalidRequest, "Broker id must not be empty")
	case err != nil:
		d.Err = refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: %s", q.Name)
	case !own:
		d.Err = refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d but received %s", a.Config.ID(), q.Name)
	case a.Loggers != nil && (q.Wanted == nil || q.Wanted(rootLogger)):
		d.Entries = []config.Entry{{Name: rootLogger, Value: new(a.Loggers.current()), Source: config.DynamicBrokerLogger}}
	}
	return d
}

// describeClientMetrics answers as a broker in ZooKeeper mode, which has no client metrics.
func describeClientMetrics(q Question) (d Description) {
	d.Err = refuse(kerr.InvalidRequest, "Config type client-metrics is only supported on KRaft clusters")
	if q.Name == "" {
		d.Err = refuse(kerr.InvalidRequest, "Client metrics subscription name must not be empty")
	}
	return d
}

// TopicValues makes the effective settings of topics, in the order of the names. A topic that has none of its own has the broker's.
func (a *Admin) TopicValues(ctx context.Context, names []string) ([]*config.Values, error) {
	entities := make([]metastore.Entity, len(names))
	for i, name := range names {
		entities[i] = metastore.TopicEntity(name)
	}
	results, err := a.Store.Configs(ctx, entities)
	if err != nil {
		return nil, err
	}
	values := make([]*config.Values, len(names))
	var errs []error
	for i, r := range results {
		if err = r.Err; err == nil {
			values[i], err = a.Config.Current().TopicValues(r.Config)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("settings of topic %s: %w", names[i], err))
		}
	}
	return values, errors.Join(errs...)
}
