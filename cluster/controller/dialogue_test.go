package controller

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into testdata instead of comparing with it")

// TestDialogues plays testdata/*.txt: commands, and below each what every broker heard of it, in its order, in the notation of the
// golden files' first one. The clock stands still but for "advance".
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(text)) })
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("the dialogue went otherwise:\n%s", firstDifference(string(text), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %q\ngot  %q\n\n%s", i+1, w[min(i, len(w)-1):min(i+3, len(w))], g[min(i, len(g)-1):min(i+3, len(g))], got)
		}
	}
	return ""
}

// play runs the commands of a dialogue and returns it with what really happened. Lines that begin with a tab are replies.
func play(t *testing.T, text string) string {
	s := newStage(t)
	defer s.close()
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		if command := strings.Fields(line); len(command) > 0 && command[0] != "#" {
			reply := s.run(command)
			synctest.Wait()
			for _, l := range slices.Concat(reply, s.heard()) {
				out.WriteString("\t" + l + "\n")
			}
		}
	}
	return out.String()
}

// complaints fails the test when a state machine was asked for a change that there is not.
type complaints struct{ t *testing.T }

func (c complaints) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("cannot change like this")) {
		c.t.Errorf("logged %s", line)
	}
	return len(line), nil
}

// stage is a cluster of fake brokers over one tree in memory.
type stage struct {
	t     *testing.T
	tree  *metastore.Embedded
	admin *metastore.Store // a session of its own, for what tools and handlers write

	logger zerolog.Logger // the controllers'; of nothing unless a test sets it

	mu    sync.Mutex
	nodes map[cluster.BrokerID]*actor
}

// actor is one broker: it hears the controller's requests and answers, and may be a candidate itself.
type actor struct {
	id         cluster.BrokerID
	session    *metastore.Session
	registered *metastore.Registration
	controller *Controller // nil unless it is a candidate

	mu     sync.Mutex
	deaf   bool                             // out of the controllers' reach
	failed map[protocol.TopicPartition]bool // on a failed directory
	lines  []string
}

func newStage(t *testing.T) *stage {
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, tree: tree, admin: metastore.New(tree.Connect()), nodes: map[cluster.BrokerID]*actor{}}
	if err := s.admin.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) close() {
	for _, a := range s.nodes {
		if a.controller != nil {
			a.controller.Stop()
		}
	}
	s.must(s.tree.Close())
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// register starts a broker, as a candidate if so asked.
func (s *stage) register(id cluster.BrokerID, candidate bool, config Config) {
	session := s.tree.Connect()
	s.registerOver(session, session, id, candidate, config)
}

// registerOver starts a broker whose tree is its session or something before it.
func (s *stage) registerOver(tree metastore.Tree, session *metastore.Session, id cluster.BrokerID, candidate bool, config Config) {
	a := &actor{id: id, session: session, failed: map[protocol.TopicPartition]bool{}}
	store := metastore.New(tree)
	a.registered = store.NewRegistration(cluster.Broker{ID: id, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "host", Port: 9000 + int32(id)}}})
	s.mu.Lock()
	s.nodes[id] = a
	s.mu.Unlock()
	if _, err := a.registered.Register(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if candidate {
		a.controller = New(Options{ID: id, Store: store, Registration: a.registered, Dial: s.dial, Config: config, Logger: s.logger})
		a.controller.Start()
	}
}

// dial gives a controller its way to a broker, whoever has that id when it calls. Nobody answers for one that is dead and still registered.
func (s *stage) dial(b cluster.Broker) Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.nodes[b.ID]; a != nil {
		return &line{a}
	}
	return &line{&actor{id: b.ID, deaf: true}}
}

type line struct{ *actor }

func (l *line) Close() error { return nil }

var errDeaf = errors.New("connection refused")

func (a *actor) hear(text string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.deaf {
		return errDeaf
	}
	a.lines = append(a.lines, text)
	return nil
}

// lost reports whether a replica lies on a failed directory.
func (a *actor) lost(tp protocol.TopicPartition) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed[tp]
}

