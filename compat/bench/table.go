package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"gokafka/compat/apache"
)

// table gathers results, in the order in which they came.
type table struct {
	loads []loadRow
	rows  []row
	floor *[2]float64 // processor seconds per GB of the bare loops, in and out
}

// loadRow is one throughput scenario: the medians of the two brokers.
type loadRow struct {
	name            string
	apache, gokafka sample
}

// row is one other figure.
type row struct {
	name, unit, goal string
	values           map[string]float64
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func medians(all []sample) sample {
	var rate, cpu, peak []float64
	for _, s := range all {
		rate, cpu, peak = append(rate, s.rate), append(cpu, s.cpu), append(peak, s.peak)
	}
	return sample{median(rate), median(cpu), median(peak)}
}

func (t *table) throughput(name string, samples map[string][]sample) {
	t.loads = append(t.loads, loadRow{name, medians(samples["apache"]), medians(samples["gokafka"])})
}

func (t *table) add(name, broker, unit string, values []float64, goal string) {
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, row{name: name, unit: unit, goal: goal, values: map[string]float64{}})
	}
	t.rows[i].values[broker] = median(values)
}

const preface = `# Measured beside Apache Kafka

%s

Both brokers were up on the same machine and took turns under load, in alternating order, the other one idle, the same two processes through the whole
table; each figure is the median of %d runs after one that warmed up. The clients are Apache's own kafka-producer-perf-test (acks=1, batches of 64 KiB, linger 5 ms) and
kafka-consumer-perf-test, over loopback, so the clients share the processors with the broker: throughput is that of the whole, and what
a broker itself costs is its own processor time (utime and stime of its process) per GB of payload. Topics to read from hold a quarter more than is
read, so that no consumer comes to the end of a partition, where it would wait for half a second. One run moved %d MiB in each
direction. Apache %s ran in ZooKeeper mode with the settings of its scripts (G1, 1 GiB heap), ZooKeeper not counted. Peak memory is the
kernel's high-water mark of the resident set during a run. "make bench" renews this page; this run took %v.

`

func (t *table) write(path string, s settings, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, preface, machine(), s.rounds, s.size>>20, apache.Version, took.Round(time.Second))
	b.WriteString(t.floorText())
	if len(t.loads) > 0 {
		b.WriteString("| Load, 1 broker | MiB/s Apache | MiB/s gokafka | ratio | CPU s/GB Apache | CPU s/GB gokafka | ratio | goal | peak MB Apache | peak MB gokafka |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	}
	for _, l := range t.loads {
		goal := ""
		if g, ok := goals[l.name]; ok {
			goal = fmt.Sprintf("%.2f", g)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f | %.2f | %.2f | %.2f | %s | %.0f | %.0f |\n", l.name, l.apache.rate, l.gokafka.rate, l.gokafka.rate/l.apache.rate,
			l.apache.cpu, l.gokafka.cpu, l.gokafka.cpu/l.apache.cpu, goal, l.apache.peak, l.gokafka.peak)
	}
	if len(t.rows) > 0 {
		b.WriteString("\n| | Apache | gokafka | ratio | goal |\n|---|--:|--:|--:|--:|\n")
	}
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s, %s | %.1f | %.1f | %.3f | %s |\n", r.name, r.unit, r.values["apache"], r.values["gokafka"], r.values["gokafka"]/r.values["apache"], r.goal)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// machine says what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
				model = strings.TrimSpace(name)
				break
			}
		}
	}
	kernel, _ := exec.Command("uname", "-sr").Output() // left out of the page if it fails
	java, _ := exec.Command("java", "-version").CombinedOutput()
	version, _, _ := strings.Cut(string(java), "\n")
	return fmt.Sprintf("On %s, %d × %s, %s, %s, %s.", time.Now().Format("2 January 2006"), runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version(), version)
}
