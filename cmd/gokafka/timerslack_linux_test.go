package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const describeProcess = "DESCRIBE_PROCESS"

// init makes this test's binary say what it is once its timers are coalesced, when it is asked to.
func init() {
	if os.Getenv(describeProcess) == "" {
		return
	}
	coalesceTimers()
	slack := make(chan int)
	go func() { // on a thread that the runtime has started, or on the first: both have the slack
		n, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		slack <- n
	}()
	name, _ := os.ReadFile("/proc/self/comm")
	fmt.Printf("%d %q %q %d", os.Getpid(), name, os.Args[1:], <-slack)
	os.Exit(0)
}

// A process that is started in its own place is the same to whoever started it: by its number, its name and its arguments. It is not
// started again, whatever its slack is.
func TestTimersAreCoalesced(t *testing.T) {
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for environment, slack := range map[string]int{startedAnew + "=": int(timerSlack), startedAnew + "=1": own} {
		cmd := exec.Command(os.Args[0], "one", "two words")
		cmd.Env = append(os.Environ(), describeProcess+"=1", environment)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d %q %q %d", cmd.Process.Pid, name, cmd.Args[1:], slack); string(out) != want {
			t.Errorf("%s: the process is %s, want %s", environment, out, want)
		}
	}
}

// The configuration is read once: it may come from a pipe.
func TestConfigurationFromAPipe(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "/dev/stdin")
	cmd.Env = append(os.Environ(), "RUN_GOKAFKA=1", startedAnew+"=", "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader("listeners=PLAINTEXT://127.0.0.1:0\nlog.dirs=/dev/null/nowhere\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "/dev/null") {
		t.Errorf("%v, it said %q", err, out)
	}
}
