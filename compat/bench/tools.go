package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gokafka/compat/apache"
)

// load is what the tools send or read: records of one size.
type load struct {
	topic    string
	count    int64
	record   int // bytes
	codec    string
	acks     string
	batching batching
}

// batching is how Apache's producer gathers records.
type batching struct {
	short, name string
	properties  []string
}

var (
	// stock is the producer as it comes: batches of 16 KiB that wait for nothing, idempotent.
	stock = batching{short: "stock", name: "the producer's own settings (batches of 16 KiB)"}
	// large is the producer as it is set where throughput counts.
	large = batching{short: "large", name: "batches of 64 KiB", properties: []string{"enable.idempotence=false", "batch.size=65536", "linger.ms=5", "buffer.memory=134217728"}}
)

func (l load) bytes() int64 { return l.count * int64(l.record) }

// andMore is the load that fills a topic for runs that read l from it. Partitions are never of one size, and the Java client, once it has come to
// the end of one, waits there for fetch.max.wait.ms (half a second) while it asks the broker for nothing else. With a quarter
// more than is read, no run comes to an end; without it, runs of one topic lasted up to twice as long as those of another.
func (l load) andMore() load {
	l.count += l.count / 4
	return l
}

var sent = regexp.MustCompile(`(\d+) records sent, [0-9.]+ records/sec \(([0-9.]+) MB/sec\)`)

// produce runs Apache's producer-perf-test and returns MiB per second, as it says in its last line.
func (l load) produce(addr string) (float64, error) {
	windows, err := l.windows(addr)
	if err != nil {
		return 0, err
	}
	return windows[len(windows)-1].rate, nil
}

// produceWarm returns also the rate at which the later half of the records was sent. The producer's just-in-time compiler is at work for its first
// twenty seconds and takes as much of two processors as its two threads do.
func (l load) produceWarm(addr string) (whole, late float64, err error) {
	windows, err := l.windows(addr)
	if err != nil {
		return 0, 0, err
	}
	last := len(windows) - 1
	return windows[last].rate, lateRate(windows[:last], l.count/2), nil
}

// window is a line of producer-perf-test: one for each five seconds, then one for the whole run.
type window struct {
	count int64
	rate  float64 // MiB/s
}

// lateRate is the rate of the windows behind the first count records; 0 if the run was too short to have any.
func lateRate(windows []window, count int64) float64 {
	var records, time float64
	for _, w := range windows {
		if count > 0 {
			count -= w.count
			continue
		}
		records, time = records+float64(w.count), time+float64(w.count)/w.rate
	}
	if records == 0 {
		return 0
	}
	return records / time
}

func (l load) windows(addr string) ([]window, error) {
	args := []string{"--topic", l.topic, "--num-records", strconv.FormatInt(l.count, 10), "--record-size", strconv.Itoa(l.record),
		"--throughput", "-1", "--producer-props", "bootstrap.servers=" + addr, "acks=" + l.acks, "compression.type=" + l.codec}
	out, err := apache.RunTool("", "producer-perf-test", append(args, l.batching.properties...)...)
	if err != nil {
		return nil, err
	}
	var all []window
	for _, m := range sent.FindAllStringSubmatch(out, -1) {
		count, errCount := strconv.ParseInt(m[1], 10, 64)
		rate, errRate := strconv.ParseFloat(m[2], 64)
		if err := errors.Join(errCount, errRate); err != nil {
			return nil, err
		}
		all = append(all, window{count: count, rate: rate})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("producer-perf-test printed %q", out)
	}
	return all, nil
}

// consume runs Apache's consumer-perf-test and returns MiB per second of fetching, joining the group left out.
func (l load) consume(addr, group string) (float64, error) {
	out, err := apache.RunTool("", "consumer-perf-test", "--bootstrap-server", addr, "--topic", l.topic, "--messages", strconv.FormatInt(l.count, 10), "--group", group,
		"--timeout", "60000", "--hide-header")
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields := strings.Split(lines[len(lines)-1], ",")
	if len(fields) < 10 {
		return 0, fmt.Errorf("consumer-perf-test printed %q", out)
	}
	return strconv.ParseFloat(strings.TrimSpace(fields[8]), 64)
}
