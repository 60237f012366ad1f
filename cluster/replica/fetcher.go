package replica

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// Leader is one ordered connection to a broker that leads partitions.
type Leader interface {
	// Fetch asks for records after each offset, in the order of the asks, and waits for some at the leader. An answer may
	// lack partitions of which there is nothing new. If the asks are not the whole the others are asked for as before.
	Fetch(ctx context.Context, asks []FetchAsk, whole bool) ([]LeaderAnswer, error)
	// Remembers reports whether the next asks of Fetch need not be the whole.
	Remembers() bool
	// EpochEnds asks where the last epoch of each partition ends. The answers are in the order of the asks.
	EpochEnds(ctx context.Context, asks []FetchAsk) ([]LeaderAnswer, error)
	// Range asks for the log start and end of a partition.
	Range(ctx context.Context, ask FetchAsk) (start, end int64, err error)
	// Close ends the connection.
	Close() error
}

// LeaderAnswer is a leader's answer about one partition.
type LeaderAnswer struct {
	protocol.TopicPartition
	Err           error
	Records       []byte // may end in a cut batch; valid until the next Fetch
	HighWatermark int64
	LogStart      int64
	Epoch         EpochEnd // Fetch: where the logs diverge, Epoch -1 if they do not; EpochEnds: the answer
}

// Fetchers copy what other brokers lead: for each of them one loop, or several.
type Fetchers struct {
	options  FetcherOptions
	mu       sync.Mutex
	fetchers map[fetcherID]*fetcher
	follows  map[protocol.TopicPartition]*fetcher
	wg       sync.WaitGroup
}

// FetcherOptions configure Fetchers.
type FetcherOptions struct {
	Dial      func(cluster.BrokerID) Leader
	PerLeader int           // num.replica.fetchers
	Backoff   time.Duration // replica.fetch.backoff.ms
	AskEpochs bool          // leaders are older than Kafka 2.7
	Throttle  *Throttle     // nil: none
	Logger    zerolog.Logger
}

// fetcherID names a loop: a leader and, if it has several, which.
type fetcherID struct {
	leader cluster.BrokerID
	n      uint32
}

// NewFetchers returns Fetchers that follow nobody yet.
func NewFetchers(o FetcherOptions) *Fetchers {
	return &Fetchers{options: o, fetchers: map[fetcherID]*fetcher{}, follows: map[protocol.TopicPartition]*fetcher{}}
}

// Follow begins to fetch partitions, each in the loop of its leader. A loop starts, or hears of them, when it has all that are for it, so
// that they go in one request.
func (fs *Fetchers) Follow(follow []Following) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var changed []*fetcher
	for _, f := range follow {
		tp := f.Partition.TopicPartition
		x := fs.fetcherLocked(fetcherID{f.Leader, fs.share(tp)})
		fs.follows[tp] = x
		x.follow(f)
		if !slices.Contains(changed, x) {
			changed = append(changed, x)
		}
	}
	for _, x := range changed {
		if !x.started {
			x.started = true
			fs.wg.Go(x.loop)
		}
		x.changed.wake()
	}
}

// share says which of a leader's loops a partition belongs to.
func (fs *Fetchers) share(tp protocol.TopicPartition) uint32 {
	h := fnv.New32a()
	h.Write([]byte(tp.Topic))
	return (31*h.Sum32() + uint32(tp.Partition)) % uint32(max(1, fs.options.PerLeader))
}

// fetcherLocked returns a loop, and makes it, not started, if it is the first of its partitions that needs it.
func (fs *Fetchers) fetcherLocked(id fetcherID) *fetcher {
	x := fs.fetchers[id]
	if x == nil {
		x = newFetcher(fs.options, id.leader)
		fs.fetchers[id] = x
	}
	return x
}

// Unfollow ends the fetching of partitions; nothing is appended to them once it returns.
func (fs *Fetchers) Unfollow(tps []protocol.TopicPartition) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, tp := range tps {
		if x := fs.follows[tp]; x != nil {
			delete(fs.follows, tp)
			x.unfollow(tp)
		}
	}
}

