package txn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Options are what a coordinator works with.
type Options struct {
	Settings Settings
	Journal  Journal
	IDs      *ProducerIDs
	Markers  *Markers
	// Partitions is the number of partitions of __transaction_state: the topic's when it exists, else transaction.state.log.num.partitions.
	// It must not change afterwards, since it places the ids.
	Partitions int32
}

// Coordinator coordinates the transactional ids whose partition of __transaction_state this broker leads. Its methods may be called
// from any goroutine; those that wait for replication end early with their context.
type Coordinator struct {
	options Options
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	shards  sync.WaitGroup

	mu     sync.RWMutex
	led    map[int32]*shard
	ending map[int32]<-chan struct{}     // the end of a partition's last shard
	epochs map[int32]cluster.LeaderEpoch // newest that Elected or Resigned told
}

// loadsMax is how many partitions are loaded at the same time: each takes a buffer, and a broker can be elected for all of
// them at once.
const loadsMax = 4

// New returns a coordinator.
func New(o Options) *Coordinator {
	o.Partitions = max(o.Partitions, 1)
	o.Journal = pacedJournal{o.Journal, make(chan struct{}, loadsMax)}
	c := &Coordinator{
		options: o, led: map[int32]*shard{}, ending: map[int32]<-chan struct{}{}, epochs: map[int32]cluster.LeaderEpoch{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// pacedJournal lets only so many replays run at a time.
type pacedJournal struct {
	Journal
	slots chan struct{}
}

func (j pacedJournal) Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func(batches []byte) error) error {
	select {
	case j.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-j.slots }()
	return j.Journal.Replay(ctx, tp, bytesMax, visit)
}

// Close ends all shards. Requests that wait are answered with NOT_COORDINATOR, later ones with COORDINATOR_NOT_AVAILABLE.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.shards.Wait()
}

// PartitionFor is the partition of __transaction_state that holds the id.
func (c *Coordinator) PartitionFor(id string) int32 {
	return cluster.CoordinatorPartition(id, c.options.Partitions)
}

// Elected tells that this broker leads a partition of __transaction_state. Its ids are loaded in the background; a leader that stays
// one keeps what it has. It does not block, and must be called in the order of the elections.
func (c *Coordinator) Elected(partition int32, epoch cluster.LeaderEpoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.advanceLocked(partition, epoch) || c.ctx.Err() != nil {
		return
	}
	if s := c.led[partition]; s != nil {
		s.epoch.Store(int32(epoch))
		return
	}
	s := newShard(c.ctx, partition, &c.options.Settings, c.options.Journal, c.options.Markers)
	s.epoch.Store(int32(epoch))
	before := c.ending[partition]
	c.led[partition], c.ending[partition] = s, s.done
	c.shards.Go(func() { s.loop(before) })
	c.shards.Go(s.commit)
}

// Resigned tells that this broker does not lead a partition any more. A negative epoch, of a partition that is being
// stopped, counts always. It does not block.
func (c *Coordinator) Resigned(partition int32, epoch cluster.LeaderEpoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.led[partition]; c.advanceLocked(partition, epoch) && s != nil {
		s.cancel()
		delete(c.led, partition)
	}
}

// advanceLocked refuses what is older than what was told already.
func (c *Coordinator) advanceLocked(partition int32, epoch cluster.LeaderEpoch) bool {
	if epoch < 0 {
		return true
	}
	if known, ok := c.epochs[partition]; ok && epoch < known {
		return false
	}
	c.epochs[partition] = epoch
	return true
}

// shard finds who serves the id.
func (c *Coordinator) shard(id string) (*shard, error) {
	if id == "" {
		return nil, kerr.InvalidRequest
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.ctx.Err() != nil {
		return nil, kerr.CoordinatorNotAvailable
	}
	s := c.led[c.PartitionFor(id)]
	switch {
	case s == nil:
		return nil, kerr.NotCoordinator
	case !s.loaded.Load():
		return nil, kerr.CoordinatorLoadInProgress
	}
	return s, nil
}

func (c *Coordinator) all() []*shard {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*shard, 0, len(c.led))
	for _, s := range c.led {
		all = append(all, s)
	}
	return all
}

// event is what happens to an id in its shard. The transaction is nil if there is none. What it returns is Transaction's.
type event func(now time.Time, s *shard, t *Transaction) (*metadata, error)

// change runs an event of an id, and waits until what it writes is committed.
func (c *Coordinator) change(ctx context.Context, id string, e event) error {
	s, err := c.shard(id)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.options.Settings.RequestTimeout)
	defer cancel()
	answer, err := s.do(limited, func(now time.Time, answer func(error)) { s.change(now, id, e, answer) })
	switch {
	case err == nil:
		return answer
	case limited.Err() != nil && ctx.Err() == nil:
		return kerr.CoordinatorNotAvailable // it counts all the same when it is committed later
	}
	return err
}

