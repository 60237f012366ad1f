package log

import (
	"maps"
	"slices"
	"sync"

	"gokafka/protocol"
)

// registry is the maps of all logs: those in use, and the copies that are to take their places.
type registry struct {
	mu      sync.RWMutex
	logs    map[protocol.TopicPartition]*Log
	futures map[protocol.TopicPartition]*Log
}

func newRegistry() registry {
	return registry{logs: map[protocol.TopicPartition]*Log{}, futures: map[protocol.TopicPartition]*Log{}}
}

func (r *registry) get(tp protocol.TopicPartition) (*Log, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	l, ok := r.logs[tp]
	return l, ok
}

func (r *registry) future(tp protocol.TopicPartition) (*Log, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	l, ok := r.futures[tp]
	return l, ok
}

// add registers the log; the one that is there already under its name is returned instead of nil.
func (r *registry) add(l *Log) (other *Log) { return r.addTo(r.logs, l) }

// addFuture is add for a copy.
func (r *registry) addFuture(l *Log) (other *Log) { return r.addTo(r.futures, l) }

func (r *registry) addTo(logs map[protocol.TopicPartition]*Log, l *Log) (other *Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := logs[l.tp]; ok {
		return old
	}
	logs[l.tp] = l
	return nil
}

func (r *registry) remove(tp protocol.TopicPartition) (*Log, bool) { return r.removeFrom(r.logs, tp) }

func (r *registry) removeFuture(tp protocol.TopicPartition) (*Log, bool) {
	return r.removeFrom(r.futures, tp)
}

func (r *registry) removeFrom(logs map[protocol.TopicPartition]*Log, tp protocol.TopicPartition) (*Log, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := logs[tp]
	delete(logs, tp)
	return l, ok
}

// replace registers a log in the place of another.
func (r *registry) replace(l *Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs[l.tp] = l
}

// all lists the logs in use.
func (r *registry) all() []*Log {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.logs))
}

// allAndFutures lists the logs in use and the copies.
func (r *registry) allAndFutures() []*Log {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.AppendSeq(slices.Collect(maps.Values(r.logs)), maps.Values(r.futures))
}

// on lists the logs of a volume, copies included.
func (r *registry) on(v *volume) []*Log {
	return slices.DeleteFunc(r.allAndFutures(), func(l *Log) bool { return l.dir.volume != v })
}

// drop forgets the logs of a volume that failed.
func (r *registry) drop(v *volume) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := func(_ protocol.TopicPartition, l *Log) bool { return l.dir.volume == v }
	maps.DeleteFunc(r.logs, gone)
	maps.DeleteFunc(r.futures, gone)
}
