package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/load"
	"gokafka/compat/process"
)

// tool runs one of Apache's tools against the cluster and returns what it printed. ADDR and DIR in the line stand for the brokers' addresses
// and the test's directory.
func (c *Cluster) tool(dir, line string) (string, error) {
	args := strings.Fields(strings.NewReplacer("ADDR", c.Addrs(), "DIR", dir).Replace(line))
	return apache.RunTool("", args[0], args[1:]...)
}

// prints runs a tool that must succeed, and prints all that is wanted.
func (c *Cluster) prints(dir, line string, want ...string) {
	c.t.Helper()
	out, err := c.tool(dir, line)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("%s: want %q in\n%s", line, w, out)
		}
	}
}

// An operator's day with Apache's own tools: a broker is down and comes back, leaders are elected, replicas are moved and compared.
func TestOperatorsTools(t *testing.T) {
	c := Start(t, 3, nil)
	dir := t.TempDir()
	c.prints(dir, "topics --bootstrap-server ADDR --create --topic orders --replica-assignment 1:2:3,2:3:1,3:1:2 --config min.insync.replicas=2", "Created topic orders.")
	c.AwaitInSync("orders")
	l := load.StartPaced(t, c.Addrs(), "orders", time.Millisecond)
	l.AwaitAcked(t, 500)

	c.prints(dir, "topics --bootstrap-server ADDR --describe --topic orders", "PartitionCount: 3\tReplicationFactor: 3\tConfigs: min.insync.replicas=2",
		"Partition: 0\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,2,3", "Partition: 2\tLeader: 3\tReplicas: 3,1,2\tIsr: 3,1,2")
	c.nothing(dir, "topics --bootstrap-server ADDR --describe --under-replicated-partitions")
	if err := c.Brokers[3].Stop(); err != nil {
		t.Fatal(err)
	}
	c.awaitOtherLeader("orders", 3)
	c.prints(dir, "topics --bootstrap-server ADDR --describe --under-replicated-partitions", "Partition: 0\t", "Partition: 1\t", "Partition: 2\tLeader: 1\tReplicas: 3,1,2\tIsr: 1,2")
	c.prints(dir, "topics --bootstrap-server ADDR --describe --at-min-isr-partitions --topic orders", "Partition: 2\t")
	c.nothing(dir, "topics --bootstrap-server ADDR --describe --unavailable-partitions")
	if err := c.Brokers[3].Start(); err != nil {
		t.Fatal(err)
	}
	c.AwaitInSync("orders")
	c.prints(dir, "leader-election --bootstrap-server ADDR --election-type preferred --all-topic-partitions",
		"Successfully completed leader election (PREFERRED) for partitions orders-2")
	c.prints(dir, "leader-election --bootstrap-server ADDR --election-type unclean --topic orders --partition 0", "Valid replica already elected for partitions orders-0")
	c.fails(dir, "metadata-quorum --bootstrap-server ADDR describe --status", "UnsupportedVersionException")
	c.kcatLists()
	l.Finish(t)
	c.verifiedReplicas()
	l.Verify(t, load.ReadAll(t, c.Addrs(), "orders"))
	c.Stop()
}

// nothing runs a tool that must have nothing to say.
func (c *Cluster) nothing(dir, line string) {
	c.t.Helper()
	if out, err := c.tool(dir, line); err != nil || strings.TrimSpace(out) != "" {
		c.t.Errorf("%s: %v\n%s", line, err, out)
	}
}

// fails runs a tool that must fail and say why.
func (c *Cluster) fails(dir, line, why string) {
	c.t.Helper()
	if out, err := c.tool(dir, line); err == nil || !strings.Contains(err.Error(), why) {
		c.t.Errorf("%s: %v, want %q\n%s", line, err, why, out)
	}
}

