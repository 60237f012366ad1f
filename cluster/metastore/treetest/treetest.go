// Package treetest is the script that every metastore.Tree must pass: the embedded one and ZooKeeper's answer it alike.
package treetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gokafka/cluster/metastore"
)

// Connect opens one more session of the same tree; the script closes it.
type Connect func(t *testing.T) metastore.Tree

// Run runs the script. open is called once per subtest and must give an empty tree.
func Run(t *testing.T, open func(t *testing.T) Connect) {
	for name, f := range map[string]func(*client){
		"versions":             versions,
		"refusals":             refusals,
		"transaction":          transaction,
		"refused transaction":  refusedTransaction,
		"sequential":           sequential,
		"children":             children,
		"zxid grows":           zxidGrows,
		"ephemeral":            ephemeral,
		"data watch":           dataWatch,
		"exists watch":         existsWatch,
		"children watch":       childrenWatch,
		"watches fire once":    watchesFireOnce,
		"watches keep order":   watchesKeepOrder,
		"unsubscribed":         unsubscribed,
		"counter":              counter,
		"large batch":          largeBatch,
		"cancelled":            cancelled,
		"many nodes in a list": manyChildren,
	} {
		t.Run(name, func(t *testing.T) {
			connect := open(t)
			f(newClient(t, connect))
		})
	}
}

// client is a session with the calls of a test.
type client struct {
	*testing.T
	connect Connect
	tree    metastore.Tree
}

func newClient(t *testing.T, connect Connect) *client {
	c := &client{T: t, connect: connect, tree: connect(t)}
	t.Cleanup(func() { _ = c.tree.Close() })
	return c
}

func (c *client) another() *client { return newClient(c.T, c.connect) }

func (c *client) read(r metastore.Read) metastore.ReadResult {
	c.Helper()
	results, err := c.tree.Read(c.Context(), []metastore.Read{r})
	if err != nil {
		c.Fatalf("read %s: %v", r.Path, err)
	}
	return results[0]
}

func (c *client) try(ops ...metastore.Op) metastore.TxnResult {
	c.Helper()
	results, err := c.tree.Write(c.Context(), []metastore.Txn{ops})
	if err != nil {
		c.Fatalf("write %s: %v", ops[0].Path, err)
	}
	return results[0]
}

func (c *client) write(ops ...metastore.Op) []metastore.OpResult {
	c.Helper()
	r := c.try(ops...)
	if r.Err != nil {
		c.Fatalf("write %s: step %d: %v", ops[0].Path, r.Failed, r.Err)
	}
	return r.Ops
}

func (c *client) wantErr(got, want error) {
	c.Helper()
	if !errors.Is(got, want) {
		c.Fatalf("error %v, want %v", got, want)
	}
}

func (c *client) get(path string) metastore.ReadResult {
	c.Helper()
	return c.read(metastore.Read{Path: path})
}

func create(path, data string) metastore.Op {
	return metastore.Create(path, []byte(data), metastore.Persistent)
}

func set(path, data string, version int32) metastore.Op {
	return metastore.Set(path, []byte(data), version)
}

func versions(c *client) {
	c.write(create("/a", "one"))
	if r := c.get("/a"); string(r.Data) != "one" || r.Stat.Version != 0 || r.Stat.Ctime == 0 {
		c.Fatalf("new node: %+v", r)
	}
	if r := c.write(set("/a", "two", 0)); r[0].Stat.Version != 1 {
		c.Fatalf("version %d after one set", r[0].Stat.Version)
	}
	c.write(set("/a", "three", metastore.AnyVersion))
	if r := c.get("/a"); string(r.Data) != "three" || r.Stat.Version != 2 || r.Stat.Mzxid <= r.Stat.Czxid {
		c.Fatalf("after two sets: %+v", r)
	}
	c.write(metastore.Check("/a", 2))
	c.write(metastore.Delete("/a", 2))
	c.wantErr(c.get("/a").Err, metastore.ErrNoNode)
	c.write(create("/a", ""))
	if r := c.get("/a"); r.Stat.Version != 0 || len(r.Data) != 0 {
		c.Fatalf("created again: %+v", r)
	}
}

