package durability

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/load"
)

// disks are the directories of a broker that has two.
type disks struct{ one, two string }

func newDisks(root string) disks {
	return disks{filepath.Join(root, "one"), filepath.Join(root, "two")}
}

func (d disks) properties() map[string]string {
	p := maps.Clone(adoption)
	p["log.dirs"] = d.one + "," + d.two
	return p
}

// where tells, by directory, what of a topic is in it, in words: "moved-0", or "moved-0 on its way".
func (d disks) where(t *testing.T, addr string) (in [2][]string) {
	t.Helper()
	all, err := kadm.NewClient(load.Client(t, addr)).DescribeAllLogDirs(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	all.Each(func(dir kadm.DescribedLogDir) {
		i := slices.Index([]string{d.one, d.two}, dir.Dir)
		if i < 0 || dir.Err != nil {
			t.Fatalf("directory %s: %v", dir.Dir, dir.Err)
		}
		dir.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic != "moved" {
				return
			}
			what := fmt.Sprintf("%s-%d", p.Topic, p.Partition)
			if p.IsFuture {
				what += " on its way"
			}
			in[i] = append(in[i], what)
		})
	})
	return in
}

// move has Apache's tool move the topic's partition to the directory in which it is not, and returns that one.
func (d disks) move(t *testing.T, addr, file string, options ...string) (to int) {
	t.Helper()
	if in := d.where(t, addr); len(in[0]) > 0 {
		to = 1
	}
	dir := []string{d.one, d.two}[to]
	plan := fmt.Sprintf(`{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[0],"log_dirs":[%q]}]}`, dir)
	if err := os.WriteFile(file, []byte(plan), 0o644); err != nil {
		t.Fatal(err)
	}
	out := reassign(t, addr, file, append([]string{"--execute"}, options...)...)
	if want := "Successfully started moving log directory to " + dir + " for replica moved-0 with broker 0"; !strings.Contains(out, want) {
		t.Fatalf("kafka-reassign-partitions does not say %q:\n%s", want, out)
	}
	return to
}

func reassign(t *testing.T, addr, file string, options ...string) string {
	t.Helper()
	out, err := apache.RunTool("", "reassign-partitions", append([]string{"--bootstrap-server", addr, "--reassignment-json-file", file}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitMoved waits until the partition is in a directory and in no other.
func (d disks) awaitMoved(t *testing.T, addr string, to int) {
	t.Helper()
	var want [2][]string
	want[to] = []string{"moved-0"}
	var got [2][]string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = d.where(t, addr); fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
	}
	t.Fatalf("directories have %q, want %q", got, want)
}

// Apache's tool moves a replica from one disk of a broker to the other, under load. A move that was interrupted goes on after a restart, also one
// of Apache's under gokafka and one of gokafka's under Apache.
func TestMoveBetweenDirectories(t *testing.T) {
	for _, name := range compat.Names() {
		t.Run(name, func(t *testing.T) { moveBetween(t, name) })
	}
}

func moveBetween(t *testing.T, name string) {
	root := compat.Dir(t, name+"-disks")
	d, file := newDisks(root), filepath.Join(root, "move.json")
	b := compat.Start(t, name, d.properties())
	create(t, b.Addr(), "moved", 1, "segment.bytes", "1048576")
	l := load.Start(t, b.Addr(), "moved")
	l.AwaitAcked(t, 50_000)
	to := d.move(t, b.Addr(), file)
	d.awaitMoved(t, b.Addr(), to)
	l.AwaitAcked(t, 5000)
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, b.Addr(), "moved"))
	if out := reassign(t, b.Addr(), file, "--verify"); !strings.Contains(out, "Reassignment of replica moved-0-0 completed successfully.") {
		t.Errorf("kafka-reassign-partitions --verify:\n%s", out)
	}
	compat.Restart(t, b)
	awaitLeader(t, b.Addr(), "moved")
	d.awaitMoved(t, b.Addr(), to)
	l.Verify(t, load.ReadAll(t, b.Addr(), "moved"))

	to = d.move(t, b.Addr(), file, "--replica-alter-log-dirs-throttle", "1000")
	for end := time.Now().Add(time.Minute); len(d.where(t, b.Addr())[to]) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no copy is under way")
		}
	}
	nodes := znodes(t, b.Addr())
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, next := range compat.Names() {
		t.Run("goes on under "+next, func(t *testing.T) { goesOn(t, next, d, nodes, to, l) })
	}
}

// goesOn starts a broker on copies of the disks in the middle of a move.
func goesOn(t *testing.T, name string, from disks, nodes map[string]string, to int, l *load.Load) {
	root := compat.Dir(t, name+"-next")
	d := newDisks(filepath.Join(root, "disks"))
	compat.CopyDir(t, from.one, d.one)
	compat.CopyDir(t, from.two, d.two)
	if in := futures(t, d); len(in) != 1 {
		t.Fatalf("there is no move to go on with: %q", in)
	}
	if err := os.Remove(filepath.Join(d.one, "metastore.db")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var addr string
	if name == "apache" {
		p := d.properties()
		p["offsets.topic.num.partitions"] = "3"
		a, err := apache.Start(apache.Options{Dir: root, Properties: p, Prepare: func(z *apache.ZooKeeper) error { return plant(z.Addr, nodes) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		addr = a.Addr()
	} else {
		g, err := gokafka.Start(gokafka.Options{Dir: root, Properties: d.properties()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		addr = g.Addr()
	}
	awaitLeader(t, addr, "moved")
	d.awaitMoved(t, addr, to)
	l.Verify(t, load.ReadAll(t, addr, "moved"))
}

// futures are the directories of replicas on their way.
func futures(t *testing.T, d disks) (all []string) {
	t.Helper()
	for _, dir := range []string{d.one, d.two} {
		some, err := filepath.Glob(filepath.Join(dir, "*-future"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}
