package log

import (
	"maps"
	"sync"

	"gokafka/protocol"
)

// checkpoints writes the offset checkpoint files of the volumes. Offsets are gathered and written under one lock, so that an older look never
// replaces a newer one.
type checkpoints struct {
	logs *registry

	mu sync.Mutex
	// known is the recovery points in the files of the volumes. Recovery trusts them, so one that is too high must not stay.
	known map[*volume]offsetCheckpoint
	// written is what each file was given last, to spare an idle broker its disk.
	written map[checkpointFile]offsetCheckpoint
}

type checkpointFile struct {
	volume *volume
	name   string
}

func newCheckpoints(logs *registry) *checkpoints {
	return &checkpoints{logs: logs, known: map[*volume]offsetCheckpoint{}, written: map[checkpointFile]offsetCheckpoint{}}
}

// adopt takes note of the recovery points and the high watermarks that were read.
func (c *checkpoints) adopt(v *volume, points, highWatermarks offsetCheckpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[v] = points
	c.written[checkpointFile{v, highWatermarkFile}] = highWatermarks
}

// collect asks the logs of a volume.
func (c *checkpoints) collect(v *volume, offset func(*Log) (int64, bool)) offsetCheckpoint {
	points := offsetCheckpoint{}
	for _, l := range c.logs.on(v) {
		if o, ok := offset(l); ok {
			points[l.tp] = o
		}
	}
	return points
}

func (c *checkpoints) write(v *volume, name string, points offsetCheckpoint) error {
	if err := v.check(); err != nil {
		return err
	}
	file := checkpointFile{v, name}
	if last, ok := c.written[file]; ok && maps.Equal(last, points) {
		return nil
	}
	if err := points.write(v.fs, v.path, name); err != nil {
		return v.report("write "+name, err)
	}
	c.written[file] = points
	return nil
}

// writeRecoveryPoints says up to where each log is durable.
func (c *checkpoints) writeRecoveryPoints(v *volume) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeRecoveryPointsLocked(v)
}

// writeRecoveryPointsLocked first makes sure of what moves a recovery point without a flush: that a log's start moved, and that the segments
// below it are gone. Else a power cut could leave a segment that was never flushed below the recovery point, where nobody looks.
func (c *checkpoints) writeRecoveryPointsLocked(v *volume) error {
	points := c.collect(v, func(l *Log) (int64, bool) { return l.RecoveryPoint(), true })
	for _, l := range c.logs.on(v) {
		if err := l.syncRetired(); err != nil {
			return err
		}
	}
	if err := c.writeStartsLocked(v); err != nil {
		return err
	}
	if err := c.write(v, recoveryPointFile, points); err != nil {
		return err
	}
	c.known[v] = points
	return nil
}

// writeStartsLocked says where the logs begin whose first segment begins earlier.
func (c *checkpoints) writeStartsLocked(v *volume) error {
	return c.write(v, logStartOffsetFile, c.collect(v, func(l *Log) (int64, bool) {
		start := l.LogStartOffset()
		return start, start > (*l.segments.Load())[0].base
	}))
}

// writeHighWatermarks says up to where each log is committed.
func (c *checkpoints) writeHighWatermarks(v *volume) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(v, highWatermarkFile, c.collect(v, func(l *Log) (int64, bool) { return l.HighWatermark().Offset, true }))
}

// lower writes the recovery points if the file has a higher one of the log.
func (c *checkpoints) lower(l *Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[l.dir.volume][l.tp] <= l.RecoveryPoint() {
		return nil
	}
	return c.writeRecoveryPointsLocked(l.dir.volume)
}

// forget makes sure that the files have nothing of an earlier log of the partition that is created anew. The log start of that is above 0 only
// if its recovery point is. A high watermark that is too high would show consumers what is not committed, after a crash.
func (c *checkpoints) forget(v *volume, tp protocol.TopicPartition) error {
	c.mu.Lock()
	stale, staleMark := c.known[v][tp] > 0, c.written[checkpointFile{v, highWatermarkFile}][tp] > 0
	c.mu.Unlock()
	if staleMark {
		if err := c.writeHighWatermarks(v); err != nil {
			return err
		}
	}
	if !stale {
		return nil
	}
	return c.writeRecoveryPoints(v)
}
