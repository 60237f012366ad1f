package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gokafka/compat/apache"
)

// clusterTable gathers the samples of each figure, in the order in which they came.
type clusterTable struct {
	rows  []clusterRow
	floor []float64 // processor seconds per GB of three processes that only copy
}

type clusterRow struct {
	name, unit string
	samples    map[string][]float64 // by kind of broker
}

func (t *clusterTable) add(name, unit, broker string, value float64) {
	i := slices.IndexFunc(t.rows, func(r clusterRow) bool { return r.name == name })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, clusterRow{name, unit, map[string][]float64{}})
	}
	t.rows[i].samples[broker] = append(t.rows[i].samples[broker], value)
}

const clusterPreface = `# Clusters measured beside Apache Kafka

%s

Three gokafka brokers and three Apache %s brokers (ZooKeeper mode, the settings of its scripts: G1, 1 GiB heap), each kind with a ZooKeeper of its own, all on
one machine over loopback. For throughput, latency and transactions both clusters were up and took turns; for failovers one was started after the other.
Every figure is the median of %d runs, for throughput after %d that warmed up, for latency and transactions after one. Topics have three replicas and min.insync.replicas=2; clients wait
for acks=all. Throughput is that of Apache's kafka-producer-perf-test with %d MiB of 1 KiB records to six partitions, with the producer's own settings (batches of 16 KiB, idempotent) and with batches of 64 KiB
(linger 5 ms, buffers of 128 MiB, not idempotent), of which retention keeps some 200 MB per partition; processor time is that of the three brokers together per GB of payload over the whole run, ZooKeeper and clients left out. Latencies are
those of a franz-go client. The times of failovers leave out the %v for which ZooKeeper waits for a broker that was killed, as that is a setting. "make bench-cluster" renews this page; this run took %v.

%s| | unit | Apache | gokafka | ratio |
|---|---|--:|--:|--:|
`

// floorText says what copying alone costs.
func (t *clusterTable) floorText() string {
	if len(t.floor) == 0 {
		return ""
	}
	return fmt.Sprintf("The floor, by turns with them: three processes that do nothing but copy, %d KiB at a time, over loopback and into three files, took %.2f s/GB.\n\n",
		floorChunk>>10, median(t.floor))
}

func (t *clusterTable) write(path string, s settings, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, clusterPreface, machine(), apache.Version, s.rounds, throughputWarmUps, s.clusterSize()>>20, session, took.Round(time.Second), t.floorText())
	for _, r := range t.rows {
		if len(r.samples["apache"]) == 0 || len(r.samples["gokafka"]) == 0 {
			continue // one of them failed, which the run has said
		}
		a, g := median(r.samples["apache"]), median(r.samples["gokafka"])
		ratio := ""
		if a > 0 {
			ratio = fmt.Sprintf("%.2f", g/a)
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %s |\n", r.name, r.unit, a, g, ratio)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}
