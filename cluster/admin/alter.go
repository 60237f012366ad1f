package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
)

// OpKind is what an incremental change does to a setting, with the protocol's numbers (KIP-339).
type OpKind int8

// The four changes. The last two are for lists.
const (
	OpSet OpKind = iota
	OpDelete
	OpAppend
	OpSubtract
)

// String is the operation's name in error texts.
func (k OpKind) String() string { return [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}[k] }

// AlterOp is one change of one setting.
type AlterOp struct {
	Name  string
	Kind  OpKind
	Value string // nothing for OpDelete
}

// IncrementalAlter changes some settings of a resource and leaves the others.
func (a *Admin) IncrementalAlter(ctx context.Context, r Resource, ops []AlterOp, validateOnly bool) error {
	if err := checkOps(r, ops); err != nil {
		return err
	}
	if r.Type == BrokerLoggerResource {
		return a.alterLoggers(r, ops, validateOnly)
	}
	return a.alter(ctx, r, validateOnly, func(current map[string]string) (map[string]string, error) {
		return current, applyOps(current, ops, r.Type)
	})
}

// Alter replaces all settings of a resource: what is not among them goes back to its default. It is the older way of changing, and
// loses what another client changed meanwhile.
func (a *Admin) Alter(ctx context.Context, r Resource, settings map[string]string, validateOnly bool) error {
	if r.Type == BrokerLoggerResource {
		return refuse(kerr.InvalidRequest, "Unknown resource type %d", r.Type)
	}
	return a.alter(ctx, r, validateOnly, func(map[string]string) (map[string]string, error) { return settings, nil })
}

func (a *Admin) alter(ctx context.Context, r Resource, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	switch r.Type {
	case TopicResource:
		return a.alterTopic(ctx, r, validateOnly, change)
	case BrokerResource:
		return a.alterBroker(ctx, r, validateOnly, change)
	case ClientMetricsResource:
		return refuse(kerr.InvalidRequest, "AlterConfigs is only supported for topics and brokers, but resource type is CLIENT_METRICS")
	}
	return refuse(kerr.InvalidRequest, "Unknown resource type %d", r.Type)
}

func (a *Admin) alterTopic(ctx context.Context, r Resource, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	if r.Name == "" {
		return refuse(kerr.InvalidRequest, "Default topic resources are not allowed.")
	}
	if a.Image.Metadata().Topic(r.Name) == nil {
		return refuse(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", r.Name)
	}
	entity := metastore.TopicEntity(r.Name)
	current, err := a.Store.Config(ctx, entity)
	if err != nil {
		return err
	}
	next, err := change(current)
	if err != nil {
		return err
	}
	if err := a.Config.Current().CheckTopic(next); err != nil {
		return invalidValue(r, err)
	}
	if validateOnly {
		return nil
	}
	return a.Store.SetConfig(ctx, entity, next)
}

func (a *Admin) alterBroker(ctx context.Context, r Resource, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	entity, err := a.brokerEntity(r)
	if err != nil {
		return err
	}
	stored, err := a.Store.Config(ctx, entity)
	if err != nil {
		return err
	}
	current, _ := a.Config.Decode(stored, r.Name != "") // what cannot be read is not kept
	next, err := change(current)
	if err != nil {
		return err
	}
	if err := a.Config.Validate(next, r.Name != ""); err != nil {
		return refuse(kerr.InvalidRequest, "%s", err)
	}
	if stored, err = a.Config.Encode(next, r.Name != ""); err != nil {
		return invalidValue(r, err)
	}
	if validateOnly {
		return nil
	}
	return a.Store.SetConfig(ctx, entity, stored)
}

// brokerEntity is where the settings of this broker are, or those of all when the resource has no name.
func (a *Admin) brokerEntity(r Resource) (metastore.Entity, error) {
	if r.Name == "" {
		return metastore.DefaultBrokers, nil
	}
	own, err := a.Config.IsID(r.Name)
	if err != nil {
		return "", refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", r.Name)
	}
	if !own {
		return "", refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d, but received %s", a.Config.ID(), r.Name)
	}
	return metastore.BrokerEntity(cluster.BrokerID(a.Config.ID())), nil
}

// invalidValue tells the client what is wrong with a setting, with or without naming the resource, as Apache has it.
func invalidValue(r Resource, err error) error {
	if e, ok := errors.AsType[*config.InvalidError](err); ok {
		return e
	}
	return refuse(kerr.InvalidConfig, "Invalid config value for resource %s: %s", r, err)
}

// checkOps refuses changes that cannot be understood, whatever the resource.
func checkOps(r Resource, ops []AlterOp) error {
	for _, op := range ops {
		if (op.Kind < OpSet || op.Kind > OpSubtract) && r.Type != BrokerLoggerResource {
			return refuse(kerr.InvalidRequest, "Unknown operations type %d", int8(op.Kind))
		}
	}
	return nil
}

// applyOps changes the settings by the operations, in order.
func applyOps(settings map[string]string, ops []AlterOp, t ResourceType) error {
	for _, op := range ops {
		switch op.Kind {
		case OpSet:
			settings[op.Name] = op.Value
		case OpDelete:
			delete(settings, op.Name)
		default:
			if err := applyListOp(settings, op, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyListOp(settings map[string]string, op AlterOp, t ResourceType) error {
	lookup := config.BrokerDefault
	if t == TopicResource {
		lookup = config.TopicDefault
	}
	standard, kind, ok := lookup(op.Name)
	if !ok {
		return fmt.Errorf("%s of unknown setting %s", op.Kind, op.Name) // Apache falls over it too: UNKNOWN_SERVER_ERROR
	}
	if kind != config.List {
		return refuse(kerr.InvalidConfig, "Config value %s is not allowed for config key: %s", strings.ToLower(op.Kind.String()), op.Name)
	}
	current, set := settings[op.Name]
	if !set {
		current = standard
	}
	parts, operands := strings.Split(current, ","), strings.Split(op.Value, ",")
	if op.Kind == OpSubtract {
		settings[op.Name] = strings.Join(subtract(parts, operands), ",")
		return nil
	}
	if current == "" {
		parts = nil
	}
	for _, o := range operands {
		if !slices.Contains(parts, o) {
			parts = append(parts, o)
		}
	}
	settings[op.Name] = strings.Join(parts, ",")
	return nil
}

// subtract takes one occurrence of each operand out of the list.
func subtract(list, operands []string) []string {
	out := slices.Clone(list)
	for _, o := range operands {
		if i := slices.Index(out, o); i >= 0 {
			out = slices.Delete(out, i, i+1)
		}
	}
	return out
}

func (a *Admin) alterLoggers(r Resource, ops []AlterOp, validateOnly bool) error {
	if _, err := strconv.ParseInt(r.Name, 10, 32); err != nil {
		return refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", r.Name)
	}
	if own, _ := a.Config.IsID(r.Name); !own {
		return refuse(kerr.InvalidRequest, "Unexpected node id. Expected %d, but received %d", a.Config.ID(), a.Config.ID())
	}
	if a.Loggers == nil {
		return refuse(kerr.InvalidRequest, "Loggers cannot be changed")
	}
	return a.Loggers.alter(ops, validateOnly)
}
