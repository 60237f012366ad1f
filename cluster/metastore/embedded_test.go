package metastore_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gokafka/cluster/metastore"
	"gokafka/cluster/metastore/treetest"
)

func open(t testing.TB, path string) *metastore.Embedded {
	t.Helper()
	e, err := metastore.OpenEmbedded(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestEmbeddedConformance(t *testing.T) {
	run := func(name string, path func(t *testing.T) string) {
		t.Run(name, func(t *testing.T) {
			treetest.Run(t, func(t *testing.T) treetest.Connect {
				e := open(t, path(t))
				return func(*testing.T) metastore.Tree { return e.Connect() }
			})
		})
	}
	run("memory", func(*testing.T) string { return "" })
	run("file", func(t *testing.T) string { return filepath.Join(t.TempDir(), "store") })
}

func write(t testing.TB, tree metastore.Tree, ops ...metastore.Op) []metastore.OpResult {
	t.Helper()
	r, err := tree.Write(t.Context(), []metastore.Txn{ops})
	if err != nil {
		t.Fatal(err)
	}
	if r[0].Err != nil {
		t.Fatalf("step %d: %v", r[0].Failed, r[0].Err)
	}
	return r[0].Ops
}

func get(t testing.TB, tree metastore.Tree, path string) metastore.ReadResult {
	t.Helper()
	r, err := tree.Read(t.Context(), []metastore.Read{{Path: path}})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

func TestEmbeddedReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	e := open(t, path)
	s := e.Connect()
	write(t, s, metastore.Create("/ids", nil, metastore.Persistent))
	write(t, s, metastore.Create("/ids/1", nil, metastore.Ephemeral), metastore.Set("/ids/1", []byte("x"), 0))
	epoch := get(t, s, "/ids/1").Stat.Czxid
	write(t, s, metastore.Create("/ids/n_", []byte("a"), metastore.PersistentSequential))
	write(t, s, metastore.Set("/ids", []byte("data"), 0))
	write(t, s, metastore.Create("/gone", nil, metastore.Persistent))
	write(t, s, metastore.Delete("/gone", 0))
	before := get(t, s, "/ids")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path).Connect()
	after := get(t, s, "/ids")
	before.Stat.NumChildren, after.Stat.NumChildren = 0, 0
	before.Stat.Cversion, after.Stat.Cversion = 0, 0
	if string(after.Data) != "data" || after.Stat != before.Stat {
		t.Fatalf("reopened %+v, want %+v", after, before)
	}
	for _, gone := range []string{"/ids/1", "/gone"} {
		if r := get(t, s, gone); !errors.Is(r.Err, metastore.ErrNoNode) {
			t.Fatalf("%s after reopening: %v", gone, r.Err)
		}
	}
	if r := write(t, s, metastore.Create("/ids/n_", nil, metastore.PersistentSequential)); r[0].Path != "/ids/n_0000000002" {
		t.Fatalf("sequence went on with %s", r[0].Path)
	}
	write(t, s, metastore.Create("/ids/1", nil, metastore.Ephemeral))
	if again := get(t, s, "/ids/1").Stat.Czxid; again <= epoch {
		t.Fatalf("broker epoch %d after %d", again, epoch)
	}
}

// TestEmbeddedKill copies the file while writers are at it, which is what a killed process leaves (case 41). What was answered before
// the copy began must be in it, and no transaction by half.
func TestEmbeddedKill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	s := open(t, path).Connect()
	write(t, s, metastore.Create("/a", []byte("0"), metastore.Persistent), metastore.Create("/b", []byte("0"), metastore.Persistent))
	for round := range 20 {
		answered := fmt.Sprint(round)
		write(t, s, metastore.Set("/a", []byte(answered), -1), metastore.Set("/b", []byte(answered), -1))
		var wg sync.WaitGroup
		wg.Go(func() {
			next := []byte(answered + "+")
			_, _ = s.Write(t.Context(), []metastore.Txn{{metastore.Set("/a", next, -1), metastore.Set("/b", next, -1)}})
		})
		clone := filepath.Join(dir, fmt.Sprintf("clone%d", round))
		copyFile(t, path, clone)
		wg.Wait()
		c := open(t, clone).Connect()
		a, b := string(get(t, c, "/a").Data), string(get(t, c, "/b").Data)
		if a != b || strings.TrimSuffix(a, "+") != answered {
			t.Fatalf("round %d: the copy says %q and %q", round, a, b)
		}
	}
}

