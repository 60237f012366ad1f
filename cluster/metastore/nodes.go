package metastore

import (
	"fmt"
	"slices"
	"strings"
)

// node is one node in memory. Its children are names; their nodes are found by path.
type node struct {
	data     []byte   // never changed in place: readers hold it
	stat     Stat     // NumChildren and Cversion are computed when asked
	created  int32    // children ever created: the next sequential name
	children []string // sorted
	lent     bool     // a reader holds children: the next change copies them first
}

// list lends the children's names to a reader.
func (n *node) list() []string {
	n.lent = true
	return n.children
}

// own makes sure that no reader holds the children.
func (n *node) own() {
	if n.lent {
		n.children, n.lent = slices.Clone(n.children), false
	}
}

func (n *node) addChild(name string) {
	n.own()
	i, _ := slices.BinarySearch(n.children, name)
	n.children = slices.Insert(n.children, i, name)
}

func (n *node) dropChild(name string) {
	n.own()
	if i, found := slices.BinarySearch(n.children, name); found {
		n.children = slices.Delete(n.children, i, i+1)
	}
}

func (n *node) view() Stat {
	s := n.stat
	s.NumChildren = int32(len(n.children))
	s.Cversion = 2*n.created - s.NumChildren // creations and deletions
	return s
}

// nodeSet is the whole tree. zxid numbers the transactions; it is kept over restarts, because broker epochs are made of it.
type nodeSet struct {
	byPath map[string]*node
	zxid   int64
}

func newNodeSet() nodeSet { return nodeSet{byPath: map[string]*node{"/": {}}} }

func (t *nodeSet) read(r Read) ReadResult {
	if !validPath(r.Path) {
		return ReadResult{Err: ErrBadPath}
	}
	n := t.byPath[r.Path]
	if n == nil {
		return ReadResult{Err: ErrNoNode}
	}
	result := ReadResult{Stat: n.view()}
	switch r.Kind {
	case ReadData:
		result.Data = n.data
	case ReadChildren:
		result.Children = n.list()
	}
	return result
}

