package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster/metastore"
)

// meddler is a tree in which something happens just before it is read or written.
type meddler struct {
	metastore.Tree
	path  string
	read  func() error // before a read of path; its error is the read's
	write func()       // before the next write
}

func (m *meddler) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	if m.read != nil && slices.ContainsFunc(reads, func(r metastore.Read) bool { return r.Path == m.path }) {
		if err := m.read(); err != nil {
			return nil, err
		}
	}
	return m.Tree.Read(ctx, reads)
}

func (m *meddler) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if f := m.write; f != nil {
		m.write = nil
		f()
	}
	return m.Tree.Write(ctx, txns)
}

// A term that cannot begin is over at once, and the broker stands for election again, even if there is no other.
func TestTermThatCannotBeginIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		session := s.tree.Connect()
		failures := 2
		m := &meddler{Tree: session, path: metastore.PathTopics, read: func() error {
			if failures--; failures >= 0 {
				return errCut
			}
			return nil
		}}
		s.registerOver(m, session, 71, true, DefaultConfig())
		time.Sleep(10 * time.Second)
		if !s.nodes[71].controller.IsActive() {
			t.Error("nobody is the controller")
		}
	})
}

// A controller that was elected and is gone by the time at which a slower candidate looks who it is will not be heard of any more.
func TestControllerThatIsGoneBeforeItIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		other := metastore.New(s.tree.Connect())
		first, err := other.ClaimController(t.Context(), 72)
		s.must(err)
		session := s.tree.Connect()
		m := &meddler{Tree: session, path: metastore.PathController}
		s.registerOver(m, session, 71, true, DefaultConfig())
		synctest.Wait()
		m.write = func() { // the claim, for which it is too late
			claim, err := other.ClaimController(t.Context(), 72)
			s.must(err)
			m.read = func() error {
				m.read = nil
				return other.ReleaseController(t.Context(), claim)
			}
		}
		s.must(other.ReleaseController(t.Context(), first))
		time.Sleep(10 * time.Second)
		if !s.nodes[71].controller.IsActive() {
			t.Error("nobody is the controller")
		}
	})
}