// copyFile copies the two head pages first: the pages that they name are not overwritten by the one commit that races the copy, so
// that the copy is what a dying process could have left.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	head := make([]byte, 2*os.Getpagesize())
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, slices.Concat(head, rest), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEmbeddedExpiry(t *testing.T) {
	e := open(t, "")
	s, other := e.Connect(), e.Connect()
	w, foreign := metastore.NewWatcher(), metastore.NewWatcher()
	s.Subscribe(w)
	write(t, s, metastore.Create("/e", nil, metastore.Ephemeral), metastore.Create("/p", nil, metastore.Persistent))
	for tree, watcher := range map[metastore.Tree]*metastore.Watcher{s: w, other: foreign} {
		if _, err := tree.Read(t.Context(), []metastore.Read{{Path: "/p", Watch: watcher}, {Path: "/e", Watch: watcher}}); err != nil {
			t.Fatal(err)
		}
	}
	old := s.Session()
	s.Expire()
	want := []metastore.Event{{Type: metastore.SessionExpired, Session: old}, {Type: metastore.SessionConnected, Session: s.Session()}}
	if got := w.Take(); !slices.Equal(got, want) || s.Session() == old {
		t.Fatalf("the session's own watcher heard %v, want %v", got, want)
	}
	if got := foreign.Take(); !slices.Equal(got, []metastore.Event{{Type: metastore.NodeDeleted, Path: "/e"}}) {
		t.Fatalf("another session heard %v", got)
	}
	write(t, s, metastore.Set("/p", []byte("x"), -1))
	if got := w.Take(); len(got) > 0 {
		t.Fatalf("a watch outlived its session: %v", got)
	}
}

func TestEmbeddedOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 4000)), 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	open(t, used)
	for _, path := range []string{garbage, used, filepath.Join(dir, "missing", "store")} {
		if e, err := metastore.OpenEmbedded(path); err == nil {
			_ = e.Close()
			t.Errorf("%s was opened", path)
		}
	}
}

// TestEmbeddedConcurrentWrites has many writers share syncs; each must get the answer to its own write.
func TestEmbeddedConcurrentWrites(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store")).Connect()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 10 {
				path := fmt.Sprintf("/n%d-%d", w, i)
				r, err := s.Write(t.Context(), []metastore.Txn{{metastore.Create(path, nil, metastore.Persistent)}})
				if err != nil || r[0].Err != nil || r[0].Ops[0].Path != path {
					t.Errorf("write %s: %+v, %v", path, r, err)
				}
			}
		})
	}
	wg.Wait()
	if r := get(t, s, "/"); r.Stat.NumChildren != 160 {
		t.Fatalf("%d nodes", r.Stat.NumChildren)
	}
}

func BenchmarkEmbeddedOpen(b *testing.B) {
	for _, n := range []int{0, 30_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "store")
			fill(b, path, n)
			b.ReportAllocs()
			for b.Loop() {
				e, err := metastore.OpenEmbedded(path)
				if err != nil {
					b.Fatal(err)
				}
				_ = e.Close()
			}
		})
	}
}

func fill(b *testing.B, path string, n int) {
	e := open(b, path)
	var txns []metastore.Txn
	for i := range n {
		txns = append(txns, metastore.Txn{metastore.Create(fmt.Sprintf("/node-%d", i), make([]byte, 80), metastore.Persistent)})
	}
	if _, err := e.Connect().Write(b.Context(), txns); err != nil {
		b.Fatal(err)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkEmbeddedWrite(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "store")).Connect()
	write(b, s, metastore.Create("/n", nil, metastore.Persistent))
	b.ReportAllocs()
	for b.Loop() {
		write(b, s, metastore.Set("/n", []byte("some data"), -1))
	}
}
