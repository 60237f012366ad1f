package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// many is how to make so many partitions, all on the same brokers, and their names. There are some in each topic: to write a topic's node costs
// what all of its partitions need.
func many(partitions int, replicas string) (commands []string, tps []protocol.TopicPartition) {
	const each = 20
	for i := range partitions {
		topic := fmt.Sprintf("many%03d", i/each)
		if i%each == 0 {
			commands = append(commands, "topic "+topic)
		}
		commands[i/each] += fmt.Sprintf(" %d:%s", i%each, replicas)
		tps = append(tps, protocol.TopicPartition{Topic: topic, Partition: int32(i % each)})
	}
	return commands, tps
}

// reassignAll asks for all in one request; nil takes back what is under way.
func (s *stage) reassignAll(tps []protocol.TopicPartition, replicas []cluster.BrokerID) {
	s.t.Helper()
	wanted := make([]Reassignment, len(tps))
	for i, tp := range tps {
		wanted[i] = Reassignment{TopicPartition: tp, Replicas: replicas}
	}
	errs, err := s.controller().AlterPartitionReassignments(s.t.Context(), wanted)
	s.must(err)
	for _, err := range errs {
		s.must(err)
	}
	synctest.Wait()
}

// alterAll has a leader propose the same ISR for all in one request.
func (s *stage) alterAll(leader cluster.BrokerID, tps []protocol.TopicPartition, isr []cluster.BrokerID) {
	s.t.Helper()
	states, err := s.admin.PartitionStates(s.t.Context(), tps)
	s.must(err)
	r := &cluster.AlterPartitionRequest{BrokerID: leader, BrokerEpoch: s.nodes[leader].registered.Epoch()}
	for i, tp := range tps {
		r.Partitions = append(r.Partitions, cluster.AlterPartition{TopicPartition: tp, LeaderEpoch: states[i].State.LeaderEpoch,
			PartitionEpoch: states[i].State.PartitionEpoch, NewISR: isr})
	}
	resp, err := s.controller().AlterPartition(s.t.Context(), r)
	s.must(err)
	s.must(resp.Err)
	synctest.Wait()
}

// told counts the partitions of which a broker heard, by requests of one kind, with a mark.
func (s *stage) told(id cluster.BrokerID, kind, mark string) int {
	tps := set[string]{}
	for _, l := range s.nodes[id].heard() {
		if !strings.Contains(l, kind+" ") {
			continue
		}
		for part := range strings.SplitSeq(l, "}") {
			if before, state, ok := strings.Cut(part, "{"); ok && strings.HasSuffix(state, mark) {
				tps[before[strings.LastIndexByte(before, ' ')+1:]] = struct{}{}
			}
		}
	}
	return len(tps)
}

func (a *actor) heard() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lines)
}

// TestManyAtOnce moves so many partitions in one event that each broker is sent more than a queue of queueMax takes: nothing is lost of it.
func TestManyAtOnce(t *testing.T) {
	const partitions = queueMax/3 + 1
	topics, tps := many(partitions, "[73,74]")
	for name, test := range map[string]struct {
		operation  func(s *stage)
		broker     cluster.BrokerID
		kind, mark string
	}{
		"moving": {func(s *stage) { s.reassignAll(tps, []cluster.BrokerID{74, 75}) }, 75, "LeaderAndIsr", " NEW"},
		"completing": {func(s *stage) {
			s.reassignAll(tps, []cluster.BrokerID{74, 75})
			s.alterAll(73, tps, []cluster.BrokerID{73, 74, 75})
		}, 73, "StopReplica", " DELETE"},
		"cancelling": {func(s *stage) {
			s.reassignAll(tps, []cluster.BrokerID{74, 75})
			s.reassignAll(tps, nil)
		}, 75, "StopReplica", " DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.close()
				s.play("candidate 71", "broker 73 74 75")
				s.play(topics...)
				test.operation(s)
				if got := s.told(test.broker, test.kind, test.mark); got != partitions {
					t.Errorf("%d was told by %s%s of %d partitions of %d", test.broker, test.kind, test.mark, got, partitions)
				}
			})
		})
	}
}

