package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"gokafka/cluster/metastore"
)

// writeMeddler is a tree in which somebody else does something just before a node is written or deleted.
type writeMeddler struct {
	metastore.Tree
	kind metastore.OpKind
	path string
	skip int    // so many times nothing happens
	do   func() // nil when it was done
	late bool   // it is done after the write
}

func (m *writeMeddler) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	for _, txn := range txns {
		for _, op := range txn {
			if m.do == nil || op.Kind != m.kind || op.Path != m.path {
				continue
			}
			if m.skip--; m.skip < 0 {
				do := m.do
				m.do = nil
				if m.late {
					defer do()
				} else {
					do()
				}
			}
		}
	}
	return m.Tree.Write(ctx, txns)
}

// TestGrowthDuringReassignment adds a partition just before the controller writes the topic's node, with what it knows of it: the partition is
// not lost.
func TestGrowthDuringReassignment(t *testing.T) {
	for name, operation := range map[string][]string{
		"begins": {"reassign alpha-0 [74,75]", "catch up alpha-0"},
		"ends":   {"catch up alpha-0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.close()
				session := s.tree.Connect()
				m := &writeMeddler{Tree: session, kind: metastore.OpSet, path: metastore.PathTopic("alpha")}
				s.registerOver(m, session, 71, true, DefaultConfig())
				s.play("broker 73 74 75", "topic alpha 0:[73,74]")
				if name == "ends" {
					s.play("reassign alpha-0 [74,75]")
				}
				m.do = func() { s.run([]string{"grow", "alpha", "1:[75,73]"}) }
				s.play(operation...)
				want := []string{"alpha-0{L74 reps[74,75]}", "alpha-1{L75 reps[75,73]}"}
				if got := s.summary("alpha"); !slices.Equal(got, want) {
					t.Fatalf("%q, want %q", got, want)
				}
			})
		})
	}
}

// blind is a tree of which one node cannot be read, as by an access list that somebody set.
type blind struct {
	metastore.Tree
	path string // empty: all can
}

func (b *blind) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	results, err := b.Tree.Read(ctx, reads)
	for i := range results {
		if reads[i].Path == b.path {
			results[i] = metastore.ReadResult{Err: errCut}
		}
	}
	return results, err
}

// TestReassignmentOfAnUnreadableTopic: the controller goes on with other work, and moves the partition when it is asked again and can read.
func TestReassignmentOfAnUnreadableTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		tree := &blind{Tree: session}
		s.registerOver(tree, session, 71, true, DefaultConfig())
		s.play("broker 73 74 75", "topic alpha 0:[73,74]", "grow alpha 1:[75,73]") // so that its node's version is not the first
		tree.path = metastore.PathTopic("alpha")
		s.run([]string{"reassign", "alpha-0", "[74,75]"})
		tree.path = ""
		s.play("reassign alpha-0 [74,75]", "catch up alpha-0")
		if got := s.summary("alpha"); got[0] != "alpha-0{L74 reps[74,75]}" {
			t.Errorf("%q", got)
		}
	})
}

// TestDeletedBeforeItWasFound has a topic made and marked for deletion while the controller is busy, and already has another mark to look at: it
// hears of the marks before it hears of the topic.
func TestDeletedBeforeItWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		busy := &sleeper{Tree: session, wake: make(chan struct{})}
		s.registerOver(busy, session, 71, true, DefaultConfig())
		s.play("broker 73 74", "topic alpha 0:[73,74]", "topic beta 0:[74,73]")
		busy.asleep = true
		s.play("kill 73", "delete beta", "topic gamma 0:[74]", "delete gamma")
		close(busy.wake)
		synctest.Wait()
		if left := s.states([]string{"gamma"}); !slices.Equal(left, []string{"gamma: node does not exist"}) {
			t.Errorf("gamma was marked, and is there: %q", left)
		}
		s.play("broker 73")
		s.checkNodes()
	})
}

