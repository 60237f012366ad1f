package replica

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// The values of acks in a produce request.
const (
	AcksNone   int16 = 0  // no answer
	AcksLeader int16 = 1  // when the leader has it
	AcksAll    int16 = -1 // when all in-sync replicas have it
)

// Options make a Manager.
type Options struct {
	BrokerID  cluster.BrokerID
	ClusterID string
	Logs      *log.Manager
	Config    func(topic string) *log.Config // the settings of a topic, when its log is made

	LagTimeMax         time.Duration // replica.lag.time.max.ms
	LagMessagesMax     int64         // replica.lag.max.messages; 0: no such limit
	CheckpointInterval time.Duration // replica.high.watermark.checkpoint.interval.ms
	RackAware          bool          // replica.selector.class is the RackAwareReplicaSelector
	Syncing            Syncing       // gokafka.isr.sync; the zero value is SyncNever

	Throttles   Throttles // of replication; the zero value holds nothing back
	MovesAtOnce int       // num.replica.alter.log.dirs.threads, shared by the directories, each of which has one at the least

	Proposer proposer // takes ISR changes to the controller; nil: this broker is alone
	Fetchers fetchers // copies what other brokers lead; nil: this broker is alone
	Listener Listener // nil: nobody
	Logger   zerolog.Logger
	Now      func() time.Time // nil: time.Now
}

// Listener hears of what changed, after it changed, one call at a time. It must not call back into the Manager's
// Apply methods, and must not block.
type Listener interface {
	// LeadershipChanged tells which partitions this broker leads from now on, and which it follows.
	LeadershipChanged(led, followed []Leadership)
	// ReplicasStopped tells which partitions this broker hosts no more, or stopped to follow before they are deleted.
	ReplicasStopped(stopped []cluster.StopReplica)
	// PartitionsDeleted tells which partitions left the cluster.
	PartitionsDeleted(gone []protocol.TopicPartition)
	// BrokersDied tells which brokers are not alive any more.
	BrokersDied(ids []cluster.BrokerID)
	// DirectoryFailed tells that a log directory went offline, with the partitions whose logs are in it.
	DirectoryFailed(dir log.DirStatus, gone []protocol.TopicPartition)
}

// Leadership is a partition and the epoch of its leadership.
type Leadership struct {
	protocol.TopicPartition
	Epoch cluster.LeaderEpoch
}

// fetchers copy partitions from their leaders.
type fetchers interface {
	// Follow begins to fetch, or begins anew with another leader or epoch.
	Follow(f []Following)
	// Unfollow ends it: when it returns, nothing more is appended to these partitions.
	Unfollow(tps []protocol.TopicPartition)
	// StopIdle lets go of leaders that nothing is fetched from any more.
	StopIdle()
}

// Following is one partition that is fetched from its leader.
type Following struct {
	Partition *Partition
	Leader    cluster.BrokerID
	Epoch     cluster.LeaderEpoch
	Offset    int64 // where to begin: the log end, or the high watermark of a log without epochs
}

// Manager has all replicas of a broker: it finds the one that a request is for, and carries out what the controller says.
type Manager struct {
	host     host
	registry registry
	listener Listener
	fetchers fetchers
	changes  changes // of the cluster's image

	applyMu         sync.Mutex // one request of the controller at a time
	controllerEpoch cluster.ControllerEpoch
	retiring        atomic.Bool

	alter     *alterPartition
	syncers   syncers
	polls     polls
	throttles Throttles
	moves     *moves
	closing   chan struct{}
	closed    sync.Once
	wg        sync.WaitGroup
}

// New returns a Manager that hosts nothing yet; the controller's first LeaderAndIsr fills it. Start starts its
// background work.
func New(o Options) *Manager {
	m := &Manager{listener: o.Listener, fetchers: o.Fetchers, throttles: o.Throttles, closing: make(chan struct{})}
	m.registry.partitions = map[protocol.TopicPartition]hosted{}
	m.changes.ch = make(chan struct{})
	m.polls.waiting, m.polls.patient = map[cluster.BrokerID]map[waiter]struct{}{}, map[cluster.BrokerID]time.Duration{}
	h := &m.host
	h.id, h.lagMax, h.now, h.logs, h.config, h.logger = o.BrokerID, lag{o.LagTimeMax, o.LagMessagesMax}, o.Now, o.Logs, o.Config, o.Logger
	if h.now == nil {
		h.now = time.Now
	}
	h.rackAware = o.RackAware
	h.image.Store(cluster.NewMetadata(o.ClusterID))
	m.alter = newAlterPartition(o.Proposer, o.BrokerID, o.Logger)
	h.propose = m.alter.propose
	m.syncers = startSyncers(o.Logs.Dirs())
	h.syncing, h.sync = o.Syncing, m.syncers.ask
	m.moves = newMoves(o.Logs, o.Throttles.Moves, o.MovesAtOnce)
	m.start(o.CheckpointInterval)
	return m
}

