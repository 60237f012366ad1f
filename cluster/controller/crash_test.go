package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// fuse is a tree that is cut off after some more writes, as by a crash: nothing of the broker reaches the store any more.
type fuse struct {
	metastore.Tree
	lit   bool
	left  int
	blown bool
}

var errCut = errors.New("cut off")

func (f *fuse) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	if f.blown {
		return nil, errCut
	}
	return f.Tree.Read(ctx, reads)
}

// Write applies, in its last call, half of the batch: each node is a transaction of its own.
func (f *fuse) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if f.blown {
		return nil, errCut
	}
	if !f.lit {
		return f.Tree.Write(ctx, txns)
	}
	if f.left--; f.left >= 0 {
		return f.Tree.Write(ctx, txns)
	}
	f.blown = true
	_, err := f.Tree.Write(ctx, txns[:len(txns)/2])
	return nil, errors.Join(errCut, err)
}

// TestControllerMoves is case 37: the controller dies at each of its writes in turn, in the middle of each operation; the next one
// finishes the operation, or there is no trace of it.
func TestControllerMoves(t *testing.T) {
	for name, script := range map[string]struct{ before, operation, after, want []string }{
		"create": {
			operation: []string{"topic alpha 0:[71,73] 1:[73,74]"},
			want:      []string{"alpha-0{L73 reps[71,73]}", "alpha-1{L73 reps[73,74]}"},
		},
		"grow": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{"grow alpha 1:[73,71] 2:[74,73]"},
			want:      []string{"alpha-0{L73 reps[73,74]}", "alpha-1{L73 reps[73,71]}", "alpha-2{L74 reps[74,73]}"},
		},
		"delete": {
			before:    []string{"topic alpha 0:[73,74] 1:[74]", "topic beta 0:[73]"},
			operation: []string{"delete alpha", "delete beta"},
			want:      nil,
		},
		"preferred election": {
			before:    []string{"topic alpha 0:[73,74]", "kill 73", "broker 73", "alter 74 alpha-0 e1 v1 [74,73]"},
			operation: []string{`put /admin/preferred_replica_election {"version":1,"partitions":[{"topic":"alpha","partition":0}]}`},
			want:      []string{"alpha-0{L73 reps[73,74]}"},
		},
		"reassignment": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{`put /admin/reassign_partitions {"version":1,"partitions":[{"topic":"alpha","partition":0,"replicas":[74,75]}]}`},
			after:     []string{"catch up alpha-0"},
			want:      []string{"alpha-0{L74 reps[74,75]}"},
		},
		"taking back a reassignment": {
			before: []string{"topic alpha 0:[73,74]", "reassign alpha-0 [75,71]", "alter 73 alpha-0 e1 v1 [73,74,75]", "kill 73", "broker 73",
				"alter 75 alpha-0 e2 v3 [74,75,73]"},
			operation: []string{"cancel alpha-0"},
			after:     []string{"cancel alpha-0"}, // whoever asked was not answered
			want:      []string{"alpha-0{L73 reps[73,74]}"},
		},
		"replacing a reassignment": {
			before: []string{"topic alpha 0:[73,74]", "reassign alpha-0 [75,71]", "alter 73 alpha-0 e1 v1 [73,74,75]", "kill 73", "broker 73",
				"alter 75 alpha-0 e2 v3 [74,75,73]"},
			operation: []string{"reassign alpha-0 [74]"},
			after:     []string{"reassign alpha-0 [74]"},
			want:      []string{"alpha-0{L74 reps[74]}"},
		},
		"deletion of what is reassigned": {
			before: []string{"topic alpha 0:[73,74] 1:[74]", "reassign alpha-0 [75,74]",
				`put /admin/reassign_partitions {"version":1,"partitions":[{"topic":"alpha","partition":1,"replicas":[75]}]}`},
			operation: []string{"delete alpha"},
		},
		"broker failure": {
			before:    []string{"topic alpha 0:[73,74] 1:[74,73] 2:[73,74,75]"},
			operation: []string{"kill 73"},
			want:      []string{"alpha-0{L74 reps[73,74]}", "alpha-1{L74 reps[74,73]}", "alpha-2{L74 reps[73,74,75]}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			crashed := 0
			for writes := 0; ; writes++ {
				var got []string
				blew := false
				synctest.Test(t, func(t *testing.T) {
					got, blew = crashAt(t, writes, script.before, script.operation, script.after)
				})
				if !slices.Equal(got, script.want) {
					t.Fatalf("crash at write %d: %q, want %q", writes, got, script.want)
				}
				if !blew {
					break
				}
				crashed++
			}
			if crashed == 0 {
				t.Fatal("the operation wrote nothing")
			}
			t.Logf("crashed at %d writes", crashed)
		})
	}
}