func refusals(c *client) {
	c.write(create("/a", ""))
	c.write(create("/a/b", ""))
	c.write(metastore.Create("/e", nil, metastore.Ephemeral))
	for _, k := range []struct {
		op   metastore.Op
		want error
	}{
		{create("/a", ""), metastore.ErrNodeExists},
		{create("/x/y", ""), metastore.ErrNoNode},
		{create("/e/f", ""), metastore.ErrEphemeral},
		{set("/x", "", -1), metastore.ErrNoNode},
		{set("/a", "", 1), metastore.ErrBadVersion},
		{metastore.Delete("/x", -1), metastore.ErrNoNode},
		{metastore.Delete("/a/b", 3), metastore.ErrBadVersion},
		{metastore.Delete("/a", -1), metastore.ErrNotEmpty},
		{metastore.Check("/x", -1), metastore.ErrNoNode},
		{metastore.Check("/a", 1), metastore.ErrBadVersion},
		{create("a", ""), metastore.ErrBadPath},
		{create("", ""), metastore.ErrBadPath},
		{create("/a/", ""), metastore.ErrBadPath},
		{create("/a//b", ""), metastore.ErrBadPath},
		{create("/a/../c", ""), metastore.ErrBadPath},
		{create("/a\x00", ""), metastore.ErrBadPath},
	} {
		if r := c.try(k.op); !errors.Is(r.Err, k.want) {
			c.Errorf("%+v: %v, want %v", k.op, r.Err, k.want)
		}
	}
	for _, kind := range []metastore.ReadKind{metastore.ReadData, metastore.ReadExists, metastore.ReadChildren} {
		c.wantErr(c.read(metastore.Read{Kind: kind, Path: "/x"}).Err, metastore.ErrNoNode)
	}
}

func transaction(c *client) {
	c.write(create("/epoch", "0"))
	r := c.write(metastore.Check("/epoch", 0), metastore.Create("/owner", nil, metastore.Ephemeral), set("/owner", "me", 0), set("/epoch", "1", 0))
	if r[2].Stat.Version != 1 || r[3].Stat.Version != 1 {
		c.Fatalf("versions of the answer: %+v", r)
	}
	if owner := c.get("/owner"); owner.Stat.Czxid != r[2].Stat.Czxid || owner.Stat.Czxid != owner.Stat.Mzxid {
		c.Fatalf("one transaction has one zxid, and the set tells the czxid: %+v, %+v", owner.Stat, r[2].Stat)
	}
}

func refusedTransaction(c *client) {
	c.write(create("/epoch", "0"))
	w := metastore.NewWatcher()
	c.read(metastore.Read{Kind: metastore.ReadExists, Path: "/new", Watch: w})
	c.read(metastore.Read{Kind: metastore.ReadChildren, Path: "/", Watch: w})
	r := c.try(create("/new", ""), set("/epoch", "5", -1), metastore.Delete("/epoch", 0), create("/more", ""))
	if !errors.Is(r.Err, metastore.ErrBadVersion) || r.Failed != 2 {
		c.Fatalf("refused with %v at step %d", r.Err, r.Failed)
	}
	c.wantErr(c.get("/new").Err, metastore.ErrNoNode)
	if e := c.get("/epoch"); string(e.Data) != "0" || e.Stat.Version != 0 {
		c.Fatalf("half of a refused transaction stayed: %+v", e)
	}
	results, err := c.tree.Write(c.Context(), []metastore.Txn{{create("/epoch", "")}, {create("/after", "")}})
	if err != nil || !errors.Is(results[0].Err, metastore.ErrNodeExists) || results[1].Err != nil {
		c.Fatalf("a refused transaction stopped the next: %+v, %v", results, err)
	}
	c.wantEvents(w, "children changed /")
}

func sequential(c *client) {
	c.write(create("/q", ""))
	op := metastore.Create("/q/n_", []byte("x"), metastore.PersistentSequential)
	for i, want := range []string{"/q/n_0000000000", "/q/n_0000000001"} {
		if r := c.write(op); r[0].Path != want {
			c.Fatalf("sequential %d: %s, want %s", i, r[0].Path, want)
		}
	}
	c.write(metastore.Delete("/q/n_0000000001", -1))
	if r := c.write(op); r[0].Path != "/q/n_0000000002" {
		c.Fatalf("a number was used twice: %s", r[0].Path)
	}
}

func children(c *client) {
	c.write(create("/p", ""))
	for _, name := range []string{"c", "a", "b"} {
		c.write(create("/p/"+name, ""))
	}
	c.write(create("/p/a/deep", ""))
	c.write(metastore.Delete("/p/b", -1))
	r := c.read(metastore.Read{Kind: metastore.ReadChildren, Path: "/p"})
	if !slices.Equal(r.Children, []string{"a", "c"}) {
		c.Fatalf("children %v", r.Children)
	}
	if s := c.get("/p").Stat; s.NumChildren != 2 || s.Cversion != 4 || s.Version != 0 {
		c.Fatalf("stat of a parent: %+v", s)
	}
}

