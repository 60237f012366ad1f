// Package process starts programs in process groups of their own and ends them by their id.
package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is a running program. Its output goes to a file.
type Process struct {
	cmd  *exec.Cmd
	out  string
	done chan struct{} // closed when the program has ended
	err  error         // how it ended, set before done is closed
}

// Start runs cmd in a new process group with its output appended to the file out, except what cmd.Stdout takes already.
func Start(cmd *exec.Cmd, out string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return nil, fmt.Errorf("create output directory: %w", err)
	}
	f, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	defer f.Close()
	if cmd.Stderr = f; cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &Process{cmd: cmd, out: out, done: make(chan struct{})}
	go func() { // ends with the program, and Stop and Kill wait for it
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Pause stops the whole group as SIGSTOP does. It goes on with Resume, and can be killed meanwhile.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume has a paused group go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// PID is the id of the process and of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is the path of the file that holds what the program printed.
func (p *Process) Output() string { return p.out }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop sends SIGTERM and waits. A program that outlives the patience is killed, which is an error.
func (p *Process) Stop(patience time.Duration) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		var exit *exec.ExitError
		if p.err != nil && !(errors.As(p.err, &exit) && (exit.ExitCode() == 143 || !exit.Exited())) {
			return fmt.Errorf("stop: %w (see %s)", p.err, p.out) // 143 is how a JVM reports that SIGTERM ended it
		}
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("process %d did not stop within %v (see %s)", p.PID(), patience, p.out)
	}
}

// Kill ends the whole group with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.done: // the id may belong to somebody else by now
	default:
		_ = syscall.Kill(-p.PID(), s) // fails only when it has just ended
	}
}

// Await calls ready until it returns nil, the program ends, or patience runs out.
func (p *Process) Await(patience time.Duration, ready func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended before it was ready: %v (see %s)\n%s", p.err, p.out, Tail(p.out, 2000))
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready within %v: %w (see %s)\n%s", patience, err, p.out, Tail(p.out, 2000))
		}
	}
}

// Tail is the end of a file, for messages about a program that failed.
func Tail(path string, size int64) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, int64(len(b))-size):])
}

// FreePort finds a port that nobody listens on. It stays below the range that the kernel hands out to outgoing connections,
// so that a broker can come back to its port after a restart.
func FreePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port found")
}

// FreeAddr is a free port with loopback's address before it.
func FreeAddr() (string, error) {
	port, err := FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
