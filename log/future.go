package log

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// A future log is a copy of a partition's log in another of log.dirs, to which the partition moves (AlterReplicaLogDirs, KIP-113). Its directory
// has the suffix -future until it takes the log's place. A restart finds it, and the copying goes on.

var (
	// ErrNoDirectory: the path is none of log.dirs.
	ErrNoDirectory = fmt.Errorf("not one of log.dirs: %w", kerr.LogDirNotFound)
	// errNoFuture: the future log was given up meanwhile, or its log is gone.
	errNoFuture = fmt.Errorf("the partition does not move any more: %w", kerr.KafkaStorageError)
)

// CheckMove reports whether a partition could move to a directory: ErrNoDirectory; ErrStorage while the directory is offline;
// INVALID_TOPIC_EXCEPTION if the directory of the copy would have too long a name.
func (m *Manager) CheckMove(tp protocol.TopicPartition, dir string) error {
	if len(tp.String())+suffixMax > dirNameMax {
		return fmt.Errorf("move %v: its name is too long: %w", tp, kerr.InvalidTopicException)
	}
	v := m.volume(dir)
	if v == nil {
		return fmt.Errorf("move %v to %s: %w", tp, dir, ErrNoDirectory)
	}
	return v.check()
}

func (m *Manager) volume(dir string) *volume {
	i := slices.IndexFunc(m.volumes, func(v *volume) bool { return v.path == dir })
	if i < 0 {
		return nil
	}
	return m.volumes[i]
}

// Prefer has the partition's log made in a directory, if it is online then. It is for a log that does not exist yet.
func (m *Manager) Prefer(tp protocol.TopicPartition, dir string) {
	m.preferredMu.Lock()
	defer m.preferredMu.Unlock()
	m.preferred[tp] = dir
}

// TakePreferred returns where the partition's log is to be made, empty if that is all the same, and forgets it.
func (m *Manager) TakePreferred(tp protocol.TopicPartition) string {
	m.preferredMu.Lock()
	defer m.preferredMu.Unlock()
	dir := m.preferred[tp]
	delete(m.preferred, tp)
	return dir
}

// Future returns the partition's future log, if there is one on a directory that is online.
func (m *Manager) Future(tp protocol.TopicPartition) (*Log, bool) { return m.logs.future(tp) }

// IsFuture reports whether the log is a future log.
func (l *Log) IsFuture() bool { return strings.HasSuffix(*l.dir.name.Load(), futureDirSuffix) }

