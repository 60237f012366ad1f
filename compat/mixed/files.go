package mixed

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gokafka/compat/apache"
)

// digest is short for many lines.
func digest(lines []string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(lines, "\n")))
}

// file is what shows whether somebody has written to a file.
type file struct {
	content  [sha256.Size]byte // without zeros at the end: the indexes of a segment that is written to are longer than what they hold
	modified time.Time
}

// files are those of all partitions of a node.
func (c *Cluster) files(id int32) map[string]file {
	c.t.Helper()
	all := map[string]file{}
	root := c.Nodes[id].Dir()
	found, err := filepath.Glob(filepath.Join(root, "*-[0-9]*", "*"))
	c.ok(err)
	for _, path := range found {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // one that a running broker had for a moment
		}
		c.ok(err)
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c.ok(err)
		name, err := filepath.Rel(root, path)
		c.ok(err)
		all[name] = file{sha256.Sum256(bytes.TrimRight(content, "\x00")), info.ModTime()}
	}
	return all
}

// activeSegments are the names, without suffix, of the last segment of each partition: the one that a broker opens for writing.
func activeSegments(all map[string]file) map[string]bool {
	last := map[string]string{}
	for name := range all {
		if dir, base := filepath.Split(name); filepath.Ext(base) == ".log" && base > last[dir] {
			last[dir] = base
		}
	}
	active := map[string]bool{}
	for dir, base := range last {
		active[dir+strings.TrimSuffix(base, ".log")] = true
	}
	return active
}

// untouched checks that the files that one broker left after a clean stop are those that the next one serves: none built anew, none
// changed. Those of active segments may be opened for writing, and checkpoints written again; they hold what they held.
func (c *Cluster) untouched(before, after map[string]file) {
	c.t.Helper()
	active := activeSegments(before)
	for name, was := range before {
		suffix := filepath.Ext(name)
		is, exists := after[name]
		if !exists {
			if suffix != ".snapshot" { // a broker removes those that it does not need
				c.t.Errorf("%s is gone", name)
			}
			continue
		}
		if is.content != was.content {
			c.t.Errorf("%s has changed", name)
		}
		if !is.modified.Equal(was.modified) && !active[strings.TrimSuffix(name, suffix)] && suffix != "" {
			c.t.Errorf("%s was written anew", name)
		}
	}
	if len(before) == 0 {
		c.t.Error("there were no files")
	}
}

// checkpoint is what a checkpoint file of a node says, by topic and partition.
func (c *Cluster) checkpoint(id int32, name string) map[string]string {
	c.t.Helper()
	content, err := os.ReadFile(filepath.Join(c.Nodes[id].Dir(), name))
	c.ok(err)
	entries := map[string]string{}
	for _, line := range strings.Split(string(content), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			entries[f[0]+"-"+f[1]] = f[2]
		}
	}
	return entries
}

// Dump has Apache's tool look through every file of a node; it must find nothing wrong.
func (c *Cluster) Dump(id int32) {
	c.t.Helper()
	var files []string
	for _, suffix := range []string{"log", "index", "timeindex", "txnindex", "snapshot"} {
		found, err := filepath.Glob(filepath.Join(c.Nodes[id].Dir(), "*-[0-9]", "*."+suffix))
		c.ok(err)
		files = append(files, found...)
	}
	var out string
	for some := range slices.Chunk(files, 500) { // an argument has a length that the system takes
		printed, err := apache.RunTool("", "dump-log", "--deep-iteration", "--files", strings.Join(some, ","))
		c.ok(err)
		out += printed
	}
	for line := range strings.Lines(out) {
		for _, bad := range []string{"isvalid: false", "ismatch", "Exception", "non-consecutive", "Invalid", "orrupt", "Found timestamp", "Found invalid"} {
			if strings.Contains(line, bad) {
				c.t.Errorf("dump-log of node %d: %s", id, line)
			}
		}
	}
	if !strings.Contains(out, fmt.Sprintf("Dumping %s", c.Nodes[id].Dir())) {
		c.t.Errorf("dump-log of node %d says nothing of its files", id)
	}
}

// complete says that a file belongs to a segment that nobody writes to any more.
func complete(name string, active map[string]bool) bool {
	suffix := filepath.Ext(name)
	return (suffix == ".log" || strings.HasSuffix(suffix, "index")) && !active[strings.TrimSuffix(name, suffix)]
}
