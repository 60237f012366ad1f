package sim

import (
	"context"
	"sync"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// storeLine is one broker's way to the metadata store: each operation is a message. It can be cut, and its session can expire
// meanwhile, of which the broker hears only when the line is whole again, as with ZooKeeper.
type storeLine struct {
	w  *world
	id cluster.BrokerID

	mu       sync.Mutex
	session  *metastore.Session
	watchers map[*metastore.Watcher]struct{}
	pending  int // operations without an answer
	cut      bool
	expired  bool       // while it was cut
	parked   []*message // waits until the line is whole
	dead     chan struct{}
}

var _ metastore.Tree = (*storeLine)(nil)

func newStoreLine(w *world, id cluster.BrokerID) *storeLine {
	return &storeLine{w: w, id: id, session: w.tree.Connect(), watchers: map[*metastore.Watcher]struct{}{}, dead: make(chan struct{})}
}

// ask has the world do an operation at the store and waits for the result.
func ask[R any](ctx context.Context, s *storeLine, text string, do func(*metastore.Session) (R, error)) (R, error) {
	type answer struct {
		value R
		err   error
	}
	answered := make(chan answer, 1)
	s.mu.Lock()
	s.pending++
	session := s.session
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.pending--
		s.mu.Unlock()
	}()
	m := &message{class: byStore, from: s.id, to: storeID, text: text}
	m.deliver = func() {
		if s.park(m) {
			return
		}
		value, err := do(session)
		s.w.stored = true
		if err == metastore.ErrClosed {
			err = metastore.ErrSessionExpired
		}
		answered <- answer{value, err}
	}
	s.w.network.send(m)
	var none R
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-s.dead:
		return none, metastore.ErrClosed
	}
}

// Read implements metastore.Tree.
func (s *storeLine) Read(ctx context.Context, reads []metastore.Read) ([]metastore.ReadResult, error) {
	if len(reads) == 0 {
		return nil, nil
	}
	return ask(ctx, s, "read "+reads[0].Path, func(t *metastore.Session) ([]metastore.ReadResult, error) {
		return t.Read(context.Background(), reads)
	})
}

// Write implements metastore.Tree.
func (s *storeLine) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if len(txns) == 0 {
		return nil, nil
	}
	last := txns[0][len(txns[0])-1]
	return ask(ctx, s, "write "+last.Path+" "+string(last.Data), func(t *metastore.Session) ([]metastore.TxnResult, error) {
		return t.Write(context.Background(), txns)
	})
}

// Subscribe implements metastore.Tree.
func (s *storeLine) Subscribe(w *metastore.Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	s.session.Subscribe(w)
}

// Unsubscribe implements metastore.Tree.
func (s *storeLine) Unsubscribe(w *metastore.Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
	s.session.Unsubscribe(w)
}

// Session implements metastore.Tree.
func (s *storeLine) Session() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Session()
}

// Close implements metastore.Tree.
func (s *storeLine) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session.Close()
}

// The rest is called by the world.

// busy reports whether the broker waits for the store.
func (s *storeLine) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending > 0
}

// park keeps an operation that arrives while the line is cut.
func (s *storeLine) park(m *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		s.parked = append(s.parked, m)
	}
	return s.cut
}

// sever cuts the line.
func (s *storeLine) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
}

// expire ends the session at the store. The broker hears of it at once, or when the line is whole again.
func (s *storeLine) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.stored = true
	if !s.cut {
		s.session.Expire()
		return
	}
	s.expired = true
	s.w.must(s.session.Close())
}

// mend makes the line whole. What waited goes on; in a session that is over it fails.
func (s *storeLine) mend() {
	s.mu.Lock()
	parked := s.parked
	s.cut, s.parked = false, nil
	if s.expired {
		s.expired = false
		s.session = s.w.tree.Connect()
		for watcher := range s.watchers {
			s.session.Subscribe(watcher)
		}
		s.session.Expire() // tells the watchers
	}
	s.mu.Unlock()
	for _, m := range parked {
		m.deliver()
	}
}

// die makes every call fail; the session lives on until it expires.
func (s *storeLine) die() { close(s.dead) }
