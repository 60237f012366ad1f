package metastore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Topics lists the topics by name and watches for one that comes or goes.
func (s *Store) Topics(ctx context.Context, w *Watcher) ([]string, error) {
	return s.children(ctx, PathTopics, w)
}

// TopicResult is one topic's assignment, or why it could not be read: ErrNoNode, or a decoding error that names the path.
type TopicResult struct {
	Topic Topic
	Err   error
}

// TopicAssignments reads the assignments of topics, in the order asked, and watches each for a change.
func (s *Store) TopicAssignments(ctx context.Context, names []string, w *Watcher) ([]TopicResult, error) {
	reads := make([]Read, len(names))
	for i, name := range names {
		reads[i] = Read{Path: PathTopic(name), Watch: w}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	topics := make([]TopicResult, len(names))
	for i, r := range results {
		topics[i] = topicResult(names[i], r)
	}
	return topics, nil
}

func topicResult(name string, r ReadResult) TopicResult {
	if r.Err != nil {
		return TopicResult{Topic: Topic{Name: name}, Err: fmt.Errorf("read %s: %w", PathTopic(name), r.Err)}
	}
	t, err := decodeTopic(name, r.Data)
	t.Name, t.Version = name, r.Stat.Version
	return TopicResult{Topic: t, Err: err}
}

// Topic reads one topic's assignment.
func (s *Store) Topic(ctx context.Context, name string, w *Watcher) (Topic, error) {
	r, err := s.TopicAssignments(ctx, []string{name}, w)
	if err != nil {
		return Topic{}, err
	}
	return r[0].Topic, r[0].Err
}

// TopicExists reports whether the topic has an assignment.
func (s *Store) TopicExists(ctx context.Context, name string) (bool, error) {
	_, err := s.read(ctx, Read{Kind: ReadExists, Path: PathTopic(name)})
	if errors.Is(err, ErrNoNode) {
		return false, nil
	}
	return err == nil, err
}

// NewTopic is what CreateTopics writes of one topic.
type NewTopic struct {
	Topic  Topic
	Config map[string]string
	States []PartitionState // for partitions that were there before; the controller makes those of the others
}

func (t *NewTopic) txn() Txn {
	txn := Txn{Create(TopicEntity(t.Topic.Name).path(), encodeConfig(t.Config), Persistent),
		Create(PathTopic(t.Topic.Name), encodeTopic(t.Topic), Persistent)}
	if len(t.States) > 0 {
		txn = append(txn, Create(PathTopic(t.Topic.Name)+"/partitions", nil, Persistent))
	}
	for _, p := range t.States {
		txn = append(txn, Create(PathPartition(p.TopicPartition), nil, Persistent),
			Create(PathPartitionState(p.TopicPartition), encodeState(p.LeaderAndISR), Persistent))
	}
	return txn
}

// CreateTopics writes each topic's configuration and its assignment in one transaction, so that the controller, which wakes by the
// second, finds the first. The results are in the topics' order: nil, or ErrNodeExists. Nothing here checks names or replicas.
func (s *Store) CreateTopics(ctx context.Context, topics []NewTopic) ([]error, error) {
	txns := make([]Txn, len(topics))
	for i, t := range topics {
		txns[i] = t.txn()
	}
	results, err := s.tree.Write(ctx, txns)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	errs := make([]error, len(results))
	for i, r := range results {
		if errors.Is(r.Err, ErrNodeExists) && r.Failed == 0 {
			errs[i] = s.createTopicOver(ctx, txns[i])
		} else if r.Err != nil {
			errs[i] = fmt.Errorf("create %s: %w", txns[i][r.Failed].Path, r.Err)
		}
	}
	return errs, nil
}

// createTopicOver creates a topic of whose name a configuration is left.
func (s *Store) createTopicOver(ctx context.Context, t Txn) error {
	t[0] = Set(t[0].Path, t[0].Data, AnyVersion)
	_, err := s.write(ctx, t...)
	return err
}

// SetTopic replaces a topic's assignment: how partitions are added. The node must have the topic's version, else ErrBadVersion; it may have what
// is to be written, as it does when a try that nobody answered was made again.
func (s *Store) SetTopic(ctx context.Context, t Topic) error {
	data := encodeTopic(t)
	_, err := s.write(ctx, Set(PathTopic(t.Name), data, t.Version))
	if errors.Is(err, ErrBadVersion) {
		if now, errRead := s.read(ctx, Read{Path: PathTopic(t.Name)}); errRead == nil && bytes.Equal(now.Data, data) {
			return nil
		}
	}
	return err
}

// SetTopicFenced replaces a topic's assignment for the controller, which must still hold the claim. The node must have the topic's version,
// else ErrBadVersion.
func (s *Store) SetTopicFenced(ctx context.Context, c Claim, t Topic) error {
	results, err := s.writeFenced(ctx, c, []Op{Set(PathTopic(t.Name), encodeTopic(t), t.Version)})
	if err != nil {
		return err
	}
	return results[0].Err
}

// PartitionState is a partition's durable state with its name.
type PartitionState struct {
	protocol.TopicPartition
	cluster.LeaderAndISR
}

// StateResult is the outcome for one partition: the state as it stands now in State, or Err.
type StateResult struct {
	State cluster.LeaderAndISR
	Err   error
}

// PartitionStates reads the states of partitions, in the order asked. A missing one is ErrNoNode, an unreadable one an error that names
// its path.
func (s *Store) PartitionStates(ctx context.Context, tps []protocol.TopicPartition) ([]StateResult, error) {
	reads := make([]Read, len(tps))
	for i, tp := range tps {
		reads[i] = Read{Path: PathPartitionState(tp)}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read partition states: %w", err)
	}
	states := make([]StateResult, len(tps))
	for i, r := range results {
		if states[i].Err = r.Err; r.Err == nil {
			states[i].State, states[i].Err = decodeState(reads[i].Path, r.Data, r.Stat.Version)
		}
	}
	return states, nil
}

// CreatePartitionStates writes the first state of partitions, and the nodes above it. A partition that has one is ErrNodeExists.
func (s *Store) CreatePartitionStates(ctx context.Context, c Claim, states []PartitionState) ([]StateResult, error) {
	ops := make([]Op, 0, 3*len(states))
	topic := ""
	for _, p := range states {
		if p.Topic != topic {
			topic = p.Topic
			ops = append(ops, Create(PathTopic(topic)+"/partitions", nil, Persistent))
		}
	}
	for _, p := range states {
		ops = append(ops, Create(PathPartition(p.TopicPartition), nil, Persistent))
	}
	for _, p := range states {
		ops = append(ops, Create(PathPartitionState(p.TopicPartition), encodeState(p.LeaderAndISR), Persistent))
	}
	results, err := s.writeFenced(ctx, c, ops)
	if err != nil {
		return nil, err
	}
	return stateResults(states, results[len(results)-len(states):]), nil
}

// SetPartitionStates replaces the states of partitions; each must still have the version that its PartitionEpoch says, else ErrBadVersion.
func (s *Store) SetPartitionStates(ctx context.Context, c Claim, states []PartitionState) ([]StateResult, error) {
	ops := make([]Op, len(states))
	for i, p := range states {
		ops[i] = Set(PathPartitionState(p.TopicPartition), encodeState(p.LeaderAndISR), int32(p.PartitionEpoch))
	}
	results, err := s.writeFenced(ctx, c, ops)
	if err != nil {
		return nil, err
	}
	return stateResults(states, results), nil
}

// stateResults turns the trees' answers into states that carry their new version. A created node has none in its answer: it is 0.
func stateResults(states []PartitionState, results []TxnResult) []StateResult {
	out := make([]StateResult, len(states))
	for i, r := range results {
		if r.Err != nil {
			out[i].Err = fmt.Errorf("write %s: %w", PathPartitionState(states[i].TopicPartition), r.Err)
			continue
		}
		out[i].State = states[i].LeaderAndISR
		out[i].State.PartitionEpoch = cluster.PartitionEpoch(r.Ops[0].Stat.Version)
	}
	return out
}

// DeleteTopics removes all that is known of topics: assignments and states, configurations, and last the marks for deletion, so that a
// controller that takes over in between finishes it.
func (s *Store) DeleteTopics(ctx context.Context, c Claim, names []string) error {
	topics, configs := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		topics[i], configs[i] = PathTopic(name), TopicEntity(name).path()
	}
	if err := s.deleteTreesFenced(ctx, c, topics); err != nil {
		return err
	}
	if err := s.deleteFenced(ctx, c, configs); err != nil {
		return err
	}
	return s.UnmarkTopics(ctx, c, names)
}

