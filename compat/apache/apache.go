// Package apache installs Apache Kafka and runs it: ZooKeeper, one broker, and the command-line tools.
package apache

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gokafka/compat/conn"
	"gokafka/compat/process"
)

// Options says how a broker is started.
type Options struct {
	Dir        string                    // where data, settings and output go
	Addr       string                    // host:port to listen at; by default a free port of loopback
	ZooKeeper  string                    // the connect string of a ZooKeeper that runs already; by default the broker gets its own
	Version    string                    // the release; by default Version
	Properties map[string]string         // settings beside the few that make a broker run alone
	Measured   bool                      // run the JVM with the flags of Apache's scripts instead of those that start fast
	Heap       string                    // the JVM's -Xmx; by default Apache's own 1G when measured, else 512M
	Prepare    func(zk *ZooKeeper) error // runs after ZooKeeper is up and before the broker is
}

// Broker is a running Apache broker.
type Broker struct {
	ZooKeeper *ZooKeeper // its own; nil if it was given one
	options   Options
	addr      string
	process   *process.Process
	startup   time.Duration
}

// Start installs what is missing, starts ZooKeeper and the broker, and returns when the broker answers.
func Start(o Options) (*Broker, error) {
	b := &Broker{options: o}
	if o.ZooKeeper == "" {
		zk, err := StartZooKeeper(filepath.Join(o.Dir, "zookeeper"))
		if err != nil {
			return nil, err
		}
		b.ZooKeeper, b.options.ZooKeeper = zk, zk.Addr
	}
	if err := b.begin(); err != nil {
		b.stopZooKeeper()
		return nil, err
	}
	return b, nil
}

func (b *Broker) stopZooKeeper() {
	if b.ZooKeeper != nil {
		b.ZooKeeper.Stop()
	}
}

func (b *Broker) begin() error {
	if b.options.Prepare != nil {
		if err := b.options.Prepare(b.ZooKeeper); err != nil {
			return fmt.Errorf("prepare ZooKeeper: %w", err)
		}
	}
	if b.addr = b.options.Addr; b.addr == "" {
		port, err := process.FreePort()
		if err != nil {
			return err
		}
		b.addr = fmt.Sprintf("127.0.0.1:%d", port)
	}
	if err := os.MkdirAll(b.options.Dir, 0o755); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := os.WriteFile(b.settingsFile(), []byte(b.settings()), 0o644); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return b.Start()
}

func (b *Broker) settingsFile() string { return filepath.Join(b.options.Dir, "server.properties") }

func (b *Broker) settings() string {
	p := map[string]string{
		"broker.id":                        "0",
		"listeners":                        "PLAINTEXT://" + b.addr,
		"log.dirs":                         b.Dir(),
		"zookeeper.connect":                b.options.ZooKeeper,
		"offsets.topic.replication.factor": "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"zookeeper.session.timeout.ms":             fmt.Sprint(session.Milliseconds()),
	}
	maps.Copy(p, b.options.Properties)
	var s strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&s, "%s=%s\n", k, p[k])
	}
	return s.String()
}

func (b *Broker) flags() []string {
	if b.options.Measured {
		heap := or(b.options.Heap, "1G")
		return []string{"-Xmx" + heap, "-Xms" + heap, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
			"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"}
	}
	return []string{"-Xmx" + or(b.options.Heap, "512M"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Start starts the broker again after Stop or Kill, on the same port and data.
func (b *Broker) Start() error {
	cmd, err := java(or(b.options.Version, Version), "broker", b.flags(), "kafka.Kafka", b.settingsFile())
	if err != nil {
		return err
	}
	began := time.Now()
	if b.process, err = process.Start(cmd, b.Output()); err != nil {
		return err
	}
	if err := b.process.Await(120*time.Second, func() error { return conn.Ready(b.addr) }); err != nil {
		b.process.Kill()
		return fmt.Errorf("start Apache broker: %w", err)
	}
	b.startup = time.Since(began)
	return nil
}

// Name is "apache".
func (b *Broker) Name() string { return "apache" }

// Addr is host and port.
func (b *Broker) Addr() string { return b.addr }

// Dir is the log directory.
func (b *Broker) Dir() string { return filepath.Join(b.options.Dir, "data") }

// Output is the file with everything that the broker printed.
func (b *Broker) Output() string { return filepath.Join(b.options.Dir, "broker.out") }

// Startup is the time from the last exec to the first answered request.
func (b *Broker) Startup() time.Duration { return b.startup }

// PID is the id of the broker's process.
func (b *Broker) PID() int { return b.process.PID() }

// Stop ends the broker cleanly; ZooKeeper goes on.
func (b *Broker) Stop() error { return b.process.Stop(60 * time.Second) }

// session is how long ZooKeeper remembers a broker that was killed. Until then the broker cannot come back.
const session = 6 * time.Second

// Kill ends the broker at once. If ZooKeeper is its own, it returns when that has forgotten the session.
func (b *Broker) Kill() {
	b.process.Kill()
	if b.ZooKeeper != nil {
		time.Sleep(session + 2*time.Second)
	}
}

// Close ends the broker, and ZooKeeper if it is its own.
func (b *Broker) Close() {
	b.process.Kill()
	b.stopZooKeeper()
}
