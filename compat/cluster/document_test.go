package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/process"
)

// What docs/cluster.md tells people to type works, word for word but for ports and directories; ZooKeeper is there already.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	z, err := apache.StartZooKeeper(compat.Dir(t, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Stop)
	dir := compat.Dir(t, "document")
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	// Three ports that differ in the last digit, as those in the document do.
	commands := strings.NewReplacer("127.0.0.1:2181", z.Addr, "/tmp/", dir+"/", "909", fmt.Sprint(port/10)).Replace(typed(string(text)))
	out := bash(t, dir, commands)
	for _, want := range []string{"Created topic orders.", "Isr: 2,3", "first\n", "second\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

// typed are the commands of a document: its indented lines, without those that install ZooKeeper.
func typed(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(command, "apt-get") {
			lines = append(lines, command)
		}
	}
	return strings.Join(lines, "")
}

// bash runs commands that find gokafka and Apache's tools by their names. All that they have started ends with them.
func bash(t *testing.T, dir, commands string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", commands+"\nwait\n")
	cmd.Env = append(os.Environ(), "PATH="+programs(t, dir)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the brokers, if they are still there
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// programs makes a directory with the programs of the document.
func programs(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	broker, err := gokafka.Build()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(broker, filepath.Join(bin, "gokafka")); err != nil {
		t.Fatal(err)
	}
	tool, err := apache.Tool("topics")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec '" + strings.Join(append([]string{tool.Path}, tool.Args[1:]...), "' '") + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "kafka-topics.sh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}
