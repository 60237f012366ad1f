package compat

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
)

// Broker is one broker under test, whichever it is.
type Broker interface {
	Name() string   // "gokafka" or "apache"
	Addr() string   // host:port, the same after a restart
	Dir() string    // the log directory
	Output() string // the file with what it printed
	PID() int
	Stop() error  // SIGTERM
	Kill()        // SIGKILL
	Start() error // again, after Stop or Kill
	Close()       // ends it and all that was started for it
}

// properties are what both brokers get in tests, beside the test's own: groups form at once, and one broker is enough for the
// internal topics.
func properties(own map[string]string) map[string]string {
	p := map[string]string{
		"group.initial.rebalance.delay.ms":         "0",
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
	}
	for k, v := range own {
		p[k] = v
	}
	return p
}

// Start starts the broker of that name for the length of a test. When the test fails, the broker's output is kept and named.
func Start(t testing.TB, name string, own map[string]string) Broker {
	t.Helper()
	dir := Dir(t, name)
	var b Broker
	var err error
	if name == "apache" {
		b, err = apache.Start(apache.Options{Dir: dir, Properties: properties(own)})
	} else {
		b, err = gokafka.Start(gokafka.Options{Dir: dir, Properties: properties(own)})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if g, ok := b.(*gokafka.Broker); ok {
		t.Cleanup(func() {
			if err := g.Healthy(); err != nil {
				t.Error(err)
			}
		})
	}
	return b
}

// Dir makes a directory for a broker, removed at the end of the test unless it failed.
func Dir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "compat-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s was kept in %s", name, dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

// Names are the brokers to run cases against: both, or what $COMPAT_BROKERS says.
func Names() []string {
	if s := os.Getenv("COMPAT_BROKERS"); s != "" {
		return strings.Split(s, ",")
	}
	return []string{"apache", "gokafka"}
}

var full = flag.Bool("full", os.Getenv("COMPAT_FULL") != "", "run the long cases as well")

// Full says that the long cases are wanted as well: the flag -full, or $COMPAT_FULL.
func Full() bool { return *full }

// Rounds is how often a case is gone through: once, or full times in the long run.
func Rounds(full int) int {
	if Full() {
		return full
	}
	return 1
}

// Each runs a case against each broker, a fresh one per case.
func Each(t *testing.T, own map[string]string, run func(t *testing.T, b Broker)) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) { run(t, Start(t, name, own)) })
	}
}

// Restart stops a broker cleanly and starts it again.
func Restart(t testing.TB, b Broker) {
	t.Helper()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
}

// CopyDir copies a stopped broker's log directory.
func CopyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