// TestDeletedWhileAReplicaMovesAway: a broker from which a replica was moved says that it deleted it, when the whole topic is being deleted and waits
// for another broker.
func TestDeletedWhileAReplicaMovesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.logger = zerolog.New(complaints{t})
		s.play("candidate 71", "broker 73 74 75", "topic alpha 0:[73,74]", "reassign alpha-0 [74,75]", "deaf 73", "catch up alpha-0", "deaf 74", "delete alpha")
		s.play("hears 73", "advance 1s")
		if got := s.states([]string{"alpha"}); slices.Equal(got, []string{"alpha: node does not exist"}) {
			t.Fatal("deleted though one broker has not heard of it")
		}
		s.play("hears 74", "advance 1s")
		if got := s.states([]string{"alpha"}); !slices.Equal(got, []string{"alpha: node does not exist"}) {
			t.Errorf("%q", got)
		}
		s.checkNodes()
	})
}

// TestElectionAskedAgain has a tool ask for a second election by node as soon as the first one's node is gone: nobody takes that away unread.
func TestElectionAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		m := &writeMeddler{Tree: session, kind: metastore.OpDelete, path: metastore.PathPreferredElection, skip: 1}
		s.registerOver(m, session, 71, true, DefaultConfig())
		ask := func(tp string) {
			s.run([]string{"put", metastore.PathPreferredElection, `{"version":1,"partitions":[{"topic":"alpha","partition":` + tp + `}]}`})
		}
		s.play("broker 73 74", "topic alpha 0:[73,74] 1:[73,74]", "kill 73", "broker 73", "alter 74 alpha-0 e1 v1 [74,73]", "alter 74 alpha-1 e1 v1 [74,73]")
		m.do = func() { ask("1") }
		ask("0")
		synctest.Wait()
		if m.do != nil { // the node was not touched again
			ask("1")
			synctest.Wait()
		}
		want := []string{"alpha-0{L73 reps[73,74]}", "alpha-1{L73 reps[73,74]}"}
		if got := s.summary("alpha"); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		s.checkNodes()
	})
}

// TestReassignmentAskedAgain has a tool ask for a second reassignment by node as soon as the first one's node is gone, when the controller has yet to
// hear that it changed the first itself.
func TestReassignmentAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		m := &writeMeddler{Tree: session, kind: metastore.OpDelete, path: metastore.PathReassignPartitions, late: true}
		s.registerOver(m, session, 71, true, DefaultConfig())
		s.play("broker 73 74 75", "topic alpha 0:[73,74] 1:[73,74] 2:[73,74]")
		ask := func(partitions string) {
			s.run([]string{"put", metastore.PathReassignPartitions, `{"version":1,"partitions":[` + partitions + `]}`})
		}
		m.do = func() { ask(`{"topic":"alpha","partition":2,"replicas":[74,73]}`) }
		ask(`{"topic":"alpha","partition":0,"replicas":[74,73]},{"topic":"alpha","partition":1,"replicas":[74,73]}`)
		synctest.Wait()
		want := []string{"alpha-0{L73 reps[74,73]}", "alpha-1{L73 reps[74,73]}", "alpha-2{L73 reps[74,73]}"}
		if got := s.summary("alpha"); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		s.checkNodes()
	})
}

// TestSessionsLostTogether has a candidate lose its session before it looks at the controller's end: the office does not stay with a broker that
// does nothing in it.
func TestSessionsLostTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.play("candidate 71", "candidate 72")
		s.must(s.nodes[71].session.Close())
		s.nodes[72].session.Expire()
		synctest.Wait()
		s.leave(71)
		synctest.Wait()
		c := s.nodes[72].controller
		if id, _, err := s.admin.Controller(t.Context(), nil); id != 72 || err != nil || !c.IsActive() {
			t.Fatalf("the controller is %d, %v; broker 72 takes %d for it", id, err, c.ActiveID())
		}
		if _, err := c.ListPartitionReassignments(t.Context(), nil); err != nil {
			t.Errorf("the controller answers %v", err)
		}
	})
}

// TestSessionLostAtStart has a broker lose its session between its registration and its first election.
func TestSessionLostAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.register(71, true, DefaultConfig())
		s.nodes[71].session.Expire()
		synctest.Wait()
		c := s.nodes[71].controller
		if _, err := c.ListPartitionReassignments(t.Context(), nil); err != nil || !c.IsActive() {
			t.Errorf("the controller is %d; broker 71 answers %v", c.ActiveID(), err)
		}
	})
}
