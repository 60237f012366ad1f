package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// failover has a cluster of each kind end a broker, over and over.
func failover(s settings, t *clusterTable, name string, measure func(c *trio, s settings, t *clusterTable) error) error {
	if !s.only.MatchString(name) {
		return nil
	}
	for range s.rounds {
		for _, kind := range both { // one after the other: a cluster that is starting would be in the way
			c, err := s.startTrio(kind, name)
			if err != nil {
				return err
			}
			err = measure(c, s, t)
			c.close()
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, kind, err)
			}
		}
	}
	return nil
}

func leaderKilled(s settings, t *clusterTable) error { return failover(s, t, "kill", killLeader) }
func controllerKilled(s settings, t *clusterTable) error {
	return failover(s, t, "controller", killController)
}
func leaderStopped(s settings, t *clusterTable) error { return failover(s, t, "stop", stopLeader) }

// killLeader kills the one broker that leads all partitions.
func killLeader(c *trio, s settings, t *clusterTable) error {
	if err := c.create("many", s.partitions, 1); err != nil {
		return err
	}
	return c.kill(t, "leader", 1, s.partitions)
}

// lagMax is replica.lag.time.max.ms, by default.
const lagMax = 30 * time.Second

// killController kills the controller of a cluster of many partitions.
func killController(c *trio, s settings, t *clusterTable) error {
	partitions := 5 * s.partitions
	if err := c.create("many", partitions, 0); err != nil {
		return err
	}
	cl, err := c.client(nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	// A follower that was slow to begin leaves the ISR only now. If the controller were killed then, what it alone has in sync would stay
	// without a leader.
	time.Sleep(lagMax + 5*time.Second)
	if err := c.awaitInSync(cl, "many", int(partitions)); err != nil {
		return err
	}
	m, err := kadm.NewClient(cl).BrokerMetadata(context.Background())
	if err != nil {
		return fmt.Errorf("find controller: %w", err)
	}
	return c.kill(t, "controller", m.Controller, partitions)
}

// kill kills a broker and notes when the others led all partitions of the topic: counted from when its session was over at the latest, had it
// been heard from just before, and from when ZooKeeper did end it, which is a ping's interval earlier or a tick later.
func (c *trio) kill(t *clusterTable, role string, id, partitions int32) error {
	keeper, _, err := zk.Connect([]string{c.zookeeper.Addr}, session, zk.WithLogInfo(false))
	if err != nil {
		return fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	defer keeper.Close()
	_, _, registration, err := keeper.ExistsW(fmt.Sprintf("/bench/brokers/ids/%d", id))
	if err != nil {
		return fmt.Errorf("watch registration: %w", err)
	}
	ended := make(chan time.Time, 1)
	go func() {
		<-registration
		ended <- time.Now()
	}()
	began := time.Now()
	c.brokers[id].Kill()
	if err := c.awaitLed(c.others(id), "many", partitions); err != nil {
		return err
	}
	led := time.Now()
	beyond, since := led.Sub(began)-session, led.Sub(<-ended)
	progress("%s killed %-8s %v after the session, %v after ZooKeeper ended it", role, c.name, beyond, since)
	what := fmt.Sprintf("%s of %d partitions killed: all led again", role, partitions)
	t.add(what+", beyond ZooKeeper's session", "s", c.name, beyond.Seconds())
	t.add(what+", since ZooKeeper ended the session", "s", c.name, since.Seconds())
	return nil
}

// probed are the partitions of the topic whose leader is stopped in order.
const probed = 60

// stopLeader stops the leader of all partitions with SIGTERM while each is written to all the time.
func stopLeader(c *trio, s settings, t *clusterTable) error {
	if err := c.create("probed", probed, 1); err != nil {
		return err
	}
	p, err := c.startProbe()
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	p.reset()
	errStop := c.brokers[1].Stop()
	time.Sleep(3 * time.Second)
	gap, failed, sent := p.stop()
	if errStop != nil {
		return errStop
	}
	progress("leader stopped %-8s longest gap %v, %d of %d sends failed", c.name, gap, failed, sent)
	t.add(fmt.Sprintf("leader of %d partitions stopped: longest time that a partition took no record", probed), "ms", c.name, gap.Seconds()*1000)
	t.add("the same: acks=all sends that failed", "", c.name, float64(failed))
	return nil
}

// probe writes to each partition, one record at a time.
type probe struct {
	client *kgo.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu           sync.Mutex
	began        time.Time     // what was acknowledged before does not count
	gap          time.Duration // the longest between two acknowledgements of a partition
	failed, sent int
}

func (c *trio) startProbe() (*probe, error) {
	soon := func(int) time.Duration { return 10 * time.Millisecond } // it is not the client's pauses that are measured
	cl, err := c.client(nil, kgo.DefaultProduceTopic("probed"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RetryBackoffFn(soon))
	if err != nil {
		return nil, err
	}
	for n := range int32(probed) { // the first of each partition takes longer than any other
		if err := cl.ProduceSync(context.Background(), &kgo.Record{Partition: n, Value: []byte("probe")}).FirstErr(); err != nil {
			cl.Close()
			return nil, fmt.Errorf("produce: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{client: cl, cancel: cancel}
	for n := range int32(probed) {
		p.wg.Go(func() { p.run(ctx, n) })
	}
	return p, nil
}

func (p *probe) run(ctx context.Context, partition int32) {
	last := time.Now()
	for ctx.Err() == nil {
		err := p.client.ProduceSync(ctx, &kgo.Record{Partition: partition, Value: []byte("probe")}).FirstErr()
		if errors.Is(err, context.Canceled) {
			return
		}
		now := time.Now()
		p.mu.Lock()
		p.sent++
		if err != nil {
			p.failed++
		} else {
			p.gap, last = max(p.gap, now.Sub(later(last, p.began))), now
		}
		p.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

// reset forgets what was before.
func (p *probe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.gap, p.failed, p.sent = time.Now(), 0, 0, 0
}

func (p *probe) stop() (gap time.Duration, failed, sent int) {
	p.cancel()
	p.wg.Wait()
	p.client.Close()
	return p.gap, p.failed, p.sent
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
