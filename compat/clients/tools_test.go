package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gokafka/compat"
	"gokafka/compat/apache"
)

// step is one run of a tool: ADDR and DIR stand for the broker's address and a directory of the test. Lines whose order a tool
// leaves open are sorted before they are compared.
type step struct {
	stdin string
	line  string
	fails bool
}

// The tools of Apache's bin directory, in the order in which somebody would use them. Records have batches of their own: the size of a batch
// of several depends on when they were sent, and log-dirs tells it.
var steps = []step{
	{line: "topics --bootstrap-server ADDR --create --topic tools --partitions 3 --replication-factor 1 --config retention.ms=100000000"},
	{line: "topics --bootstrap-server ADDR --create --topic tools", fails: true},
	{line: "topics --bootstrap-server ADDR --create --topic tools --if-not-exists"},
	{line: "topics --bootstrap-server ADDR --describe --topic tools"},
	{line: "topics --bootstrap-server ADDR --list"},
	{stdin: "k1:v1\nk2:v2\nk1:v3\nk3:v4\n", line: "console-producer --bootstrap-server ADDR --topic tools --property parse.key=true --property key.separator=: --producer-property acks=all --producer-property batch.size=1"},
	{stdin: "k4:compressed\nk5:lines\n", line: "console-producer --bootstrap-server ADDR --topic tools --property parse.key=true --property key.separator=: --compression-codec zstd --producer-property batch.size=1"},
	{line: "console-consumer --bootstrap-server ADDR --topic tools --from-beginning --max-messages 6 --timeout-ms 30000 --group tools-group --property print.key=true"},
	{line: "get-offsets --bootstrap-server ADDR --topic tools"},
	{line: "get-offsets --bootstrap-server ADDR --topic tools --time earliest"},
	{line: "consumer-groups --bootstrap-server ADDR --list"},
	{line: "consumer-groups --bootstrap-server ADDR --describe --group tools-group"},
	{line: "consumer-groups --bootstrap-server ADDR --describe --group tools-group --state"},
	{line: "consumer-groups --bootstrap-server ADDR --describe --group tools-group --members"},
	{line: "consumer-groups --bootstrap-server ADDR --group tools-group --topic tools --reset-offsets --to-earliest --execute"},
	{line: "consumer-groups --bootstrap-server ADDR --group tools-group --topic tools:0 --delete-offsets"},
	{line: "consumer-groups --bootstrap-server ADDR --describe --group tools-group"},
	{line: "consumer-groups --bootstrap-server ADDR --delete --group tools-group"},
	{line: "configs --bootstrap-server ADDR --entity-type topics --entity-name tools --alter --add-config max.message.bytes=200000,cleanup.policy=[compact,delete]"},
	{line: "configs --bootstrap-server ADDR --entity-type topics --entity-name tools --describe"},
	{line: "configs --bootstrap-server ADDR --entity-type topics --entity-name tools --alter --delete-config retention.ms"},
	{line: "configs --bootstrap-server ADDR --entity-type topics --entity-name tools --describe --all"},
	{line: "configs --bootstrap-server ADDR --entity-type topics --entity-name tools --alter --add-config no.such=1", fails: true},
	{line: "configs --bootstrap-server ADDR --entity-type brokers --entity-default --alter --add-config log.retention.ms=200000000"},
	{line: "configs --bootstrap-server ADDR --entity-type brokers --entity-default --describe"},
	{line: "topics --bootstrap-server ADDR --alter --topic tools --partitions 4"},
	{line: "delete-records --bootstrap-server ADDR --offset-json-file DIR/delete.json"},
	{line: "get-offsets --bootstrap-server ADDR --topic tools --time -2"},
	{line: "leader-election --bootstrap-server ADDR --election-type preferred --topic tools --partition 0"},
	{line: "reassign-partitions --bootstrap-server ADDR --list"},
	{line: "reassign-partitions --bootstrap-server ADDR --reassignment-json-file DIR/reassign.json --execute"},
	{line: "reassign-partitions --bootstrap-server ADDR --reassignment-json-file DIR/reassign.json --verify"},
	{line: "log-dirs --bootstrap-server ADDR --describe --topic-list tools"},
	{line: "cluster cluster-id --bootstrap-server ADDR"},
	{line: "verifiable-producer --bootstrap-server ADDR --topic verified --max-messages 200 --acks -1"},
	{line: "console-consumer --bootstrap-server ADDR --topic verified --partition 0 --offset 0 --max-messages 200"},
	{line: "producer-perf-test --topic verified --num-records 5000 --record-size 200 --throughput -1 --producer-props bootstrap.servers=ADDR"},
	{line: "consumer-perf-test --bootstrap-server ADDR --topic verified --messages 5000 --hide-header"},
	{line: "topics --bootstrap-server ADDR --delete --topic tools"},
	{line: "topics --bootstrap-server ADDR --describe --topic tools", fails: true},
	{line: "topics --bootstrap-server ADDR --describe --under-replicated-partitions"},
}

// measured are the tools that print how fast they were: what they print is not compared, only that they succeed.
var measured = []string{"producer-perf-test", "consumer-perf-test", "verifiable-producer"}

// Apache's command-line tools print the same about gokafka as about Apache.
func TestTools(t *testing.T) {
	answers := map[string][]string{}
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		dir := t.TempDir()
		write(t, dir, "delete.json", `{"partitions":[{"topic":"tools","partition":0,"offset":1}],"version":1}`)
		write(t, dir, "reassign.json", `{"version":1,"partitions":[{"topic":"tools","partition":0,"replicas":[0]}]}`)
		for _, s := range steps {
			answers[b.Name()] = append(answers[b.Name()], s.run(t, b, dir))
		}
	})
	if len(answers) < 2 {
		return // one broker was asked for
	}
	for i, s := range steps {
		if a, g := answers["apache"][i], answers["gokafka"][i]; a != g {
			t.Errorf("%s\napache:\n%s\ngokafka:\n%s", s.line, a, g)
		}
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s step) run(t *testing.T, b compat.Broker, dir string) string {
	t.Helper()
	args := strings.Fields(strings.NewReplacer("ADDR", b.Addr(), "DIR", dir).Replace(s.line))
	out, err := apache.RunTool(s.stdin, args[0], args[1:]...)
	if (err != nil) != s.fails {
		t.Errorf("%s: %v", s.line, err)
	}
	if slices.Contains(measured, args[0]) {
		return ""
	}
	lines := strings.Split(strings.ReplaceAll(neutral(out, b), dir, "TEMP"), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ") // columns are as wide as their widest value
	}
	slices.Sort(lines)
	return fmt.Sprintln(strings.Join(lines, "\n"))
}
