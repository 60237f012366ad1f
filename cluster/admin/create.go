package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// Setting is a name and a value that a client sent; a nil value is none.
type Setting struct {
	Name  string
	Value *string
}

// Assigned is the replicas that a client wants for one partition.
type Assigned struct {
	Partition int32
	Replicas  []cluster.BrokerID
}

// NewTopic is a topic that a client wants. Partitions and ReplicationFactor are -1 for the broker's defaults, or when Assignment says all.
type NewTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Assignment        []Assigned
	Settings          []Setting
}

// TopicResult is what became of a NewTopic. All but Name and Err are set on success only.
type TopicResult struct {
	Name              string
	Err               error
	ID                protocol.TopicID // zero when only validated
	Partitions        int32
	ReplicationFactor int16
	Settings          []config.Entry
}

// CreateOptions say how topics are created.
type CreateOptions struct {
	Timeout      time.Duration // not positive: do not wait, and answer REQUEST_TIMED_OUT
	ValidateOnly bool
	Describe     bool // fill in TopicResult.Settings
}

// partitionsMax is how many partitions one request may make. A topic's node in ZooKeeper has room for fewer; without a bound forty bytes
// that ask for two thousand million would take all memory.
const partitionsMax = 100_000

func tooManyPartitions() error {
	return refuse(kerr.PolicyViolation, "Excessively large number of partitions per request.")
}

// plan is one topic on its way through CreateTopics.
type plan struct {
	result   *TopicResult
	topic    metastore.NewTopic
	settings map[string]string
}

// CreateTopics makes topics and waits until all have leaders, or the timeout: a topic without them is REQUEST_TIMED_OUT, though
// it may come to be. The results are in the order of the topics.
func (a *Admin) CreateTopics(ctx context.Context, topics []NewTopic, o CreateOptions) []TopicResult {
	results := make([]TopicResult, len(topics))
	known := a.knownTopics(ctx, topics)
	brokers := candidates(a.Image.Metadata().Brokers())
	var plans []plan
	room := partitionsMax
	for i, t := range topics {
		results[i].Name = t.Name
		p := plan{result: &results[i], topic: metastore.NewTopic{Topic: metastore.Topic{Name: t.Name}}}
		if p.result.Err = a.prepare(&p, t, brokers, known, room); p.result.Err == nil {
			plans = append(plans, p)
			room -= len(p.topic.Topic.Partitions)
			known.add(t.Name)
		}
	}
	a.describePlans(plans, o.Describe)
	if o.ValidateOnly {
		return results
	}
	a.write(ctx, plans)
	waiting := make([]created, len(plans))
	for i, p := range plans {
		waiting[i] = created{name: p.result.Name, count: len(p.topic.Topic.Partitions), err: &p.result.Err}
	}
	a.awaitLeaders(ctx, o.Timeout, waiting)
	return results
}

// prepare checks a topic in the order of Apache's checks, since a client sees the first error. There is room for so many partitions.
func (a *Admin) prepare(p *plan, t NewTopic, brokers []candidate, known *knownTopics, room int) error {
	if a.Image.Metadata().Topic(t.Name) != nil {
		return topicExists(t.Name)
	}
	var err error
	if p.settings, err = settingsOf(t.Settings); err != nil {
		return err
	}
	replicas, err := a.replicasOf(t, brokers, room)
	if err != nil {
		return err
	}
	if err := known.check(t.Name); err != nil {
		return err
	}
	if len(t.Assignment) > 0 {
		if err := checkAssignment(t.Assignment, brokers); err != nil {
			return err
		}
	}
	if err := a.Config.Current().CheckTopic(p.settings); err != nil {
		return invalidConfig(err)
	}
	p.topic.Config = p.settings
	p.topic.Topic.ID = protocol.NewTopicID()
	p.topic.Topic.Partitions = make(map[int32]cluster.Assignment, len(replicas))
	for i, r := range replicas {
		p.topic.Topic.Partitions[int32(i)] = cluster.Assignment{Replicas: r}
	}
	return nil
}

func topicExists(name string) error {
	return refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", name)
}

// invalidConfig makes what config refused INVALID_CONFIG for the client, with its text.
func invalidConfig(err error) error {
	return &Error{Code: kerr.InvalidConfig, Message: err.Error()}
}

func settingsOf(list []Setting) (map[string]string, error) {
	settings := make(map[string]string, len(list))
	var null []string
	for _, s := range list {
		if s.Value == nil {
			null = append(null, s.Name)
			continue
		}
		settings[s.Name] = *s.Value
	}
	if len(null) > 0 {
		return nil, refuse(kerr.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(null, ","))
	}
	return settings, nil
}

