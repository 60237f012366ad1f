package txn

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/load"
	"gokafka/compat/txn/check"
)

const (
	input      = "input"
	partitions = 4 // of the input and of each copy
)

// copying is a number of copiers at work on one input that grows.
type copying struct {
	t       *testing.T
	addrs   string
	admin   *kadm.Client
	filler  *filler
	reader  *reader // reads all copies from the start, as they grow
	workers map[string]*worker
}

func output(copier string) string { return "copy-of-" + copier }

func group(copier string) string { return "group-of-" + copier }

// startCopying creates the topics, then lets the input grow, the copiers copy, and a reader of committed records look on.
func startCopying(t *testing.T, addrs string, replicas int16, copiers []Copier) *copying {
	t.Helper()
	c := &copying{t: t, addrs: addrs, admin: kadm.NewClient(load.Client(t, addrs)), workers: map[string]*worker{}}
	var outputs []string
	for _, k := range copiers {
		outputs = append(outputs, output(k.Name))
	}
	createTopics(t, c.admin, partitions, replicas, append(outputs, input)...)
	c.filler = fill(t, addrs)
	c.reader = read(t, addrs, kgo.ReadCommitted(), outputs...)
	dir := compat.Dir(t, "copiers")
	for _, k := range copiers {
		job := Job{Addrs: addrs, Input: input, Output: output(k.Name), Group: group(k.Name), ID: "id-of-" + k.Name, State: filepath.Join(dir, k.Name+"-state")}
		c.workers[k.Name] = work(t, k.Name, filepath.Join(dir, k.Name), func() (*exec.Cmd, error) { return k.command(job) })
	}
	return c
}

// createTopics waits until the topics are led: a broker that was asked may know of them later than the controller.
func createTopics(t *testing.T, a *kadm.Client, partitions int32, replicas int16, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r, err := a.CreateTopics(ctx, partitions, replicas, nil, topics...); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	await(t, time.Minute, "leaders of new topics", func(ctx context.Context) error {
		ends, err := a.ListEndOffsets(ctx, topics...)
		return errors.Join(err, ends.Error())
	})
}

// await tries until something holds.
func await(t *testing.T, patience time.Duration, what string, holds func(ctx context.Context) error) {
	t.Helper()
	if err := try(patience, holds); err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, err)
	}
}

// try does something again until it succeeds, and returns the last error when the patience is at its end.
func try(patience time.Duration, f func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		now := f(ctx)
		if now == nil {
			return nil
		}
		if ctx.Err() == nil || err == nil { // the last try fails for want of time, which says little
			err = now
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// copied is how far a copier has come: the sum of its committed offsets, which count records, for there are no transactions in the input.
func (c *copying) copied(ctx context.Context, copier string) (int64, error) {
	if err := c.workers[copier].broken(); err != nil {
		return 0, err
	}
	offsets, err := c.admin.FetchOffsets(ctx, group(copier))
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
	return sum, errors.Join(err, offsets.Error())
}

// patience is for what takes clients long: they wait for sessions and transactions of their former selves to end.
const patience = 3 * time.Minute

// awaitProgress waits until every copier has copied so many records more.
func (c *copying) awaitProgress(more int64) {
	c.t.Helper()
	targets := map[string]int64{}
	await(c.t, patience, "progress of the copiers", func(ctx context.Context) error {
		var behind []error
		for name := range c.workers {
			n, err := c.copied(ctx, name)
			switch target, known := targets[name]; {
			case err != nil:
				behind = append(behind, fmt.Errorf("%s: %w", name, err))
			case !known:
				targets[name] = n + more
				behind = append(behind, fmt.Errorf("%s: counted", name))
			case n < target:
				behind = append(behind, fmt.Errorf("%s: %d of %d", name, n, target))
			}
		}
		return errors.Join(behind...)
	})
}

// killCopiers ends all copiers with SIGKILL at once.
func (c *copying) killCopiers() {
	for _, w := range c.workers {
		w.kill()
	}
}

// finish ends the input, waits until it is copied, and checks every copy.
func (c *copying) finish() {
	c.t.Helper()
	counts := c.filler.finish(c.t)
	var total int64
	for _, n := range counts {
		total += int64(n)
	}
	await(c.t, patience, "everything copied", func(ctx context.Context) error {
		var behind []error
		for name := range c.workers {
			if n, err := c.copied(ctx, name); err != nil || n < total {
				behind = append(behind, fmt.Errorf("%s: %d of %d: %w", name, n, total, err))
			}
		}
		return errors.Join(behind...)
	})
	for name, w := range c.workers {
		w.stop(c.t)
		c.t.Logf("%s was started %d times", name, w.starts)
	}
	for name := range c.workers {
		c.verify(output(name), counts, int(total))
	}
}

// verify checks one copy: what the concurrent reader found, what a later one does, and that it lies within what is there at all.
func (c *copying) verify(topic string, counts map[int32]int, total int) {
	c.t.Helper()
	await(c.t, patience, "the reader of "+topic, func(context.Context) error {
		if n := len(c.reader.of(topic)); n < total {
			return fmt.Errorf("has %d of %d", n, total)
		}
		return nil
	})
	concurrent := c.reader.of(topic)
	later := readAll(c.t, c.addrs, topic, kgo.ReadCommitted())
	all := readAll(c.t, c.addrs, topic, kgo.ReadUncommitted())
	for what, err := range map[string]error{
		"the reader that looked on": check.Copy(counts, concurrent),
		"a later reader":            check.Copy(counts, later),
		"both readers":              check.Same(concurrent, later),
		"a reader of everything":    check.Within(later, all),
	} {
		if err != nil {
			c.t.Errorf("%s, %s: %v", topic, what, err)
		}
	}
	c.t.Logf("%s: %d records of %d are committed", topic, len(later), len(all))
}

// filler lets the input grow, record by record.
type filler struct {
	client *kgo.Client
	stop   chan struct{}
	done   chan struct{}
	counts map[int32]int // sent to each partition; final once done is closed

	mu     sync.Mutex
	failed error
}

// pace of the filler: a few records each time, so that all copiers can follow on a machine that has much else to do.
const (
	fillEvery = 20 * time.Millisecond
	fillEach  = 6
)

func fill(t *testing.T, addrs string) *filler {
	t.Helper()
	f := &filler{stop: make(chan struct{}), done: make(chan struct{}), counts: map[int32]int{}}
	f.client = load.Client(t, addrs, kgo.DefaultProduceTopic(input), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1<<30), kgo.UnknownTopicRetries(-1))
	go f.run() // ends when finish closes stop, or with the process if the test fails before
	return f
}

func (f *filler) run() {
	defer close(f.done)
	tick := time.NewTicker(fillEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		for range fillEach {
			f.send(int32(i % partitions))
		}
	}
}

func (f *filler) send(p int32) {
	f.client.Produce(context.Background(), &kgo.Record{Partition: p, Value: []byte(check.Value(p, f.counts[p]))}, func(_ *kgo.Record, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.failed = errors.Join(f.failed, err)
	})
	f.counts[p]++
}

// finish stops, waits until all is acknowledged and returns how many records each partition has.
func (f *filler) finish(t *testing.T) map[int32]int {
	t.Helper()
	close(f.stop)
	<-f.done
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		t.Fatalf("fill the input: %v", f.failed)
	}
	return f.counts
}