// StopIdle ends the loops that have no partitions left. It comes after Follow, so that a loop survives a change of epochs.
func (fs *Fetchers) StopIdle() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for id, x := range fs.fetchers {
		if x.idle() {
			delete(fs.fetchers, id)
			x.cancel()
		}
	}
}

// Close ends all loops.
func (fs *Fetchers) Close() {
	fs.mu.Lock()
	for _, x := range fs.fetchers {
		x.cancel()
	}
	fs.mu.Unlock()
	fs.wg.Wait()
}

// fetcher is the loop of one leader: ask, wait for the answer, carry it out, in turn. Its lock is held while an answer is
// carried out, so that whoever takes a partition away knows that nothing more is appended to it.
type fetcher struct {
	leader  Leader
	logger  zerolog.Logger
	backoff time.Duration
	ctx     context.Context
	cancel  context.CancelFunc

	mu         sync.Mutex
	core       fetcherCore
	partitions map[protocol.TopicPartition]*Partition
	changed    waiter
	started    bool // guarded by the lock of Fetchers

	throttle    *Throttle
	unreachable bool // that is logged once
}

func newFetcher(o FetcherOptions, leader cluster.BrokerID) *fetcher {
	x := &fetcher{leader: o.Dial(leader), backoff: o.Backoff, core: newFetcherCore(o.Backoff, o.AskEpochs),
		partitions: map[protocol.TopicPartition]*Partition{}, changed: newWaiter()}
	if x.throttle = o.Throttle; x.throttle != nil {
		x.core.throttled = func(tp protocol.TopicPartition) bool { return x.throttle.holds(tp, time.Now) }
	}
	x.logger = o.Logger.With().Int32("leader", int32(leader)).Logger()
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

func (x *fetcher) follow(f Following) {
	x.mu.Lock()
	x.partitions[f.Partition.TopicPartition] = f.Partition
	x.core.follow(f.Partition.TopicPartition, f.Epoch, f.Offset, logHistory{f.Partition.View().Log})
	x.mu.Unlock()
}

func (x *fetcher) unfollow(tp protocol.TopicPartition) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.partitions, tp)
	x.core.unfollow(tp)
}

func (x *fetcher) idle() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.partitions) == 0
}

func (x *fetcher) loop() {
	for x.ctx.Err() == nil {
		x.truncate()
		if !x.fetch() {
			x.pause()
		}
	}
	if err := x.leader.Close(); err != nil {
		x.logger.Debug().Err(err).Msg("close connection to the leader")
	}
}

// pause waits until there is something to do.
func (x *fetcher) pause() {
	x.mu.Lock()
	at := x.core.wakeAt(time.Now())
	x.mu.Unlock()
	var wake <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		wake = timer.C
	}
	select {
	case <-x.changed.woken:
	case <-wake:
	case <-x.ctx.Done():
	}
}

// truncate brings partitions to where their log agrees with the leader's.
func (x *fetcher) truncate() {
	x.mu.Lock()
	var ask []FetchAsk
	for _, q := range x.core.questions(time.Now()) {
		if q.LastEpoch == cluster.NoEpoch {
			x.carryOutLocked(&q, x.core.withoutEpochs(&q, time.Now()), nil)
		} else {
			ask = append(ask, q)
		}
	}
	x.mu.Unlock()
	if len(ask) == 0 {
		return
	}
	answers, err := x.leader.EpochEnds(x.ctx, ask)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.unreachableLocked(err)
		x.core.delayed(ask, time.Now())
		return
	}
	for i := range min(len(ask), len(answers)) {
		h, a := x.historyLocked(&ask[i]), &answers[i]
		if h != nil {
			x.carryOutLocked(&ask[i], x.core.epochAnswered(&ask[i], a.Epoch, a.Err, h, time.Now()), a)
		}
	}
}