// replicasOf is the assignment that the client gave, in the order of the partitions, or a new one.
func (a *Admin) replicasOf(t NewTopic, brokers []candidate, room int) ([][]cluster.BrokerID, error) {
	if len(t.Assignment) == 0 {
		return a.spreadReplicas(t, brokers, room)
	}
	if t.Partitions != -1 || t.ReplicationFactor != -1 {
		return nil, refuse(kerr.InvalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set. "+
			"Both cannot be used at the same time.")
	}
	sorted := slices.SortedFunc(slices.Values(t.Assignment), func(x, y Assigned) int { return int(x.Partition) - int(y.Partition) })
	replicas := make([][]cluster.BrokerID, len(sorted))
	for i, p := range sorted {
		replicas[i] = p.Replicas
	}
	return replicas, nil
}

func (a *Admin) spreadReplicas(t NewTopic, brokers []candidate, room int) ([][]cluster.BrokerID, error) {
	v := a.Config.Current()
	count, factor := int(t.Partitions), int(t.ReplicationFactor)
	if count == -1 {
		count = v.Int("num.partitions")
	}
	if factor == -1 {
		factor = v.Int("default.replication.factor")
	}
	if count > room {
		return nil, tooManyPartitions()
	}
	n := max(1, len(brokers))
	s, err := newSpread(brokers, a.random(n), a.random(n))
	if err != nil {
		return nil, err
	}
	return s.assign(0, count, factor)
}

// checkAssignment refuses assignments by hand that can never be: gaps, different numbers of replicas, a broker twice or unknown.
func checkAssignment(assignment []Assigned, brokers []candidate) error {
	seen := make(map[int32]bool, len(assignment))
	for _, p := range assignment {
		switch {
		case len(p.Replicas) != len(assignment[0].Replicas):
			return refuse(kerr.InvalidReplicaAssignment, "All partitions should have the same number of replicas")
		case hasDuplicates(p.Replicas):
			return refuse(kerr.InvalidReplicaAssignment, "Duplicate replica assignment found: %s", scalaMap(assignment))
		case len(p.Replicas) == 0:
			return refuse(kerr.InvalidReplicaAssignment, "Partition %d has no replicas", p.Partition)
		}
		seen[p.Partition] = true
	}
	for i := range assignment {
		if !seen[int32(i)] {
			return refuse(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	for _, p := range assignment {
		if unknown := unknownBrokers(p.Replicas, brokers); unknown != "" {
			return refuse(kerr.InvalidReplicaAssignment, "Unknown broker(s) in replica assignment: %s.", unknown)
		}
	}
	return nil
}

// scalaMap prints an assignment as Apache's error text has it.
func scalaMap(assignment []Assigned) string {
	entries := make([]string, len(assignment))
	for i, p := range assignment {
		entries[i] = fmt.Sprintf("%d -> ArrayBuffer(%s)", p.Partition, list(p.Replicas))
	}
	return "HashMap(" + strings.Join(entries, ", ") + ")"
}

func hasDuplicates(ids []cluster.BrokerID) bool {
	sorted := slices.Sorted(slices.Values(ids))
	return len(slices.Compact(sorted)) != len(ids)
}

func unknownBrokers(ids []cluster.BrokerID, brokers []candidate) string {
	var unknown []string
	for _, id := range ids {
		if !slices.ContainsFunc(brokers, func(c candidate) bool { return c.id == id }) {
			unknown = append(unknown, fmt.Sprint(id))
		}
	}
	return strings.Join(unknown, ", ")
}

// describePlans fills in what the client is told of its new topics. Most have no settings of their own and share a description.
func (a *Admin) describePlans(plans []plan, settings bool) {
	var plain []config.Entry
	for _, p := range plans {
		p.result.Partitions = int32(len(p.topic.Topic.Partitions))
		p.result.ReplicationFactor = int16(len(p.topic.Topic.Partitions[0].Replicas))
		switch {
		case !settings:
		case len(p.settings) > 0:
			p.result.Settings, _ = a.Config.DescribeTopic(p.settings, nil) // they were checked
		default:
			if plain == nil {
				plain, _ = a.Config.DescribeTopic(nil, nil)
			}
			p.result.Settings = plain
		}
	}
}

// write makes the topics in the store, all in one go.
func (a *Admin) write(ctx context.Context, plans []plan) {
	topics := make([]metastore.NewTopic, len(plans))
	for i, p := range plans {
		topics[i] = p.topic
		p.result.ID = p.topic.Topic.ID
	}
	if len(topics) == 0 {
		return
	}
	errs, err := a.Store.CreateTopics(ctx, topics)
	for i, p := range plans {
		switch {
		case err != nil:
			p.result.Err = err
		case errors.Is(errs[i], metastore.ErrNodeExists):
			p.result.Err = topicExists(p.result.Name)
		default:
			p.result.Err = errs[i]
		}
	}
	if err != nil {
		a.Logger.Error().Err(err).Int("topics", len(topics)).Msg("topics could not be created")
	}
}