func zxidGrows(c *client) {
	var last int64
	for i := range 5 {
		path := fmt.Sprintf("/z%d", i)
		c.write(metastore.Create(path, nil, metastore.Ephemeral))
		s := c.get(path).Stat
		if s.Czxid <= last {
			c.Fatalf("czxid %d after %d", s.Czxid, last)
		}
		last = s.Czxid
	}
}

func ephemeral(c *client) {
	other := c.another()
	other.write(metastore.Create("/e", []byte("x"), metastore.Ephemeral))
	if s := c.get("/e").Stat; s.EphemeralOwner != other.tree.Session() || s.EphemeralOwner == 0 {
		c.Fatalf("owner %d, session %d", s.EphemeralOwner, other.tree.Session())
	}
	w := metastore.NewWatcher()
	c.read(metastore.Read{Path: "/e", Watch: w})
	if err := other.tree.Close(); err != nil {
		c.Fatal(err)
	}
	c.wantEvents(w, "deleted /e")
	c.wantErr(c.get("/e").Err, metastore.ErrNoNode)
	if _, err := other.tree.Read(c.Context(), []metastore.Read{{Path: "/"}}); !errors.Is(err, metastore.ErrClosed) {
		c.Fatalf("read of a closed session: %v", err)
	}
	if _, err := other.tree.Write(c.Context(), []metastore.Txn{{create("/x", "")}}); !errors.Is(err, metastore.ErrClosed) {
		c.Fatalf("write of a closed session: %v", err)
	}
}

func dataWatch(c *client) {
	c.write(create("/a", ""))
	w, nobody := metastore.NewWatcher(), metastore.NewWatcher()
	c.read(metastore.Read{Path: "/a", Watch: w})
	c.read(metastore.Read{Path: "/missing", Watch: nobody})
	c.write(create("/missing", ""))
	c.write(create("/a/child", ""))
	c.another().write(set("/a", "x", -1))
	c.wantEvents(w, "data changed /a")
	c.read(metastore.Read{Path: "/a", Watch: w})
	c.write(metastore.Delete("/a/child", -1))
	c.write(metastore.Delete("/a", -1))
	c.wantEvents(w, "deleted /a")
	c.wantEvents(nobody)
}

func existsWatch(c *client) {
	w := metastore.NewWatcher()
	arm := func() {
		c.read(metastore.Read{Kind: metastore.ReadExists, Path: "/a", Watch: w})
	}
	arm()
	c.write(create("/a", ""))
	c.wantEvents(w, "created /a")
	arm()
	c.write(set("/a", "x", -1))
	c.wantEvents(w, "data changed /a")
	arm()
	c.write(metastore.Delete("/a", -1))
	c.wantEvents(w, "deleted /a")
}

func childrenWatch(c *client) {
	c.write(create("/p", ""))
	w := metastore.NewWatcher()
	arm := func() { c.read(metastore.Read{Kind: metastore.ReadChildren, Path: "/p", Watch: w}) }
	arm()
	c.write(set("/p", "data does not matter", -1))
	c.write(create("/p/a", ""))
	c.wantEvents(w, "children changed /p")
	arm()
	c.write(set("/p/a", "nor a child's", -1))
	c.write(metastore.Delete("/p/a", -1))
	c.wantEvents(w, "children changed /p")
	arm()
	c.read(metastore.Read{Path: "/p", Watch: w})
	c.write(metastore.Delete("/p", -1))
	c.wantEvents(w, "deleted /p")
}

func watchesFireOnce(c *client) {
	c.write(create("/a", ""))
	w := metastore.NewWatcher()
	for range 3 {
		c.read(metastore.Read{Path: "/a", Watch: w})
	}
	for range 3 {
		c.write(set("/a", "x", -1))
	}
	c.wantEvents(w, "data changed /a")
}

func watchesKeepOrder(c *client) {
	w := metastore.NewWatcher()
	var want []string
	for i := range 20 {
		c.read(metastore.Read{Kind: metastore.ReadExists, Path: fmt.Sprintf("/n%d", i), Watch: w})
		want = append(want, fmt.Sprintf("created /n%d", i))
	}
	other := c.another()
	for i := range 20 {
		other.write(create(fmt.Sprintf("/n%d", i), ""))
	}
	c.wantEvents(w, want...)
}

