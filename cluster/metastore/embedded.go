package metastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Embedded is a tree in this process, for a cluster of one broker and for tests. With a file, a write is on disk before it is
// answered, and before anyone can read it; without one it lives as long as the process.
//
// One mutex guards everything and is held while a write syncs: reads of metadata are rare, and none is on the path of records.
// Writers that come while another syncs are committed together by the next sync.
type Embedded struct {
	now func() time.Time

	queueMu sync.Mutex
	queue   []*pendingWrite // no longer than the number of callers

	mu       sync.Mutex // taken after queueMu, never before
	nodes    nodeSet
	watches  watchSet
	sessions map[*Session]struct{}
	last     int64 // the last session id
	file     *file // nil: memory only
	broken   error // set for good by a failed sync, after which the file's content is not known
	closed   bool
}

// OpenEmbedded opens the tree kept in the file at path, creating it if it is missing. An empty path makes a tree in memory.
func OpenEmbedded(path string) (*Embedded, error) {
	e := &Embedded{now: time.Now, nodes: newNodeSet(), watches: newWatchSet(), sessions: map[*Session]struct{}{}}
	if path == "" {
		return e, nil
	}
	f, err := openFile(path, &e.nodes)
	if err != nil {
		return nil, fmt.Errorf("open metadata store %s: %w", path, err)
	}
	e.file = f
	return e, nil
}

// Connect begins a session.
func (e *Embedded) Connect() *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &Session{tree: e, id: e.newSessionIDLocked(), watchers: map[*Watcher]struct{}{}}
	e.sessions[s] = struct{}{}
	return s
}

// newSessionIDLocked starts from the clock, so that ids do not repeat over restarts.
func (e *Embedded) newSessionIDLocked() int64 {
	e.last = max(e.last+1, e.now().UnixMilli()<<8)
	return e.last
}

// Close ends every session and closes the file.
func (e *Embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	for s := range e.sessions {
		e.endLocked(s)
	}
	e.closed = true
	if e.file == nil {
		return nil
	}
	if err := e.file.close(); err != nil {
		return fmt.Errorf("close metadata store: %w", err)
	}
	return nil
}

// pendingWrite is one call of Write that waits to be committed. Its last two fields are written under Embedded.mu before done is set.
type pendingWrite struct {
	session *Session
	txns    []Txn
	done    bool
	results []TxnResult
	err     error
}

// write queues the call and commits whatever is queued, unless an earlier caller has done it while this one waited for its turn.
func (e *Embedded) write(w *pendingWrite) ([]TxnResult, error) {
	e.queueMu.Lock()
	e.queue = append(e.queue, w)
	e.queueMu.Unlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	if !w.done {
		e.queueMu.Lock()
		batch := e.queue
		e.queue = nil
		e.queueMu.Unlock()
		e.commitLocked(batch)
	}
	return w.results, w.err
}

// commitLocked applies the batch in memory, brings it to the disk, and only then tells the watchers. If the disk refuses, everything is undone
// and the tree takes no more writes: after a failed sync nobody knows what the file holds.
func (e *Embedded) commitLocked(batch []*pendingWrite) {
	c := change{nodes: &e.nodes, now: e.now().UnixMilli(), dirty: map[string]struct{}{}}
	for _, w := range batch {
		if w.err = e.refuseLocked(w.session); w.err == nil {
			c.owner = w.session.id
			w.results = c.applyAll(w.txns)
		}
	}
	if err := e.persistLocked(&c); err != nil {
		c.undoTo(0)
		for _, w := range batch {
			w.results, w.err = nil, err
		}
	} else {
		e.watches.fire(c.events)
	}
	for _, w := range batch {
		w.done = true
	}
}

func (e *Embedded) refuseLocked(s *Session) error {
	switch {
	case e.closed || s.closed:
		return ErrClosed
	case e.broken != nil:
		return e.broken
	}
	return nil
}

func (e *Embedded) persistLocked(c *change) error {
	if e.file == nil || len(c.events) == 0 {
		return nil
	}
	if err := e.file.store(&e.nodes, c.dirty); err != nil {
		e.broken = fmt.Errorf("metadata store failed: %w", err)
		return e.broken
	}
	return nil
}

// endLocked removes what belongs to a session: watches and ephemeral nodes. Those are not on disk, so nothing is written.
func (e *Embedded) endLocked(s *Session) {
	e.watches.dropSession(s)
	c := change{nodes: &e.nodes, now: e.now().UnixMilli(), dirty: map[string]struct{}{}}
	for _, path := range e.nodes.ownedBy(s.id) {
		c.applyAll([]Txn{{Delete(path, AnyVersion)}})
	}
	delete(e.sessions, s)
	e.watches.fire(c.events)
}

