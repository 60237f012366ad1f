package sim

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into testdata instead of comparing with it")

// TestDialogues plays testdata/*.txt: commands, and below each, behind a tab, what came of it. Each command takes a tenth of a second, "run" as
// long as it says. Messages arrive at once unless they are held.
//
//	brokers N                  starts brokers 1 to N
//	topic NAME I:[B,…] … [min=N] [unclean] [segment=BYTES]
//	produce B PARTITION VALUE… [acks=1]
//	hold GLOB, release GLOB    messages that match wait, until they are released
//	lose GLOB                  messages that match are lost, until "release" of the same
//	catch GLOB                 the next message that matches waits, until "release" of the same
//	cut B store|B…, mend B store|B…
//	crash B, poweroff B        kill -9; the same with the loss of all that was not synced, which "flush B PARTITION" does
//	start B, stop B, expire B, depose
//	reassign PARTITION [B,…], elect PARTITION
//	disk B PARTITION EPOCH…    what the log of a broker that is down holds: records of these leader epochs
//	written PARTITION LEADER EPOCH [B,…]  the partition's state in the store
//	state PARTITION            as written, and each replica's: its records with their leader epochs
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
			synctest.Test(t, func(t *testing.T) { got = playDialogue(t, string(text)) })
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("the dialogue went otherwise: %s", firstDifference(string(text), got))
			}
		})
	}
}

// stage is a world that does what it is told.
type stage struct {
	*world
	t      *testing.T
	topics map[string]*topic
	held   map[string][]*message // by the glob that they are held for
	holds  map[string]string     // globs: what is done with messages, which is one of the commands hold, lose, catch
}

const commandTime = 100 * time.Millisecond

func playDialogue(t *testing.T, text string) string {
	s := &stage{world: newWorld(1, 0), t: t, topics: map[string]*topic{}, holds: map[string]string{}, held: map[string][]*message{}}
	s.network.weather = weather{delay: 1, storeDelay: 1}
	s.post = s.intercept
	defer func() { s.close() }()
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		if command := strings.Fields(line); len(command) > 0 && command[0] != "#" {
			s.trace.Reset()
			reply := s.command(command[0], command[1:])
			for _, l := range slices.Concat(s.heard(), reply) {
				out.WriteString("\t" + l + "\n")
			}
		}
		if s.broken != nil {
			t.Fatalf("after %q: %v\n%s", line, s.broken, out.String())
		}
	}
	return out.String()
}

// intercept holds and loses messages.
func (s *stage) intercept(m *message) bool {
	for _, glob := range sortedGlobs(s.holds) {
		if ok, err := path.Match(glob, strings.ReplaceAll(m.text, "/", "|")); err != nil || !ok {
			continue
		}
		if s.holds[glob] != "lose" {
			s.held[glob] = append(s.held[glob], m)
		}
		if s.holds[glob] == "catch" {
			delete(s.holds, glob)
		}
		return true
	}
	return false
}

func sortedGlobs(m map[string]string) []string {
	var globs []string
	for g := range m {
		globs = append(globs, g)
	}
	slices.Sort(globs)
	return globs
}

// heard picks what a reader of the dialogue wants to know from the trace.
func (s *stage) heard() []string {
	var lines []string
	for line := range strings.Lines(s.trace.String()) {
		line = strings.TrimSpace(line[13:])
		request := strings.Contains(line, "> ") || strings.Contains(line, " LeaderAndIsr ") || strings.Contains(line, " AlterPartition ")
		switch {
		case request && strings.HasSuffix(line, "answered"), strings.HasPrefix(line, "broker "), strings.HasPrefix(line, "topic "), strings.Contains(line, "UpdateMetadata"):
		case request, strings.Contains(line, " is L"), strings.Contains(line, " refuses"), strings.Contains(line, " diverges"), strings.Contains(line, "is answered"):
			lines = append(lines, line)
		}
	}
	return lines
}

// command does one command, lets its time pass, and returns its direct answer.
func (s *stage) command(name string, args []string) []string {
	d := commandTime
	switch name {
	case "run":
		var err error
		d, err = time.ParseDuration(args[0])
		s.must(err)
	case "state":
		return s.state(partitionName(args[0]))
	default:
		s.do(name, args)
	}
	s.run(d, 1<<30)
	return nil
}

