package log

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Log returns the partition's log, if this broker has it on a directory that is online.
func (m *Manager) Log(tp protocol.TopicPartition) (*Log, bool) { return m.logs.get(tp) }

// Logs lists all logs, in no order.
func (m *Manager) Logs() []*Log { return m.logs.all() }

// Cleaned reports whether the log was ever compacted, which tells of its topic's cleanup.policy when nothing else does.
func (m *Manager) Cleaned(l *Log) bool {
	_, ok := l.dir.clean.of(l)
	return ok
}

// CreateOptions of a log.
type CreateOptions struct {
	TopicID protocol.TopicID // zero: none
	Config  *Config          // nil: the topic's, or the defaults
	// IsNew says that the log cannot lie in a directory that is offline.
	IsNew bool
}

// Create returns the partition's log; if there is none it makes one in the directory with the fewest logs. While a directory is offline a log
// that is not new may be there: ErrStorage. A log of another topic id is ErrInconsistentTopicID, a name that is no topic's INVALID_TOPIC_EXCEPTION.
func (m *Manager) Create(tp protocol.TopicPartition, o CreateOptions) (*Log, error) {
	if err := checkName(tp); err != nil {
		return nil, err
	}
	release := m.claims.take(tp)
	defer release()
	if l, ok := m.logs.get(tp); ok {
		return l, l.SetTopicID(o.TopicID)
	}
	if !o.IsNew && len(m.online()) < len(m.volumes) {
		return nil, fmt.Errorf("create %v: it may be in a directory that is offline: %w", tp, ErrStorage)
	}
	if err := m.setAside(tp); err != nil {
		return nil, fmt.Errorf("create %v: %w", tp, err)
	}
	if o.Config == nil {
		o.Config = m.configOf(tp.Topic)
	}
	for _, v := range m.choices(tp) {
		l, err := m.createOn(v, tp, o)
		if err == nil {
			return l, nil
		}
		// Half a log here and a whole one on the next volume would not start again.
		_ = v.fs.RemoveAll(filepath.Join(v.path, tp.String()))
		m.host.logger.Error().Err(v.report("create "+tp.String(), err)).Msg("log could not be created")
	}
	return nil, fmt.Errorf("create %v: no directory is usable: %w", tp, ErrStorage)
}

func (m *Manager) createOn(v *volume, tp protocol.TopicPartition, o CreateOptions) (*Log, error) {
	if err := v.checkpoints.forget(tp); err != nil {
		return nil, err
	}
	v.clean.forget(tp)
	l, err := createLog(m.host, newLogDir(v, tp.String()), tp, o.Config)
	if err != nil {
		return nil, err
	}
	if err := l.SetTopicID(o.TopicID); err != nil {
		return nil, err
	}
	m.logs.add(l)
	v.logs.Add(1)
	return l, nil
}

// online lists the volumes that work, those with the fewest logs first.
func (m *Manager) online() []*volume {
	list := slices.DeleteFunc(slices.Clone(m.volumes), func(v *volume) bool { return v.check() != nil })
	slices.SortStableFunc(list, func(a, b *volume) int { return cmp.Compare(a.logs.Load(), b.logs.Load()) })
	return list
}

// choices are the volumes that work, in the order in which a new log is tried on them.
func (m *Manager) choices(tp protocol.TopicPartition) []*volume {
	list, dir := m.online(), m.TakePreferred(tp)
	if i := slices.IndexFunc(list, func(v *volume) bool { return v.path == dir }); i > 0 {
		v := list[i]
		list = slices.Insert(slices.Delete(list, i, i+1), 0, v)
	}
	return list
}

