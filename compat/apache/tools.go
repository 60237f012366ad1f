package apache

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// tools maps the name of a script in Apache's bin directory (without "kafka-" and ".sh") to its class.
var tools = map[string]string{
	"broker-api-versions":  "kafka.admin.BrokerApiVersionsCommand",
	"cluster":              "org.apache.kafka.tools.ClusterTool",
	"configs":              "kafka.admin.ConfigCommand",
	"console-consumer":     "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"console-producer":     "kafka.tools.ConsoleProducer",
	"consumer-groups":      "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"consumer-perf-test":   "org.apache.kafka.tools.ConsumerPerformance",
	"delete-records":       "org.apache.kafka.tools.DeleteRecordsCommand",
	"dump-log":             "kafka.tools.DumpLogSegments",
	"get-offsets":          "org.apache.kafka.tools.GetOffsetShell",
	"leader-election":      "org.apache.kafka.tools.LeaderElectionCommand",
	"log-dirs":             "org.apache.kafka.tools.LogDirsCommand",
	"metadata-quorum":      "org.apache.kafka.tools.MetadataQuorumCommand",
	"producer-perf-test":   "org.apache.kafka.tools.ProducerPerformance",
	"reassign-partitions":  "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"topics":               "org.apache.kafka.tools.TopicCommand",
	"transactions":         "org.apache.kafka.tools.TransactionsCommand",
	"transactional-copier": "org.apache.kafka.tools.TransactionalMessageCopier", // of Apache's system tests, without a script
	"verifiable-consumer":  "org.apache.kafka.tools.VerifiableConsumer",
	"verifiable-producer":  "org.apache.kafka.tools.VerifiableProducer",
	"zookeeper-shell":      "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka",
	"replica-verification": "org.apache.kafka.tools.ReplicaVerificationTool",
}

// Tool is the command line of one of Apache's tools, by the name of its script.
func Tool(name string, args ...string) (*exec.Cmd, error) {
	class, ok := tools[name]
	if !ok {
		return nil, fmt.Errorf("unknown tool %q", name)
	}
	flags := []string{"-Xmx256M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"}
	if strings.HasSuffix(name, "perf-test") { // these are measured with, so they get the flags of Apache's own scripts
		flags = []string{"-Xmx512M", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"}
	}
	return java(Version, "tool", flags, class, args...)
}

// RunTool runs a tool to its end and returns what it printed on stdout. An exit code other than 0 is an error that quotes both streams.
func RunTool(stdin string, name string, args ...string) (string, error) {
	cmd, err := Tool(name, args...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("run %s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}
