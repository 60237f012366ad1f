package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// scenario is one way to load a broker.
type scenario struct {
	name       string
	partitions int32
	record     int
	codec      string
	produce    bool
	consume    bool
}

var scenarios = []scenario{
	{"produce, 1 KiB", 6, 1024, "none", true, false},
	{"consume, 1 KiB", 6, 1024, "none", false, true},
	{"produce and consume, 1 KiB", 6, 1024, "none", true, true},
	{"produce, 100 B", 6, 100, "none", true, false},
	{"consume, 100 B", 6, 100, "none", false, true},
	{"produce, 1 KiB, lz4", 6, 1024, "lz4", true, false},
	{"consume, 1 KiB, lz4", 6, 1024, "lz4", false, true},
	{"produce, 1 KiB, zstd", 6, 1024, "zstd", true, false},
	{"consume, 1 KiB, zstd", 6, 1024, "zstd", false, true},
	{"produce, 1 KiB, 1,000 partitions", 1000, 1024, "none", true, false},
	{"consume, 1 KiB, 1,000 partitions", 1000, 1024, "none", false, true},
}

// goals, where the project has set them, as a share of Apache's processor time.
var goals = map[string]float64{"produce, 1 KiB": 0.35, "consume, 1 KiB": 0.70}

// sample is one run.
type sample struct {
	rate float64 // MiB/s, of both directions together
	cpu  float64 // seconds of the broker per GB of payload
	peak float64 // MB
}

// throughput runs all scenarios on the same two brokers, so that Apache's just-in-time compiler is done early.
func throughput(s settings, t *table) error {
	chosen := slices.DeleteFunc(slices.Clone(scenarios), func(sc scenario) bool { return !s.only.MatchString(sc.name) })
	if len(chosen) == 0 {
		return nil
	}
	brokers, end, err := s.startBoth("load", nil)
	if err != nil {
		return err
	}
	defer end()
	warm := scenario{"warm up", 6, 1024, "none", true, true}
	if _, err := warm.measure(settings{size: 2 * s.size}, brokers, "warm"); err != nil {
		return fmt.Errorf("%s: %w", warm.name, err)
	}
	for i, sc := range chosen {
		samples, err := sc.measure(s, brokers, fmt.Sprintf("filled-%d", i))
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		t.throughput(sc.name, samples)
	}
	return nil
}

// measure runs the scenario against both brokers by turns; the first round warms up.
func (sc scenario) measure(s settings, brokers []broker, topic string) (map[string][]sample, error) {
	l := load{topic: topic, record: sc.record, codec: sc.codec, acks: "1", batching: large}
	l.count = s.size / int64(sc.record)
	for _, b := range brokers {
		if !sc.consume {
			continue
		}
		if err := create(b.Addr(), l.topic, sc.partitions); err != nil {
			return nil, err
		}
		defer remove(b.Addr(), l.topic)
		if _, err := l.andMore().produce(b.Addr()); err != nil {
			return nil, err
		}
	}
	samples := map[string][]sample{}
	for round := range s.rounds + 1 {
		for i := range brokers {
			b := brokers[(i+round)%2] // who goes first alternates
			one, err := sc.once(b, l, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", b.Name(), err)
			}
			progress("%-34s %-8s round %d: %7.1f MiB/s %6.3f s/GB %6.1f MB", sc.name, b.Name(), round, one.rate, one.cpu, one.peak)
			if round > 0 { // the first warms up
				samples[b.Name()] = append(samples[b.Name()], one)
			}
		}
	}
	return samples, nil
}

// once runs the scenario's tools against one broker and measures the broker meanwhile.
func (sc scenario) once(b broker, filled load, round int) (sample, error) {
	fresh := filled
	fresh.topic = fmt.Sprintf("fresh-%s-%d", filled.topic, round)
	if sc.produce {
		if err := create(b.Addr(), fresh.topic, sc.partitions); err != nil {
			return sample{}, err
		}
		defer remove(b.Addr(), fresh.topic)
	}
	before, err := cpu(b.PID())
	if err := errors.Join(err, resetPeak(b.PID())); err != nil {
		return sample{}, err
	}
	rate, moved, err := sc.drive(b, filled, fresh, round)
	if err != nil {
		return sample{}, err
	}
	after, err := cpu(b.PID())
	if err != nil {
		return sample{}, err
	}
	peak, err := memory(b.PID(), "VmHWM")
	return sample{rate: rate, cpu: (after - before).Seconds() / (float64(moved) / 1e9), peak: float64(peak) / 1e6}, err
}

// drive runs the producer and the consumer, at once if the scenario has both.
func (sc scenario) drive(b broker, filled, fresh load, round int) (rate float64, moved int64, err error) {
	var wg sync.WaitGroup
	var in, out float64
	var errIn, errOut error
	if sc.produce {
		moved += fresh.bytes()
		wg.Go(func() { in, errIn = fresh.produce(b.Addr()) })
	}
	if sc.consume {
		moved += filled.bytes()
		wg.Go(func() { out, errOut = filled.consume(b.Addr(), fmt.Sprintf("bench-%s-%d", filled.topic, round)) })
	}
	wg.Wait()
	return in + out, moved, errors.Join(errIn, errOut)
}

func admin(addr string) (*kadm.Client, func(), error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestTimeoutOverhead(5*time.Minute))
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	a := kadm.NewClient(c)
	a.SetTimeoutMillis(300_000)
	return a, c.Close, nil
}

// create makes a topic and returns when every partition has a leader.
func create(addr, topic string, partitions int32) error {
	a, end, err := admin(addr)
	if err != nil {
		return err
	}
	defer end()
	if _, err := a.CreateTopic(context.Background(), partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return awaitLeaders(a, map[string]int32{topic: partitions})
}

// awaitLeaders asks for the ends of all partitions until every one is answered by a leader.
func awaitLeaders(a *kadm.Client, topics map[string]int32) error {
	var names []string
	want := 0
	for name, n := range topics {
		names = append(names, name)
		want += int(n)
	}
	var err error
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var ends kadm.ListedOffsets
		ends, err = a.ListEndOffsets(context.Background(), names...)
		if err = errors.Join(err, ends.Error()); err == nil && len(ends.Offsets().Sorted()) == want {
			return nil
		}
	}
	return fmt.Errorf("await leaders of %d partitions: %w", want, err)
}

func remove(addr, topic string) {
	a, end, err := admin(addr)
	if err != nil {
		return // the next run will say what is wrong
	}
	defer end()
	_, _ = a.DeleteTopic(context.Background(), topic)
}