func (l *line) LeaderAndISR(_ context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	resp := &cluster.LeaderAndISRResponse{Partitions: map[protocol.TopicPartition]error{}}
	var states []string
	for i := range r.States {
		states = append(states, stateText(&r.States[i]))
		if l.lost(r.States[i].TopicPartition) {
			resp.Partitions[r.States[i].TopicPartition] = kerr.KafkaStorageError
		}
	}
	return resp, l.hear(fmt.Sprintf("%d->%d LeaderAndIsr ce=%d %s leaders%s", r.ControllerID, l.id, r.ControllerEpoch, strings.Join(states, " "), brokersText(r.LiveLeaders)))
}

func (l *line) UpdateMetadata(_ context.Context, r *cluster.UpdateMetadataRequest) error {
	text := fmt.Sprintf("%d->%d UpdateMetadata ce=%d live%s", r.ControllerID, l.id, r.ControllerEpoch, brokersText(r.LiveBrokers))
	for i := range r.States {
		text += " " + stateText(&r.States[i])
	}
	return l.hear(text)
}

func (l *line) StopReplica(_ context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	resp := &cluster.StopReplicaResponse{Partitions: map[protocol.TopicPartition]error{}}
	text := fmt.Sprintf("%d->%d StopReplica ce=%d", r.ControllerID, l.id, r.ControllerEpoch)
	for _, p := range r.Partitions {
		mark := ""
		if p.Delete {
			mark = " DELETE"
		}
		if l.lost(p.TopicPartition) {
			resp.Partitions[p.TopicPartition] = kerr.KafkaStorageError
		}
		text += fmt.Sprintf(" %s{e%d%s}", p.TopicPartition, p.LeaderEpoch, mark)
	}
	return resp, l.hear(text)
}

func idsText(ids []cluster.BrokerID) string {
	return strings.ReplaceAll(fmt.Sprint(ids), " ", ",")
}

func brokersText(brokers []cluster.Broker) string {
	var ids []cluster.BrokerID
	for _, b := range brokers {
		ids = append(ids, b.ID)
	}
	return idsText(ids)
}

func stateText(s *cluster.PartitionState) string {
	text := fmt.Sprintf("%s{L%d e%d isr%s v%d reps%s", s.TopicPartition, s.Leader, s.LeaderEpoch, idsText(s.ISR), s.PartitionEpoch, idsText(s.Replicas))
	for _, part := range []struct {
		name string
		ids  []cluster.BrokerID
	}{{"add", s.Adding}, {"rem", s.Removing}, {"offline", s.Offline}} {
		if len(part.ids) > 0 {
			text += " " + part.name + idsText(part.ids)
		}
	}
	if s.Recovering {
		text += " RECOVERING"
	}
	if s.IsNew {
		text += " NEW"
	}
	return text + "}"
}

// heard collects what the brokers heard, broker by broker.
func (s *stage) heard() []string {
	var ids []cluster.BrokerID
	for id := range s.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var lines []string
	for _, id := range ids {
		a := s.nodes[id]
		a.mu.Lock()
		lines = append(lines, a.lines...)
		a.lines = nil
		a.mu.Unlock()
	}
	return lines
}

// controller is the one that is elected.
func (s *stage) controller() *Controller {
	for _, a := range s.nodes {
		if a.controller != nil && a.controller.IsActive() {
			return a.controller
		}
	}
	for _, a := range s.nodes {
		if a.controller != nil {
			return a.controller
		}
	}
	s.t.Fatal("no candidate")
	return nil
}

// run does one command and returns its direct answer.
func (s *stage) run(command []string) []string {
	name, args := command[0], command[1:]
	switch name {
	case "candidate", "broker":
		for _, arg := range args {
			config := DefaultConfig()
			config.AutoLeaderRebalanceEnable = false
			s.register(brokerID(arg), name == "candidate", config)
			synctest.Wait()
		}
	case "balancing", "undeletable":
		config := DefaultConfig()
		config.AutoLeaderRebalanceEnable = name == "balancing"
		config.DeleteTopicEnable = name != "undeletable"
		s.register(brokerID(args[0]), true, config)
	case "kill", "leave":
		s.leave(brokerID(args[0]))
	case "expire":
		s.nodes[brokerID(args[0])].session.Expire()
	case "deaf", "hears":
		a := s.nodes[brokerID(args[0])]
		a.mu.Lock()
		a.deaf = name == "deaf"
		a.mu.Unlock()
	case "advance":
		d, err := time.ParseDuration(args[0])
		s.must(err)
		time.Sleep(d)
	case "faildir":
		a := s.nodes[brokerID(args[0])]
		a.mu.Lock()
		for _, arg := range args[1:] {
			a.failed[partitionName(arg)] = true
		}
		a.mu.Unlock()
		s.must(s.admin.AnnounceLogDirFailure(s.t.Context(), brokerID(args[0])))
	case "state":
		return s.states(args)
	default:
		return s.ask(name, args)
	}
	return nil
}

