// Package gokafka builds the broker's binary once and runs it.
package gokafka

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gokafka/compat/cache"
	"gokafka/compat/conn"
	"gokafka/compat/process"
)

// Build returns the path of the binary: $GOKAFKA_BIN, or one built from the module beside this one.
var Build = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("GOKAFKA_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	here, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the source: %w", err)
	}
	root, err := cache.Root()
	if err != nil {
		return "", err
	}
	source := filepath.Dir(strings.TrimSpace(string(here))) // the module that this one stands in
	bin := filepath.Join(root, "bin", "gokafka-"+cache.Key(source))
	fresh := fmt.Sprintf("%s.%d", bin, os.Getpid()) // renamed when complete: other test packages may be running the former one
	cmd := exec.Command("go", "build", "-trimpath", "-o", fresh, "./cmd/gokafka")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gokafka: %w\n%s", err, out)
	}
	return bin, os.Rename(fresh, bin)
})

// Options says how a broker is started.
type Options struct {
	Dir        string            // where data, settings and output go
	Addr       string            // host:port to listen at; by default a free port of loopback
	Properties map[string]string // settings beside listeners and log.dirs
	Env        []string          // beside the environment of this process
}

// Broker is a running gokafka.
type Broker struct {
	options Options
	addr    string
	bin     string
	process *process.Process
	startup time.Duration
}

// Start builds the binary if that was not done yet, starts it and returns when it answers.
func Start(o Options) (*Broker, error) {
	b, err := New(o)
	if err != nil {
		return nil, err
	}
	return b, b.Start()
}

// New prepares a broker without starting it.
func New(o Options) (*Broker, error) {
	bin, err := Build()
	if err != nil {
		return nil, err
	}
	b := &Broker{options: o, bin: bin, addr: o.Addr}
	if b.addr == "" {
		if b.addr, err = process.FreeAddr(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create directory: %w", err)
	}
	if err := os.WriteFile(b.settingsFile(), []byte(b.settings()), 0o644); err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	return b, nil
}

func (b *Broker) settingsFile() string { return filepath.Join(b.options.Dir, "server.properties") }

func (b *Broker) settings() string {
	p := map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://" + b.addr, "log.dirs": b.Dir()}
	maps.Copy(p, b.options.Properties)
	var s strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&s, "%s=%s\n", k, p[k])
	}
	return s.String()
}

// Start starts the broker again after Stop or Kill, on the same port and data.
func (b *Broker) Start() error {
	cmd := exec.Command(b.bin, b.settingsFile())
	cmd.Env = append(os.Environ(), b.options.Env...)
	began := time.Now()
	p, err := process.Start(cmd, b.Output())
	if err != nil {
		return err
	}
	b.process = p
	if err := p.Await(60*time.Second, func() error { return conn.Ready(b.addr) }); err != nil {
		p.Kill()
		return fmt.Errorf("start gokafka: %w", err)
	}
	b.startup = time.Since(began)
	return nil
}

// Name is "gokafka".
func (b *Broker) Name() string { return "gokafka" }

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

// Stop ends the broker cleanly. A broker that had ended before, or that printed a panic or a race, is an error.
func (b *Broker) Stop() error {
	select {
	case <-b.process.Done():
		return fmt.Errorf("gokafka had ended on its own (see %s)\n%s", b.Output(), process.Tail(b.Output(), 4000))
	default:
	}
	if err := b.process.Stop(30 * time.Second); err != nil {
		return err
	}
	return b.Healthy()
}

// Healthy reads the broker's output and returns an error if it holds the trace of a panic or a data race.
func (b *Broker) Healthy() error {
	out, err := os.ReadFile(b.Output())
	if err != nil {
		return fmt.Errorf("read output: %w", err)
	}
	for _, sign := range []string{"panic", "DATA RACE", "fatal error:"} {
		if i := strings.Index(string(out), sign); i >= 0 {
			return errors.New("gokafka printed: " + string(out[max(0, i-200):min(len(out), i+2000)]))
		}
	}
	return nil
}

// Pause stops the broker as SIGSTOP does, until Resume.
func (b *Broker) Pause() { b.process.Pause() }

// Resume has a paused broker go on.
func (b *Broker) Resume() { b.process.Resume() }

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() { b.process.Kill() }

// Close ends the broker, if it is still there.
func (b *Broker) Close() { b.process.Kill() }
