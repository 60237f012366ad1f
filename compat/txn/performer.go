package txn

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gokafka/compat/process"
)

// actor is a running performer: it is told what to do, line by line, and answers each line with one.
type actor struct {
	name    string
	stdin   io.WriteCloser
	answers chan string // closed when the program has ended
	stderr  string      // a file
}

// engage starts a performer for the length of a test.
func engage(t *testing.T, p Performer, addrs, dir string) *actor {
	t.Helper()
	cmd, err := p.command(addrs)
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{name: p.Name, answers: make(chan string), stderr: filepath.Join(dir, p.Name)}
	if err := a.start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails when it has ended
		for range a.answers {
		}
		if t.Failed() {
			t.Logf("%s ended its output with:\n%s", a.name, process.Tail(a.stderr, 2000))
		}
	})
	return a
}

func (a *actor) start(cmd *exec.Cmd) error {
	stderr, err := os.Create(a.stderr)
	if err != nil {
		return fmt.Errorf("create output: %w", err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return err
	}
	a.stdin = stdin
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", a.name, err)
	}
	go func() { // ends with the program; the cleanup reads answers to their end
		defer close(a.answers)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			a.answers <- lines.Text()
		}
		_ = cmd.Wait() // it is killed, or what is wrong with it is seen by the answer that does not come
	}()
	return nil
}

// tell gives the program one line to do and returns its answer.
func (a *actor) tell(line string) (string, error) {
	if _, err := fmt.Fprintln(a.stdin, line); err != nil {
		return "", fmt.Errorf("tell %s: %w", a.name, err)
	}
	select {
	case answer, ok := <-a.answers:
		if !ok {
			return "", fmt.Errorf("%s ended instead of doing %q", a.name, line)
		}
		return strings.TrimSpace(answer), nil
	case <-time.After(100 * time.Second): // the programs give up after a minute
		return "", fmt.Errorf("%s does not answer %q", a.name, line)
	}
}