func (s *stage) do(name string, args []string) {
	switch name {
	case "brokers":
		for i := range number(args[0]) {
			id := cluster.BrokerID(i + 1)
			s.ids = append(s.ids, id)
			s.brokers[id] = &broker{id: id, disk: vfs.NewMem()}
		}
		for _, id := range s.ids {
			s.boot(id)
		}
	case "topic":
		s.makeTopic(args)
	case "produce":
		s.say(brokerID(args[0]), partitionName(args[1]), args[2:])
	case "hold", "lose", "catch":
		s.holds[strings.Join(args, " ")] = name
	case "release":
		s.release(strings.Join(args, " "))
	case "cut", "mend":
		s.connect(brokerID(args[0]), args[1:], name == "cut")
	case "reassign", "elect":
		s.ask(name, args)
	case "disk":
		s.fill(s.brokers[brokerID(args[0])], partitionName(args[1]), args[2:])
	case "written":
		s.write(args)
	default:
		s.doTo(name, brokerIDOf(args), args)
	}
}

func brokerIDOf(args []string) cluster.BrokerID {
	if len(args) == 0 {
		return 0
	}
	return brokerID(args[0])
}

// doTo does something to one broker.
func (s *stage) doTo(name string, id cluster.BrokerID, args []string) {
	switch name {
	case "crash":
		s.kill(id, 1)
	case "poweroff": // Kafka promises nothing then
		for _, h := range s.check.histories {
			h.tainted = true
		}
		s.kill(id, 0)
	case "start":
		s.boot(id)
	case "stop":
		s.stop(id)
	case "expire":
		s.brokers[id].life.line.expire()
	case "depose":
		_, err := s.tools.Write(context.Background(), []metastore.Txn{{metastore.Delete(metastore.PathController, metastore.AnyVersion)}})
		s.must(err)
	case "flush":
		l, _ := s.brokers[id].life.logs.Log(partitionName(args[1]))
		s.must(l.Flush())
	default:
		s.t.Fatalf("unknown command %q", name)
	}
}

func (s *stage) makeTopic(args []string) {
	config := log.DefaultConfig()
	assignments := map[int64][]cluster.BrokerID{}
	for _, arg := range args[1:] {
		if key, value, ok := strings.Cut(arg, "="); ok && key == "min" {
			config.MinInSyncReplicas = int(number(value))
		} else if ok && key == "segment" {
			config.SegmentBytesMax = int(number(value))
		} else if index, replicas, ok := strings.Cut(arg, ":"); ok {
			assignments[number(index)] = brokerIDs(replicas)
		} else {
			config.UncleanElection = arg == "unclean"
		}
	}
	var list [][]cluster.BrokerID
	for i := range int64(len(assignments)) {
		list = append(list, assignments[i])
	}
	s.topics[args[0]] = s.createTopic(args[0], config, list...)
}

// say produces a batch of values to a broker, whether that leads or not.
func (s *stage) say(to cluster.BrokerID, tp protocol.TopicPartition, args []string) {
	acks := replica.AcksAll
	if args[len(args)-1] == "acks=1" {
		acks, args = replica.AcksLeader, args[:len(args)-1]
	}
	var records []protocol.Record
	for _, value := range args {
		records = append(records, protocol.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(value)})
	}
	batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, records...)
	s.must(err)
	s.world.produce(to, tp, batch, acks, fmt.Sprint(args), func(r produced) {
		if r.err == nil && acks == replica.AcksAll {
			s.check.acknowledged(key{s.topics[tp.Topic].id, tp.Partition}, r.first, args, r.by)
		}
	})
}

// release lets messages go that were held, and those that come.
func (s *stage) release(glob string) {
	delete(s.holds, glob)
	held := s.held[glob]
	delete(s.held, glob)
	for _, m := range held {
		if !s.intercept(m) {
			s.push(&event{at: time.Now().Add(1), message: m})
		}
	}
}

// connect cuts or mends a broker's ways to others, or to the store.
func (s *stage) connect(id cluster.BrokerID, others []string, cut bool) {
	for _, other := range others {
		switch {
		case other != "store":
			s.cutLink(id, brokerID(other), cut)
		case cut:
			l := s.brokers[id].life
			l.line.sever()
			s.in(sessionTimeout, func() {
				if s.brokers[id].life == l && l.line.cut {
					l.line.expire()
				}
			})
		default:
			s.brokers[id].life.line.mend()
		}
	}
}