// CreateFuture makes an empty future log of the partition, which begins where the log does, or returns the one that is there in that directory.
func (m *Manager) CreateFuture(tp protocol.TopicPartition, dir string) (*Log, error) {
	release := m.claims.take(tp)
	defer release()
	current, ok := m.logs.get(tp)
	v := m.volume(dir)
	if !ok || v == nil || current.dir.volume == v {
		return nil, errNoFuture
	}
	if l, ok := m.logs.future(tp); ok && l.dir.volume == v {
		return l, nil
	} else if ok {
		return nil, fmt.Errorf("move %v to %s: it is moving to %s: %w", tp, dir, l.Dir(), kerr.KafkaStorageError)
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	l, err := m.createFutureOn(v, current)
	if err != nil {
		return nil, v.report("create a copy of "+tp.String(), err)
	}
	return l, nil
}

func (m *Manager) createFutureOn(v *volume, current *Log) (l *Log, err error) {
	if err := v.checkpoints.forget(current.tp); err != nil {
		return nil, err
	}
	v.clean.forget(current.tp)
	d := newLogDir(v, suffixedDirName(current.tp, futureDirSuffix))
	defer func() {
		if err != nil {
			_ = v.fs.RemoveAll(d.dirPath()) // or the next start would go on with it
		}
	}()
	d.cleaned, _ = current.dir.clean.of(current)
	if l, err = createLog(m.host, d, current.tp, current.Config()); err != nil {
		return nil, err
	}
	if err := l.SetTopicID(current.TopicID()); err != nil {
		return nil, err
	}
	if start := current.LogStartOffset(); start > 0 {
		if err := l.TruncateFullyAndStartAt(start); err != nil {
			return nil, err
		}
	}
	m.joinCurrent(l, current)
	v.logs.Add(1)
	return l, nil
}

// joinCurrent registers a future log, with the settings that its partition has by now.
func (m *Manager) joinCurrent(future, current *Log) {
	m.configMu.Lock() // as in takePlace
	defer m.configMu.Unlock()
	future.SetConfig(current.Config())
	m.logs.addFuture(future)
}

// setAside renames the future log of a partition that has no log, since its directory is not among log.dirs any more: a new log is about to be made,
// of which this is no copy.
func (m *Manager) setAside(tp protocol.TopicPartition) error {
	l, ok := m.logs.removeFuture(tp)
	if !ok {
		return nil
	}
	l.dir.volume.logs.Add(-1)
	name := suffixedDirName(tp, strayDirSuffix)
	m.host.logger.Warn().Stringer("partition", tp).Str("dir", l.Dir()).Str("renamed", name).Msg("partition was on its way from a directory that is not there")
	return l.retire(name)
}

// DropFuture gives up the partition's future log, if it has one; its files go as those of a deleted log.
func (m *Manager) DropFuture(tp protocol.TopicPartition) error {
	release := m.claims.take(tp)
	defer release()
	l, ok := m.logs.removeFuture(tp)
	if !ok {
		return nil
	}
	return l.dir.volume.delete([]*Log{l})[tp]
}

// Promote puts the future log in the place of the log, whose files go as those of a deleted one, and returns it. The two must have the same
// records, and nobody may append to either meanwhile. After an error the log is as it was, unless a directory failed.
//
// A crash in the middle may leave the partition in both directories: the next start keeps one of them (keepOne).
func (m *Manager) Promote(future *Log) (*Log, error) {
	tp := future.tp
	release := m.claims.take(tp)
	defer release()
	current, ok := m.logs.get(tp)
	if f, there := m.logs.future(tp); !ok || !there || f != future {
		return nil, errNoFuture
	}
	l, err := m.reopen(future)
	if err != nil {
		return nil, err
	}
	l.SetHighWatermark(current.HighWatermark().Offset)
	m.takePlace(l, future)
	// A cleaning that was under way when the copying began may have ended since, and a truncation have made less of what is clean.
	if end, _ := current.dir.clean.of(current); min(end, future.dir.cleaned) > 0 {
		l.dir.clean.set(tp, min(end, future.dir.cleaned))
	}
	if err := current.dir.volume.delete([]*Log{current})[tp]; err != nil {
		m.host.logger.Warn().Err(err).Stringer("partition", tp).Str("dir", current.Dir()).Msg("log that has moved could not be removed")
	}
	return l, nil
}

// takePlace registers what a future log has become, with the settings that it has by now.
func (m *Manager) takePlace(l, future *Log) {
	m.configMu.Lock() // SetConfig gives them to those that are registered
	defer m.configMu.Unlock()
	l.SetConfig(future.Config())
	m.logs.removeFuture(l.tp)
	m.logs.replace(l)
}

// reopen closes a future log, gives its directory the partition's name, durably, and opens it.
func (m *Manager) reopen(future *Log) (*Log, error) {
	v, tp := future.dir.volume, future.tp
	if err := future.close(); err != nil {
		return nil, err
	}
	if err := future.leave(tp.String()); err != nil {
		return nil, err
	}
	if err := v.syncEntries(v.entries.Add(1)); err != nil {
		return nil, v.fail("sync a moved log's directory", err)
	}
	l, err := loadLog(m.host, newLogDir(v, tp.String()), tp, future.Config(),
		loadOptions{clean: true, flushedTo: future.RecoveryPoint(), start: future.LogStartOffset()})
	if err != nil {
		return nil, v.fail("open a moved log", err)
	}
	return l, nil
}

// leave has the directory of a log that is closed go on under another name.
func (l *Log) leave(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaveLocked(name)
}

// keepOne decides between two logs of a partition in two directories, which a crash during Promote leaves: they agree as far as both reach, so
// the longer one stays, and the other is deleted. It returns nil for logs that do not agree, of which somebody has to choose.
func keepOne(a, b *Log) (keep, drop *Log) {
	if a.TopicID().IsZero() || a.TopicID() != b.TopicID() {
		return nil, nil
	}
	ends := func(l *Log) int64 { return l.LogEndOffset().Offset }
	if cmp.Or(cmp.Compare(ends(a), ends(b)), cmp.Compare(a.dir.path, b.dir.path)) < 0 {
		a, b = b, a
	}
	epoch, some := b.epochs.Latest()
	if found, end := a.epochs.EndOffset(epoch, ends(a)); some && (found != epoch || end < ends(b)) || a.LogStartOffset() > ends(b) {
		return nil, nil
	}
	return a, b
}