// kcatLists has librdkafka's kcat tell of all brokers and partitions.
func (c *Cluster) kcatLists() {
	c.t.Helper()
	out, err := exec.Command("kcat", "-b", c.Addrs(), "-L", "-t", "orders").CombinedOutput()
	if err != nil {
		c.t.Fatalf("kcat -L: %v\n%s", err, out)
	}
	for _, want := range []string{" 3 brokers:", "partition 0, leader 1, replicas: 1,2,3, isrs: ", fmt.Sprintf("broker 2 at %s", c.Brokers[2].Addr()), "(controller)"} {
		if !strings.Contains(string(out), want) {
			c.t.Errorf("kcat -L: want %q in\n%s", want, out)
		}
	}
}

// verifiedReplicas has Apache's tool fetch from all replicas and compare checksums. It goes on for ever, so it is stopped after its first
// report.
func (c *Cluster) verifiedReplicas() {
	c.t.Helper()
	cmd, err := apache.Tool("replica-verification", "--broker-list", c.Addrs(), "--topics-include", "orders", "--time", "-2", "--report-interval-ms", "500")
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := process.Start(cmd, filepath.Join(compat.Dir(c.t, "verification"), "out"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer p.Kill()
	var out string
	c.await("report of replica-verification", func(context.Context) error {
		b, err := os.ReadFile(p.Output())
		if out = string(b); err == nil && !strings.Contains(out, "max lag is 0 for partition orders-") {
			err = fmt.Errorf("it printed %s", out)
		}
		return err
	})
	if strings.Contains(out, "checksum") || strings.Contains(out, "doesn't match") {
		c.t.Errorf("replica-verification:\n%s", out)
	}
}

// Replicas are moved under load, at full speed and throttled. Afterwards nothing is left of the throttle.
func TestReassignmentTool(t *testing.T) {
	c := Start(t, 4, nil)
	dir := t.TempDir()
	c.prints(dir, "topics --bootstrap-server ADDR --create --topic orders --replica-assignment 1:2:3,2:3:1 --config min.insync.replicas=2", "Created topic orders.")
	c.AwaitInSync("orders")
	l := load.StartPaced(t, c.Addrs(), "orders", time.Millisecond)
	l.AwaitAcked(t, 500)
	for i, step := range []struct{ plan, options string }{
		{`{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[4,2,3]},{"topic":"orders","partition":1,"replicas":[4,3,1]}]}`, ""},
		{`{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[1,2,4]},{"topic":"orders","partition":1,"replicas":[3,2,1]}]}`, " --throttle 50000000"},
	} {
		file := filepath.Join(dir, fmt.Sprintf("plan-%d.json", i))
		if err := os.WriteFile(file, []byte(step.plan), 0o644); err != nil {
			t.Fatal(err)
		}
		c.prints(dir, "reassign-partitions --bootstrap-server ADDR --execute --reassignment-json-file "+file+step.options, "Successfully started partition reassignments for orders-0,orders-1")
		l.AwaitAcked(t, 500)
		c.awaitReassigned(dir, file)
	}
	c.prints(dir, "topics --bootstrap-server ADDR --describe --topic orders", "Partition: 0\tLeader: ", "Replicas: 1,2,4\t", "Replicas: 3,2,1\t")
	if out, err := c.tool(dir, "configs --bootstrap-server ADDR --describe --entity-type brokers"); err != nil || strings.Contains(out, "throttled") {
		t.Errorf("a throttle was left: %v\n%s", err, out)
	}
	if out, err := c.tool(dir, "configs --bootstrap-server ADDR --describe --entity-type topics --entity-name orders"); err != nil || strings.Contains(out, "throttled") {
		t.Errorf("a throttle was left: %v\n%s", err, out)
	}
	l.Finish(t)
	l.Verify(t, load.ReadAll(t, c.Addrs(), "orders"))
	c.Stop()
}

// awaitReassigned has the tool verify a reassignment until it is complete, when it removes the throttles too.
func (c *Cluster) awaitReassigned(dir, file string) {
	c.t.Helper()
	c.await("reassignment", func(context.Context) error {
		out, err := c.tool(dir, "reassign-partitions --bootstrap-server ADDR --verify --reassignment-json-file "+file)
		if err == nil && (strings.Contains(out, "still in progress") || strings.Count(out, "is completed") != 2) {
			err = fmt.Errorf("it printed %s", out)
		}
		return err
	})
}
