package load

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/clients"
	"gokafka/compat/process"
)

// Program is a producer in a process of its own. It says what was acknowledged as Apache's verifiable producer does: in a line of
// JSON for each record.
type Program struct {
	Acked
	name     string
	process  *process.Process
	copy     *os.File    // of what it prints, for people
	rest     []byte      // of a line that has not ended yet; used by the goroutine that copies the program's output
	stopping atomic.Bool // it was asked to end
	ended    bool        // it has said that it is done; read when the process has ended
}

// patient is what makes a Java producer outlive faults that last. Its small batches take it to all partitions soon.
//
// It gives up after half a minute, for it can be stuck, with Apache's brokers as with any that keep to the protocol: a batch is under way to a
// leader that was deposed and does not know it, the producer sends the next ones to the new leader, and when the first batch comes back it
// is refused for ever as out of order. Either the new leader has it, but not among the last five batches of the producer, or it did not know
// the producer and took the second batch for the first (KAFKA-14359).
const patient = `enable.idempotence=true
retries=2147483647
delivery.timeout.ms=30000
max.block.ms=600000
request.timeout.ms=10000
linger.ms=5
batch.size=500
metadata.max.age.ms=5000
`

// StartJava starts Apache's verifiable producer: idempotent, acks=all, so many records a second.
func StartJava(t *testing.T, addrs, topic string, number, rate int) *Program {
	t.Helper()
	dir := compat.Dir(t, "java")
	settings := filepath.Join(dir, "producer.properties")
	if err := os.WriteFile(settings, []byte(patient), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, err := apache.Tool("verifiable-producer", "--bootstrap-server", addrs, "--topic", topic, "--acks", "-1", "--value-prefix", strconv.Itoa(number),
		"--throughput", strconv.Itoa(rate), "--producer.config", settings)
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, "java", dir, cmd)
}

//go:embed librdkafka.py
var librdkafka []byte

// StartLibrdkafka starts a producer over librdkafka: idempotent, acks=all, so many records a second.
func StartLibrdkafka(t *testing.T, addrs, topic string, number, rate int) *Program {
	t.Helper()
	python, err := clients.Python()
	if err != nil {
		t.Fatal(err)
	}
	dir := compat.Dir(t, "librdkafka")
	script := filepath.Join(dir, "librdkafka.py")
	if err := os.WriteFile(script, librdkafka, 0o644); err != nil {
		t.Fatal(err)
	}
	return startProgram(t, "librdkafka", dir, exec.Command(python, script, addrs, topic, strconv.Itoa(number), strconv.Itoa(rate)))
}

func startProgram(t *testing.T, name, dir string, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{name: name}
	cmd.Stdout = p
	var err error
	if p.copy, err = os.Create(filepath.Join(dir, name+".json")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.copy.Close() })
	if p.process, err = process.Start(cmd, filepath.Join(dir, name+".out")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the program
		<-p.process.Done()
		if !p.stopping.Load() {
			p.Fail(fmt.Errorf("%s ended on its own (see %s)\n%s", name, p.process.Output(), process.Tail(p.process.Output(), 4000)))
		}
	})
	t.Cleanup(func() {
		p.stopping.Store(true)
		p.process.Kill()
		wg.Wait()
	})
	return p
}

// Write takes what the program prints.
func (p *Program) Write(b []byte) (int, error) {
	if _, err := p.copy.Write(b); err != nil {
		return 0, err
	}
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		p.take(line)
		p.rest = rest
	}
}

// take reads a line. What is not JSON is not about a record.
func (p *Program) take(line []byte) {
	var event struct {
		Name, Value, Exception, Message string
		Partition                       int32
		Offset                          int64
	}
	if len(line) == 0 || line[0] != '{' {
		return
	}
	if err := json.Unmarshal(line, &event); err != nil {
		p.Fail(fmt.Errorf("%s printed %q: %w", p.name, line, err))
		return
	}
	switch event.Name {
	case "producer_send_success":
		p.Add(event.Value, Position{event.Partition, event.Offset})
	case "producer_send_error":
		if !strings.Contains(event.Message, "Expiring") && !strings.Contains(event.Exception, "OutOfOrderSequence") {
			p.Fail(fmt.Errorf("%s could not send %s: %s %s", p.name, event.Value, event.Exception, event.Message))
			return
		}
		p.GiveUp(event.Value)
	case "shutdown_complete":
		p.ended = true
	}
}

// Finish has the program stop and wait until everything was acknowledged.
func (p *Program) Finish(t *testing.T) {
	t.Helper()
	p.stopping.Store(true)
	if err := p.process.Stop(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if !p.ended {
		p.Fail(fmt.Errorf("%s ended without a last word (see %s)\n%s", p.name, p.process.Output(), strings.TrimSpace(process.Tail(p.process.Output(), 2000))))
	}
	if err := p.Err(); err != nil {
		t.Errorf("produce: %v", err)
	}
}
