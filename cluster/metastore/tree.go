package metastore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Tree is a tree of versioned nodes: what Kafka needs of ZooKeeper, and no more. Reads and writes come in batches, because one
// controller event may touch ten thousand nodes: ZooKeeper pipelines a batch, the embedded tree commits it with one sync.
//
// The error of a call says that the batch has no known outcome (no connection within ctx, tree closed, disk failed). What the tree
// decided about one item stands in that item's result.
type Tree interface {
	// Read answers each read, in order, each at one moment of its own.
	Read(ctx context.Context, reads []Read) ([]ReadResult, error)
	// Write applies each transaction as a whole or not at all, in order. A refused one does not stop those after it.
	Write(ctx context.Context, txns []Txn) ([]TxnResult, error)
	// Subscribe adds the watcher to those that hear of the session; Unsubscribe removes it and forgets its watches.
	Subscribe(w *Watcher)
	Unsubscribe(w *Watcher)
	// Session is the id of the session that owns the ephemeral nodes made now.
	Session() int64
	// Close ends the session: its ephemeral nodes go away.
	Close() error
}

// What a tree can answer about one item. Callers branch on these with errors.Is.
var (
	ErrNoNode     = errors.New("node does not exist")
	ErrNodeExists = errors.New("node exists already")
	ErrBadVersion = errors.New("node has another version")
	ErrNotEmpty   = errors.New("node has children")
	ErrBadPath    = errors.New("malformed path")
	ErrEphemeral  = errors.New("ephemeral node cannot have children")
	// ErrSessionExpired is a call's error when the session ended under it; the next call uses a new session.
	ErrSessionExpired = errors.New("session expired")
	// ErrClosed is a call's error after Close.
	ErrClosed = errors.New("metadata store is closed")
	// ErrUnreadable is a node whose data cannot be understood.
	ErrUnreadable = errors.New("unreadable node")
	// ErrControllerMoved refuses a controller's write because a later controller was elected.
	ErrControllerMoved = fmt.Errorf("controller moved to another broker: %w", kerr.NotController)
)

// AnyVersion in a Set, Delete or Check matches every version.
const AnyVersion int32 = -1

// Stat is what the tree keeps of a node beside its data.
type Stat struct {
	Czxid          int64 // transaction that created the node: a registered broker's epoch
	Mzxid          int64 // transaction that last changed its data
	Ctime, Mtime   int64 // milliseconds since the Unix epoch
	Version        int32 // number of changes of the data
	Cversion       int32 // number of changes of the set of children
	EphemeralOwner int64 // session that owns it, 0 for a persistent node
	NumChildren    int32
}

// ReadKind says what a Read asks for.
type ReadKind uint8

// The three reads. Their watches differ: Data fires on change and deletion, Exists on creation too, Children when a child comes or
// goes and on deletion of the node itself.
const (
	ReadData ReadKind = iota
	ReadExists
	ReadChildren
)

// Read is one question. With a Watch the next matching change is reported once; a Data or Children read of a missing node sets no watch.
type Read struct {
	Kind  ReadKind
	Path  string
	Watch *Watcher
}

// ReadResult is the answer to a Read. A missing node is ErrNoNode, also for ReadExists. Data and Children belong to the tree: read only.
type ReadResult struct {
	Data     []byte
	Stat     Stat
	Children []string // names, sorted
	Err      error
}

// OpKind says what an Op does.
type OpKind uint8

// The operations of a transaction.
const (
	OpCreate OpKind = iota
	OpSet
	OpDelete
	OpCheck
)

// Mode is how a node is created.
type Mode uint8

// The modes that Kafka uses.
const (
	Persistent           Mode = iota
	Ephemeral                 // goes away with the session
	PersistentSequential      // ten digits, growing per parent, are appended to the name
)

// Op is one step of a transaction; make it with Create, Set, Delete or Check.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Version int32
	Mode    Mode
}

// Txn is a list of steps that happen together or not at all.
type Txn []Op

// Create makes a node; its parent must exist. nil data is kept apart from empty data only on the wire.
func Create(path string, data []byte, mode Mode) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Mode: mode}
}

// Set replaces a node's data if it has the given version.
func Set(path string, data []byte, version int32) Op {
	return Op{Kind: OpSet, Path: path, Data: data, Version: version}
}

// Delete removes a node without children if it has the given version.
func Delete(path string, version int32) Op { return Op{Kind: OpDelete, Path: path, Version: version} }

// Check does nothing but fail its transaction unless the node has the given version.
func Check(path string, version int32) Op { return Op{Kind: OpCheck, Path: path, Version: version} }

// TxnResult is the outcome of one transaction. When Err is not nil nothing was changed, and Failed is the index of the step that refused.
type TxnResult struct {
	Err    error
	Failed int
	Ops    []OpResult
}

// OpResult is the outcome of one step: the path of a created node, the new Stat of a changed one.
type OpResult struct {
	Path string
	Stat Stat
}

// EventType is what a Watcher hears.
type EventType uint8

// The events of a node, then those of the session.
const (
	NodeCreated EventType = iota
	NodeDeleted
	NodeDataChanged
	NodeChildrenChanged
	// SessionDisconnected: the server is out of reach; the session may still live.
	SessionDisconnected
	// SessionConnected: reads and writes work (again). Watches of the same session are still armed.
	SessionConnected
	// SessionExpired: the session's ephemeral nodes and all watches are gone; a new session follows with SessionConnected.
	SessionExpired
)

// String names the event for log lines.
func (t EventType) String() string {
	return [...]string{"created", "deleted", "data changed", "children changed", "disconnected", "connected", "expired"}[t]
}

// Event is one thing that a Watcher heard. Path is empty and Session is set for the events of the session.
type Event struct {
	Type    EventType
	Path    string
	Session int64
}

// Watcher collects the events of every watch set with it, in the order in which they happened, and those of the session. Its
// queue needs no other bound than the number of watches: each fires once. An event is in the queue before any read can see
// what it announces.
type Watcher struct {
	ready chan struct{}

	mu     sync.Mutex
	events []Event
}

// NewWatcher returns a watcher with nothing to tell.
func NewWatcher() *Watcher { return &Watcher{ready: make(chan struct{}, 1)} }

// Ready receives a value after events came in since the last Take.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns the collected events and forgets them.
func (w *Watcher) Take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// push never blocks, so that a tree may call it under its lock.
func (w *Watcher) push(e Event) {
	w.mu.Lock()
	if e.Path == "" {
		w.forgetSessionLocked(e.Type)
	}
	w.events = append(w.events, e)
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// forgetSessionLocked drops what the next event of the session makes pointless, so that a flapping connection cannot fill the queue: the
// comings and goings right before it, and before an expiry the expiry before.
func (w *Watcher) forgetSessionLocked(next EventType) {
	for n := len(w.events); n > 0; n-- {
		last := w.events[n-1]
		if last.Path != "" || last.Type == SessionExpired && next != SessionExpired {
			return
		}
		w.events = w.events[:n-1]
	}
}