// crashAt runs an operation with a controller that is cut off after some writes, and then with its successor.
func crashAt(t *testing.T, writes int, before, operation, after []string) (states []string, blew bool) {
	s := newStage(t)
	defer s.close()
	session := s.tree.Connect()
	f := &fuse{Tree: session, left: writes}
	config := DefaultConfig()
	config.AutoLeaderRebalanceEnable = false
	s.registerOver(f, session, 71, true, config)
	synctest.Wait()
	s.play("broker 73 74 75")
	s.play(before...)
	f.lit = true
	s.play(operation...)
	f.blown, blew = true, f.blown // an operation that was done meets a controller that dies later
	s.play("candidate 72", "kill 71")
	s.play(after...)
	for _, name := range []string{"alpha", "beta"} {
		states = append(states, s.summary(name)...)
	}
	s.checkNodes()
	return states, blew
}

func (s *stage) play(commands ...string) {
	for _, command := range commands {
		if tp, ok := strings.CutPrefix(command, "catch up "); ok {
			s.catchUp(partitionName(tp))
		} else {
			s.run(strings.Fields(command))
		}
		synctest.Wait()
	}
}

// catchUp has the partition's leader take every assigned live replica into the ISR.
func (s *stage) catchUp(tp protocol.TopicPartition) {
	states, err := s.admin.PartitionStates(s.t.Context(), []protocol.TopicPartition{tp})
	s.must(err)
	now := states[0].State
	topic, err := s.admin.Topic(s.t.Context(), tp.Topic, nil)
	s.must(err)
	isr := slices.Clone(now.ISR)
	for _, id := range topic.Partitions[tp.Partition].Replicas {
		if !slices.Contains(isr, id) && s.nodes[id] != nil {
			isr = append(isr, id)
		}
	}
	s.alter(s.t.Context(), s.controller(), []string{fmt.Sprint(now.Leader), tp.String(), fmt.Sprint("e", now.LeaderEpoch), fmt.Sprint("v", now.PartitionEpoch), idsText(isr)})
}

// summary is a topic's partitions, without what depends on how often it was tried.
func (s *stage) summary(name string) []string {
	topic, err := s.admin.Topic(s.t.Context(), name, nil)
	if errors.Is(err, metastore.ErrNoNode) {
		return nil
	}
	s.must(err)
	var lines []string
	for index := range int32(len(topic.Partitions)) {
		tp := protocol.TopicPartition{Topic: name, Partition: index}
		states, err := s.admin.PartitionStates(s.t.Context(), []protocol.TopicPartition{tp})
		s.must(errors.Join(err, states[0].Err))
		a := topic.Partitions[index]
		if isReassigned(a) {
			s.t.Errorf("%s is still being reassigned: %+v", tp, a)
		}
		for _, id := range states[0].State.ISR {
			if !slices.Contains(a.Replicas, id) {
				s.t.Errorf("%s: %d is in the ISR but not assigned", tp, id)
			}
		}
		lines = append(lines, fmt.Sprintf("%s{L%d reps%s}", tp, states[0].State.Leader, idsText(a.Replicas)))
	}
	return lines
}

// checkNodes looks for what an operation may have left behind.
func (s *stage) checkNodes() {
	ctx := s.t.Context()
	marked, err := s.admin.TopicsMarkedForDeletion(ctx, nil)
	s.must(err)
	asked, _, err := s.admin.Reassignments(ctx, nil)
	s.must(err)
	elections, election, err := s.admin.PreferredElection(ctx, nil)
	s.must(err)
	if len(marked)+len(asked) > 0 || election {
		s.t.Errorf("left behind: deletions %v, reassignments %v, elections %v", marked, asked, elections)
	}
}

