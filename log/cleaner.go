package log

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gokafka/protocol"
)

// CleanerOptions configure compaction: the log.cleaner.* settings. Zero values are Apache Kafka's defaults.
type CleanerOptions struct {
	Disabled       bool          // log.cleaner.enable=false
	Threads        int           // log.cleaner.threads
	DedupeBytes    int64         // log.cleaner.dedupe.buffer.size, of all threads together
	LoadFactor     float64       // log.cleaner.io.buffer.load.factor
	BytesPerSecond float64       // log.cleaner.io.max.bytes.per.second, read and written; 0: no limit
	Backoff        time.Duration // log.cleaner.backoff.ms
}

func (o *CleanerOptions) setDefaults() {
	if o.Threads <= 0 {
		o.Threads = 1
	}
	if o.DedupeBytes <= 0 {
		o.DedupeBytes = 128 << 20
	}
	if o.LoadFactor <= 0 || o.LoadFactor > 1 {
		o.LoadFactor = 0.9
	}
	if o.Backoff <= 0 {
		o.Backoff = 15 * time.Second
	}
}

// cleaner compacts the logs whose cleanup.policy asks for it, always the one with the largest share of bytes that were not cleaned yet. It takes no
// lock of a log while it reads and writes: a cleaning whose segments changed meanwhile is thrown away.
type cleaner struct {
	logs   *registry
	host   *host
	logger zerolog.Logger

	life    sync.Mutex     // of the threads; one start or stop at a time
	options CleanerOptions // changed only while no thread runs
	cancel  context.CancelFunc
	running sync.WaitGroup

	picking sync.Mutex // one thread at a time looks for work

	mu          sync.Mutex // never held while a disk works
	busy        map[*Log]bool
	uncleanable map[*Log]bool // failed with something that will fail again, like a corrupt batch
}

func newCleaner(o CleanerOptions, logs *registry, h *host) *cleaner {
	o.setDefaults()
	return &cleaner{
		logs: logs, host: h, options: o, logger: h.logger.With().Str("part", "cleaner").Logger(),
		busy: map[*Log]bool{}, uncleanable: map[*Log]bool{},
	}
}

