package admin

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster/metastore"
)

// knownTopics is what the store says of the topics of one request: read in one go for many, since each read is a round trip.
type knownTopics struct {
	err    error
	exists map[string]bool
	marked map[string]bool
	keys   map[string]string // collision key → name
}

// manyTopics is from how many topics on reading all names is cheaper than asking for each.
const manyTopics = 16

// manyVariants is from how many names that one would collide with reading all names is cheaper.
const manyVariants = 16

func (a *Admin) knownTopics(ctx context.Context, topics []NewTopic) *knownTopics {
	k := &knownTopics{exists: map[string]bool{}, marked: map[string]bool{}, keys: map[string]string{}}
	all := len(topics) >= manyTopics
	for _, t := range topics {
		all = all || variants(t.Name) >= manyVariants
	}
	if all {
		k.err = a.readAll(ctx, k)
		return k
	}
	for _, t := range topics {
		if CheckTopicName(t.Name) == nil && k.err == nil {
			k.err = a.readOne(ctx, k, t.Name)
		}
	}
	return k
}

// readOne asks for a topic and for those that it would collide with.
func (a *Admin) readOne(ctx context.Context, k *knownTopics, name string) (err error) {
	if k.marked[name], err = a.Store.TopicMarkedForDeletion(ctx, name); err != nil {
		return err
	}
	found, err := a.Store.TopicAssignments(ctx, colliding(name), nil)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !errors.Is(f.Err, metastore.ErrNoNode) {
			k.know(f.Topic.Name)
		}
	}
	return nil
}

func (a *Admin) readAll(ctx context.Context, k *knownTopics) error {
	names, err := a.Store.Topics(ctx, nil)
	if err != nil {
		return err
	}
	marked, err := a.Store.TopicsMarkedForDeletion(ctx, nil)
	if err != nil {
		return err
	}
	for _, name := range marked {
		k.marked[name] = true
	}
	for _, name := range names {
		k.know(name)
	}
	return nil
}

func (k *knownTopics) know(name string) {
	k.exists[name] = true
	k.add(name)
}

// check says why a topic of this name cannot be made.
func (k *knownTopics) check(name string) error {
	if err := CheckTopicName(name); err != nil {
		return err
	}
	switch {
	case k.err != nil:
		return k.err
	case k.marked[name]:
		return refuse(kerr.TopicAlreadyExists, "Topic '%s' is marked for deletion.", name)
	case k.exists[name]:
		return topicExists(name)
	}
	if other, ok := k.keys[collisionKey(name)]; ok && mayCollide(name) {
		return refuse(kerr.InvalidTopicException, "Topic '%s' collides with existing topics: %s", name, other)
	}
	return nil
}

// add makes the later topics of the request see this one.
func (k *knownTopics) add(name string) {
	if mayCollide(name) {
		k.keys[collisionKey(name)] = name
	}
}
