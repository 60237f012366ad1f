package log

import (
	"sync"

	"github.com/rs/zerolog"

	"gokafka/protocol"
)

// cleanPoints is up to where the logs of a volume are compacted, also in the volume's file.
type cleanPoints struct {
	volume *volume
	logs   *registry
	logger zerolog.Logger

	mu     sync.Mutex
	points offsetCheckpoint
}

// adopt takes over how far the logs were cleaned.
func (c *cleanPoints) adopt(points offsetCheckpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points = points
}

// of is up to where a log is clean; ok is false if it was never compacted.
func (c *cleanPoints) of(l *Log) (end int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end, ok = c.points[l.tp]
	return end, ok
}

// raise notes that a log was cleaned. One that was truncated meanwhile is clean only as far as lower says, or will say.
func (c *cleanPoints) raise(run *cleaning) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run.log.generation.Load() == run.generation {
		c.setLocked(run.log.tp, run.end)
	}
}

// lower notes that a log which was truncated is clean only below the offset: what comes after it now is new. The file learns it too, or
// after a restart the keys that came twice since would stay so until they come again.
func (c *cleanPoints) lower(l *Log, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.points[l.tp] > offset {
		c.setLocked(l.tp, offset)
	}
}

// set notes that a log is clean below the offset.
func (c *cleanPoints) set(tp protocol.TopicPartition, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(tp, end)
}

// forget lets go of what is known of a log of the partition that is gone, before there is another of its name.
func (c *cleanPoints) forget(tp protocol.TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.points[tp]; ok {
		c.setLocked(tp, -1)
	}
}

// setLocked notes, also in the file, up to where a log is clean; -1: there is no such log. If the file cannot be written, the directory is
// offline, unless that was for want of file descriptors: then the next cleaning writes it.
func (c *cleanPoints) setLocked(tp protocol.TopicPartition, end int64) {
	points := offsetCheckpoint{}
	for _, l := range c.logs.on(c.volume) {
		if clean, ok := c.points[l.tp]; ok {
			points[l.tp] = clean
		}
	}
	if points[tp] = end; end < 0 {
		delete(points, tp)
	}
	c.points = points
	v := c.volume
	if err := points.write(v.fs, v.path, cleanerOffsetFile); err != nil {
		c.logger.Error().Err(v.report("write "+cleanerOffsetFile, err)).Msg("cleaner checkpoint could not be written")
	}
}
