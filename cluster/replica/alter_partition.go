package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// proposer takes ISR changes to the controller.
type proposer interface {
	AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error)
	// BrokerEpoch is that of this broker's current registration.
	BrokerEpoch() cluster.BrokerEpoch
}

const (
	alterRetryInterval = 50 * time.Millisecond

	// alterLinger lets all that one fetch or one look at the laggards proposes go in one request, however the goroutines are
	// scheduled. When a broker dies that is a proposal of every partition that it followed.
	alterLinger = time.Millisecond
)

// queued is a proposal on its way.
type queued struct {
	partition *Partition
	proposal  *proposal
}

// alterPartition is the queue of proposals to the controller: one request at a time, which carries all that is queued. Each
// partition has at most one proposal in flight, so the queue is bounded by the number of partitions.
type alterPartition struct {
	proposer proposer
	id       cluster.BrokerID
	logger   zerolog.Logger

	mu      sync.Mutex
	waiting map[protocol.TopicPartition]queued
	ready   waiter

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newAlterPartition returns a queue, which is idle without a proposer: a broker that is alone has nothing to propose.
func newAlterPartition(p proposer, id cluster.BrokerID, logger zerolog.Logger) *alterPartition {
	a := &alterPartition{proposer: p, id: id, logger: logger, waiting: map[protocol.TopicPartition]queued{}, ready: newWaiter()}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if p != nil {
		a.wg.Go(a.loop)
	}
	return a
}

func (a *alterPartition) close() {
	a.cancel()
	a.wg.Wait()
}

// propose queues a proposal. An older one of the same partition is forgotten: the partition does not wait for it any more.
func (a *alterPartition) propose(p *Partition, pr *proposal) {
	a.mu.Lock()
	a.waiting[p.TopicPartition] = queued{p, pr}
	a.mu.Unlock()
	a.ready.wake()
}

func (a *alterPartition) loop() {
	for a.ready.await(a.ctx, nil, nil) {
		a.pause(alterLinger)
		for batch := a.take(); len(batch) > 0 && a.ctx.Err() == nil; batch = a.take() {
			a.send(batch)
		}
	}
}

// take empties the queue. Its order is that of names, so that what is sent does not depend on a map's.
func (a *alterPartition) take() []queued {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := slices.SortedFunc(maps.Values(a.waiting), func(x, y queued) int { return compareNames(x.partition, y.partition) })
	clear(a.waiting)
	return batch
}

// send makes one request of a batch and hands each partition its answer. When the request as a whole failed (the
// controller moved, or this broker registered anew) everything is sent again a little later.
func (a *alterPartition) send(batch []queued) {
	r := &cluster.AlterPartitionRequest{BrokerID: a.id, BrokerEpoch: a.proposer.BrokerEpoch()}
	for _, q := range batch {
		r.Partitions = append(r.Partitions, cluster.AlterPartition{TopicPartition: q.partition.TopicPartition, TopicID: q.partition.View().TopicID,
			LeaderEpoch: q.proposal.leaderEpoch, NewISR: q.proposal.asked(), PartitionEpoch: q.proposal.partitionEpoch})
	}
	resp, err := a.proposer.AlterPartition(a.ctx, r)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		a.logger.Debug().Err(err).Msg("AlterPartition failed, trying again")
		a.failed(batch, err)
		return
	}
	var refused []queued
	for _, q := range batch {
		if answer, ok := resp.Partitions[q.partition.TopicPartition]; !ok || q.partition.proposalAnswered(q.proposal, answer) {
			refused = append(refused, q)
		}
	}
	a.again(refused)
}

// nothingDone are the errors of a request that say that it did nothing, and will not.
var nothingDone = []error{ErrNotSent, kerr.NotController, kerr.StaleBrokerEpoch}

// failed sends everything again after a request failed as a whole.
func (a *alterPartition) failed(batch []queued, err error) {
	if !slices.ContainsFunc(nothingDone, func(e error) bool { return errors.Is(err, e) }) {
		for _, q := range batch {
			q.partition.proposalUnanswered(q.proposal)
		}
	}
	a.again(batch)
}

// again queues proposals once more after a pause, unless their partition has made a newer one.
func (a *alterPartition) again(batch []queued) {
	if len(batch) == 0 {
		return
	}
	a.mu.Lock()
	for _, q := range batch {
		if _, newer := a.waiting[q.partition.TopicPartition]; !newer {
			a.waiting[q.partition.TopicPartition] = q
		}
	}
	a.mu.Unlock()
	a.pause(alterRetryInterval)
}

// pause waits, unless the queue is closed.
func (a *alterPartition) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}