// PartitionNodes lists the partitions of a topic that have a node, which may be fewer than those assigned.
func (s *Store) PartitionNodes(ctx context.Context, topic string) ([]string, error) {
	return s.children(ctx, PathTopic(topic)+"/partitions", nil)
}

// MarkTopicForDeletion asks the controller to delete a topic; ErrNodeExists when that was asked before.
func (s *Store) MarkTopicForDeletion(ctx context.Context, name string) error {
	return s.createRecursive(ctx, PathDeleteTopic(name), nil)
}

// MarkTopicsForDeletion marks topics that exist, all in one go. The results are in the order of the names: nil also for one that was
// marked before, ErrNoNode for a topic that does not exist.
func (s *Store) MarkTopicsForDeletion(ctx context.Context, names []string) ([]error, error) {
	reads := make([]Read, len(names))
	for i, name := range names {
		reads[i] = Read{Kind: ReadExists, Path: PathTopic(name)}
	}
	found, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	errs := make([]error, len(names))
	var txns []Txn
	var index []int
	for i, r := range found {
		if errs[i] = r.Err; r.Err == nil {
			txns, index = append(txns, Txn{Create(PathDeleteTopic(names[i]), nil, Persistent)}), append(index, i)
		}
	}
	results, err := s.tree.Write(ctx, txns)
	if err != nil {
		return nil, fmt.Errorf("mark topics for deletion: %w", err)
	}
	for i, r := range results {
		failure := r.Err
		if errors.Is(failure, ErrNoNode) { // of the directory
			failure = s.MarkTopicForDeletion(ctx, names[index[i]])
		}
		if failure != nil && !errors.Is(failure, ErrNodeExists) {
			errs[index[i]] = fmt.Errorf("create %s: %w", PathDeleteTopic(names[index[i]]), failure)
		}
	}
	return errs, nil
}

