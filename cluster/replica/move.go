package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
	"gokafka/protocol"
)

// ErrReplicaNotAvailable means that this broker has no replica of a partition yet, although there is the partition.
var ErrReplicaNotAvailable = fmt.Errorf("no replica of the partition here: %w", kerr.ReplicaNotAvailable)

const (
	// moveChunk is how much is copied at a time.
	moveChunk = 1 << 20
	// moveRetry is the pause after something that may pass, such as a directory that is nearly full.
	moveRetry = time.Second
	// movePause is the pause of a move that is throttled.
	movePause = 100 * time.Millisecond
)

// moves copy replicas from one of this broker's directories to another (KIP-113). A move is a goroutine; so many at a time copy to a directory, the
// others wait. One that hangs does not hold up those to others.
type moves struct {
	logs     *log.Manager
	throttle *Throttle
	turns    map[string]chan struct{} // by directory
	wg       sync.WaitGroup

	asking sync.Mutex // one request at a time; a disk may work meanwhile
	mu     sync.Mutex
	of     map[protocol.TopicPartition]*move
}

// move is one replica on its way. What it copies to is given up, or has taken the log's place, when it ends.
type move struct {
	partition *Partition
	future    *log.Log
	cancel    context.CancelFunc
	troubled  bool // that is logged once
}

func newMoves(logs *log.Manager, throttle *Throttle, atOnce int) *moves {
	all := &moves{logs: logs, throttle: throttle, turns: map[string]chan struct{}{}, of: map[protocol.TopicPartition]*move{}}
	dirs := logs.Dirs()
	for _, dir := range dirs {
		all.turns[dir.Path] = make(chan struct{}, max(1, atOnce/len(dirs)))
	}
	return all
}

// MoveReplica has a replica move to another of log.dirs, or remembers the directory for one that is not here yet, which is ErrReplicaNotAvailable. A move to
// another directory that is under way is given up. Other errors: log.ErrNoDirectory, INVALID_TOPIC_EXCEPTION, ErrOffline, ErrUnknownPartition.
func (m *Manager) MoveReplica(tp protocol.TopicPartition, dir string) error {
	m.moves.asking.Lock() // and not applyMu: the controller's requests do not wait for this disk
	defer m.moves.asking.Unlock()
	logs := m.host.logs
	if err := logs.CheckMove(tp, dir); err != nil {
		return err
	}
	if m.registry.get(tp).offline {
		return ErrOffline
	}
	if future, moving := logs.Future(tp); moving && future.Dir() != dir {
		m.moves.end(tp)
		if err := logs.DropFuture(tp); err != nil {
			return fmt.Errorf("give up the move of %v: %w", tp, err)
		}
	}
	p, err := m.online(tp)
	switch {
	case errors.Is(err, ErrNotLeader):
		logs.Prefer(tp, dir)
		return ErrReplicaNotAvailable
	case err != nil:
		return err
	}
	switch l := p.View().Log; {
	case l == nil:
		logs.Prefer(tp, dir)
		return ErrReplicaNotAvailable
	case l.Dir() == dir:
		return nil
	}
	if _, err := logs.CreateFuture(tp, dir); err != nil {
		return fmt.Errorf("move %v to %s: %w", tp, dir, err)
	}
	m.moves.begin(p)
	return nil
}

// resumeMoves goes on with the moves that a restart has interrupted.
func (m *Manager) resumeMoves(changes ...[]change) {
	for _, some := range changes {
		for _, c := range some {
			m.moves.begin(c.partition)
		}
	}
}

// begin starts to copy to a partition's future log, if there is one and that is not under way.
func (all *moves) begin(p *Partition) {
	all.mu.Lock()
	defer all.mu.Unlock()
	future, ok := all.logs.Future(p.TopicPartition)
	if !ok {
		return
	}
	if v := all.of[p.TopicPartition]; v != nil && v.partition == p && v.future == future {
		return
	}
	all.endLocked(p.TopicPartition)
	ctx, cancel := context.WithCancel(context.Background())
	v := &move{partition: p, future: future, cancel: cancel}
	all.of[p.TopicPartition] = v
	all.wg.Go(func() {
		defer all.forget(v)
		all.run(ctx, v)
	})
}

// end gives up a partition's move. It does not wait: what it copies to is of no use any more.
func (all *moves) end(tps ...protocol.TopicPartition) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, tp := range tps {
		all.endLocked(tp)
	}
}

func (all *moves) endLocked(tp protocol.TopicPartition) {
	if v := all.of[tp]; v != nil {
		v.cancel()
		delete(all.of, tp)
	}
}

func (all *moves) forget(v *move) {
	v.cancel()
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.of[v.partition.TopicPartition] == v {
		delete(all.of, v.partition.TopicPartition)
	}
}

// close interrupts all moves; the next start goes on with them.
func (all *moves) close() {
	all.mu.Lock()
	for tp := range all.of {
		all.endLocked(tp)
	}
	all.mu.Unlock()
	all.wg.Wait()
}

