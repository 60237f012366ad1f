package metastore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// TestWatcherForgets has a session flap while nobody looks.
func TestWatcherForgets(t *testing.T) {
	node, down, up, end := Event{Type: NodeCreated, Path: "/a"}, Event{Type: SessionDisconnected}, Event{Type: SessionConnected}, Event{Type: SessionExpired}
	for _, k := range []struct{ pushed, want []Event }{
		{[]Event{down, up, down, up}, []Event{up}},
		{[]Event{down, node, up, down}, []Event{down, node, down}},
		{[]Event{down, end, up}, []Event{end, up}},
		{[]Event{end, up, end, up, down}, []Event{end, down}},
		{[]Event{node, end, end}, []Event{node, end}},
	} {
		w := NewWatcher()
		for _, e := range k.pushed {
			w.push(e)
		}
		if got := w.Take(); !slices.Equal(got, k.want) {
			t.Errorf("%v: %v, want %v", k.pushed, got, k.want)
		}
	}
}

// TestEmbeddedDiskFails has the disk refuse a write: nothing of it is seen, and nothing more is taken.
func TestEmbeddedDiskFails(t *testing.T) {
	e, err := OpenEmbedded(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	s, w := e.Connect(), NewWatcher()
	write := func(ops ...Op) error {
		_, err := s.Write(t.Context(), []Txn{ops})
		return err
	}
	if err := write(Create("/a", []byte("before"), Persistent)); err != nil {
		t.Fatal(err)
	}
	if err := e.file.db.Close(); err != nil { // what comes now fails
		t.Fatal(err)
	}
	read := func() ReadResult {
		results, err := s.Read(t.Context(), []Read{{Path: "/a", Watch: w}})
		if err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	before := read()
	if write(Set("/a", []byte("after"), -1), Create("/a/b", nil, Persistent), Create("/c", nil, Persistent)) == nil {
		t.Fatal("a write without a disk succeeded")
	}
	if after := read(); string(after.Data) != "before" || after.Stat != before.Stat || len(w.Take()) > 0 {
		t.Fatalf("the failed write is seen: %+v", after)
	}
	if err := write(Delete("/a", -1)); err == nil || errors.Is(err, ErrClosed) {
		t.Fatalf("the next write: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

const killedStore = "GOKAFKA_TEST_KILLED_STORE"

// TestEmbeddedKilled is case 41: a process is killed while it writes. Every answered write is there, and none by half.
func TestEmbeddedKilled(t *testing.T) {
	if path := os.Getenv(killedStore); path != "" {
		writeUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	for round := range 10 {
		answered := killWriter(t, path, 20+7*round)
		e, err := OpenEmbedded(path)
		if err != nil {
			t.Fatal(err)
		}
		s := e.Connect()
		results, err := s.Read(t.Context(), []Read{{Path: "/a"}, {Path: "/b"}})
		if err != nil {
			t.Fatal(err)
		}
		a, b := string(results[0].Data), string(results[1].Data)
		if n, err := strconv.Atoi(a); err != nil || a != b || n < answered {
			t.Fatalf("round %d: answered %d, found %q and %q", round, answered, a, b)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter runs this test in another process and kills it after it said that it has written so often. It returns the last number
// that it wrote and was told of.
func killWriter(t *testing.T, path string, writes int) (answered int) {
	c := exec.Command(os.Args[0], "-test.run=^TestEmbeddedKilled$")
	c.Env = append(os.Environ(), killedStore+"="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range writes {
		if !lines.Scan() {
			t.Fatal("the writer ended early")
		}
		if answered, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it said before it died
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			answered = n
		}
	}
	_ = c.Wait() // killed: its exit status says nothing
	return answered
}

func writeUntilKilled(t *testing.T, path string) {
	e, err := OpenEmbedded(path)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Connect()
	for n := 1; ; n++ {
		results, err := s.Read(t.Context(), []Read{{Path: "/a"}})
		if err != nil {
			t.Fatal(err)
		}
		next := []byte(strconv.Itoa(n))
		txn := Txn{Set("/a", next, -1), Set("/b", next, -1)}
		if errors.Is(results[0].Err, ErrNoNode) {
			txn = Txn{Create("/a", next, Persistent), Create("/b", next, Persistent)}
		} else if n == 1 {
			if n, err = strconv.Atoi(string(results[0].Data)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if r, err := s.Write(t.Context(), []Txn{txn}); err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
		fmt.Println(n)
	}
}
