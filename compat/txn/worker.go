package txn

import (
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"gokafka/compat/process"
)

// worker keeps a program running: whenever it ends, killed or because its client gave up, it is started again.
type worker struct {
	name    string
	command func() (*exec.Cmd, error)
	output  string
	done    chan struct{}

	mu      sync.Mutex
	process *process.Process
	stopped bool
	starts  int
	failed  error // the program could not be started, and is not tried again
}

// pause between two starts, so that a client that gives up at once does not take the machine for itself.
const pause = 200 * time.Millisecond

// work starts a worker, which ends with the test at the latest.
func work(t *testing.T, name, output string, command func() (*exec.Cmd, error)) *worker {
	t.Helper()
	w := &worker{name: name, command: command, output: output, done: make(chan struct{})}
	go w.run() // ends when stop was called, which the cleanup does
	t.Cleanup(func() {
		w.stop(t)
		if t.Failed() {
			t.Logf("%s, started %d times, ended its output with:\n%s", name, w.starts, process.Tail(output, 2000))
		}
	})
	return w
}

func (w *worker) run() {
	defer close(w.done)
	for w.begin() {
		<-w.process.Done()
		time.Sleep(pause)
	}
}

func (w *worker) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	cmd, err := w.command()
	if err == nil {
		w.starts++
		w.process, err = process.Start(cmd, w.output)
	}
	w.failed = err
	return err == nil
}

// kill ends the program with SIGKILL; it will be started again.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process != nil {
		w.process.Kill()
	}
}

// stop ends the program in order and for good.
func (w *worker) stop(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	first := !w.stopped
	w.stopped = true
	if first && w.process != nil {
		if err := w.process.Stop(30 * time.Second); err != nil {
			t.Logf("%s: %v", w.name, err) // not all clients end well when their broker is away; what they wrote is what counts
		}
	}
	w.mu.Unlock()
	<-w.done
}

// broken is why the program does not run at all.
func (w *worker) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return fmt.Errorf("start %s: %w", w.name, w.failed)
	}
	return nil
}