// fetch does one round of fetching; false when no partition is ready.
func (x *fetcher) fetch() bool {
	remembered := x.leader.Remembers()
	x.mu.Lock()
	asks, whole := x.core.fetches(time.Now(), remembered)
	for i := range asks {
		v := x.partitions[asks[i].TopicPartition].View()
		asks[i].TopicID = v.TopicID
		if v.Log != nil {
			asks[i].LogStart = v.Log.LogStartOffset()
		}
	}
	x.mu.Unlock()
	if whole && len(asks) == 0 {
		return false
	}
	answers, err := x.leader.Fetch(x.ctx, asks, whole)
	if err != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.unreachableLocked(err)
		x.core.allDelayed(time.Now())
		return true
	}
	x.reached()
	for i := range answers {
		x.fetched(&answers[i])
	}
	return true
}

func (x *fetcher) fetched(a *LeaderAnswer) {
	x.mu.Lock()
	ask := x.core.askOf(a.TopicPartition)
	if ask == nil {
		x.mu.Unlock()
		return
	}
	h := x.historyLocked(ask)
	if h == nil {
		x.mu.Unlock()
		return
	}
	o := x.core.fetched(ask, a.Epoch, a.Err, h, time.Now())
	if o.todo != todoFindOffset {
		x.carryOutLocked(ask, o, a)
		x.mu.Unlock()
		return
	}
	x.mu.Unlock()
	start, end, err := x.leader.Range(x.ctx, *ask)
	x.mu.Lock()
	defer x.mu.Unlock()
	if h = x.historyLocked(ask); h == nil {
		return
	}
	o, anew := x.core.rangeFound(ask, start, end, err, h, time.Now())
	if anew {
		x.startAnewLocked(ask, o)
	} else {
		x.carryOutLocked(ask, o, nil)
	}
}

func (x *fetcher) reached() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unreachable = false
}

func (x *fetcher) unreachableLocked(err error) {
	if x.ctx.Err() == nil && !x.unreachable {
		x.logger.Warn().Err(err).Msg("could not ask the leader, trying again")
		x.unreachable = true
	}
}

// historyLocked is the log of a partition that is still fetched, or nil.
func (x *fetcher) historyLocked(ask *FetchAsk) history {
	p := x.partitions[ask.TopicPartition]
	if p == nil {
		return nil
	}
	if l := p.View().Log; l != nil {
		return logHistory{l}
	}
	return nil
}

// carryOutLocked does with the log what the core says, and tells the core.
func (x *fetcher) carryOutLocked(ask *FetchAsk, o order, a *LeaderAnswer) {
	p := x.partitions[ask.TopicPartition]
	if p == nil || o.todo == todoNothing {
		return
	}
	var err error
	switch o.todo {
	case todoAppend:
		var got copied
		if got, err = p.appendAsFollower(ask, a); err == nil {
			x.core.appended(ask, got, a.HighWatermark)
			if x.throttle.Covers(ask.TopicPartition) {
				x.throttle.Record(len(a.Records), time.Now())
			}
		}
	case todoTruncate:
		if err = p.truncateTo(o.offset); err == nil {
			x.core.truncated(ask, o, logHistory{p.View().Log})
		}
	}
	if err != nil {
		x.troubledLocked(ask, err)
	}
}

// troubledLocked leaves a partition alone whose log could not be changed: for a while if that passes, as when descriptors or room are wanted, or
// if the leader may send something better (case 23), else until the next LeaderAndIsr. (In Apache only a bad batch is fetched again.)
func (x *fetcher) troubledLocked(ask *FetchAsk, err error) {
	p := x.partitions[ask.TopicPartition]
	passes := errors.Is(err, kerr.KafkaStorageError) && !isStorage(err)
	if !errors.Is(err, log.ErrNearlyFull) { // that was logged once
		x.logger.Error().Err(err).Stringer("partition", p).Msg("could not follow the leader")
	}
	if passes || errors.Is(err, kerr.CorruptMessage) || errors.Is(err, kerr.InvalidRecord) {
		x.core.delayed([]FetchAsk{*ask}, time.Now())
	} else {
		x.core.failed(p.TopicPartition)
	}
}