func (s *shard) change(now time.Time, id string, e event, answer func(error)) {
	next, verdict := e(now, s, s.txns[id])
	if next == nil {
		answer(verdict)
		return
	}
	s.write(s.txns[id], next, now, func(err error) {
		if err == nil {
			err = verdict
		}
		answer(err)
	})
}

// InitProducerID gives a transactional id to a producer, and fences whoever has it. A transaction that is open is aborted, and the
// producer told CONCURRENT_TRANSACTIONS: it is to come back.
func (c *Coordinator) InitProducerID(ctx context.Context, r *InitRequest) (Producer, error) {
	if r.TransactionalID == "" {
		return NoProducer, kerr.InvalidRequest
	}
	if r.TimeoutMillis <= 0 || time.Duration(r.TimeoutMillis)*time.Millisecond > c.options.Settings.TimeoutMax {
		return NoProducer, kerr.InvalidTransactionTimeout
	}
	fresh := int64(noFreshID)
	for {
		var given Producer
		err := c.change(ctx, r.TransactionalID, initialize(r, fresh, &given))
		if err == nil {
			return given, nil
		}
		if !errors.Is(err, errNeedsID) {
			return NoProducer, err
		}
		// The ids come from the controller, for which the shard cannot wait.
		if fresh, err = c.options.IDs.Next(ctx); err != nil {
			return NoProducer, err
		}
	}
}

// initialize makes the id when its first producer comes.
func initialize(r *InitRequest, fresh int64, given *Producer) event {
	return func(now time.Time, s *shard, t *Transaction) (*metadata, error) {
		if t == nil && fresh == noFreshID {
			return nil, errNeedsID
		}
		if t == nil {
			t = newTransaction(r.TransactionalID, fresh, now.UnixMilli())
			s.txns[t.id] = t
		}
		next, err := t.Init(now, r, fresh)
		if next != nil {
			*given = next.Producer
		}
		return next, err
	}
}

// known is an event of ids that have a producer.
func known(e func(now time.Time, t *Transaction) (*metadata, error)) event {
	return func(now time.Time, _ *shard, t *Transaction) (*metadata, error) {
		if t == nil {
			return nil, kerr.InvalidProducerIDMapping
		}
		return e(now, t)
	}
}

// completionPatience is how long the first partitions of a transaction wait until the one before is complete: also when a marker has to be
// sent a second time.
const completionPatience = 150 * time.Millisecond

// AddPartitions has the producer's transaction include partitions, and begins it with the first.
//
// A producer that goes on at once finds the transaction before decided, and its markers on their way. Told CONCURRENT_TRANSACTIONS it would
// pause for longer than they take, so it waits here for a moment.
func (c *Coordinator) AddPartitions(ctx context.Context, id string, p Producer, partitions []protocol.TopicPartition) error {
	var before <-chan struct{} // the end of the transaction before
	add := func(now time.Time, s *shard, t *Transaction) (*metadata, error) {
		if t == nil {
			return nil, kerr.InvalidProducerIDMapping
		}
		next, err := t.AddPartitions(now, p, partitions)
		if before = nil; is(err, kerr.ConcurrentTransactions) && t.state.prepared() {
			before = s.end(t)
		}
		return next, err
	}
	err := c.change(ctx, id, add)
	if !is(err, kerr.ConcurrentTransactions) {
		return err
	}
	patience := time.NewTimer(completionPatience)
	defer patience.Stop()
	for is(err, kerr.ConcurrentTransactions) && before != nil {
		select {
		case <-before:
			err = c.change(ctx, id, add)
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// End commits or aborts the producer's transaction. It returns when that is decided for good; the markers follow.
func (c *Coordinator) End(ctx context.Context, id string, p Producer, commit bool) error {
	return c.change(ctx, id, known(func(now time.Time, t *Transaction) (*metadata, error) { return t.End(now, p, commit) }))
}

// Verify returns for each partition whether the producer's open transaction includes it.
func (c *Coordinator) Verify(ctx context.Context, id string, p Producer, partitions []protocol.TopicPartition) []error {
	var errs []error
	err := c.change(ctx, id, known(func(_ time.Time, t *Transaction) (_ *metadata, err error) {
		errs, err = t.Verify(p, partitions)
		return nil, err
	}))
	if err != nil {
		return fill(len(partitions), err)
	}
	return errs
}

func fill(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