// Delete takes logs away at once and for good: a power cut does not bring them back. Their files go after file.delete.delay.ms. It returns the
// errors of those that could not be deleted. A partition without a log is no error, unless its deletion may still not be durable.
func (m *Manager) Delete(tps ...protocol.TopicPartition) map[protocol.TopicPartition]error {
	release := m.claims.take(tps...)
	defer release()
	logs := map[*volume][]*Log{}
	var without []protocol.TopicPartition
	for _, tp := range tps {
		if l, ok := m.logs.remove(tp); ok {
			logs[l.dir.volume] = append(logs[l.dir.volume], l)
		} else {
			without = append(without, tp)
		}
		if l, ok := m.logs.removeFuture(tp); ok {
			logs[l.dir.volume] = append(logs[l.dir.volume], l)
		}
	}
	failed := map[protocol.TopicPartition]error{}
	var mu sync.Mutex // of failed
	var volumes sync.WaitGroup
	for v, logs := range logs {
		volumes.Go(func() {
			some := v.delete(logs)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(failed, some)
		})
	}
	volumes.Wait()
	for _, tp := range without {
		if err := m.syncOwed(); err != nil {
			failed[tp] = err
		}
	}
	return failed
}

// syncOwed makes good for deletions that could not be made durable.
func (m *Manager) syncOwed() error {
	var errs []error
	for _, v := range m.online() {
		errs = append(errs, v.syncOwed())
	}
	return errors.Join(errs...)
}

// delete gives up logs that are registered no more.
func (v *volume) delete(logs []*Log) (failed map[protocol.TopicPartition]error) {
	failed = map[protocol.TopicPartition]error{}
	var renamed []*Log
	for _, l := range logs {
		v.logs.Add(-1)
		name := suffixedDirName(l.tp, deleteDirSuffix)
		if err := l.retire(name); err != nil {
			failed[l.tp] = err
			continue
		}
		renamed = append(renamed, l)
		v.worker.removeDir(l.Config().FileDeleteDelayMs, filepath.Join(v.path, name))
	}
	if len(renamed) == 0 {
		return failed
	}
	if err := v.syncDeletions(v.entries.Add(1)); err != nil {
		for _, l := range renamed {
			failed[l.tp] = err
		}
	}
	return failed
}

// retire ends the log and renames its directory. Readers who hold a slice may finish.
func (l *Log) retire(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return err
	}
	l.closed = true
	return l.leaveLocked(name)
}

func (l *Log) leaveLocked(name string) error {
	l.retired.Store(true)
	l.activeLocked().letGo()
	for _, s := range *l.segments.Load() {
		for _, f := range s.files() {
			f.cache.drop(f)
		}
	}
	return l.storage("rename", l.dir.rename(name))
}

// configOf is the settings of a topic.
func (m *Manager) configOf(topic string) *Config {
	m.configMu.RLock()
	defer m.configMu.RUnlock()
	return m.configOfLocked(topic)
}

func (m *Manager) configOfLocked(topic string) *Config {
	if c := m.topics[topic]; c != nil {
		return c
	}
	if m.options.TopicConfig != nil {
		if c := m.options.TopicConfig(topic); c != nil {
			return c
		}
	}
	return m.defaults
}

// Defaults are the settings of topics without their own.
func (m *Manager) Defaults() *Config {
	m.configMu.RLock()
	defer m.configMu.RUnlock()
	return m.defaults
}

// SetDefaults replaces what logs get that are made without settings. Those that are there keep theirs, since only who reads the topics' settings
// knows what of them comes from the defaults.
func (m *Manager) SetDefaults(c *Config) {
	m.configMu.Lock()
	defer m.configMu.Unlock()
	m.defaults = c
}

// SetConfig gives the topic's logs, also those to come, new settings; nil takes them back to the defaults.
func (m *Manager) SetConfig(topic string, c *Config) {
	m.configMu.Lock()
	defer m.configMu.Unlock()
	m.configChanges++
	if c == nil {
		delete(m.topics, topic)
	} else {
		m.topics[topic] = c
	}
	c = m.configOfLocked(topic)
	for _, l := range m.logs.allAndFutures() {
		if l.tp.Topic == topic {
			l.SetConfig(c)
		}
	}
}