func (x *fetcher) startAnewLocked(ask *FetchAsk, o order) {
	p := x.partitions[ask.TopicPartition]
	if err := p.startAnewAt(o.offset); err != nil {
		x.troubledLocked(ask, err)
		return
	}
	x.core.truncated(ask, o, logHistory{p.View().Log})
}

// logHistory shows a log to the core.
type logHistory struct{ *log.Log }

// LatestEpoch is that of the last record.
func (h logHistory) LatestEpoch() cluster.LeaderEpoch {
	if epoch, ok := h.EpochCache().Latest(); ok {
		return cluster.LeaderEpoch(epoch)
	}
	return cluster.NoEpoch
}

// EndOfEpoch is where an epoch ends, or the one before it.
func (h logHistory) EndOfEpoch(epoch cluster.LeaderEpoch) EpochEnd {
	e, end := h.EpochCache().EndOffset(int32(epoch), h.End())
	return EpochEnd{cluster.LeaderEpoch(e), end}
}

// End is the log end offset.
func (h logHistory) End() int64 { return h.LogEndOffset().Offset }

// copied is what a leader's answer did to a log.
type copied struct {
	next       int64               // the offset to fetch next
	lastEpoch  cluster.LeaderEpoch // of the last record that was appended; cluster.NoEpoch: none was
	startMoved bool
}

// appendAsFollower appends what the leader sent, and takes over its high watermark and log start as far as they apply here.
func (p *Partition) appendAsFollower(ask *FetchAsk, a *LeaderAnswer) (copied, error) {
	c, e, err := p.copy(ask, a)
	p.apply(e)
	return c, err
}

func (p *Partition) copy(ask *FetchAsk, a *LeaderAnswer) (c copied, e effects, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c = copied{next: ask.Offset, lastEpoch: cluster.NoEpoch}
	if p.log == nil || p.core.isLeader() {
		return c, e, ErrNotLeader
	}
	if end := p.log.LogEndOffset().Offset; end != ask.Offset {
		return c, e, fmt.Errorf("fetched from offset %d, but the log of %s ends at %d", ask.Offset, p, end)
	}
	if len(a.Records) > 0 {
		info, err := p.log.AppendAsFollower(a.Records, int32(ask.Epoch))
		if err != nil {
			return c, e, fmt.Errorf("append to %s: %w", p, err)
		}
		if info.FirstOffset >= 0 {
			c.next, c.lastEpoch, e.endMoved = info.LastOffset+1, cluster.LeaderEpoch(info.LeaderEpoch), true
		}
	}
	if before := p.log.HighWatermark().Offset; a.HighWatermark > before {
		e.highWatermarkMoved = p.log.SetHighWatermark(a.HighWatermark).Offset > before
	}
	if a.LogStart > p.log.LogStartOffset() && a.LogStart <= p.log.HighWatermark().Offset {
		c.startMoved, err = p.log.IncrementLogStartOffset(a.LogStart)
	}
	return c, e, err
}

// truncateTo removes what the leader does not have. Below the high watermark nothing should have to go; it does after an
// unclean election.
func (p *Partition) truncateTo(offset int64) error {
	defer p.apply(effects{roleChanged: true})
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.log == nil || p.core.isLeader() {
		return ErrNotLeader
	}
	if high := p.log.HighWatermark().Offset; offset < high {
		p.host.logger.Warn().Stringer("partition", p).Int64("offset", offset).Int64("highWatermark", high).Msg("truncating below the high watermark")
	}
	if _, err := p.log.TruncateTo(offset); err != nil {
		return fmt.Errorf("truncate %s to offset %d: %w", p, offset, err)
	}
	return nil
}

// startAnewAt drops everything; the log goes on from offset.
func (p *Partition) startAnewAt(offset int64) error {
	defer p.apply(effects{roleChanged: true})
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.log == nil || p.core.isLeader() {
		return ErrNotLeader
	}
	if err := p.log.TruncateFullyAndStartAt(offset); err != nil {
		return fmt.Errorf("start %s anew at offset %d: %w", p, offset, err)
	}
	return nil
}
