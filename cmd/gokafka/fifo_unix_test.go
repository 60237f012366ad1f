//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Signals end a broker that does not come to an end of its start: the first is heard, a later one ends the process where it is.
func TestSignalsWhileTheStartHangs(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "jaas")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, anyPort, "zookeeper.connect=127.0.0.1:1", "gokafka.jaas.file="+pipe)
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the broker, which then waits for what is never written
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.signal(t, syscall.SIGTERM)
	b.await(t, "told to stop")
	ended := make(chan struct{})
	go func() { // ends with the process
		for range b.lines {
		}
		close(ended)
	}()
	for patience := time.After(time.Minute); ; {
		select {
		case <-ended:
			if b.end(t) != -1 {
				t.Errorf("ended otherwise than by the signal:\n%s", b.output())
			}
			return
		case <-time.After(50 * time.Millisecond):
			_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		case <-patience:
			t.Fatalf("no signal ends it within a minute:\n%s", b.output())
		}
	}
}