// ConfigChanges counts the calls of SetConfig. Who reads a topic's settings and then makes a log of it finds out by it whether they changed
// meanwhile (KAFKA-8813).
func (m *Manager) ConfigChanges() uint64 {
	m.configMu.RLock()
	defer m.configMu.RUnlock()
	return m.configChanges
}

// SetCleaner replaces the settings of compaction. It waits until the cleaner's threads have stopped, which they do at the next batch.
func (m *Manager) SetCleaner(o CleanerOptions) { m.cleaner.start(&o) }

// SetProducerIDExpiration replaces how long the state of an idle producer is kept, from the next look for such on.
func (m *Manager) SetProducerIDExpiration(d time.Duration) { m.host.expiration.Store(d.Milliseconds()) }

// CheckpointHighWatermarks writes the high watermarks of the logs in one of log.dirs, unless it is offline.
func (m *Manager) CheckpointHighWatermarks(dir string) error {
	if v := m.volume(dir); v != nil && v.check() == nil {
		return v.checkpoints.writeHighWatermarks()
	}
	return nil
}

// DirStatus describes one of log.dirs.
type DirStatus struct {
	Path          string
	Offline       bool
	Err           error  // why it is offline
	Total, Usable int64  // bytes of the volume, -1 unknown
	Logs          []*Log // future ones included
}

// Dirs describes all directories.
func (m *Manager) Dirs() []DirStatus {
	var list []DirStatus
	for _, v := range m.volumes {
		list = append(list, m.status(v))
	}
	return list
}

func (m *Manager) status(v *volume) DirStatus {
	err := v.check()
	s := DirStatus{Path: v.path, Offline: err != nil, Err: err, Total: -1, Usable: -1}
	if s.Offline {
		return s
	}
	s.Logs = m.logs.on(v)
	if total, usable, err := v.fs.Space(v.path); err == nil {
		s.Total, s.Usable = total, usable
	}
	return s
}

// Failures tells of each directory that goes offline, once; its logs are gone by then. There is always room for the news.
func (m *Manager) Failures() <-chan DirStatus { return m.failures }

// Close makes all logs durable and writes the checkpoints and the marker of a clean stop, of directories that are online. Nothing is used after it.
func (m *Manager) Close() error {
	m.cancel()
	m.running.Wait()
	m.cleaner.stop()
	results := &loadErrors{}
	var volumes sync.WaitGroup
	for _, v := range m.volumes {
		volumes.Go(func() { results.add(m.closeVolume(v)) })
	}
	volumes.Wait()
	m.host.cache.close()
	m.unlock()
	return results.err()
}

// closersMax is how many logs of a volume are closed at a time: enough that their fsyncs share the disk's journal.
const closersMax = 16

func (m *Manager) closeLogs(v *volume) error {
	jobs := make(chan *Log)
	results := &loadErrors{}
	var workers sync.WaitGroup
	for range max(closersMax, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for l := range jobs {
				results.add(l.close())
			}
		})
	}
	for _, l := range m.logs.on(v) {
		if l.dir.check() == nil {
			jobs <- l
		}
	}
	close(jobs)
	workers.Wait()
	return results.err()
}

func (m *Manager) closeVolume(v *volume) error {
	v.worker.stop()
	if err := m.closeLogs(v); err != nil || v.check() != nil {
		return err
	}
	for _, write := range []func() error{v.checkpoints.writeRecoveryPoints, v.checkpoints.writeHighWatermarks} {
		if err := write(); err != nil {
			return err
		}
	}
	name := filepath.Join(v.path, cleanShutdownFile)
	if err := vfs.WriteFile(v.fs, name, []byte(cleanShutdownText), true); err != nil {
		return v.fail("write "+cleanShutdownFile, err)
	}
	return v.fs.SyncDir(v.path)
}