func unsubscribed(c *client) {
	c.write(create("/a", ""))
	gone, kept := metastore.NewWatcher(), metastore.NewWatcher()
	c.tree.Subscribe(gone)
	c.read(metastore.Read{Path: "/a", Watch: gone})
	c.read(metastore.Read{Path: "/a", Watch: kept})
	c.tree.Unsubscribe(gone)
	c.write(set("/a", "x", -1))
	c.wantEvents(kept, "data changed /a")
	c.wantEvents(gone)
}

// counter has several sessions increment one node by compare and set: none may be lost.
func counter(c *client) {
	const workers, rounds = 4, 20
	c.write(create("/n", "0"))
	var wg sync.WaitGroup
	for range workers {
		other := c.another()
		wg.Go(func() {
			for range rounds {
				other.increment("/n")
			}
		})
	}
	wg.Wait()
	if r := c.get("/n"); string(r.Data) != fmt.Sprint(workers*rounds) || r.Stat.Version != workers*rounds {
		c.Fatalf("counted %s, version %d", r.Data, r.Stat.Version)
	}
}

func (c *client) increment(path string) {
	for {
		r := c.get(path)
		var n int
		if _, err := fmt.Sscan(string(r.Data), &n); err != nil {
			c.Errorf("counter %q: %v", r.Data, err)
			return
		}
		result := c.try(set(path, fmt.Sprint(n+1), r.Stat.Version))
		if result.Err == nil {
			return
		}
		if !errors.Is(result.Err, metastore.ErrBadVersion) {
			c.Errorf("increment: %v", result.Err)
			return
		}
	}
}

func largeBatch(c *client) {
	const n = 2000
	c.write(create("/big", ""))
	var txns []metastore.Txn
	var reads []metastore.Read
	for i := range n {
		path := fmt.Sprintf("/big/%d", i)
		txns = append(txns, metastore.Txn{metastore.Check("/big", 0), create(path, path)})
		reads = append(reads, metastore.Read{Path: path})
	}
	results, err := c.tree.Write(c.Context(), txns)
	if err != nil {
		c.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			c.Fatalf("transaction %d: %v", i, r.Err)
		}
	}
	got, err := c.tree.Read(c.Context(), reads)
	if err != nil {
		c.Fatal(err)
	}
	for i, r := range got {
		if string(r.Data) != reads[i].Path {
			c.Fatalf("read %d answers %q, want %q", i, r.Data, reads[i].Path)
		}
	}
}

// manyChildren makes a directory whose listing is larger than ZooKeeper's default buffer of 1 MiB.
func manyChildren(c *client) {
	const n = 6000
	c.write(create("/dir", ""))
	var txns []metastore.Txn
	for i := range n {
		txns = append(txns, metastore.Txn{create(fmt.Sprintf("/dir/%0200d", i), "")})
	}
	if _, err := c.tree.Write(c.Context(), txns); err != nil {
		c.Fatal(err)
	}
	if r := c.read(metastore.Read{Kind: metastore.ReadChildren, Path: "/dir"}); len(r.Children) != n || !slices.IsSorted(r.Children) {
		c.Fatalf("%d children: %v", len(r.Children), r.Err)
	}
}

func cancelled(c *client) {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	if _, err := c.tree.Read(ctx, []metastore.Read{{Path: "/"}}); !errors.Is(err, context.Canceled) {
		c.Fatalf("read: %v", err)
	}
	if _, err := c.tree.Write(ctx, []metastore.Txn{{create("/x", "")}}); !errors.Is(err, context.Canceled) {
		c.Fatalf("write: %v", err)
	}
	c.wantErr(c.get("/x").Err, metastore.ErrNoNode)
}

// wantEvents waits until the watcher heard as many events as are wanted, and compares. A write of a fresh node made after the wait
// shows that nothing more was on the way: events precede what is read later.
func (c *client) wantEvents(w *metastore.Watcher, want ...string) {
	c.Helper()
	var got []string
	for len(got) < len(want) {
		select {
		case <-w.Ready():
		case <-time.After(10 * time.Second):
			c.Fatalf("events %q, want %q", got, want)
		}
		got = append(got, texts(w.Take())...)
	}
	c.read(metastore.Read{Path: "/"})
	got = append(got, texts(w.Take())...)
	if !slices.Equal(got, want) {
		c.Fatalf("events %q, want %q", got, want)
	}
}

func texts(events []metastore.Event) []string {
	var s []string
	for _, e := range events {
		s = append(s, strings.TrimSpace(e.Type.String()+" "+e.Path))
	}
	return s
}
