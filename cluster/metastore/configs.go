package metastore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// ConfigResult is the settings of one entity, or why they could not be read.
type ConfigResult struct {
	Config map[string]string
	Err    error
}

// Configs reads the settings of entities, in the order asked. An entity without a node has none.
func (s *Store) Configs(ctx context.Context, entities []Entity) ([]ConfigResult, error) {
	reads := make([]Read, len(entities))
	for i, e := range entities {
		reads[i] = Read{Path: e.path()}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read configs: %w", err)
	}
	configs := make([]ConfigResult, len(entities))
	for i, r := range results {
		switch {
		case errors.Is(r.Err, ErrNoNode):
			configs[i].Config = map[string]string{}
		case r.Err != nil:
			configs[i].Err = r.Err
		default:
			configs[i].Config, configs[i].Err = decodeConfig(reads[i].Path, r.Data)
		}
	}
	return configs, nil
}

// Config reads the settings of one entity.
func (s *Store) Config(ctx context.Context, e Entity) (map[string]string, error) {
	r, err := s.Configs(ctx, []Entity{e})
	if err != nil {
		return nil, err
	}
	return r[0].Config, r[0].Err
}

// ConfigEntities lists the names that have settings below a type of entity ("topics", "users") or below an entity ("users/alice/clients").
func (s *Store) ConfigEntities(ctx context.Context, parent string) ([]string, error) {
	return s.children(ctx, PathConfig+"/"+parent, nil)
}

// SetConfig replaces the settings of an entity and tells every broker by a change notification. As in Apache the write fails with
// ErrControllerMoved when there is no controller, or another one than just before; the last writer wins.
//
// Users, clients and ips that have no settings left lose their node, topics and brokers keep an empty one.
func (s *Store) SetConfig(ctx context.Context, e Entity, config map[string]string) error {
	controller, err := s.read(ctx, Read{Kind: ReadExists, Path: PathController})
	if errors.Is(err, ErrNoNode) {
		return fmt.Errorf("set config of %s: %w", e, ErrControllerMoved)
	}
	if err != nil {
		return err
	}
	if err := s.setConfig(ctx, e, config, controller.Stat.Version); err != nil {
		return err
	}
	if len(config) == 0 && e.Type() != "topics" && e.Type() != "brokers" {
		if err := s.deleteEmptyEntity(ctx, e); err != nil {
			return err
		}
	}
	return s.announceConfigChange(ctx, e)
}

func (s *Store) setConfig(ctx context.Context, e Entity, config map[string]string, controllerVersion int32) error {
	data := encodeConfig(config)
	results, err := s.tree.Write(ctx, []Txn{{Check(PathController, controllerVersion), Set(e.path(), data, AnyVersion)}})
	if err != nil {
		return fmt.Errorf("write %s: %w", e.path(), err)
	}
	switch r := results[0]; {
	case r.Err == nil:
		return nil
	case r.Failed == 0:
		return fmt.Errorf("set config of %s: %w", e, ErrControllerMoved)
	case errors.Is(r.Err, ErrNoNode):
		return s.setOrCreate(ctx, e.path(), data)
	default:
		return fmt.Errorf("write %s: %w", e.path(), r.Err)
	}
}

// deleteEmptyEntity removes the entity's node and the empty ones above it, up to the type's directory.
func (s *Store) deleteEmptyEntity(ctx context.Context, e Entity) error {
	for p := e.path(); strings.Count(p, "/") > 2; p = path.Dir(p) {
		r, err := s.read(ctx, Read{Path: p})
		if errors.Is(err, ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		config, err := decodeConfig(p, r.Data)
		if err != nil || len(config) > 0 || r.Stat.NumChildren > 0 {
			return err
		}
		_, err = s.write(ctx, Delete(p, r.Stat.Version))
		if errors.Is(err, ErrBadVersion) || errors.Is(err, ErrNotEmpty) {
			return nil // somebody uses it again
		}
		if err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
	return nil
}

func (s *Store) announceConfigChange(ctx context.Context, e Entity) error {
	return s.announce(ctx, PathConfigChanges, configChangePrefix, encodeConfigChange(e))
}

// ConfigChange says that an entity's settings were replaced.
type ConfigChange struct {
	Sequence int64 // grows with each change
	Entity   Entity
	Err      error // set when the notification cannot be read: it names no entity
}

// configChangeAge is how long a notification is kept for brokers that are slow (15 minutes, as Apache's ZkNodeChangeNotificationListener).
const configChangeAge = 15 * time.Minute

// ConfigChanges reads the notifications after a sequence number (-1 for all), in order, and watches for more. It removes those that are
// older than 15 minutes, which as in Apache is the business of whoever reads.
func (s *Store) ConfigChanges(ctx context.Context, after int64, w *Watcher) ([]ConfigChange, error) {
	nodes, err := s.sequentials(ctx, PathConfigChanges, configChangePrefix, w)
	if err != nil {
		return nil, err
	}
	var changes []ConfigChange
	for _, n := range nodes {
		if n.sequence > after {
			e, err := decodeConfigChange(n.path, n.data)
			changes = append(changes, ConfigChange{Sequence: n.sequence, Entity: e, Err: err})
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return changes, s.purgeSequential(ctx, nodes, time.Now(), configChangeAge)
}
