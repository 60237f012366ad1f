package group

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Coordinator coordinates the groups whose partition of __consumer_offsets this broker leads. Its methods may be called
// from any goroutine; those that wait for members or for replication end early with their context.
type Coordinator struct {
	settings   Settings
	journal    Journal
	partitions int32
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	shards     sync.WaitGroup

	mu     sync.RWMutex
	led    map[int32]*shard
	ending map[int32]<-chan struct{}     // the end of a partition's last shard
	epochs map[int32]cluster.LeaderEpoch // newest that Elected or Resigned told
}

// New returns a coordinator. The number of partitions is that of the topic when it exists, else offsets.topic.num.partitions:
// it must not change afterwards, since it places the groups.
func New(settings Settings, journal Journal, partitions int32) *Coordinator {
	c := &Coordinator{
		settings: settings, journal: pacedJournal{journal, make(chan struct{}, loadsMax)}, partitions: max(partitions, 1),
		led: map[int32]*shard{}, ending: map[int32]<-chan struct{}{}, epochs: map[int32]cluster.LeaderEpoch{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// loadsMax is how many partitions are loaded at the same time: each takes a buffer, and a broker can be elected for all of
// them at once.
const loadsMax = 4

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

// PartitionFor is the partition of __consumer_offsets that holds the group.
func (c *Coordinator) PartitionFor(group string) int32 {
	return cluster.CoordinatorPartition(group, c.partitions)
}

// Elected tells that this broker leads a partition of __consumer_offsets. Its groups are loaded in the background; a leader
// that stays one keeps what it has. It does not block, and must be called in the order of the elections.
func (c *Coordinator) Elected(partition int32, epoch cluster.LeaderEpoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.advanceLocked(partition, epoch) || c.led[partition] != nil || c.ctx.Err() != nil {
		return
	}
	c.startLocked(partition)
}

func (c *Coordinator) startLocked(partition int32) {
	s := newShard(partition, &c.settings, c.journal)
	ctx, cancel := context.WithCancel(c.ctx)
	s.cancel = cancel
	before := c.ending[partition]
	c.led[partition], c.ending[partition] = s, s.done
	c.shards.Go(func() { s.loop(ctx, before) })
	c.shards.Go(func() { s.commit(ctx) })
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

// shard finds who serves the group.
func (c *Coordinator) shard(group string) (*shard, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.ctx.Err() != nil {
		return nil, kerr.CoordinatorNotAvailable
	}
	s := c.led[c.PartitionFor(group)]
	switch {
	case s == nil:
		return nil, kerr.NotCoordinator
	case !s.loaded.Load():
		return nil, kerr.CoordinatorLoadInProgress
	}
	return s, nil
}

// named is shard for requests whose group must have a name. Only those that old clients use for mere storage may go without.
func (c *Coordinator) named(group string) (*shard, error) {
	if group == "" {
		return nil, kerr.InvalidGroupID
	}
	return c.shard(group)
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

// Join makes a client a member of its group, and waits for the rebalance that this takes.
func (c *Coordinator) Join(ctx context.Context, r *JoinRequest) JoinResult {
	refused := func(err error) JoinResult { return JoinResult{Err: err, MemberID: r.MemberID, Generation: -1} }
	s, err := c.named(r.Group)
	if err != nil {
		return refused(err)
	}
	if r.SessionTimeout < c.settings.SessionTimeoutMin || r.SessionTimeout > c.settings.SessionTimeoutMax {
		return refused(kerr.InvalidSessionTimeout)
	}
	a, err := s.await(ctx, func(now time.Time, t Ticket) { s.join(now, t, r) })
	if err != nil {
		return refused(err)
	}
	return *a.Join
}

// join makes the group when the first member comes. It is not kept when the member is not accepted.
func (s *shard) join(now time.Time, t Ticket, r *JoinRequest) {
	g := s.groups[r.Group]
	if g == nil && r.MemberID != "" {
		s.answer(Answer{Ticket: t, Join: &JoinResult{Err: kerr.UnknownMemberID, MemberID: r.MemberID, Generation: -1}})
		return
	}
	if g == nil {
		g = newGroup(r.Group, s.settings, now)
	}
	s.groups[r.Group] = g
	s.settle(g, g.Join(now, t, r), now)
}

// Sync fetches a member's assignment, and waits until the leader has brought it.
func (c *Coordinator) Sync(ctx context.Context, r *SyncRequest) SyncResult {
	s, err := c.named(r.Group)
	if is(err, kerr.CoordinatorLoadInProgress) {
		// The rebalance is lost with the old coordinator, so the member may as well join again at once.
		err = kerr.RebalanceInProgress
	}
	if err != nil {
		return SyncResult{Err: err}
	}
	a, err := s.await(ctx, func(now time.Time, t Ticket) {
		if g := s.groups[r.Group]; g != nil {
			s.settle(g, g.Sync(now, t, r), now)
			return
		}
		s.answer(Answer{Ticket: t, Sync: &SyncResult{Err: kerr.UnknownMemberID}})
	})
	if err != nil {
		return SyncResult{Err: err}
	}
	return *a.Sync
}

// Heartbeat keeps a member in its group. An error tells it what to do instead of going on: REBALANCE_IN_PROGRESS to join
// again, others to begin anew.
func (c *Coordinator) Heartbeat(ctx context.Context, r *HeartbeatRequest) error {
	s, err := c.named(r.Group)
	if is(err, kerr.CoordinatorLoadInProgress) {
		return nil // sessions begin when the group is loaded
	}
	if err != nil {
		return err
	}
	var verdict error
	err = s.do(ctx, func(now time.Time) {
		g := s.groups[r.Group]
		if g == nil {
			verdict = kerr.UnknownMemberID
			return
		}
		verdict = g.Heartbeat(now, r)
		s.settle(g, Effects{}, now)
	})
	if err != nil {
		return err
	}
	return verdict
}

// Leave removes members from a group. It returns an error for each, in order, or one for the request.
func (c *Coordinator) Leave(ctx context.Context, group string, leaving []LeavingMember) ([]error, error) {
	s, err := c.named(group)
	if err != nil {
		return nil, err
	}
	var errs []error
	var refused error
	err = s.do(ctx, func(now time.Time) {
		g := s.groups[group]
		if g == nil {
			errs = fill(len(leaving), kerr.UnknownMemberID)
			return
		}
		var e Effects
		errs, refused, e = g.Leave(now, leaving)
		s.settle(g, e, now)
	})
	if err != nil {
		return nil, err
	}
	return errs, refused
}

// Describe shows a group; one that does not exist is Dead.
func (c *Coordinator) Describe(ctx context.Context, group string) (Description, error) {
	s, err := c.shard(group)
	if err != nil {
		return Description{}, err
	}
	d := Description{State: Dead.String()}
	err = s.do(ctx, func(time.Time) {
		if g := s.groups[group]; g != nil {
			d = g.Describe()
		}
	})
	if err != nil {
		return Description{}, err
	}
	return d, nil
}

// List lists the groups that this broker coordinates, in no order. With COORDINATOR_LOAD_IN_PROGRESS it lists those that
// are loaded.
func (c *Coordinator) List(ctx context.Context) ([]Listing, error) {
	if c.ctx.Err() != nil {
		return nil, kerr.CoordinatorNotAvailable
	}
	var all []Listing
	var loading error
	for _, s := range c.all() {
		var some []Listing
		err := s.do(ctx, func(time.Time) {
			for _, g := range s.groups {
				some = append(some, Listing{Group: g.id, ProtocolType: g.protocolType, State: g.state})
			}
		})
		switch {
		case err == nil:
			all = append(all, some...)
		case is(err, kerr.CoordinatorLoadInProgress):
			loading = err
		case ctx.Err() != nil:
			return nil, err
		}
	}
	return all, loading
}
