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

// adopt takes note of the recovery points that were read.
func (c *checkpoints) adopt(v *volume, points offsetCheckpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[v] = points
}

func (c *checkpoints) write(v *volume, name string, offset func(*Log) (int64, bool)) (offsetCheckpoint, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	points := offsetCheckpoint{}
	for _, l := range c.logs.on(v) {
		if o, ok := offset(l); ok {
			points[l.tp] = o
		}
	}
	file := checkpointFile{v, name}
	if last, ok := c.written[file]; ok && maps.Equal(last, points) {
		return points, nil
	}
	if err := points.write(v.fs, v.path, name); err != nil {
		return nil, v.report("write "+name, err)
	}
	c.written[file] = points
	return points, nil
}

// writeRecoveryPoints says up to where each log is durable.
func (c *checkpoints) writeRecoveryPoints(v *volume) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeRecoveryPointsLocked(v)
}

func (c *checkpoints) writeRecoveryPointsLocked(v *volume) error {
	points, err := c.write(v, recoveryPointFile, func(l *Log) (int64, bool) { return l.RecoveryPoint(), true })
	if err == nil {
		c.known[v] = points
	}
	return err
}

// writeStarts says where the logs begin whose first segment begins earlier.
func (c *checkpoints) writeStarts(v *volume) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.write(v, logStartOffsetFile, func(l *Log) (int64, bool) {
		start := l.LogStartOffset()
		return start, start > (*l.segments.Load())[0].base
	})
	return err
}

// writeHighWatermarks says up to where each log is committed.
func (c *checkpoints) writeHighWatermarks(v *volume) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.write(v, highWatermarkFile, func(l *Log) (int64, bool) { return l.HighWatermark().Offset, true })
	return err
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
// if its recovery point is.
func (c *checkpoints) forget(v *volume, tp protocol.TopicPartition) error {
	c.mu.Lock()
	stale := c.known[v][tp] > 0
	c.mu.Unlock()
	if !stale {
		return nil
	}
	if err := c.writeStarts(v); err != nil {
		return err
	}
	return c.writeRecoveryPoints(v)
}
