package log

import (
	"maps"
	"slices"
	"sync"

	"gokafka/protocol"
)

// registry is the map of all logs.
type registry struct {
	mu   sync.RWMutex
	logs map[protocol.TopicPartition]*Log
}

func (r *registry) get(tp protocol.TopicPartition) (*Log, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	l, ok := r.logs[tp]
	return l, ok
}

// add registers the log; the one that is there already under its name is returned instead of nil.
func (r *registry) add(l *Log) (other *Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.logs[l.tp]; ok {
		return old
	}
	r.logs[l.tp] = l
	return nil
}

func (r *registry) remove(tp protocol.TopicPartition) (*Log, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.logs[tp]
	delete(r.logs, tp)
	return l, ok
}

func (r *registry) all() []*Log {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.logs))
}

// on lists the logs of a volume.
func (r *registry) on(v *volume) []*Log {
	return slices.DeleteFunc(r.all(), func(l *Log) bool { return l.dir.volume != v })
}

// drop forgets the logs of a volume that failed.
func (r *registry) drop(v *volume) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.logs, func(_ protocol.TopicPartition, l *Log) bool { return l.dir.volume == v })
}