// TestZombieController is case 32: a controller that slept through its session's end tries to go on. No node changes by its hand, and it
// resigns.
func TestZombieController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		sleeper := &sleeper{Tree: session, wake: make(chan struct{})}
		config := DefaultConfig()
		s.registerOver(sleeper, session, 71, true, config)
		s.play("broker 73 74", "topic alpha 0:[73,74]")
		zombie := s.nodes[71]

		sleeper.asleep = true // the next write, of the election that the broker's death asks for
		s.play("kill 73")
		s.register(72, true, config)
		synctest.Wait()
		s.must(session.Close())
		synctest.Wait()
		before := s.states([]string{"alpha"})
		heir := s.nodes[72].controller
		if !heir.IsActive() {
			t.Fatal("nobody took over")
		}
		sleeper.other = metastore.Tree(s.tree.Connect()) // it wakes with a new session
		close(sleeper.wake)
		synctest.Wait()
		if after := s.states([]string{"alpha"}); !slices.Equal(before, after) {
			t.Errorf("the zombie changed %q to %q", before, after)
		}
		if zombie.controller.IsActive() || !heir.IsActive() {
			t.Error("the zombie did not resign")
		}
		if _, err := zombie.controller.AllocateProducerIDs(t.Context(), 71, zombie.registered.Epoch()); !errors.Is(err, ErrNotController) {
			t.Errorf("the zombie answers %v", err)
		}
		zombie.controller.Stop()
		zombie.controller = nil
	})
}

// sleeper is a tree whose user is stopped in the middle of a write, and goes on in another session.
type sleeper struct {
	metastore.Tree
	asleep bool
	wake   chan struct{}
	other  metastore.Tree
}

func (z *sleeper) tree() metastore.Tree {
	if z.other != nil {
		return z.other
	}
	return z.Tree
}

func (z *sleeper) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	return z.tree().Read(ctx, reads)
}

func (z *sleeper) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if z.asleep {
		<-z.wake
	}
	return z.tree().Write(ctx, txns)
}

func (z *sleeper) Unsubscribe(w *metastore.Watcher) { z.tree().Unsubscribe(w) }

// TestStopReleases has an orderly stop hand the office over at once, in a new term.
func TestStopReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.play("candidate 71", "candidate 72")
		first := s.nodes[71].controller
		first.Stop()
		synctest.Wait()
		if first.IsActive() || !s.nodes[72].controller.IsActive() || s.nodes[72].controller.ActiveID() != 72 {
			t.Fatal("the office was not handed over")
		}
		if _, err := first.ElectLeaders(t.Context(), nil, false); !errors.Is(err, ErrNotController) {
			t.Fatalf("a stopped controller answers %v", err)
		}
		s.nodes[71].controller = nil
	})
}

// TestBehind has a broker that hears nothing fall so far behind that its queue is dropped; then it is told everything.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.play("candidate 71", "broker 72", "topic alpha 0:[71,72]", "deaf 72")
		s.heard()
		const changes = queueMax + 10
		for i := range changes {
			s.play(fmt.Sprintf("alter 71 alpha-0 e0 v%d %s", i, []string{"[71]", "[71,72]"}[i%2]))
		}
		s.heard()
		s.play("hears 72", "advance 1s")
		var told []string
		for _, l := range s.heard() {
			if strings.HasPrefix(l, "71->72") {
				told = append(told, l)
			}
		}
		everything := slices.ContainsFunc(told, func(l string) bool { return strings.Contains(l, "LeaderAndIsr") })
		if len(told) > 20 || !everything || !strings.Contains(told[len(told)-1], fmt.Sprintf("v%d ", changes)) {
			t.Fatalf("a broker that was far behind was told %d things: %q", len(told), told[:min(len(told), 20)])
		}
	})
}

// TestAskCancelled has a caller go away while the loop is busy.
func TestAskCancelled(t *testing.T) {
	c := New(Options{ID: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ControlledShutdown(ctx, 1, -1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if resp, err := c.AlterPartition(ctx, &cluster.AlterPartitionRequest{}); !errors.Is(err, context.Canceled) {
		t.Fatal(resp, err)
	}
}
