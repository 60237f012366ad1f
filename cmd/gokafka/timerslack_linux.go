package main

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much the kernel may delay a timer in order to wake the processor once for several. Go's runtime has a monitor
// that sleeps 20 µs at a time while a broker has work, and 10 ms when it found nothing to do for a while. With the kernel's usual slack of
// 50 µs those sleeps were half of all context switches of a cluster under load, and a fifth of its processor time; commits took a
// quarter longer (docs/benchmarks-cluster.md). What the slack delays is that the monitor takes a processor away from a system call that lasts,
// which parallel syncs to disk did not show. No timer of a broker needs to be finer.
const timerSlack = 4 * time.Millisecond

// startedAnew is set in the environment of a process that was started in its own place. It is so once only, whatever became of the slack:
// kernels ignore it for real-time tasks, and sandboxes need not keep it.
const startedAnew = "GOKAFKA_STARTED_ANEW"

// coalesceTimers sets the slack. A thread has it from the thread that started it, and the monitor runs before main does, so the
// program is started once more in its place; the slack outlives that (prctl(2)). Without it the broker works as well, only dearer.
func coalesceTimers() {
	if os.Getenv(startedAnew) != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack >= int(timerSlack) {
		return
	}
	program, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) != nil {
		return
	}
	_ = unix.Exec(program, os.Args, append(os.Environ(), startedAnew+"=1")) // returns only when it could not
}
