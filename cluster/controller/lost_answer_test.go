package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster/metastore"
)

// repeater is a tree whose connection breaks once, after a write and before its answer: the same write is sent once more, and that is
// answered. So it is with ZooKeeper within a session.
type repeater struct {
	metastore.Tree
	lit  bool
	left int // writes before that one
}

func (r *repeater) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if r.lit {
		if r.left--; r.left < 0 {
			r.lit = false
			if _, err := r.Tree.Write(ctx, txns); err != nil {
				return nil, err
			}
		}
	}
	return r.Tree.Write(ctx, txns)
}

// TestLostAnswers has the controller miss the answer to each of its writes in turn, in the middle of each operation: it does all the same what
// it would have done.
func TestLostAnswers(t *testing.T) {
	for name, script := range map[string]struct{ before, operation, want []string }{
		"create": {
			operation: []string{"topic alpha 0:[73,74] 1:[74,73]"},
			want:      []string{"alpha-0{L73 reps[73,74]}", "alpha-1{L74 reps[74,73]}"},
		},
		"grow": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{"grow alpha 1:[74,73]"},
			want:      []string{"alpha-0{L73 reps[73,74]}", "alpha-1{L74 reps[74,73]}"},
		},
		"delete": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{"delete alpha"},
		},
		"reassignment": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{"reassign alpha-0 [74,75]", "catch up alpha-0"},
			want:      []string{"alpha-0{L74 reps[74,75]}"},
		},
		"broker failure": {
			before:    []string{"topic alpha 0:[73,74]"},
			operation: []string{"kill 73"},
			want:      []string{"alpha-0{L74 reps[73,74]}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for writes, done := 0, false; !done; writes++ {
				synctest.Test(t, func(t *testing.T) { done = loseAnswer(t, writes, script.before, script.operation, script.want) })
			}
		})
	}
}

// loseAnswer runs an operation whose controller has no answer to one of its writes. It is true when there were not as many.
func loseAnswer(t *testing.T, writes int, before, operation, want []string) (done bool) {
	s := newStage(t)
	defer s.close()
	session := s.tree.Connect()
	r := &repeater{Tree: session, left: writes}
	config := DefaultConfig()
	config.AutoLeaderRebalanceEnable = false
	s.registerOver(r, session, 71, true, config)
	synctest.Wait()
	s.play("broker 73 74 75")
	s.play(before...)
	r.lit = true
	s.play(operation...)
	if got := s.summary("alpha"); !slices.Equal(got, want) {
		t.Errorf("write %d: %q, want %q", writes, got, want)
	}
	s.checkNodes()
	for _, p := range s.nodes[71].controller.term.state.allPartitions() {
		if p.phase != partitionOnline || !p.hasState {
			t.Errorf("write %d: the controller takes %s for %s", writes, p.tp, p.phase)
		}
	}
	return r.lit
}

// TestLostAnswerToAlterPartition: a leader whose change of the ISR is written hears that it is, though the controller's own second try was
// refused. One whose change was overtaken by another hears that.
func TestLostAnswerToAlterPartition(t *testing.T) {
	for name, test := range map[string]struct {
		overtaken bool
		want      string
	}{
		"written":   {false, "=> L73 e0 isr[73] v1"},
		"overtaken": {true, "=> " + kerr.InvalidUpdateVersion.Message},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.close()
				session := s.tree.Connect()
				r := &repeater{Tree: session}
				config := DefaultConfig()
				config.AutoLeaderRebalanceEnable = false
				s.registerOver(r, session, 71, true, config)
				s.play("broker 73 74", "topic alpha 0:[73,74]")
				if test.overtaken {
					s.run([]string{"put", metastore.PathTopic("alpha") + "/partitions/0/state",
						`{"version":1,"controller_epoch":1,"leader":73,"leader_epoch":0,"isr":[74,73]}`})
				} else {
					r.lit = true
				}
				if got := s.alter(t.Context(), s.controller(), []string{"73", "alpha-0", "e0", "v0", "[73]"}); got[0] != test.want {
					t.Errorf("the leader hears %q, want %q", got[0], test.want)
				}
			})
		})
	}
}
