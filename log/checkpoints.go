package log

import (
	"maps"
	"sync"

	"gokafka/protocol"
)

// checkpoints writes the offset checkpoint files of a volume. Offsets are gathered and written under one lock, so that an older look never
// replaces a newer one. Every volume has its own: a disk that hangs holds up only its own logs.
type checkpoints struct {
	volume *volume
	logs   *registry

	mu sync.Mutex
	// known is the recovery points in the file. Recovery trusts them, so one that is too high must not stay.
	known offsetCheckpoint
	// written is what each file was given last, by its name, to spare an idle broker its disk.
	written map[string]offsetCheckpoint
}

func newCheckpoints(v *volume, logs *registry) *checkpoints {
	return &checkpoints{volume: v, logs: logs, written: map[string]offsetCheckpoint{}}
}

// adopt takes note of the recovery points and the high watermarks that were read.
func (c *checkpoints) adopt(points, highWatermarks offsetCheckpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = points
	c.written[highWatermarkFile] = highWatermarks
}

// collect asks the logs.
func (c *checkpoints) collect(offset func(*Log) (int64, bool)) offsetCheckpoint {
	points := offsetCheckpoint{}
	for _, l := range c.logs.on(c.volume) {
		if o, ok := offset(l); ok {
			points[l.tp] = o
		}
	}
	return points
}

func (c *checkpoints) writeLocked(name string, points offsetCheckpoint) error {
	v := c.volume
	if err := v.check(); err != nil {
		return err
	}
	if last, ok := c.written[name]; ok && maps.Equal(last, points) {
		return nil
	}
	if err := points.write(v.fs, v.path, name); err != nil {
		return v.report("write "+name, err)
	}
	c.written[name] = points
	return nil
}

// writeRecoveryPoints says up to where each log is durable.
func (c *checkpoints) writeRecoveryPoints() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeRecoveryPointsLocked()
}

// writeRecoveryPointsLocked first makes sure of what moves a recovery point without a flush: that a log's start moved, and that the segments
// below it are gone. Else a power cut could leave a segment that was never flushed below the recovery point, where nobody looks.
func (c *checkpoints) writeRecoveryPointsLocked() error {
	points := c.collect(func(l *Log) (int64, bool) { return l.RecoveryPoint(), true })
	for _, l := range c.logs.on(c.volume) {
		if err := l.syncRetired(); err != nil {
			return err
		}
	}
	if err := c.writeStartsLocked(); err != nil {
		return err
	}
	if err := c.writeLocked(recoveryPointFile, points); err != nil {
		return err
	}
	c.known = points
	return nil
}

// writeStartsLocked says where the logs begin whose first segment begins earlier.
func (c *checkpoints) writeStartsLocked() error {
	return c.writeLocked(logStartOffsetFile, c.collect(func(l *Log) (int64, bool) {
		start := l.LogStartOffset()
		return start, start > (*l.segments.Load())[0].base
	}))
}

// writeHighWatermarks says up to where each log is committed.
func (c *checkpoints) writeHighWatermarks() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeLocked(highWatermarkFile, c.collect(func(l *Log) (int64, bool) { return l.HighWatermark().Offset, true }))
}

// lower writes the recovery points if the file has a higher one of the log.
func (c *checkpoints) lower(l *Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[l.tp] <= l.RecoveryPoint() {
		return nil
	}
	return c.writeRecoveryPointsLocked()
}

// forget makes sure that the files have nothing of an earlier log of the partition that is created anew. The log start of that is above 0 only
// if its recovery point is. A high watermark that is too high would show consumers what is not committed, after a crash.
func (c *checkpoints) forget(tp protocol.TopicPartition) error {
	c.mu.Lock()
	stale, staleMark := c.known[tp] > 0, c.written[highWatermarkFile][tp] > 0
	c.mu.Unlock()
	if staleMark {
		if err := c.writeHighWatermarks(); err != nil {
			return err
		}
	}
	if !stale {
		return nil
	}
	return c.writeRecoveryPoints()
}
