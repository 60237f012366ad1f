package metastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// job is one request on its way through the pool of workers, whose number bounds the requests in flight.
type job struct {
	run  func() error // its error is that of the connection, not of the node
	done chan<- outcome
	at   int
}

type outcome struct {
	at  int
	err error
}

func (z *ZooKeeper) work() {
	for {
		select {
		case j := <-z.jobs:
			j.done <- outcome{j.at, j.run()}
		case <-z.closing:
			return
		}
	}
}

// runAll runs requests that do not depend on each other, and those whose connection broke again. It returns before all are answered when
// the context ends; what the others still write belongs to nobody then.
func (z *ZooKeeper) runAll(ctx context.Context, requests []func() error) error {
	session := z.Session()
	open := make([]int, len(requests))
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 {
		again, err := z.runOnce(ctx, requests, open)
		if err != nil {
			return err
		}
		if len(again) == 0 {
			return nil
		}
		if err := z.awaitConnected(ctx); err != nil {
			return err
		}
		if now := z.Session(); session != 0 && now != session {
			return ErrSessionExpired
		}
		open = again
	}
	return nil
}

// runOnce sends the open requests and returns those whose connection broke, in order.
func (z *ZooKeeper) runOnce(ctx context.Context, requests []func() error, open []int) (again []int, err error) {
	done := make(chan outcome, len(open)) // so that a worker never waits for a caller that went away
	unsent, unanswered := open, len(open)
	for unanswered > 0 {
		jobs, next := z.jobs, job{}
		if len(unsent) > 0 {
			next = job{run: requests[unsent[0]], done: done, at: unsent[0]}
		} else {
			jobs = nil
		}
		select {
		case jobs <- next:
			unsent = unsent[1:]
		case o := <-done:
			unanswered--
			if o.err != nil && !broken(o.err) {
				return nil, translate(o.err)
			}
			if o.err != nil {
				again = append(again, o.at)
			}
		case <-z.closing:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	slices.Sort(again)
	return again, nil
}

// broken reports errors of a connection that may be there again soon. The library returns the network's own error for the request in whose
// sending the connection broke.
func broken(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionMoved) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.As(err, new(net.Error))
}

const (
	// requestBytesMax is ZooKeeper's jute.maxbuffer unless it is told otherwise. It closes the connection in which a larger request comes.
	requestBytesMax = 0xfffff

	// tooLargeTries is how many connections a larger request may break. Apache sends it again without end.
	tooLargeTries = 3

	opOverhead = 128 // at the most: header, lengths and access list
)

var errTooLarge = errors.New("request is larger than ZooKeeper takes")

// refuse says why a call is not even begun.
func (z *ZooKeeper) refuse(ctx context.Context) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// Read implements Tree.
func (z *ZooKeeper) Read(ctx context.Context, reads []Read) ([]ReadResult, error) {
	if err := z.refuse(ctx); err != nil {
		return nil, err
	}
	results := make([]ReadResult, len(reads))
	requests := make([]func() error, len(reads))
	for i, r := range reads {
		requests[i] = func() (err error) {
			results[i], err = z.read(r)
			return err
		}
	}
	if err := z.runAll(ctx, requests); err != nil {
		return nil, err
	}
	return results, nil
}

// read asks once. The error is that of the connection.
func (z *ZooKeeper) read(r Read) (ReadResult, error) {
	if !validPath(r.Path) {
		return ReadResult{Err: ErrBadPath}, nil
	}
	a := z.arm(r)
	result, err := z.ask(r)
	nodeErr := ofNode(err)
	z.settle(r, a, err == nil || r.Kind == ReadExists && errors.Is(nodeErr, ErrNoNode))
	if err == nil || nodeErr != nil {
		result.Err = nodeErr
		return result, nil
	}
	return ReadResult{}, err
}

func (z *ZooKeeper) ask(r Read) (result ReadResult, err error) {
	p, stat := z.outside(r.Path), (*zk.Stat)(nil)
	switch {
	case r.Kind == ReadData && r.Watch == nil:
		result.Data, stat, err = z.conn.Get(p)
	case r.Kind == ReadData:
		result.Data, stat, _, err = z.conn.GetW(p)
	case r.Kind == ReadChildren && r.Watch == nil:
		result.Children, stat, err = z.conn.Children(p)
	case r.Kind == ReadChildren:
		result.Children, stat, _, err = z.conn.ChildrenW(p)
	default:
		result.Stat, err = z.exists(p, r.Watch != nil)
	}
	if err == nil && stat != nil {
		result.Stat = statOf(stat)
	}
	slices.Sort(result.Children)
	return result, err
}

// exists is answered by the library without an error when there is no node.
func (z *ZooKeeper) exists(p string, watch bool) (Stat, error) {
	found, stat, err := false, (*zk.Stat)(nil), error(nil)
	if watch {
		found, stat, _, err = z.conn.ExistsW(p)
	} else {
		found, stat, err = z.conn.Exists(p)
	}
	if err == nil && !found {
		err = zk.ErrNoNode
	}
	if err != nil {
		return Stat{}, err
	}
	return statOf(stat), nil
}

func statOf(s *zk.Stat) Stat {
	return Stat{Czxid: s.Czxid, Mzxid: s.Mzxid, Ctime: s.Ctime, Mtime: s.Mtime, Version: s.Version, Cversion: s.Cversion,
		EphemeralOwner: s.EphemeralOwner, NumChildren: s.NumChildren}
}

// Write implements Tree. Transactions that touch a path, its parent or its children wait for earlier ones that do; the others are in
// flight together, in no order that anybody could see.
func (z *ZooKeeper) Write(ctx context.Context, txns []Txn) ([]TxnResult, error) {
	if err := z.refuse(ctx); err != nil {
		return nil, err
	}
	results := make([]TxnResult, len(txns))
	for _, stage := range stages(txns) {
		requests := make([]func() error, len(stage))
		for i, n := range stage {
			tries := 0
			requests[i] = func() (err error) {
				results[n], err = z.multi(txns[n])
				if tries++; broken(err) && tries >= tooLargeTries && tooLarge(txns[n]) {
					results[n], err = TxnResult{Err: errTooLarge, Failed: len(txns[n]) - 1}, nil
				}
				return err
			}
		}
		if err := z.runAll(ctx, requests); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func tooLarge(t Txn) bool {
	size := 0
	for _, op := range t {
		size += opOverhead + len(op.Path) + len(op.Data)
	}
	return size > requestBytesMax
}

// stages groups transactions, by index, so that each comes after those it could depend on. Checks alone make no dependence.
func stages(txns []Txn) [][]int {
	var all [][]int
	touched, below := map[string]int{}, map[string]int{} // the last stage that touched a path, or a child of it; from 1
	for n, t := range txns {
		at := 0
		for _, op := range t {
			if op.Kind != OpCheck && validPath(op.Path) {
				dir, _ := splitPath(op.Path)
				at = max(at, touched[op.Path], touched[dir], below[op.Path])
			}
		}
		for _, op := range t {
			if op.Kind != OpCheck && validPath(op.Path) {
				dir, _ := splitPath(op.Path)
				touched[op.Path] = max(touched[op.Path], at+1)
				below[dir] = max(below[dir], at+1)
			}
		}
		if at == len(all) {
			all = append(all, nil)
		}
		all[at] = append(all[at], n)
	}
	return all
}

// multi applies one transaction. The error is that of the connection.
func (z *ZooKeeper) multi(t Txn) (TxnResult, error) {
	ops := make([]any, len(t))
	for i, op := range t {
		if !validPath(op.Path) {
			return TxnResult{Err: ErrBadPath, Failed: i}, nil
		}
		ops[i] = z.request(op)
	}
	answers, err := z.conn.Multi(ops...)
	if err != nil {
		failed := slices.IndexFunc(answers, func(a zk.MultiResponse) bool { return a.Error != nil })
		if nodeErr := ofNode(err); nodeErr != nil && failed >= 0 {
			return TxnResult{Err: nodeErr, Failed: failed}, nil
		}
		return TxnResult{}, err
	}
	if len(answers) != len(t) {
		return TxnResult{}, fmt.Errorf("multi of %d operations was answered with %d", len(t), len(answers))
	}
	results := make([]OpResult, len(t))
	for i, a := range answers {
		results[i].Path = t[i].Path
		if a.String != "" {
			results[i].Path = z.inside(a.String)
		}
		if a.Stat != nil {
			results[i].Stat = statOf(a.Stat)
		}
	}
	return TxnResult{Ops: results}, nil
}

func (z *ZooKeeper) request(op Op) any {
	p := z.outside(op.Path)
	switch op.Kind {
	case OpCreate:
		flags := map[Mode]int32{Persistent: 0, Ephemeral: zk.FlagEphemeral, PersistentSequential: zk.FlagSequence}[op.Mode]
		return &zk.CreateRequest{Path: p, Data: op.Data, Acl: z.acl(op.Path), Flags: flags}
	case OpSet:
		return &zk.SetDataRequest{Path: p, Data: op.Data, Version: op.Version}
	case OpDelete:
		return &zk.DeleteRequest{Path: p, Version: op.Version}
	}
	return &zk.CheckVersionRequest{Path: p, Version: op.Version}
}

// acl is who may do what with a node, as Apache's ZkData says: the creator everything, and everybody may read, but not what
// configurations and tokens hold. /consumers stays open for old clients.
func (z *ZooKeeper) acl(p string) []zk.ACL {
	if !z.setACL || p == PathConsumers {
		return zk.WorldACL(zk.PermAll)
	}
	for _, secret := range []string{PathConfig + "/users", PathConfig + "/brokers", "/delegation_token/tokens"} {
		if strings.HasPrefix(p, secret) {
			return zk.AuthACL(zk.PermAll)
		}
	}
	return append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
}

// nodeErrors are the answers that are about a node, and the tree's words for them.
var nodeErrors = []struct{ theirs, ours error }{
	{zk.ErrNoNode, ErrNoNode},
	{zk.ErrNodeExists, ErrNodeExists},
	{zk.ErrBadVersion, ErrBadVersion},
	{zk.ErrNotEmpty, ErrNotEmpty},
	{zk.ErrNoChildrenForEphemerals, ErrEphemeral},
	{zk.ErrInvalidPath, ErrBadPath},
	{zk.ErrBadArguments, ErrBadPath},
	{zk.ErrNoAuth, zk.ErrNoAuth},
	{zk.ErrInvalidACL, zk.ErrInvalidACL},
}

// ofNode translates an error that is about a node; nil for the others.
func ofNode(err error) error {
	for _, e := range nodeErrors {
		if errors.Is(err, e.theirs) {
			return e.ours
		}
	}
	return nil
}

// translate puts the errors that end a call into the tree's words.
func translate(err error) error {
	switch {
	case errors.Is(err, zk.ErrSessionExpired):
		return ErrSessionExpired
	case errors.Is(err, zk.ErrClosing):
		return ErrClosed
	}
	return err
}