// leave ends a broker's session, with which its nodes go.
func (s *stage) leave(id cluster.BrokerID) {
	a := s.nodes[id]
	s.must(a.session.Close())
	if a.controller != nil {
		a.controller.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nodes, id)
}

// ask does what handlers and tools do.
func (s *stage) ask(name string, args []string) []string {
	ctx := s.t.Context()
	switch name {
	case "topic":
		topic := metastore.Topic{Name: args[0], ID: topicID(args[0]), Partitions: assignments(args[1:])}
		errs, err := s.admin.CreateTopics(ctx, []metastore.NewTopic{{Topic: topic}})
		s.must(errors.Join(append(errs, err)...))
	case "grow":
		topic, err := s.admin.Topic(ctx, args[0], nil)
		s.must(err)
		for index, a := range assignments(args[1:]) {
			topic.Partitions[index] = a
		}
		s.must(s.admin.SetTopic(ctx, topic))
	case "delete":
		s.must(s.admin.MarkTopicForDeletion(ctx, args[0]))
	case "config":
		key, value, _ := strings.Cut(args[1], "=")
		s.must(s.admin.SetConfig(ctx, metastore.TopicEntity(args[0]), map[string]string{key: value}))
		s.must(s.controller().EnableUncleanElection(ctx, args[0]))
	case "node":
		_, err := s.tree.Connect().Write(ctx, []metastore.Txn{{metastore.Create(args[0], []byte(strings.Join(args[1:], " ")), metastore.PersistentSequential)}})
		s.must(err)
	case "remove":
		results, err := s.tree.Connect().Write(ctx, []metastore.Txn{{metastore.Delete(args[0], metastore.AnyVersion)}})
		s.must(errors.Join(err, results[0].Err))
	case "put":
		tree := s.tree.Connect()
		for _, op := range []metastore.Op{metastore.Create(args[0], nil, metastore.Persistent), metastore.Set(args[0], []byte(strings.Join(args[1:], " ")), -1)} {
			if op.Kind == metastore.OpCreate {
				op.Data = []byte(strings.Join(args[1:], " "))
			}
			results, err := tree.Write(ctx, []metastore.Txn{{op}})
			s.must(err)
			if results[0].Err == nil {
				return nil
			}
		}
	default:
		return s.askController(name, args)
	}
	return nil
}

// askController does what handlers ask of the controller.
func (s *stage) askController(name string, args []string) []string {
	ctx, c := s.t.Context(), s.controller()
	switch name {
	case "shutdown":
		left, err := c.ControlledShutdown(ctx, brokerID(args[0]), s.nodes[brokerID(args[0])].registered.Epoch())
		return []string{fmt.Sprintf("=> still leads %v, %v", left, err)}
	case "elect":
		var tps []protocol.TopicPartition
		for _, arg := range args[1:] {
			tps = append(tps, partitionName(arg))
		}
		results, err := c.ElectLeaders(ctx, tps, args[0] == "unclean")
		lines := []string{}
		for tp, r := range results {
			lines = append(lines, fmt.Sprintf("=> %s: leader %d, %s", tp, r.Leader, code(r.Err)))
		}
		slices.Sort(lines)
		return append(lines, errorLine(err)...)
	case "reassign", "cancel":
		wanted := Reassignment{TopicPartition: partitionName(args[0])}
		if name == "reassign" {
			wanted.Replicas = brokers(args[1])
		}
		errs, err := c.AlterPartitionReassignments(ctx, []Reassignment{wanted})
		if err != nil {
			return errorLine(err)
		}
		return []string{"=> " + code(errs[0])}
	case "reassignments":
		list, err := c.ListPartitionReassignments(ctx, nil)
		lines := []string{}
		for tp, a := range list {
			lines = append(lines, fmt.Sprintf("=> %s: %s adding %s removing %s", tp, idsText(a.Replicas), idsText(a.Adding), idsText(a.Removing)))
		}
		slices.Sort(lines)
		return append(lines, errorLine(err)...)
	case "alter":
		return s.alter(ctx, c, args)
	case "ids":
		b, err := c.AllocateProducerIDs(ctx, brokerID(args[0]), s.nodes[brokerID(args[0])].registered.Epoch())
		return []string{fmt.Sprintf("=> %d..%d, %s", b.First, b.Last, code(err))}
	}
	s.t.Fatalf("unknown command %q", name)
	return nil
}