// run waits for its turn and copies until the future log has taken the place of the log, or never will.
func (all *moves) run(ctx context.Context, v *move) {
	turn := all.turns[v.future.Dir()]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return
	}
	logger := v.partition.host.logger.With().Stringer("partition", v.partition).Str("to", v.future.Dir()).Logger()
	logger.Info().Msg("replica moves to another directory")
	buf := make([]byte, moveChunk)
	for ctx.Err() == nil {
		if all.throttle.Exceeded(time.Now()) {
			sleep(ctx, movePause)
			continue
		}
		switch done, err := all.step(v, buf); {
		case done:
			return
		case ctx.Err() != nil || err == nil:
		case isStorage(err):
			logger.Error().Err(err).Msg("replica does not move")
			return
		default:
			if !v.troubled {
				logger.Error().Err(err).Msg("replica could not be copied, trying again")
			}
			v.troubled = true
			sleep(ctx, moveRetry)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// step copies a chunk, or ends the move when there is no more, or no log.
func (all *moves) step(v *move, buf []byte) (done bool, err error) {
	l := v.partition.View().Log
	if l == nil {
		return true, nil // it was deleted, or its directory failed
	}
	n, err := copyChunk(l, v.future, buf)
	if n > 0 {
		all.throttle.Record(n, time.Now())
	}
	if err != nil || n > 0 {
		return false, err
	}
	if err := v.future.Flush(); err != nil { // most of it, while others append
		return false, err
	}
	err = v.partition.moveTo(v.future, buf)
	return err == nil, err
}

// moveTo copies what was appended lately, while nobody else appends, and puts the future log in the place of the log.
func (p *Partition) moveTo(future *log.Log, buf []byte) error {
	e, err := p.moveToLocked(future, buf)
	p.apply(e)
	return err
}

func (p *Partition) moveToLocked(future *log.Log, buf []byte) (e effects, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil {
		return e, nil
	}
	for n := 1; n > 0; {
		if n, err = copyChunk(p.log, future, buf); err != nil {
			return e, err
		}
	}
	moved, err := p.host.logs.Promote(future)
	if err != nil {
		return e, fmt.Errorf("move %s: %w", p, err)
	}
	if err := moved.AdoptEpoch(p.log); err != nil {
		p.host.logger.Error().Err(err).Stringer("partition", p).Msg("could not record the leader's epoch")
	}
	p.log, p.synced = moved, log.Position{}
	p.core.moved()
	p.publishLocked()
	p.host.logger.Info().Stringer("partition", p).Str("to", moved.Dir()).Msg("replica has moved")
	e.sync, e.roleChanged = p.unsyncedLocked(), true // who waits looks again, at the log that there is now
	return e, nil
}

// copyChunk makes two logs agree and copies the next records, by way of a buffer; 0: there are no more.
func copyChunk(l, future *log.Log, buf []byte) (n int, err error) {
	if err := agree(l, future); err != nil {
		return 0, err
	}
	at, end := future.LogEndOffset().Offset, l.LogEndOffset().Offset
	buf = buf[:min(len(buf), future.Config().SegmentBytesMax)]
	batches, err := l.ReadBatches(at, &buf)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case len(batches) == 0 && at < end:
		return 0, fmt.Errorf("no records from offset %d on", at)
	case len(batches) == 0:
		return 0, nil
	}
	if _, err := future.AppendAsFollower(batches, math.MaxInt32); err != nil {
		return 0, fmt.Errorf("copy: %w", err)
	}
	return len(batches), nil
}

// agree has a future log begin where the log begins, and removes from it what was removed from the log since it was copied: by a truncation, by
// retention, by DeleteRecords.
func agree(l, future *log.Log) error {
	o := l.Offsets()
	for {
		end := future.LogEndOffset().Offset
		if end < o.Start {
			return future.TruncateFullyAndStartAt(o.Start)
		}
		to := min(agreed(l, future), o.End.Offset)
		if to >= end {
			break
		}
		if _, err := future.TruncateTo(to); err != nil { // to an earlier epoch, of which the log may know more
			return err
		}
	}
	future.SetHighWatermark(o.HighWatermark.Offset)
	if o.Start > future.LogStartOffset() && o.Start <= future.HighWatermark().Offset {
		_, err := future.IncrementLogStartOffset(o.Start)
		return err
	}
	return nil
}

// agreed is the offset up to which the future log has the records of the log, by their leader epochs (KIP-101, KIP-279). Messages of the formats
// before epochs are taken for the same.
func agreed(l, future *log.Log) int64 {
	end := future.LogEndOffset().Offset
	last, ok := future.EpochCache().Latest()
	if !ok {
		return end
	}
	epoch, to := l.EpochCache().EndOffset(last, l.LogEndOffset().Offset)
	if epoch == last {
		return to
	}
	if epoch < 0 { // later than all that the log has
		if epoch, ok = l.EpochCache().Latest(); !ok {
			return l.LogStartOffset()
		}
		to = l.LogEndOffset().Offset
	}
	_, own := future.EpochCache().EndOffset(epoch, end)
	return max(0, min(to, own))
}

// moved forgets where in its files a log had what followers have: it has other files now.
func (c *core) moved() {
	for i := range c.followers {
		c.followers[i].End = log.OffsetOnly(c.followers[i].End.Offset)
	}
}