// start begins to clean, with other options if there are any. What the threads were cleaning is abandoned.
func (c *cleaner) start(o *CleanerOptions) {
	c.life.Lock()
	defer c.life.Unlock()
	c.stopLocked()
	if o != nil {
		o.setDefaults()
		c.options = *o
	}
	if c.options.Disabled {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for range c.options.Threads {
		c.running.Go(func() { c.run(ctx) })
	}
}

func (c *cleaner) stop() {
	c.life.Lock()
	defer c.life.Unlock()
	c.stopLocked()
}

func (c *cleaner) stopLocked() {
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	c.running.Wait()
}

// run is the loop of one thread.
func (c *cleaner) run(ctx context.Context) {
	timer := time.NewTimer(c.options.Backoff)
	defer timer.Stop()
	for ctx.Err() == nil {
		if c.cleanOne(ctx) {
			continue
		}
		timer.Reset(c.options.Backoff)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// cleanOne cleans the log that needs it most; cleaned is false if none does, or if it came to nothing.
func (c *cleaner) cleanOne(ctx context.Context) (cleaned bool) {
	job, ok := c.pick(c.host.now())
	if !ok {
		return false
	}
	run, err := c.clean(ctx, job)
	c.done(run, err)
	return err == nil
}

// dirtyLog is a log with something to clean.
type dirtyLog struct {
	log    *Log
	dirty  int64   // below, the log is clean
	until  int64   // from here on it cannot be cleaned yet; a segment begins here
	ratio  float64 // of dirty bytes among those below until
	urgent bool    // max.compaction.lag.ms has passed
}

// pick chooses a log and marks it as busy.
func (c *cleaner) pick(now time.Time) (best dirtyLog, ok bool) {
	c.picking.Lock()
	defer c.picking.Unlock()
	for _, l := range c.logs.all() {
		if _, moves := c.logs.future(l.tp); moves || !l.Config().Compact || l.dir.check() != nil || !c.idle(l) {
			continue // what moves is copied as it is
		}
		clean, known := l.dir.clean.of(l)
		if !known {
			clean = -1
		}
		d, worth, err := l.dirtiness(clean, now)
		if err != nil {
			c.giveUp(l, err)
			continue
		}
		if worth && (!ok || d.ratio > best.ratio) {
			best, ok = d, true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.busy[best.log] = true
	}
	c.forgetGoneLocked()
	return best, ok
}

// idle reports whether a log may be cleaned: no thread does it, and it did not fail.
func (c *cleaner) idle(l *Log) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.busy[l] && !c.uncleanable[l]
}

// forgetGoneLocked lets go of logs that no longer exist.
func (c *cleaner) forgetGoneLocked() {
	maps.DeleteFunc(c.uncleanable, func(l *Log, _ bool) bool {
		current, ok := c.logs.get(l.tp)
		return !ok || current != l
	})
}

// dirtiness finds what can be cleaned of a log that is clean below an offset, -1 if it never was cleaned. It is worth it if the share of dirty bytes
// exceeds min.cleanable.dirty.ratio, or something waits since max.compaction.lag.ms.
//
// The active segment, records that are not committed and decided, and segments with records younger than min.compaction.lag.ms are not cleaned yet.
func (l *Log) dirtiness(clean int64, now time.Time) (d dirtyLog, worth bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offsets, segments, config := *l.offsets.Load(), *l.segments.Load(), l.Config()
	d = dirtyLog{log: l, dirty: clean}
	if d.dirty < offsets.Start || d.dirty > offsets.End.Offset {
		d.dirty = offsets.Start
	}
	closed := segments[:len(segments)-1]
	if d.until, err = l.uncleanableLocked(closed, d.dirty, now); err != nil {
		return d, false, err
	}
	var cleanBytes, dirtyBytes int64
	for i, s := range segments[:floorSegment(segments, d.until-1)+1] {
		if segments[i+1].base <= d.dirty {
			cleanBytes += s.Size()
		} else {
			dirtyBytes += s.Size()
		}
	}
	if dirtyBytes == 0 {
		return d, false, nil
	}
	d.ratio = float64(dirtyBytes) / float64(cleanBytes+dirtyBytes)
	d.urgent, err = overdue(closed, d.dirty, now.UnixMilli()-max(config.Compaction.LagMsMax, 0))
	return d, d.urgent || d.ratio > config.Compaction.MinCleanableDirtyRatio, err
}

// uncleanableLocked is the base of the first segment that cannot be cleaned yet.
func (l *Log) uncleanableLocked(closed []*Segment, dirty int64, now time.Time) (int64, error) {
	until := min(l.LastStableOffset().Offset, l.activeLocked().base)
	if lag := l.Config().Compaction.LagMsMin; lag > 0 {
		for _, s := range closed[max(floorSegment(closed, dirty), 0):] {
			newest, err := s.newest()
			if err != nil {
				return 0, err
			}
			if newest > now.UnixMilli()-lag {
				until = min(until, s.base)
				break
			}
		}
	}
	segments := *l.segments.Load()
	return segments[max(floorSegment(segments, max(until, dirty)), 0)].base, nil
}

// overdue reports whether a dirty segment was begun before the time in milliseconds.
func overdue(closed []*Segment, dirty, before int64) (bool, error) {
	if before <= 0 {
		return false, nil
	}
	for _, s := range closed[max(floorSegment(closed, dirty), 0):] {
		if err := s.loadFirstStamp(); err != nil {
			return false, err
		}
		if s.firstKnown && s.firstStamp > 0 && s.firstStamp < before {
			return true, nil
		}
	}
	return false, nil
}

// clean makes one pass over a log.
func (c *cleaner) clean(ctx context.Context, job dirtyLog) (*cleaning, error) {
	start := c.host.now()
	run := &cleaning{
		ctx: ctx, log: job.log, config: job.log.Config(), job: job, now: start.UnixMilli(), start: job.log.LogStartOffset(),
		keys: newOffsetMap(c.options.DedupeBytes/int64(c.options.Threads), c.options.LoadFactor),
		pace: newPace(c.options.BytesPerSecond / float64(c.options.Threads)),
	}
	err := run.run()
	if err != nil && run.changed() {
		err = errCleanAborted
	}
	if err == nil {
		c.logger.Info().Stringer("partition", job.log.tp).Int64("from", job.dirty).Int64("to", run.end).Int64("read", run.read).
			Int64("kept", run.kept).Int("keys", run.keys.used).Dur("took", c.host.now().Sub(start)).Msg("log is cleaned")
	}
	return run, err
}

// changed reports whether the log is not any more what the cleaning began with: truncated, deleted, or old segments gone by retention.
func (c *cleaning) changed() bool {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed || l.generation.Load() != c.generation || l.LogStartOffset() != c.start
}

// done takes note of how a cleaning went.
func (c *cleaner) done(run *cleaning, err error) {
	l := run.log
	switch {
	case err == nil:
		l.dir.clean.raise(run)
	case errors.Is(err, errCleanAborted), errors.Is(err, ErrStorage), l.generation.Load() != run.generation:
	default:
		c.giveUp(l, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, l)
}

// giveUp leaves a log alone for which cleaning failed. An I/O error takes its directory offline.
func (c *cleaner) giveUp(l *Log, err error) {
	if !isUncleanable(err) {
		err = l.storage("clean", err)
	} else {
		c.mu.Lock()
		c.uncleanable[l] = true
		c.mu.Unlock()
	}
	c.logger.Error().Err(err).Stringer("partition", l.tp).Msg("log cannot be cleaned")
}

// isUncleanable reports whether the log's content is at fault, not the disk.
func isUncleanable(err error) bool {
	return isOffsetOrCorrupt(err) || errors.Is(err, errCannotRewrite) || errors.Is(err, protocol.ErrInvalidRecord) ||
		errors.Is(err, protocol.ErrTooLarge) || errors.Is(err, protocol.ErrDecompress)
}

// pace spreads work over time.
type pace struct {
	perSecond float64 // bytes; 0: as fast as it goes
	debt      time.Duration
}

func newPace(bytesPerSecond float64) *pace { return &pace{perSecond: bytesPerSecond} }

// paceUnit is how much is worth a wait.
const paceUnit = 50 * time.Millisecond

// spend accounts for bytes and waits until they were allowed.
func (p *pace) spend(ctx context.Context, bytes int) error {
	if p.perSecond <= 0 {
		return nil
	}
	p.debt += time.Duration(float64(bytes) / p.perSecond * float64(time.Second))
	if p.debt < paceUnit {
		return nil
	}
	timer := time.NewTimer(p.debt)
	defer timer.Stop()
	p.debt = 0
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errCleanAborted, ctx.Err())
	case <-timer.C:
		return nil
	}
}