// ask has the controller do something.
func (s *stage) ask(name string, args []string) {
	tp := partitionName(args[0])
	for _, id := range s.ids {
		l := s.serving(id)
		if l == nil || !l.controller.IsActive() {
			continue
		}
		s.clients.Go(func() {
			var err error
			if name == "elect" {
				_, err = l.controller.ElectLeaders(l.ctx, []protocol.TopicPartition{tp}, false)
			} else {
				_, err = l.controller.AlterPartitionReassignments(l.ctx, []controller.Reassignment{{TopicPartition: tp, Replicas: brokerIDs(args[1])}})
			}
			s.report(name, func() { s.tracef("%s is answered: %s", name, code(err)) })
		})
	}
}

// fill writes a log on the disk of a broker that is down.
func (s *stage) fill(b *broker, tp protocol.TopicPartition, epochs []string) {
	m, err := log.Open(log.ManagerOptions{FS: b.disk, Dirs: []string{logDir}, Identity: log.Identity{ClusterID: "sim", BrokerID: int32(b.id)}})
	s.must(err)
	l, err := m.Create(tp, log.CreateOptions{TopicID: s.topics[tp.Topic].id, IsNew: true})
	s.must(err)
	for i, e := range epochs {
		epoch := int32(number(e))
		value := fmt.Sprintf("%c%d", 'a'+rune(epoch), i)
		batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{BaseOffset: int64(i), LeaderEpoch: epoch}, protocol.Record{Value: []byte(value)})
		s.must(err)
		_, err = l.AppendAsFollower(batch, epoch)
		s.must(err)
	}
	s.must(m.Close())
}

// write replaces the state of a partition in the store.
func (s *stage) write(args []string) {
	tp := partitionName(args[0])
	h := s.check.histories[key{s.topics[tp.Topic].id, tp.Partition}]
	h.tainted = true
	data := fmt.Sprintf(`{"controller_epoch":%d,"leader":%s,"version":1,"leader_epoch":%s,"isr":%s}`, h.state.ControllerEpoch, args[1], args[2], args[3])
	results, err := s.tools.Write(context.Background(), []metastore.Txn{{metastore.Set(metastore.PathPartitionState(tp), []byte(data), metastore.AnyVersion)}})
	s.must(err)
	s.must(results[0].Err)
	s.stored = true
}

// state shows a partition as written, and its replicas.
func (s *stage) state(tp protocol.TopicPartition) []string {
	r, err := s.admin.PartitionStates(context.Background(), []protocol.TopicPartition{tp})
	s.must(err)
	w := r[0].State
	lines := []string{fmt.Sprintf("%v L%d e%d v%d isr%v", tp, w.Leader, w.LeaderEpoch, w.PartitionEpoch, w.ISR)}
	for _, id := range s.ids {
		lines = append(lines, s.replicaState(id, tp)...)
	}
	return lines
}

func (s *stage) replicaState(id cluster.BrokerID, tp protocol.TopicPartition) []string {
	life := s.brokers[id].life
	if life == nil {
		return []string{fmt.Sprintf("%d is down", id)}
	}
	l, ok := life.logs.Log(tp)
	if !ok {
		return nil
	}
	role := "has"
	if p, err := life.replicas.Partition(tp); err == nil {
		v := p.View()
		if role = fmt.Sprintf("follows %d in e%d:", v.Leader, v.LeaderEpoch); v.Leads() {
			role = fmt.Sprintf("leads in e%d, isr%v:", v.LeaderEpoch, v.ISR)
		}
	}
	m := mirror{log: l}
	s.must(m.read(&s.check.buffer))
	var records []string
	high := int(l.HighWatermark().Offset)
	for i, e := range m.entries {
		if i == high {
			records = append(records, "|")
		}
		records = append(records, fmt.Sprintf("%s@%d", e.value, e.epoch))
	}
	return []string{fmt.Sprintf("%d %s %s", id, role, strings.Join(records, " "))}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func brokerID(s string) cluster.BrokerID { return cluster.BrokerID(number(s)) }

func brokerIDs(s string) (ids []cluster.BrokerID) {
	for part := range strings.SplitSeq(strings.Trim(s, "[]"), ",") {
		ids = append(ids, brokerID(part))
	}
	return ids
}

func partitionName(s string) protocol.TopicPartition {
	i := strings.LastIndexByte(s, '-')
	return protocol.TopicPartition{Topic: s[:i], Partition: int32(number(s[i+1:]))}
}
