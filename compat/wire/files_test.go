package wire

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/apache"
)

// The same requests leave the same files behind: the same names, and the same bytes in segments, indexes, snapshots and
// checkpoints. What Apache's own tool says about each of our files is what it says about Apache's.
func TestFiles(t *testing.T) {
	s := NewSuite(t, map[string]string{"log.index.interval.bytes": "200", "log.retention.ms": "-1"})
	s.Run(t, Case{Name: "fill", Key: kmsg.Produce, Min: 9, Max: 9, Run: func(x *Exchange) {
		createTopic(x, "files", 1, "segment.bytes", "2000")
		createTopic(x, "converted", 1, "compression.type", "gzip")
		for i := range int32(20) {
			at := batch{time: epochMillis + int64(i)*1000, values: []string{"a", strings.Repeat("b", 100)}, keys: []string{"k"}}
			at.codec = int8(i % 5)
			if i%3 == 0 {
				at.producer, at.sequence = 4000+int64(i%2), i/6*2
			}
			x.Send(produce(-1, "files", 0, at.bytes()))
		}
		x.Send(produce(-1, "converted", 0, good))
	}})
	for _, side := range s.sides {
		if err := side.Broker.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	compareDirs(t, s, "files-0", nil)
	// Two gzip encoders need not agree, so a converted topic is compared by what the tool reads in it.
	compareDirs(t, s, "converted-0", []string{".log"})
	for _, dir := range []string{"files-0", "converted-0"} {
		compareDumps(t, s, dir)
	}
	compareDirs(t, s, ".", nil)
}

// drawnFiles hold ids.
var drawnFiles = []string{"partition.metadata", "meta.properties"}

// passing are files that need not be there: Apache removes its lock when it stops, and makes an empty cleaner checkpoint.
var passing = []string{".lock", "cleaner-offset-checkpoint"}

func compareDirs(t *testing.T, s *Suite, dir string, skip []string) {
	t.Helper()
	a, b := list(t, s, 0, dir), list(t, s, 1, dir)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a), b...)))) {
		switch {
		case !slices.Contains(a, name):
			t.Errorf("%s/%s: only %s has it", dir, name, s.names[1])
		case !slices.Contains(b, name):
			t.Errorf("%s/%s: only %s has it", dir, name, s.names[0])
		case slices.Contains(skip, filepath.Ext(name)) || slices.Contains(drawnFiles, name):
		default:
			if x, y := content(t, s, 0, dir, name), content(t, s, 1, dir, name); !bytes.Equal(x, y) {
				t.Errorf("%s/%s:\n%s\n%s\n%s\n%s", dir, name, s.names[0], hex.Dump(clip(x)), s.names[1], hex.Dump(clip(y)))
			}
		}
	}
}

// list names the files of a directory; of the log directory itself, those that belong to no partition or store.
func list(t *testing.T, s *Suite, side int, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.sides[side].Broker.Dir(), dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && !strings.Contains(e.Name(), "metastore") && !slices.Contains(passing, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

func content(t *testing.T, s *Suite, side int, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.sides[side].Broker.Dir(), dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compareDumps(t *testing.T, s *Suite, dir string) {
	t.Helper()
	var dumps [2][]string
	for i, side := range s.sides {
		var files []string
		for _, name := range list(t, s, i, dir) {
			if slices.Contains([]string{".log", ".index", ".timeindex", ".snapshot"}, filepath.Ext(name)) {
				files = append(files, filepath.Join(side.Broker.Dir(), dir, name))
			}
		}
		out, err := apache.RunTool("", "dump-log", "--print-data-log", "--files", strings.Join(files, ","))
		if err != nil {
			t.Fatal(err)
		}
		dumps[i] = strings.Split(strings.ReplaceAll(out, side.Broker.Dir(), ""), "\n")
	}
	for i := range max(len(dumps[0]), len(dumps[1])) {
		if a, b := lineAt(dumps[0], i), lineAt(dumps[1], i); a != b && !sizesDiffer(a, b) {
			t.Errorf("dump of %s:\n%s  %s\n%s %s", dir, s.names[0], a, s.names[1], b)
		}
	}
}

func lineAt(lines []string, i int) string {
	if i >= len(lines) {
		return "(nothing)"
	}
	return lines[i]
}

// sizesDiffer says that two lines tell of the same gzip batch, whose size and checksum depend on the encoder.
func sizesDiffer(a, b string) bool {
	head := func(s string) string { before, _, _ := strings.Cut(s, " size: "); return before }
	return strings.Contains(a, "compresscodec: gzip") && strings.Contains(a, " size: ") && head(a) == head(b)
}