// TopicMarkedForDeletion reports whether MarkTopicForDeletion was called and the deletion has not finished.
func (s *Store) TopicMarkedForDeletion(ctx context.Context, name string) (bool, error) {
	_, err := s.read(ctx, Read{Kind: ReadExists, Path: PathDeleteTopic(name)})
	if errors.Is(err, ErrNoNode) {
		return false, nil
	}
	return err == nil, err
}

// TopicsMarkedForDeletion lists the topics that are to be deleted and watches for more.
func (s *Store) TopicsMarkedForDeletion(ctx context.Context, w *Watcher) ([]string, error) {
	return s.children(ctx, PathDeleteTopics, w)
}

// UnmarkTopics removes marks for deletion of topics that do not exist, or that may not be deleted.
func (s *Store) UnmarkTopics(ctx context.Context, c Claim, names []string) error {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = PathDeleteTopic(name)
	}
	return s.deleteFenced(ctx, c, paths)
}

// RequestID tells a node by which a tool asks something of the controller from the next one at the same path: it is the transaction that
// made the node. Zero: there is no node.
type RequestID int64

// Reassignments reads /admin/reassign_partitions and watches for its creation: the replicas that each partition listed there is to have. It
// is empty without the node. Bad JSON is ErrUnreadable.
func (s *Store) Reassignments(ctx context.Context, w *Watcher) (map[protocol.TopicPartition][]cluster.BrokerID, RequestID, error) {
	data, id, err := s.requestNode(ctx, PathReassignPartitions, w)
	if err != nil || len(data) == 0 {
		return nil, id, err
	}
	m, err := decodeReassignments(data)
	if err != nil {
		return nil, id, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return m, id, nil
}

// SetReassignments replaces what is left of /admin/reassign_partitions; nothing left removes the node.
func (s *Store) SetReassignments(ctx context.Context, c Claim, m map[protocol.TopicPartition][]cluster.BrokerID) error {
	if len(m) == 0 {
		return s.deleteFenced(ctx, c, []string{PathReassignPartitions})
	}
	data := encodeReassignments(m)
	results, err := s.writeFenced(ctx, c, []Op{Set(PathReassignPartitions, data, AnyVersion)})
	if err == nil && errors.Is(results[0].Err, ErrNoNode) {
		results, err = s.writeFenced(ctx, c, []Op{Create(PathReassignPartitions, data, Persistent)})
	}
	if err != nil {
		return err
	}
	return results[0].Err
}

// PreferredElection reads /admin/preferred_replica_election and watches for its creation: the partitions whose first replica is to lead, and
// whether the node is there. Bad JSON is ErrUnreadable.
func (s *Store) PreferredElection(ctx context.Context, w *Watcher) (tps []protocol.TopicPartition, asked bool, err error) {
	data, id, err := s.requestNode(ctx, PathPreferredElection, w)
	if err != nil || len(data) == 0 {
		return nil, id != 0, err
	}
	if tps, err = decodePartitions(PathPreferredElection, data); err != nil {
		return nil, true, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return tps, true, nil
}

// DeletePreferredElection removes the node, so that the next request can be made.
func (s *Store) DeletePreferredElection(ctx context.Context, c Claim) error {
	return s.deleteFenced(ctx, c, []string{PathPreferredElection})
}

// requestNode reads a node by which a tool asks something of the controller, if it is there, and arms the watch for its creation.
func (s *Store) requestNode(ctx context.Context, path string, w *Watcher) ([]byte, RequestID, error) {
	if w != nil {
		if _, err := s.read(ctx, Read{Kind: ReadExists, Path: path, Watch: w}); err != nil && !errors.Is(err, ErrNoNode) {
			return nil, 0, err
		}
	}
	r, err := s.read(ctx, Read{Path: path})
	if errors.Is(err, ErrNoNode) {
		return nil, 0, nil
	}
	return r.Data, RequestID(r.Stat.Czxid), err
}

// Notice is one node of a directory by which brokers tell the controller something.
type Notice struct {
	Path       string
	Broker     cluster.BrokerID          // of a log directory event
	Partitions []protocol.TopicPartition // of an ISR change
}

// AnnounceLogDirFailure tells the controller that one of the broker's log directories failed.
func (s *Store) AnnounceLogDirFailure(ctx context.Context, id cluster.BrokerID) error {
	return s.announce(ctx, PathLogDirEvents, logDirEventPrefix, encodeLogDirEvent(id))
}

// LogDirEvents reads what AnnounceLogDirFailure wrote and watches for more. Unreadable ones name broker -1.
func (s *Store) LogDirEvents(ctx context.Context, w *Watcher) ([]Notice, error) {
	nodes, err := s.sequentials(ctx, PathLogDirEvents, logDirEventPrefix, w)
	var notices []Notice
	for _, n := range nodes {
		f := logDirEventForm{Broker: -1}
		if decode(n.path, n.data, &f) != nil {
			f.Broker = -1
		}
		notices = append(notices, Notice{Path: n.path, Broker: f.Broker})
	}
	return notices, err
}

// ISRChanges reads what leaders of inter.broker.protocol.version below 2.7 write after they changed a partition's state themselves, and watches
// for more. Unreadable ones name no partition.
func (s *Store) ISRChanges(ctx context.Context, w *Watcher) ([]Notice, error) {
	nodes, err := s.sequentials(ctx, PathISRChanges, isrChangePrefix, w)
	var notices []Notice
	for _, n := range nodes {
		tps, err := decodePartitions(n.path, n.data)
		if err != nil {
			tps = nil
		}
		notices = append(notices, Notice{Path: n.path, Partitions: tps})
	}
	return notices, err
}

// DeleteNotices removes notices that were acted on.
func (s *Store) DeleteNotices(ctx context.Context, c Claim, notices []Notice) error {
	paths := make([]string, len(notices))
	for i, n := range notices {
		paths[i] = n.Path
	}
	slices.Sort(paths)
	return s.deleteFenced(ctx, c, paths)
}
