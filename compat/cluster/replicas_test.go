package cluster

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A comparison that does not see what was planted would not see what happened.
func TestDifference(t *testing.T) {
	long := bytes.Repeat([]byte("gokafka "), 40_000)
	with := func(at int) []byte { b := slices.Clone(long); b[at]++; return b }
	for _, c := range []struct {
		name string
		logs [][]byte
		want int64
	}{
		{"same", [][]byte{long, long, long}, -1},
		{"empty", [][]byte{nil, nil}, -1},
		{"first byte", [][]byte{long, long, with(0)}, 0},
		{"one byte", [][]byte{long, with(200_000), long}, 200_000},
		{"last byte", [][]byte{long, long, with(len(long) - 1)}, int64(len(long) - 1)},
		{"shorter", [][]byte{long, long[:len(long)-5], long}, int64(len(long) - 5)},
		{"longer", [][]byte{long[:1<<16], long}, 1 << 16},
		{"nothing", [][]byte{long, nil}, 0},
	} {
		var streams []io.Reader
		for _, l := range c.logs {
			streams = append(streams, bytes.NewReader(l))
		}
		if at, err := difference(streams...); at != c.want || err != nil {
			t.Errorf("%s: %d, %v; want %d", c.name, at, err, c.want)
		}
	}
}

// Where segments end makes no difference.
func TestOpenLog(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		filepath.Join(one, "00000000000000000000.log"):   "abcdef",
		filepath.Join(two, "00000000000000000000.log"):   "abcd",
		filepath.Join(two, "00000000000000000007.log"):   "ef",
		filepath.Join(two, "00000000000000000007.index"): "x",
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var logs []io.Reader
	for _, dir := range []string{one, two} {
		l, err := openLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		logs = append(logs, l)
	}
	if at, err := difference(logs...); at != -1 || err != nil {
		t.Errorf("differ at %d, %v", at, err)
	}
	if _, err := openLog(t.TempDir()); err == nil {
		t.Error("a directory without segments was opened")
	}
}

func TestEntries(t *testing.T) {
	const checkpoint = "0\n3\nload 1 17\nloads 0 3\nload 0 12\n"
	if got := entries(checkpoint, "load"); got != "load 0 12\nload 1 17\n" {
		t.Errorf("%q", got)
	}
	if got := entries(checkpoint, "none"); got != "" {
		t.Errorf("%q", got)
	}
}