// start runs the tickers: laggards leave the ISR within one and a half lag times, high watermarks are checkpointed.
func (m *Manager) start(checkpointInterval time.Duration) {
	m.wg.Go(func() { m.every(m.host.lagMax.time/2, m.shrinkISRs) })
	for _, dir := range m.host.logs.Dirs() { // one that hangs does not hold up the others'
		m.wg.Go(func() { m.every(checkpointInterval, func() { m.checkpoint(dir.Path) }) })
	}
	m.wg.Go(m.watchDirectories)
}

// every calls f at intervals. What has none is not done again, as in Apache, whose scheduler does it once at the start.
func (m *Manager) every(interval time.Duration, f func()) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-m.closing:
			return
		}
	}
}

// Close ends every wait and the background work, and writes the high watermarks. The logs stay open: they are their
// manager's. A second call does nothing.
func (m *Manager) Close() {
	m.closed.Do(func() {
		close(m.closing)
		m.moves.close()
		m.alter.close()
		m.syncers.close()
		m.wg.Wait()
		for _, dir := range m.host.logs.Dirs() {
			m.checkpoint(dir.Path)
		}
	})
}

func (m *Manager) shrinkISRs() {
	for _, p := range m.registry.online() {
		p.shrinkISR()
	}
}

func (m *Manager) checkpoint(dir string) {
	if err := m.host.logs.CheckpointHighWatermarks(dir); err != nil {
		m.host.logger.Error().Err(err).Str("dir", dir).Msg("could not checkpoint high watermarks")
	}
}

// watchDirectories takes the partitions of a failed directory offline. The log manager ends the channel when it closes.
func (m *Manager) watchDirectories() {
	for {
		select {
		case dir, ok := <-m.host.logs.Failures():
			if !ok {
				return
			}
			m.directoryFailed(dir)
		case <-m.closing:
			return
		}
	}
}

func (m *Manager) directoryFailed(dir log.DirStatus) {
	m.host.logger.Error().Err(dir.Err).Str("dir", dir.Path).Msg("log directory failed, its partitions go offline")
	m.applyMu.Lock()
	var gone []protocol.TopicPartition
	for _, p := range m.registry.online() {
		if l := p.View().Log; l != nil && l.Dir() == dir.Path {
			m.registry.set(p.TopicPartition, hosted{partition: p, offline: true})
			gone = append(gone, p.TopicPartition)
		}
	}
	m.unfollow(gone)
	m.moves.end(gone...)
	for _, tp := range gone {
		m.registry.get(tp).partition.leave()
	}
	m.applyMu.Unlock()
	if m.listener != nil {
		m.listener.DirectoryFailed(dir, gone)
	}
}

// online returns the replica of a partition, or says why there is none: ErrOffline; ErrNotLeader when other brokers have
// it; ErrUnknownPartition.
func (m *Manager) online(tp protocol.TopicPartition) (*Partition, error) {
	h := m.registry.get(tp)
	switch {
	case h.online():
		return h.partition, nil
	case h.offline:
		return nil, ErrOffline
	case m.Metadata().Partition(tp) != nil:
		return nil, ErrNotLeader
	}
	return nil, ErrUnknownPartition
}

// Partition returns the replica of a partition on this broker. Errors: ErrOffline, ErrNotLeader, ErrUnknownPartition.
func (m *Manager) Partition(tp protocol.TopicPartition) (*Partition, error) { return m.online(tp) }

// Metadata is the cluster as the controller last told it.
func (m *Manager) Metadata() *cluster.Metadata { return m.host.image.Load() }

// AwaitMetadata blocks until an image satisfies the condition, which is called for the current one and for each that follows.
// It returns the context's error, or ErrTimedOut when the broker is closing.
func (m *Manager) AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error {
	for {
		changed := m.changes.next()
		if satisfied(m.Metadata()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await metadata: %w", ctx.Err())
		case <-m.closing:
			return ErrTimedOut
		}
	}
}

// changes wakes all who wait for the next image.
type changes struct {
	mu sync.Mutex
	ch chan struct{}
}

func (c *changes) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ch
}

func (c *changes) happened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ch)
	c.ch = make(chan struct{})
}