// alter is: alter BROKER PARTITION eLEADEREPOCH vPARTITIONEPOCH [ISR] [recovering] [be=EPOCH] [id=TOPIC]
func (s *stage) alter(ctx context.Context, c *Controller, args []string) []string {
	r := cluster.AlterPartitionRequest{BrokerID: brokerID(args[0])}
	if a := s.nodes[r.BrokerID]; a != nil {
		r.BrokerEpoch = a.registered.Epoch()
	}
	p := cluster.AlterPartition{TopicPartition: partitionName(args[1]), LeaderEpoch: cluster.LeaderEpoch(number(args[2][1:])),
		PartitionEpoch: cluster.PartitionEpoch(number(args[3][1:])), NewISR: brokers(args[4])}
	for _, option := range args[5:] {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "recovering":
			p.Recovering = true
		case "be":
			r.BrokerEpoch = cluster.BrokerEpoch(number(value))
		case "id":
			p.TopicID = topicID(value)
		}
	}
	r.Partitions = []cluster.AlterPartition{p}
	resp, err := c.AlterPartition(ctx, &r)
	if err != nil || resp.Err != nil {
		return []string{"=> request: " + code(errors.Join(err, resp.Err))}
	}
	result := resp.Partitions[p.TopicPartition]
	if result.Err != nil {
		return []string{"=> " + code(result.Err)}
	}
	return []string{fmt.Sprintf("=> L%d e%d isr%s v%d", result.State.Leader, result.State.LeaderEpoch, idsText(result.State.ISR), result.State.PartitionEpoch)}
}

// states shows what is written of topics.
func (s *stage) states(names []string) []string {
	ctx := s.t.Context()
	var lines []string
	for _, name := range names {
		topic, err := s.admin.Topic(ctx, name, nil)
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s: %v", name, errors.Unwrap(err)))
			continue
		}
		for index := range int32(len(topic.Partitions)) {
			tp := protocol.TopicPartition{Topic: name, Partition: index}
			r, err := s.admin.PartitionStates(ctx, []protocol.TopicPartition{tp})
			s.must(err)
			if r[0].Err != nil {
				lines = append(lines, fmt.Sprintf("%s %v: %v", tp, topic.Partitions[index], r[0].Err))
				continue
			}
			lines = append(lines, stateText(&cluster.PartitionState{TopicPartition: tp, LeaderAndISR: r[0].State, Assignment: topic.Partitions[index]})+
				fmt.Sprintf(" by ce=%d", r[0].State.ControllerEpoch))
		}
	}
	return lines
}

func errorLine(err error) []string {
	if err == nil {
		return nil
	}
	return []string{"=> " + code(err)}
}

func code(err error) string {
	if err == nil {
		return "ok"
	}
	if k := (*kerr.Error)(nil); errors.As(err, &k) {
		return k.Message
	}
	return err.Error()
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func brokerID(s string) cluster.BrokerID { return cluster.BrokerID(number(s)) }

func brokers(s string) []cluster.BrokerID {
	ids := []cluster.BrokerID{}
	for part := range strings.SplitSeq(strings.Trim(s, "[]"), ",") {
		if part != "" {
			ids = append(ids, brokerID(part))
		}
	}
	return ids
}

func partitionName(s string) protocol.TopicPartition {
	i := strings.LastIndexByte(s, '-')
	return protocol.TopicPartition{Topic: s[:i], Partition: int32(number(s[i+1:]))}
}

// assignments reads "0:[1,2] 1:[2,1]".
func assignments(args []string) map[int32]cluster.Assignment {
	m := map[int32]cluster.Assignment{}
	for _, arg := range args {
		index, replicas, _ := strings.Cut(arg, ":")
		m[int32(number(index))] = cluster.Assignment{Replicas: brokers(replicas)}
	}
	return m
}

func topicID(name string) (id protocol.TopicID) {
	copy(id[:], name)
	return id
}
