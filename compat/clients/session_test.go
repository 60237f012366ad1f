package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// read is one record as a driver printed it.
type read struct {
	partition int32
	offset    int64
	value     string
}

func parse(t *testing.T, line string) (r read) {
	if _, err := fmt.Sscanf(line, "record %d %d %s", &r.partition, &r.offset, &r.value); err != nil {
		t.Errorf("driver printed %q: %v", line, err)
	}
	return r
}

// drive runs a command of a client to its end and returns what it printed.
func drive(t *testing.T, c Client, args ...string) string {
	t.Helper()
	cmd, err := c.Command(args...)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // what a driver that was killed has started may live on, and hold its streams
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", c.Name, strings.Join(args, " "), err, tail(stdout.String()), tail(stderr.String()))
	}
	out, done := strings.CutSuffix(stdout.String(), "done\n")
	if !done {
		t.Fatalf("%s %s did not finish:\n%s", c.Name, args[0], tail(stdout.String()))
	}
	return out
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// member is a running group command.
type member struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer
	ended  chan error

	mu      sync.Mutex
	changed *sync.Cond
	held    []int32
	joined  bool
	records []read
}

func join(t *testing.T, c Client, name, addr, topic, group string) *member {
	t.Helper()
	cmd, err := c.Command("group", addr, topic, group)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t: t, name: c.Name + " " + name, cmd: cmd, ended: make(chan error, 1)}
	m.changed = sync.NewCond(&m.mu)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.stdin, cmd.Stderr = stdin, &m.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the driver, which leave and the cleanup wait for
		m.follow(stdout)
		m.ended <- cmd.Wait()
		close(m.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-m.ended
	})
	return m
}

func (m *member) follow(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		line := lines.Text()
		m.mu.Lock()
		switch {
		case strings.HasPrefix(line, "assigned"):
			m.held, m.joined = numbers(line), true
		case strings.HasPrefix(line, "record"):
			m.records = append(m.records, parse(m.t, line))
		}
		m.changed.Broadcast()
		m.mu.Unlock()
	}
}

func numbers(line string) (out []int32) {
	for _, w := range strings.Fields(line)[1:] {
		var n int32
		if _, err := fmt.Sscan(w, &n); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// await waits until cond, called with what the member holds and has read, is true.
func (m *member) await(what string, cond func(held []int32, records []read) bool) {
	m.t.Helper()
	timer := time.AfterFunc(90*time.Second, m.changed.Broadcast)
	defer timer.Stop()
	end := time.Now().Add(90 * time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	for !cond(m.held, m.records) {
		if time.Now().After(end) {
			m.t.Fatalf("%s: %s: holds %v, has read %d\n%s", m.name, what, m.held, len(m.records), tail(m.stderr.String()))
		}
		m.changed.Wait()
	}
}

// holding is what the member was assigned last.
func (m *member) holding() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.held)
}

// values are the distinct values that the member has read.
func (m *member) values(into map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		into[r.value] = true
	}
}

// take returns what the member has read since the last call.
func (m *member) take() []read {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := m.records
	m.records = nil
	return records
}

// leave closes stdin and waits for the driver to end well.
func (m *member) leave() {
	m.t.Helper()
	m.stdin.Close()
	select {
	case err := <-m.ended:
		if err != nil {
			m.t.Errorf("%s: %v\n%s", m.name, err, tail(m.stderr.String()))
		}
	case <-time.After(60 * time.Second):
		m.t.Errorf("%s does not leave", m.name)
	}
}
