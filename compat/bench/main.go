// Bench measures gokafka beside Apache Kafka, both in the same run: Apache's own performance tools are the clients, the brokers
// take turns, and what is written down is the median of the rounds and the ratio of the two.
//
//	go run ./bench [-rounds 5] [-size 2048] [-only REGEXP] [-out ../docs/benchmarks.md]
//	go run ./bench -cluster [-partitions 1000] [...] measures clusters of three, and writes ../docs/benchmarks-cluster.md
//
// The machine must have nothing else to do. With the defaults it takes about an hour on two cores.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
)

// broker is what is measured: one of the two.
type broker interface {
	Name() string
	Addr() string
	PID() int
	Startup() time.Duration
	Start() error
	Stop() error
	Close()
}

// settings of a run.
type settings struct {
	rounds int
	size   int64 // payload bytes of one run of a producer or consumer
	only   *regexp.Regexp
	dir    string // where the brokers keep their data
	// partitions of the topic whose leader is killed; that whose controller is killed has five times as many.
	partitions int32
}

// both are the names of the brokers, Apache first: it is what the other is compared with.
var both = []string{"apache", "gokafka"}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "measured runs of each scenario and broker, after one to warm up")
	size := flag.Int64("size", 2048, "payload of one run in MiB")
	only := flag.String("only", ".", "run the scenarios whose names match this expression")
	out := flag.String("out", "", "where to write the table")
	cluster := flag.Bool("cluster", false, "measure clusters of three brokers")
	partitions := flag.Int("partitions", 1000, "partitions whose leader is killed, with -cluster")
	flag.Parse()
	if flag.Arg(0) == floorArgument {
		if err := runFloor(flag.Arg(1)); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	if flag.Arg(0) == copierArgument {
		if err := runCopier(flag.Arg(1), flag.Arg(2)); err != nil {
			fmt.Fprintln(os.Stderr, "copier:", err)
			os.Exit(1)
		}
		return
	}
	s.size, s.partitions = *size<<20, int32(*partitions)
	if err := run(s, *only, *out, *cluster); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(s settings, only, out string, cluster bool) error {
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("read -only: %w", err)
	}
	if s.dir, err = os.MkdirTemp("", "gokafka-bench-"); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer os.RemoveAll(s.dir)
	if cluster {
		return runCluster(s, cmp.Or(out, "../docs/benchmarks-cluster.md"))
	}
	return runAlone(s, cmp.Or(out, "../docs/benchmarks.md"))
}

func runAlone(s settings, out string) error {
	var t table
	began := time.Now()
	err := runParts(s, &t, floor, throughput, transactions, starts, partitions, connections)
	return errors.Join(err, t.write(out, s, time.Since(began)))
}

func runCluster(s settings, out string) error {
	var t clusterTable
	began := time.Now()
	err := runParts(s, &t, clusterThroughput, clusterLatency, clusterMany, clusterTransactions, leaderKilled, controllerKilled, leaderStopped)
	return errors.Join(err, t.write(out, s, time.Since(began)))
}

// runParts runs the parts of a run. One that fails, perhaps since a broker does not do what is measured, does not take the others' figures
// along.
func runParts[T any](s settings, t *T, parts ...func(settings, *T) error) (err error) {
	for _, part := range parts {
		if one := part(s, t); one != nil {
			progress("%v", one)
			err = errors.Join(err, one)
		}
	}
	return err
}

// start starts a broker of its own for one part of the run, with what it needs set the same for both.
func (s settings) start(name, part string, properties map[string]string) (broker, error) {
	p := map[string]string{"offsets.topic.replication.factor": "1", "group.initial.rebalance.delay.ms": "0"}
	for k, v := range properties {
		p[k] = v
	}
	dir := filepath.Join(s.dir, part+"-"+name)
	if name == "apache" {
		return apache.Start(apache.Options{Dir: dir, Properties: p, Measured: true})
	}
	return gokafka.Start(gokafka.Options{Dir: dir, Properties: p})
}

// startBoth starts the two brokers of a part. close ends them.
func (s settings) startBoth(part string, properties map[string]string) (brokers []broker, closeAll func(), err error) {
	closeAll = func() {
		for _, b := range brokers {
			b.Close()
			os.RemoveAll(filepath.Join(s.dir, part+"-"+b.Name()))
		}
	}
	for _, name := range both {
		b, err := s.start(name, part, properties)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("start %s: %w", name, err)
		}
		brokers = append(brokers, b)
	}
	return brokers, closeAll, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
