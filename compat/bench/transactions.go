package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// spell is how long one run of transactions, or of what they are compared with, takes.
const spell = 5 * time.Second

// perTransaction are the numbers of records that transactions are measured with.
var perTransaction = []int{1, 10, 100}

// transactional is what one run found.
type transactional struct {
	rate     float64 // transactions, or records, per second
	p50, p99 float64 // of a commit, in milliseconds
}

// transactions measures one producer that runs transactions one after another, as a stream processor does, and what idempotence costs
// one that produces without pause. The client is franz-go.
func transactions(s settings, t *table) error {
	if !s.only.MatchString("transactions") {
		return nil
	}
	brokers, end, err := s.startBoth("transactions", map[string]string{"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1"})
	if err != nil {
		return err
	}
	defer end()
	for _, b := range brokers {
		if err := create(b.Addr(), transactionsTopic, transactionsPartitions); err != nil {
			return err
		}
	}
	if err := s.measureCommits(brokers, t); err != nil {
		return err
	}
	return s.measureIdempotence(brokers, t)
}

func (s settings) measureCommits(brokers []broker, t *table) error {
	for _, n := range perTransaction {
		name := fmt.Sprintf("transactions, %d records each", n)
		found, err := s.alternate(brokers, name, func(b broker, round int) (transactional, error) { return commits(b.Addr(), n, round) })
		if err != nil {
			return err
		}
		for _, b := range both {
			t.add(name, b, "per second", rates(found[b]), "")
			t.add(name+": commit, p50", b, "ms", each(found[b], func(r transactional) float64 { return r.p50 }), "")
			t.add(name+": commit, p99", b, "ms", each(found[b], func(r transactional) float64 { return r.p99 }), "")
		}
	}
	return nil
}

// measureIdempotence has both kinds of producers take turns in each round, since what is compared is closer than one minute of a machine is to
// the next.
func (s settings) measureIdempotence(brokers []broker, t *table) error {
	plain := map[string][]float64{}
	found, err := s.alternate(brokers, "produce, idempotent", func(b broker, round int) (transactional, error) {
		without, err := stream(b.Addr(), kgo.DisableIdempotentWrite())
		if err != nil {
			return without, err
		}
		if round > 0 {
			plain[b.Name()] = append(plain[b.Name()], without.rate)
		}
		return stream(b.Addr())
	})
	if err != nil {
		return err
	}
	for _, b := range both {
		with := rates(found[b])
		t.add("produce, idempotent, acks=all, 1 KiB", b, "records/s", with, "")
		t.add("produce, not idempotent, acks=all, 1 KiB", b, "records/s", plain[b], "")
		t.add("the first of the second", b, "share", []float64{median(with) / median(plain[b])}, "0.97")
	}
	return nil
}

const (
	transactionsTopic      = "transactions"
	transactionsPartitions = 6
)

// alternate runs something against the brokers by turns; the first round warms up.
func (s settings) alternate(brokers []broker, name string, run func(b broker, round int) (transactional, error)) (map[string][]transactional, error) {
	found := map[string][]transactional{}
	for round := range s.rounds + 1 {
		for i := range brokers {
			b := brokers[(i+round)%2] // who goes first alternates
			one, err := run(b, round)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", name, b.Name(), err)
			}
			progress("%-28s %-8s round %d: %8.1f/s, commit p50 %.2f ms, p99 %.2f ms", name, b.Name(), round, one.rate, one.p50, one.p99)
			if round > 0 {
				found[b.Name()] = append(found[b.Name()], one)
			}
		}
	}
	return found, nil
}

func rates(all []transactional) []float64 {
	return each(all, func(r transactional) float64 { return r.rate })
}

func each(all []transactional, f func(transactional) float64) (out []float64) {
	for _, r := range all {
		out = append(out, f(r))
	}
	return out
}

// commits runs transactions of n records, spread over the partitions, for a spell.
func commits(addrs string, n, round int) (transactional, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addrs, ",")...), kgo.TransactionalID("bench-"+strconv.Itoa(n)+"-"+strconv.Itoa(round)), kgo.DefaultProduceTopic(transactionsTopic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
	if err != nil {
		return transactional{}, fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	if _, err := commit(c, n); err != nil { // it makes the connections and gets the producer id
		return transactional{}, err
	}
	var took []time.Duration
	began := time.Now()
	for time.Since(began) < spell {
		one, err := commit(c, n)
		if err != nil {
			return transactional{}, err
		}
		took = append(took, one)
	}
	whole := time.Since(began)
	slices.Sort(took)
	at := func(share int) float64 {
		return float64(took[min(len(took)*share/100, len(took)-1)].Microseconds()) / 1000
	}
	return transactional{rate: float64(len(took)) / whole.Seconds(), p50: at(50), p99: at(99)}, nil
}

// commit runs one transaction and returns how long its commit took.
func commit(c *kgo.Client, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Value: make([]byte, 100)}
	}
	if err := errors.Join(c.BeginTransaction(), c.ProduceSync(ctx, records...).FirstErr()); err != nil {
		return 0, fmt.Errorf("produce in a transaction: %w", err)
	}
	began := time.Now()
	if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	return time.Since(began), nil
}

// stream produces without pause for a spell.
func stream(addr string, opts ...kgo.Opt) (transactional, error) {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(transactionsTopic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		return transactional{}, fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	value := make([]byte, 1024)
	var failed error // written by the promises, which the client calls one after another, and read after the flush
	sent := 0
	began := time.Now()
	for ; time.Since(began) < spell; sent++ {
		c.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { failed = errors.Join(failed, err) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(c.Flush(ctx), failed); err != nil {
		return transactional{}, fmt.Errorf("produce: %w", err)
	}
	return transactional{rate: float64(sent) / time.Since(began).Seconds()}, nil
}
