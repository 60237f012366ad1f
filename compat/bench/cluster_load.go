package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// throughputWarmUps are the rounds that do not count: the just-in-time compilers of three Apache brokers that share two processors take a few GiB.
const throughputWarmUps = 1

// clusterThroughput has Apache's producer send to a topic of six partitions with three replicas each, with acks=all, as it comes and with larger batches.
func clusterThroughput(s settings, t *clusterTable) error {
	batchings := []batching{stock, large}
	nothing := func(*trio) error { return nil }
	rounds := s.rounds + throughputWarmUps // of each batching
	return s.byTurns("throughput", rounds*len(batchings), nothing, func(c *trio, turn int) error {
		how, round := batchings[turn/rounds], turn%rounds
		one, err := c.throughput(s.clusterSize(), how, round)
		if err != nil {
			return err
		}
		progress("throughput, %s, %-8s round %d: %7.1f, then %7.1f MiB/s %6.3f s/GB %6.1f MB", how.short, c.name, round, one.rate, one.late, one.cpu, one.peak)
		if round < throughputWarmUps {
			return nil
		}
		load := "3 replicas, acks=all, 1 KiB, " + how.name + ": "
		if one.late > 0 {
			t.add(load+"throughput, client warm (later half of a run)", "MiB/s", c.name, one.late)
		}
		t.add(load+"throughput of the whole run, start of the client included", "MiB/s", c.name, one.rate)
		t.add(load+"processor time of the three brokers", "s/GB", c.name, one.cpu)
		t.add(load+"peak memory of the broker that had most", "MB", c.name, one.peak)
		return nil
	}, func(turn int) error {
		if turn%rounds < throughputWarmUps {
			return nil
		}
		floor, err := s.clusterFloor()
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		progress("floor of three copies: %6.3f s/GB", floor)
		t.floor = append(t.floor, floor)
		return nil
	})
}

// clusterSize is the payload of one run in bytes: twice what one broker gets, so that the producer's compiler is done for half of it.
func (s settings) clusterSize() int64 { return 2 * s.size }

// shortLived keeps what a topic has on disk to some 200 MB per partition, so that a long run writes to memory that the file cache already has.
func shortLived() []kmsg.CreateTopicsRequestTopicConfig {
	var all []kmsg.CreateTopicsRequestTopicConfig
	for key, value := range map[string]string{"segment.bytes": "67108864", "retention.bytes": "67108864", "file.delete.delay.ms": "1000"} {
		one := kmsg.NewCreateTopicsRequestTopicConfig()
		one.Name, one.Value = key, &value
		all = append(all, one)
	}
	return all
}

// lateSample is a sample with the rate of the later half of the run.
type lateSample struct {
	sample
	late float64 // MiB/s
}

func (c *trio) throughput(size int64, how batching, round int) (lateSample, error) {
	l := load{topic: fmt.Sprintf("load-%s-%d", how.short, round), record: 1024, codec: "none", acks: "all", batching: how}
	l.count = size / int64(l.record)
	if err := c.create(l.topic, 6, 0, shortLived()...); err != nil {
		return lateSample{}, err
	}
	defer remove(c.addrs(), l.topic)
	for _, b := range c.brokers {
		if err := resetPeak(b.PID()); err != nil {
			return lateSample{}, err
		}
	}
	before, err := c.cpu()
	if err != nil {
		return lateSample{}, err
	}
	rate, late, err := l.produceWarm(c.addrs())
	if err != nil {
		return lateSample{}, err
	}
	after, err := c.cpu()
	one := lateSample{sample: sample{rate: rate, cpu: (after - before).Seconds() / (float64(l.bytes()) / 1e9)}, late: late}
	for _, b := range c.brokers {
		peak, errPeak := memory(b.PID(), "VmHWM")
		err, one.peak = errors.Join(err, errPeak), max(one.peak, float64(peak)/1e6)
	}
	return one, err
}

// cpu is the processor time of all brokers, ZooKeeper left out.
func (c *trio) cpu() (sum time.Duration, err error) {
	for _, b := range c.brokers {
		one, errOne := cpu(b.PID())
		sum, err = sum+one, errors.Join(err, errOne)
	}
	return sum, err
}

// clusterLatency has one record in flight at a time, and then several on one connection.
func clusterLatency(s settings, t *clusterTable) error {
	prepare := func(c *trio) error { return c.create("latency", 1, 1) }
	count := int(min(s.size>>16, 20_000)) // with the default size, all of it
	return s.byTurns("latency", s.rounds+1, prepare, func(c *trio, round int) error {
		times, err := c.oneInFlight(count)
		if err != nil {
			return err
		}
		alone, err := c.sendRate(count, 1)
		if err != nil {
			return err
		}
		together, err := c.sendRate(count, 5)
		if err != nil {
			return err
		}
		progress("latency %-8s round %d: p50 %.2f p99 %.2f p99.9 %.2f ms; %.0f and %.0f requests/s", c.name, round,
			percentile(times, 0.5), percentile(times, 0.99), percentile(times, 0.999), alone, together)
		if round > 0 {
			t.add("from send to read, 1 record in flight: p50", "ms", c.name, percentile(times, 0.5))
			t.add("the same: p99", "ms", c.name, percentile(times, 0.99))
			t.add("the same: p99.9", "ms", c.name, percentile(times, 0.999))
			t.add("acks=all on one connection, one request at a time", "requests/s", c.name, alone)
			t.add("acks=all on one connection, five at a time", "requests/s", c.name, together)
		}
		return nil
	}, nil)
}