// ownedBy lists a session's ephemeral nodes, in order, so that the events of their end are the same each time.
func (t *nodeSet) ownedBy(session int64) []string {
	var paths []string
	for p, n := range t.byPath {
		if n.stat.EphemeralOwner == session {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// pathBytesMax is bbolt's limit of a key.
const pathBytesMax = 32768

// validPath is ZooKeeper's rule: absolute, no empty, "." or ".." part, no trailing slash, no NUL.
func validPath(p string) bool {
	if p == "/" {
		return true
	}
	if p == "" || p[0] != '/' || len(p) > pathBytesMax || strings.ContainsRune(p, 0) {
		return false
	}
	for part := range strings.SplitSeq(p[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// splitPath cuts a valid path into its parent and its name.
func splitPath(p string) (dir, name string) {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 1)], p[i+1:]
}

func sequenceSuffix(n int32) string { return fmt.Sprintf("%010d", n) }

// change applies transactions to a nodeSet, and can take them back.
type change struct {
	nodes *nodeSet
	now   int64 // milliseconds
	owner int64 // session of the transactions being applied

	dirty  map[string]struct{} // paths whose persistent node was made, changed or removed
	events []Event             // what to tell watchers, in order; empty means that nothing changed
	undo   []func()
}

func (c *change) applyAll(txns []Txn) []TxnResult {
	results := make([]TxnResult, len(txns))
	for i, t := range txns {
		results[i] = c.applyTxn(t)
	}
	return results
}

// applyTxn applies every step or none. One that changes something takes the next zxid.
func (c *change) applyTxn(t Txn) TxnResult {
	undo, events := len(c.undo), len(c.events)
	zxid := c.nodes.zxid
	c.nodes.zxid++
	ops := make([]OpResult, len(t))
	for i, op := range t {
		r, err := c.apply(op)
		if err != nil {
			c.undoTo(undo)
			c.events = c.events[:events]
			c.nodes.zxid = zxid
			return TxnResult{Err: err, Failed: i}
		}
		ops[i] = r
	}
	if len(c.events) == events {
		c.nodes.zxid = zxid
		return TxnResult{Ops: ops}
	}
	c.undo = append(c.undo, func() { c.nodes.zxid = zxid })
	return TxnResult{Ops: ops}
}

// undoTo takes back the latest steps until n are left. Paths stay marked dirty, which only costs a needless write.
func (c *change) undoTo(n int) {
	for _, f := range slices.Backward(c.undo[n:]) {
		f()
	}
	c.undo = c.undo[:n]
}

func (c *change) apply(op Op) (OpResult, error) {
	if op.Kind == OpCreate {
		return c.create(op)
	}
	if !validPath(op.Path) {
		return OpResult{}, ErrBadPath
	}
	n := c.nodes.byPath[op.Path]
	switch {
	case n == nil:
		return OpResult{}, ErrNoNode
	case op.Version != AnyVersion && op.Version != n.stat.Version:
		return OpResult{}, ErrBadVersion
	case op.Kind == OpSet:
		return c.set(op, n), nil
	case op.Kind == OpDelete:
		return OpResult{Path: op.Path}, c.remove(op.Path, n)
	}
	return OpResult{Path: op.Path, Stat: n.view()}, nil
}

func (c *change) create(op Op) (OpResult, error) {
	suffix := ""
	if op.Mode == PersistentSequential {
		suffix = sequenceSuffix(0)
	}
	if !validPath(op.Path + suffix) {
		return OpResult{}, ErrBadPath
	}
	dir, _ := splitPath(op.Path)
	parent := c.nodes.byPath[dir]
	switch {
	case parent == nil:
		return OpResult{}, ErrNoNode
	case parent.stat.EphemeralOwner != 0:
		return OpResult{}, ErrEphemeral
	}
	p := op.Path
	if op.Mode == PersistentSequential {
		p += sequenceSuffix(parent.created)
	}
	if c.nodes.byPath[p] != nil {
		return OpResult{}, ErrNodeExists
	}
	n := &node{data: slices.Clone(op.Data), stat: Stat{Czxid: c.nodes.zxid, Mzxid: c.nodes.zxid, Ctime: c.now, Mtime: c.now}}
	if op.Mode == Ephemeral {
		n.stat.EphemeralOwner = c.owner
	}
	c.link(p, n, parent)
	c.events = append(c.events, Event{Type: NodeCreated, Path: p}, Event{Type: NodeChildrenChanged, Path: dir})
	return OpResult{Path: p, Stat: n.view()}, nil
}

func (c *change) link(p string, n, parent *node) {
	dir, name := splitPath(p)
	parent.addChild(name)
	parent.created++
	c.nodes.byPath[p] = n
	c.mark(p, n)
	c.mark(dir, parent)
	c.undo = append(c.undo, func() {
		delete(c.nodes.byPath, p)
		parent.dropChild(name)
		parent.created--
	})
}

func (c *change) set(op Op, n *node) OpResult {
	data, stat := n.data, n.stat
	c.undo = append(c.undo, func() { n.data, n.stat = data, stat })
	n.data = slices.Clone(op.Data)
	n.stat.Version++
	n.stat.Mzxid, n.stat.Mtime = c.nodes.zxid, c.now
	c.mark(op.Path, n)
	c.events = append(c.events, Event{Type: NodeDataChanged, Path: op.Path})
	return OpResult{Path: op.Path, Stat: n.view()}
}

func (c *change) remove(p string, n *node) error {
	if len(n.children) > 0 {
		return ErrNotEmpty
	}
	if p == "/" {
		return ErrBadPath
	}
	dir, name := splitPath(p)
	parent := c.nodes.byPath[dir]
	delete(c.nodes.byPath, p)
	parent.dropChild(name)
	c.mark(p, n)
	c.undo = append(c.undo, func() {
		c.nodes.byPath[p] = n
		parent.addChild(name)
	})
	c.events = append(c.events, Event{Type: NodeDeleted, Path: p}, Event{Type: NodeChildrenChanged, Path: dir})
	return nil
}

// mark remembers that the node must be written; ephemeral nodes never are.
func (c *change) mark(p string, n *node) {
	if n.stat.EphemeralOwner == 0 {
		c.dirty[p] = struct{}{}
	}
}
