package replica

import (
	"slices"
	"sync"

	"gokafka/log"
)

// Syncing says when committed records of a replicated partition must be on the leader's disk, not only in the memory of several
// machines (gokafka.isr.sync). Whatever it says, nothing is synced while more replicas are in sync than it names.
type Syncing string

// When to sync: never, as Apache; before the leader is the last in sync; before another loss would leave fewer than
// min.insync.replicas.
const (
	SyncNever   Syncing = "none"
	SyncLast    Syncing = "last"
	SyncMinimum Syncing = "min"
)

// mustSyncLocked reports whether the high watermark may not pass what is on the leader's disk: so few replicas may be in sync, by the
// committed ISR or by a proposal under way, that the loss of this one's memory would lose what was acknowledged. A partition with one
// replica was never promised more than its disk's habits.
func (p *Partition) mustSyncLocked() bool {
	if len(p.core.followers) == 0 || p.log == nil || !p.core.isLeader() {
		return false
	}
	switch size := p.core.isr.minimalSize(); p.host.syncing {
	case SyncLast:
		return size <= 1
	case SyncMinimum:
		return size <= p.core.minISR(p.log.Config().MinInSyncReplicas)
	}
	return false
}

// unsyncedLocked reports whether the log must be synced now.
func (p *Partition) unsyncedLocked() bool {
	return p.mustSyncLocked() && p.log.LogEndOffset().Offset > p.synced.Offset
}

// sync makes the log durable and moves the high watermark as far as that allows; then a proposal goes out that had to wait for it. A
// disk that fails takes the partition offline by itself, and the proposal with it. After any other failure, as of descriptors, the next
// look at the laggards tries again.
func (p *Partition) sync(pr *proposal) {
	p.mu.RLock()
	l, epoch, leads := p.log, p.core.leaderEpoch, p.core.isLeader()
	p.mu.RUnlock()
	if l == nil || !leads {
		return
	}
	end := l.LogEndOffset()
	if err := l.Flush(); err != nil {
		p.host.logger.Error().Err(err).Stringer("partition", p).Msg("could not sync what the in-sync replicas have")
		p.withdraw(pr)
		return
	}
	p.mu.Lock()
	var e effects
	leads = p.core.isLeader() && p.core.leaderEpoch == epoch
	stays, moved := leads && p.log == l, leads && p.log != l
	if stays {
		p.synced = end
		p.raiseHighWatermarkLocked(&e)
	}
	wanted := stays && pr != nil && p.core.isr.pending == pr
	p.mu.Unlock()
	p.apply(e)
	if moved { // to another directory: what is synced is not the log any more
		p.host.sync(p, pr)
	}
	if wanted { // what was appended since is not committed before it is synced
		p.host.propose(p, pr)
	}
}

// withdraw forgets a proposal that was never sent.
func (p *Partition) withdraw(pr *proposal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pr != nil && p.core.isr.pending == pr {
		p.core.isr.pending = nil
	}
}

// syncers sync partitions that must be, by directory: one that hangs does not hold up the others'.
type syncers map[string]*syncer

// startSyncers begins to sync what is asked for.
func startSyncers(dirs []log.DirStatus) syncers {
	all := syncers{}
	for _, dir := range dirs {
		all[dir.Path] = newSyncer()
	}
	return all
}

// ask has a partition synced soon, unless it has left this broker.
func (all syncers) ask(p *Partition, pr *proposal) {
	if l := p.View().Log; l != nil {
		all[l.Dir()].ask(p, pr)
	}
}

// close ends the work; what waits is not synced.
func (all syncers) close() {
	for _, s := range all {
		s.close()
	}
}

// syncersMax is how many logs of a directory are synced at once.
const syncersMax = 4

// syncer syncs partitions that must be and lie in one directory. All appends that come while a partition's sync is under way share the next one. The queue is
// bounded by the number of partitions: each waits in it at most once.
type syncer struct {
	mu      sync.Mutex
	ready   sync.Cond
	queue   []*Partition
	waiting map[*Partition]*proposal // those in the queue, and what goes out once they are synced, if anything
	busy    map[*Partition]struct{}
	closing bool
	wg      sync.WaitGroup
}

func newSyncer() *syncer {
	s := &syncer{waiting: map[*Partition]*proposal{}, busy: map[*Partition]struct{}{}}
	s.ready.L = &s.mu
	for range syncersMax {
		s.wg.Go(s.loop)
	}
	return s
}

// ask has a partition synced soon. A later proposal of the same partition replaces an earlier one, which is pending no more.
func (s *syncer) ask(p *Partition, pr *proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, waits := s.waiting[p]
	if pr == nil {
		pr = before
	}
	s.waiting[p] = pr
	if !waits {
		s.queue = append(s.queue, p)
		s.ready.Signal()
	}
}

func (s *syncer) loop() {
	for {
		p, pr := s.take()
		if p == nil {
			return
		}
		p.sync(pr)
		s.done(p)
	}
}

// take waits for a partition that is not being synced already; nil at the end.
func (s *syncer) take() (*Partition, *proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closing {
		i := slices.IndexFunc(s.queue, func(p *Partition) bool { _, busy := s.busy[p]; return !busy })
		if i >= 0 {
			p := s.queue[i]
			pr := s.waiting[p]
			s.queue = slices.Delete(s.queue, i, i+1)
			delete(s.waiting, p)
			s.busy[p] = struct{}{}
			return p, pr
		}
		s.ready.Wait()
	}
	return nil, nil
}

func (s *syncer) done(p *Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, p)
	s.ready.Signal()
}

func (s *syncer) close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.ready.Broadcast()
	s.wg.Wait()
}