// otherPartitions is how many partitions lie beside the one that is used.
const otherPartitions = 3000

// clusterMany has one record in flight at a time in a cluster of many partitions, of which nothing else is used.
func clusterMany(s settings, t *clusterTable) error {
	prepare := func(c *trio) error {
		return errors.Join(c.create("latency", 1, 1), c.create("many", otherPartitions, 0))
	}
	count := int(min(s.size>>18, 5000)) // with the default size, all of it
	return s.byTurns("partitions", s.rounds+1, prepare, func(c *trio, round int) error {
		times, err := c.oneInFlight(count)
		if err != nil {
			return err
		}
		progress("latency beside %d partitions %-8s round %d: p50 %.2f p99 %.2f ms", otherPartitions, c.name, round, percentile(times, 0.5), percentile(times, 0.99))
		if round > 0 {
			name := fmt.Sprintf("from send to read beside %d other partitions", otherPartitions)
			t.add(name+": p50", "ms", c.name, percentile(times, 0.5))
			t.add(name+": p99", "ms", c.name, percentile(times, 0.99))
		}
		return nil
	}, nil)
}

// clusterTransactions runs transactions over six partitions of three replicas, the transaction log having as many.
func clusterTransactions(s settings, t *clusterTable) error {
	prepare := func(c *trio) error { return c.create(transactionsTopic, transactionsPartitions, 0) }
	rounds := s.rounds + 1 // of each size
	return s.byTurns("transactions", rounds*len(perTransaction), prepare, func(c *trio, turn int) error {
		n, round := perTransaction[turn/rounds], turn%rounds
		one, err := commits(c.addrs(), n, round)
		if err != nil {
			return err
		}
		progress("transactions of %3d records %-8s round %d: %8.1f/s, commit p50 %.2f ms, p99 %.2f ms", n, c.name, round, one.rate, one.p50, one.p99)
		if round > 0 {
			name := fmt.Sprintf("transactions, %d records each", n)
			t.add(name, "per second", c.name, one.rate)
			t.add(name+": commit, p50", "ms", c.name, one.p50)
			t.add(name+": commit, p99", "ms", c.name, one.p99)
		}
		return nil
	}, nil)
}

// oneInFlight sends records one after the other, each when the one before was read, and returns how long each took, sorted.
func (c *trio) oneInFlight(count int) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cl, err := c.client(nil, kgo.DefaultProduceTopic("latency"), kgo.ConsumeTopics("latency"), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ready := false // what is sent before the consumer has found the end is not read
	var times []time.Duration
	for len(times) < count {
		began := time.Now()
		value := fmt.Appendf(make([]byte, 0, 100), "%d", began.UnixNano())
		cl.Produce(ctx, &kgo.Record{Value: value[:100]}, nil)
		read, err := c.reads(ctx, cl, ready, string(value[:100]))
		if err != nil {
			return nil, err
		}
		if ready {
			times = append(times, time.Since(began))
		}
		ready = ready || read
	}
	slices.Sort(times)
	return times, nil
}

// reads polls until the record comes, or gives up soon if the consumer may not be there yet.
func (c *trio) reads(ctx context.Context, cl *kgo.Client, ready bool, value string) (bool, error) {
	if !ready {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
	}
	for {
		fetches := cl.PollFetches(ctx)
		for r := range fetches.RecordsAll() {
			if string(r.Value) == value {
				return true, nil
			}
		}
		if ctx.Err() != nil {
			if ready {
				return false, fmt.Errorf("await record: %w", ctx.Err())
			}
			return false, nil
		}
	}
}

func percentile(sorted []time.Duration, p float64) float64 {
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)].Seconds() * 1000
}

// sendRate sends requests of one record to one partition, at most so many at a time, and returns how many a second were acknowledged.
func (c *trio) sendRate(count, inFlight int) (float64, error) {
	cl, err := c.client(nil, kgo.DefaultProduceTopic("latency"), kgo.ProducerLinger(0), kgo.MaxProduceRequestsInflightPerBroker(inFlight), kgo.MaxBufferedRecords(inFlight),
		kgo.DisableIdempotentWrite(), kgo.ProducerBatchMaxBytes(1024))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	value := make([]byte, 900) // one fills a batch
	if err := cl.ProduceSync(context.Background(), &kgo.Record{Value: value}).FirstErr(); err != nil {
		return 0, fmt.Errorf("produce: %w", err)
	}
	var failed atomic.Int64
	began := time.Now()
	for range count {
		cl.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	}
	if err := cl.Flush(context.Background()); err != nil {
		return 0, fmt.Errorf("flush: %w", err)
	}
	took := time.Since(began)
	if n := failed.Load(); n > 0 {
		return 0, fmt.Errorf("%d of %d records were not acknowledged (data in %s)", n, count, os.TempDir())
	}
	return float64(count) / took.Seconds(), nil
}
