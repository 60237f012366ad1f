package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

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

// A process that is started in its own place is the same to whoever started it: by its number, its name and its arguments.
func TestTimersAreCoalesced(t *testing.T) {
	cmd := exec.Command(os.Args[0], "one", "two words")
	cmd.Env = append(os.Environ(), describeProcess+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d %q %q %d", cmd.Process.Pid, name, cmd.Args[1:], timerSlack.Nanoseconds()); string(out) != want {
		t.Errorf("the process is %s, want %s", out, want)
	}
}