// Session is one client of an Embedded tree: the owner of its ephemeral nodes and of its watches. It is a Tree.
type Session struct {
	tree *Embedded

	// guarded by tree.mu
	id       int64
	closed   bool
	watchers map[*Watcher]struct{}
}

var _ Tree = (*Session)(nil)

// Read implements Tree.
func (s *Session) Read(ctx context.Context, reads []Read) ([]ReadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := s.tree
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || s.closed {
		return nil, ErrClosed
	}
	results := make([]ReadResult, len(reads))
	for i, r := range reads {
		results[i] = e.nodes.read(r)
		e.armLocked(s, r, results[i].Err)
	}
	return results, nil
}

func (e *Embedded) armLocked(s *Session, r Read, err error) {
	switch {
	case r.Watch == nil || errors.Is(err, ErrBadPath):
	case r.Kind == ReadExists, r.Kind == ReadData && err == nil:
		e.watches.data.add(r.Path, watch{s, r.Watch})
	case r.Kind == ReadChildren && err == nil:
		e.watches.children.add(r.Path, watch{s, r.Watch})
	}
}

// Write implements Tree. It is answered after the sync.
func (s *Session) Write(ctx context.Context, txns []Txn) ([]TxnResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(txns) == 0 {
		return nil, nil
	}
	return s.tree.write(&pendingWrite{session: s, txns: txns})
}

// Subscribe implements Tree.
func (s *Session) Subscribe(w *Watcher) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.watchers[w] = struct{}{}
}

// Unsubscribe implements Tree.
func (s *Session) Unsubscribe(w *Watcher) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	delete(s.watchers, w)
	s.tree.watches.dropWatcher(w)
}

// Session implements Tree.
func (s *Session) Session() int64 {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	return s.id
}

// Expire ends the session and begins a new one, as a server does that heard nothing for too long. Nothing in one process causes
// that; it exists so that everything above can be tested for it.
func (s *Session) Expire() {
	e := s.tree
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.closed {
		return
	}
	old := s.id
	e.endLocked(s)
	e.sessions[s] = struct{}{}
	s.id = e.newSessionIDLocked()
	for w := range s.watchers {
		w.push(Event{Type: SessionExpired, Session: old})
		w.push(Event{Type: SessionConnected, Session: s.id})
	}
}

// Close implements Tree. The tree itself stays open for other sessions.
func (s *Session) Close() error {
	e := s.tree
	e.mu.Lock()
	defer e.mu.Unlock()
	if !s.closed {
		e.endLocked(s)
		s.closed = true
	}
	return nil
}

// watch is one armed watch; watchTable holds those of a path.
type (
	watch struct {
		session *Session
		watcher *Watcher
	}
	watchTable map[string][]watch
)

func (t watchTable) add(path string, w watch) {
	if !slices.Contains(t[path], w) {
		t[path] = append(t[path], w)
	}
}

// watchSet is every armed watch. A change takes what it fires out.
type watchSet struct {
	data     watchTable // of reads of data and of existence
	children watchTable
}

func newWatchSet() watchSet { return watchSet{data: watchTable{}, children: watchTable{}} }

// fire tells of the events in order. A watcher that watched a deleted node both ways hears it once.
func (s *watchSet) fire(events []Event) {
	for _, e := range events {
		var heard []watch
		if e.Type != NodeChildrenChanged {
			heard = s.data[e.Path]
			delete(s.data, e.Path)
		}
		if e.Type == NodeChildrenChanged || e.Type == NodeDeleted {
			for _, w := range s.children[e.Path] {
				if !slices.Contains(heard, w) {
					heard = append(heard, w)
				}
			}
			delete(s.children, e.Path)
		}
		for _, w := range heard {
			w.watcher.push(e)
		}
	}
}

func (s *watchSet) dropSession(session *Session) {
	s.drop(func(w watch) bool { return w.session == session })
}

func (s *watchSet) dropWatcher(watcher *Watcher) {
	s.drop(func(w watch) bool { return w.watcher == watcher })
}

func (s *watchSet) drop(match func(watch) bool) {
	for _, t := range []watchTable{s.data, s.children} {
		for path, watches := range t {
			if rest := slices.DeleteFunc(watches, match); len(rest) > 0 {
				t[path] = rest
			} else {
				delete(t, path)
			}
		}
	}
}
