package admin

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster/config"
	"gokafka/protocol"
)

// AutoCreate makes topics because a client asked for them, or because a coordinator needs its own. It does not wait: a topic on
// its way is LEADER_NOT_AVAILABLE, and the client asks again. One that another call is creating is UNKNOWN_TOPIC_OR_PARTITION, as in
// Apache. The errors are in the order of the names and never nil.
func (a *Admin) AutoCreate(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	var topics []NewTopic
	var index []int
	for i, name := range names {
		if errs[i] = a.claim(name); errs[i] == nil {
			topics = append(topics, autoTopic(name, a.Config.Current()))
			index = append(index, i)
		}
	}
	defer a.release(topics)
	for i, r := range a.CreateTopics(ctx, topics, CreateOptions{}) {
		errs[index[i]] = r.Err
		if code := protocol.CodeOf(r.Err); code == kerr.RequestTimedOut.Code || code == kerr.TopicAlreadyExists.Code {
			errs[index[i]] = kerr.LeaderNotAvailable
		}
	}
	return errs
}

// CreateInternal makes one of the brokers' own topics. Its error is AutoCreate's, but nil for a topic on its way.
func (a *Admin) CreateInternal(ctx context.Context, topic string) error {
	if err := a.AutoCreate(ctx, []string{topic})[0]; !errors.Is(err, kerr.LeaderNotAvailable) {
		return err
	}
	return nil
}

// claim keeps two clients that ask for the same new topic from both creating it.
func (a *Admin) claim(name string) error {
	if err := CheckTopicName(name); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.creating[name] {
		return kerr.UnknownTopicOrPartition
	}
	a.creating[name] = true
	return nil
}

func (a *Admin) release(topics []NewTopic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range topics {
		delete(a.creating, t.Name)
	}
}

// autoTopic is what an automatically created topic looks like. The brokers' own have settings without which they would lose data.
func autoTopic(name string, v *config.Values) NewTopic {
	switch name {
	case offsetsTopic:
		return NewTopic{
			Name: name, Partitions: int32(v.Int("offsets.topic.num.partitions")), ReplicationFactor: int16(v.Int("offsets.topic.replication.factor")),
			Settings: settings("compression.type", "producer", "cleanup.policy", "compact", "segment.bytes", strconv.Itoa(v.Int("offsets.topic.segment.bytes"))),
		}
	case transactionTopic:
		return NewTopic{
			Name: name, Partitions: int32(v.Int("transaction.state.log.num.partitions")), ReplicationFactor: int16(v.Int("transaction.state.log.replication.factor")),
			Settings: settings("unclean.leader.election.enable", "false", "compression.type", "uncompressed", "cleanup.policy", "compact",
				"min.insync.replicas", strconv.Itoa(v.Int("transaction.state.log.min.isr")),
				"segment.bytes", strconv.Itoa(v.Int("transaction.state.log.segment.bytes"))),
		}
	}
	return NewTopic{Name: name, Partitions: int32(v.Int("num.partitions")), ReplicationFactor: int16(v.Int("default.replication.factor"))}
}

func settings(pairs ...string) []Setting {
	var out []Setting
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Setting{Name: pairs[i], Value: &pairs[i+1]})
	}
	return out
}