// TestBehindKeepsWhatCannotBeMadeAgain has a broker's queue dropped: what would not be told by telling everything anew, since the controller
// has forgotten it, is told all the same, and so is what the broker is to begin with.
func TestBehindKeepsWhatCannotBeMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.play("candidate 71", "broker 72 73", "topic alpha 0:[71,72]", "topic moved 0:[71,72]", "topic added 0:[71,73]", "topic gone 0:[71]",
			"topic going 0:[72]", "deaf 72")
		s.play("reassign moved-0 [71,73]", "catch up moved-0", "reassign added-0 [71,72]", "delete gone", "delete going")
		for i := range 2*queueMax + 10 {
			s.play(fmt.Sprintf("alter 71 alpha-0 e0 v%d %s", i, []string{"[71]", "[71,72]"}[i%2]))
		}
		s.heard()
		s.play("hears 72", "advance 1s")
		heard := strings.Join(s.nodes[72].heard(), "\n")
		for _, want := range []string{"moved-0{e3 DELETE}", "gone-0{L-2 ", "going-0{L-2 ", "going-0{e-2 DELETE}"} {
			if n := strings.Count(heard, want); n != 1 {
				t.Errorf("%q was told %d times", want, n)
			}
		}
		if s.told(72, "LeaderAndIsr", " NEW") != 1 {
			t.Error("the added replica was not told of")
		}
		if got := s.states([]string{"going"}); !slices.Equal(got, []string{"going: node does not exist"}) {
			t.Errorf("the deletion did not end: %q", got)
		}
		if t.Failed() {
			t.Logf("heard\n%s", heard)
		}
	})
}

// tardy is a broker that answers, once it is let.
type tardy struct {
	sink
	let   chan struct{}
	heard int
}

func (p *tardy) UpdateMetadata(context.Context, *cluster.UpdateMetadataRequest) error {
	<-p.let
	p.heard++
	return nil
}

// TestTardyIsNotBehind has more wait for a broker than a queue of queueMax takes: as long as it has not failed to answer nothing is dropped.
func TestTardyIsNotBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tardy{let: make(chan struct{})}
		l := newLinks(func(cluster.Broker) Peer { return p }, zerolog.Nop())
		defer l.removeAll()
		l.add(t.Context(), cluster.Broker{ID: 73})
		const requests = 2 * queueMax
		for range requests {
			l.send(73, &cluster.UpdateMetadataRequest{})
		}
		close(p.let)
		synctest.Wait()
		if ids := l.overflowed(); len(ids) > 0 || p.heard != requests {
			t.Errorf("%d requests of %d were heard, behind are %v", p.heard, requests, ids)
		}
	})
}

// slow is a tree whose writes take their time once it is so.
type slow struct {
	metastore.Tree
	on     bool
	passed func() // called when the time is over, before each write
}

func (w *slow) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if w.on {
		time.Sleep(time.Second)
		w.passed()
	}
	return w.Tree.Write(ctx, txns)
}

// TestHandOverInSteps has a broker hand over what it leads: everybody hears of each step before the next is written.
func TestHandOverInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		tree := &slow{Tree: session}
		config := DefaultConfig()
		config.AutoLeaderRebalanceEnable = false
		s.registerOver(tree, session, 71, true, config)
		topics, _ := many(3*handOverMax, "[73,74]")
		s.play("broker 73 74")
		s.play(topics...)
		s.heard()
		var moved []int
		tree.on, tree.passed = true, func() { moved = append(moved, s.told(74, "UpdateMetadata", " offline[73]")) }
		s.play("shutdown 73")
		if want := []int{0, handOverMax, 2 * handOverMax}; !slices.Equal(moved, want) {
			t.Errorf("when the steps were written 74 had heard of %v partitions that moved, want %v", moved, want)
		}
	})
}
