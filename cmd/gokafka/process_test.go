package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test's binary gokafka itself when it is asked to.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_GOKAFKA") != "" {
		if os.Getenv("IGNORE_HANGUP") != "" {
			signal.Ignore(syscall.SIGHUP)
		}
		main()
	}
	os.Exit(m.Run())
}

// broker is a gokafka that runs as a process of its own.
type broker struct {
	cmd   *exec.Cmd
	lines chan string // closed when it has ended
	mu    sync.Mutex
	said  bytes.Buffer
}

func start(t *testing.T, overrides ...string) *broker {
	t.Helper()
	b := &broker{cmd: exec.Command(os.Args[0]), lines: make(chan string, 1000)}
	for _, o := range overrides {
		b.cmd.Args = append(b.cmd.Args, "--override", o)
	}
	b.cmd.Env = append(os.Environ(), "RUN_GOKAFKA=1")
	stderr, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		for s := bufio.NewScanner(stderr); s.Scan(); {
			b.mu.Lock()
			fmt.Fprintln(&b.said, s.Text())
			b.mu.Unlock()
			b.lines <- s.Text()
		}
		close(b.lines)
	}()
	t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
	return b
}

func (b *broker) output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.String()
}

// await reads until a line has the text.
func (b *broker) await(t *testing.T, text string) {
	t.Helper()
	patience := time.After(time.Minute)
	for {
		select {
		case line, ok := <-b.lines:
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				t.Fatalf("ended without saying %q:\n%s", text, b.output())
			}
		case <-patience:
			t.Fatalf("does not say %q within a minute:\n%s", text, b.output())
		}
	}
}

// end waits for the process and returns its status.
func (b *broker) end(t *testing.T) int {
	t.Helper()
	for range b.lines {
	}
	if err := b.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return b.cmd.ProcessState.ExitCode()
}

func (b *broker) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

const anyPort = "listeners=PLAINTEXT://127.0.0.1:0"

// A start that fails says why in one line and ends with a status; what it had begun does not stand in the way of the next start.
func TestAStartThatFails(t *testing.T) {
	silent := listen(t)
	for _, c := range []struct {
		name     string
		override []string
		says     string
	}{
		{"port taken", []string{"listeners=PLAINTEXT://" + silent}, "address already in use"},
		{"address of another machine", []string{"listeners=PLAINTEXT://192.0.2.1:9092"}, "cannot assign requested address"},
		{"no protocol", []string{"listeners=FOO://127.0.0.1:0"}, "FOO"},
		{"no port", []string{"listeners=PLAINTEXT://127.0.0.1"}, "PLAINTEXT://127.0.0.1"},
		{"ZooKeeper that refuses", []string{anyPort, "zookeeper.connect=127.0.0.1:1", "zookeeper.connection.timeout.ms=300"}, "127.0.0.1:1"},
		{"ZooKeeper that is silent", []string{anyPort, "zookeeper.connect=" + silent, "zookeeper.connection.timeout.ms=300"}, silent},
		{"no number", []string{anyPort, "num.partitions=many"}, "num.partitions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dirs := "log.dirs=" + filepath.Join(t.TempDir(), "data")
			fails(t, start(t, append(c.override, dirs)...), c.says)
			good := start(t, anyPort, dirs)
			good.await(t, "gokafka answers")
			good.signal(t, syscall.SIGTERM)
			if status := good.end(t); status != 0 {
				t.Errorf("status %d of the next start:\n%s", status, good.output())
			}
		})
	}
}

// fails expects a status and one line of error.
func fails(t *testing.T, b *broker, says string) {
	t.Helper()
	status := b.end(t)
	var wrong []string
	for line := range strings.Lines(b.output()) {
		if !strings.Contains(line, `"level":"info"`) {
			wrong = append(wrong, line)
		}
	}
	if status != 1 || len(wrong) != 1 || !strings.Contains(wrong[0], says) {
		t.Errorf("status %d, want 1 and one line with %q:\n%s", status, says, b.output())
	}
}

// A directory that is in use, or another broker's, or none at all, is left as it is.
func TestADirectoryThatCannotBeHad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := start(t, anyPort, "log.dirs="+dir)
	first.await(t, "gokafka answers")
	fails(t, start(t, anyPort, "log.dirs="+dir), dir)
	first.signal(t, syscall.SIGTERM)
	if status := first.end(t); status != 0 {
		t.Errorf("status %d after another tried to use the directory:\n%s", status, first.output())
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	fails(t, start(t, anyPort, "log.dirs="+dir, "broker.id=77"), "77")
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Errorf("another broker took the marker of the clean stop: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, start(t, anyPort, "log.dirs="+file), file)
}

// Whoever sends a signal to a whole group of processes, and to each of them, means it once.
func TestASignalThatComesTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, anyPort, "log.dirs="+dir)
	b.await(t, "gokafka answers")
	b.signal(t, syscall.SIGTERM)
	b.await(t, "resigning")
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	status := b.end(t)
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil || status != 0 {
		t.Errorf("status %d, %v:\n%s", status, err, b.output())
	}
}

// A terminal that goes away stops the broker in order, unless it was started to outlive it.
func TestHangUp(t *testing.T) {
	stops := func(says string, signals ...os.Signal) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "data")
		b := start(t, anyPort, "log.dirs="+dir)
		b.await(t, "gokafka answers")
		for _, s := range signals {
			b.signal(t, s)
		}
		b.await(t, says)
		status := b.end(t)
		if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil || status != 0 {
			t.Errorf("status %d, %v:\n%s", status, err, b.output())
		}
	}
	if !signal.Ignored(syscall.SIGHUP) { // which the process would inherit
		stops("hangup signal received", syscall.SIGHUP)
	}
	t.Setenv("IGNORE_HANGUP", "1")
	stops("terminated signal received", syscall.SIGHUP, syscall.SIGTERM)
}

func TestHealth(t *testing.T) {
	b := start(t, anyPort, "log.dirs="+filepath.Join(t.TempDir(), "data"))
	b.await(t, "gokafka answers")
	_, rest, _ := strings.Cut(b.output(), `"listeners":["`)
	address, _, _ := strings.Cut(rest, `"`)
	ask := func(listeners string) (int, string) {
		var out, errs bytes.Buffer
		status := run([]string{"health", "--override", "listeners=" + listeners}, &out, &errs)
		return status, errs.String()
	}
	if status, said := ask(address); status != 0 || said != "" {
		t.Errorf("status %d of a broker that runs: %s", status, said)
	}
	b.signal(t, syscall.SIGTERM)
	b.end(t)
	if status, said := ask(address); status != 1 || strings.Count(said, "\n") != 1 {
		t.Errorf("status %d of a broker that is gone: %s", status, said)
	}
	if status, said := ask("PLAINTEXT://" + hangUp(t)); status != 1 || strings.Count(said, "\n") != 1 {
		t.Errorf("status %d of what is no broker: %s", status, said)
	}
}

// hangUp listens and closes every connection.
func hangUp(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}
