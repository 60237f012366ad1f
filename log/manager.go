package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

const (
	lockFile          = ".lock"
	cleanShutdownFile = ".kafka_cleanshutdown"
	cleanShutdownText = `{"version":0,"brokerEpoch":-1}`

	// openFilesMax is how many files that no reader uses are kept open.
	openFilesMax = 512
)

// ManagerOptions configure a Manager. Zero values are Apache Kafka's defaults.
type ManagerOptions struct {
	FS       vfs.FS   // nil: the operating system's
	Dirs     []string // log.dirs
	Identity Identity // checked against meta.properties, or written there
	Defaults *Config  // of topics without their own settings
	// TopicConfig gives a topic's settings while logs are loaded; nil, or a nil result, is Defaults.
	TopicConfig func(topic string) *Config
	// Stray reports that a partition on disk is not this broker's: its directory is renamed, never deleted. Nil: none is.
	Stray func(protocol.TopicPartition, protocol.TopicID) bool

	RecoveryThreadsPerDir  int           // num.recovery.threads.per.data.dir; at least one for each processor is used
	InitialDelay           time.Duration // log.initial.task.delay.ms, before retention is applied first
	RetentionInterval      time.Duration // log.retention.check.interval.ms
	FlushInterval          time.Duration // log.flush.scheduler.interval.ms; 0: a second
	CheckpointInterval     time.Duration // log.flush.offset.checkpoint.interval.ms
	ProducerIDExpiration   time.Duration // producer.id.expiration.ms
	ProducerExpiryInterval time.Duration // producer.id.expiration.check.interval.ms
	Cleaner                CleanerOptions
	ReserveBytes           int64 // of each disk kept free of clients' records; ReserveDefault, 0: nothing
	Logger                 zerolog.Logger
	Now                    func() time.Time // nil: time.Now
}

func (o *ManagerOptions) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Defaults == nil {
		o.Defaults = DefaultConfig()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.InitialDelay, 30 * time.Second},
		{&o.RetentionInterval, 5 * time.Minute},
		{&o.FlushInterval, time.Second},
		{&o.CheckpointInterval, time.Minute},
		{&o.ProducerIDExpiration, 24 * time.Hour},
		{&o.ProducerExpiryInterval, 10 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
}

// Manager owns the log directories and all logs in them.
type Manager struct {
	options ManagerOptions
	host    *host
	logs    registry
	claims  claims // of partitions whose log is being created or deleted
	cleaner *cleaner
	volumes []*volume
	locks   []io.Closer

	configMu      sync.RWMutex
	defaults      *Config
	topics        map[string]*Config
	configChanges uint64

	preferredMu sync.Mutex
	preferred   map[protocol.TopicPartition]string // where logs are to be made

	failed   chan *volume
	failures chan DirStatus
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// Open locks the directories, loads all logs, recovering them after an unclean stop, and starts the background work. A directory with an I/O error
// is offline; if that is all of them Open fails. It also fails if a directory is in use, or another broker's.
func Open(o ManagerOptions) (*Manager, error) {
	o.setDefaults()
	m := &Manager{
		options: o, logs: newRegistry(),
		claims:   claims{held: map[protocol.TopicPartition]chan struct{}{}},
		defaults: o.Defaults, topics: map[string]*Config{}, preferred: map[protocol.TopicPartition]string{},
		failed: make(chan *volume, len(o.Dirs)), failures: make(chan DirStatus, len(o.Dirs)),
	}
	m.host = &host{logger: o.Logger, now: o.Now, cache: newFileCache(openFilesMax)}
	m.SetProducerIDExpiration(o.ProducerIDExpiration)
	m.cleaner = newCleaner(o.Cleaner, &m.logs, m.host)
	err := m.openVolumes()
	if err == nil {
		err = m.load()
	}
	if err != nil {
		for _, v := range m.volumes {
			v.worker.stop()
		}
		m.unlock()
		return nil, err
	}
	m.start()
	return m, nil
}

// openVolumes makes, locks and claims the directories.
func (m *Manager) openVolumes() error {
	for _, dir := range m.options.Dirs {
		if slices.ContainsFunc(m.volumes, func(other *volume) bool { return other.path == dir }) {
			return fmt.Errorf("open log directory %s: it is listed twice", dir)
		}
		v := m.newVolume(dir)
		m.volumes = append(m.volumes, v)
		switch err := m.openVolume(v); {
		case errors.Is(err, vfs.ErrLocked):
			return fmt.Errorf("open log directory %s: %w", dir, ErrLocked)
		case errors.Is(err, ErrIdentity):
			return err
		case err != nil:
			m.offline(v, err)
		}
	}
	return m.someOnline()
}

func (m *Manager) newVolume(dir string) *volume {
	v := &volume{fs: m.options.FS, path: dir, failed: m.failed}
	logger := m.host.logger.With().Str("dir", dir).Logger()
	v.reserve.bytes, v.reserve.logger = m.options.ReserveBytes, logger
	v.reserve.space = func() (total, usable int64, err error) { return v.fs.Space(v.path) }
	v.checkpoints = newCheckpoints(v, &m.logs)
	v.clean = &cleanPoints{volume: v, logs: &m.logs, logger: logger}
	v.worker = startWorker(v, m.options.Now)
	return v
}

func (m *Manager) openVolume(v *volume) error {
	if err := makeDir(v.fs, v.path); err != nil {
		return err
	}
	lock, err := v.fs.Lock(filepath.Join(v.path, lockFile))
	if err != nil {
		return err
	}
	m.locks = append(m.locks, lock)
	return m.options.Identity.claim(v.fs, v.path, m.options.Now())
}

// makeDir makes a directory, durably, if it does not exist.
func makeDir(fsys vfs.FS, path string) error {
	if _, err := fsys.Stat(path); err == nil || ignoreMissing(err) != nil {
		return err
	}
	if err := fsys.MkdirAll(path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

func (m *Manager) unlock() {
	for _, l := range m.locks {
		l.Close()
	}
}

// offline takes a directory offline that cannot be loaded.
func (m *Manager) offline(v *volume, err error) {
	m.host.logger.Error().Err(v.fail("load logs", err)).Msg("log directory is offline")
}

func (m *Manager) someOnline() error {
	var errs []error
	for _, v := range m.volumes {
		if err := v.check(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(m.volumes) {
		return fmt.Errorf("open logs: no directory is usable: %w", errors.Join(errs...))
	}
	return nil
}

// load reads every directory's logs, several at a time.
func (m *Manager) load() error {
	begin := m.options.Now()
	jobs := make(chan loadJob)
	results := &loadErrors{}
	var workers sync.WaitGroup
	for range max(runtime.GOMAXPROCS(0), m.options.RecoveryThreadsPerDir*len(m.volumes)) {
		workers.Go(func() {
			for job := range jobs {
				results.add(m.loadOne(job))
			}
		})
	}
	for _, v := range m.volumes {
		if v.check() != nil {
			continue
		}
		if err := m.loadVolume(v, jobs); err != nil {
			m.offline(v, err)
		}
	}
	close(jobs)
	workers.Wait()
	if err := results.err(); err != nil {
		return err
	}
	for _, l := range m.logs.allAndFutures() {
		l.dir.clean.lower(l, l.LogEndOffset().Offset) // recovery may have cut it
		if err := l.dir.checkpoints.lower(l); err != nil {
			m.host.logger.Error().Err(err).Stringer("partition", l.tp).Msg("recovery point could not be lowered")
		}
	}
	m.host.logger.Info().Int("logs", len(m.logs.logs)).Dur("took", m.options.Now().Sub(begin)).Msg("logs are loaded")
	return m.someOnline()
}

// loadErrors keeps what makes the start fail.
type loadErrors struct {
	mu   sync.Mutex
	errs []error
}

func (e *loadErrors) add(err error) {
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.errs = append(e.errs, err)
	}
}

func (e *loadErrors) err() error { return errors.Join(e.errs...) }

// loadJob is one log to be loaded.
type loadJob struct {
	volume        *volume
	name          string
	tp            protocol.TopicPartition
	options       loadOptions
	highWatermark int64
}

// loadVolume finds out how the directory was left and passes its logs on. The marker of the clean stop goes first, and durably: a crash from
// here on must not look like a clean stop (KAFKA-10471).
func (m *Manager) loadVolume(v *volume, jobs chan<- loadJob) error {
	clean, err := m.takeCleanMarker(v)
	if err != nil {
		return err
	}
	points, starts, highWatermarks := m.readCheckpoint(v, recoveryPointFile), m.readCheckpoint(v, logStartOffsetFile), m.readCheckpoint(v, highWatermarkFile)
	v.checkpoints.adopt(points, highWatermarks)
	cleaned := m.readCheckpoint(v, cleanerOffsetFile)
	v.clean.adopt(maps.Clone(cleaned))
	list, err := v.fs.ReadDir(v.path)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.IsDir() || slices.Contains(foreignDirs, e.Name()) {
			continue
		}
		tp, suffix, err := parseDirName(e.Name())
		if err != nil {
			return err
		}
		if suffix != "" && suffix != futureDirSuffix {
			m.leftover(v, e.Name(), suffix)
			continue
		}
		jobs <- loadJob{volume: v, name: e.Name(), tp: tp, highWatermark: highWatermarks[tp],
			options: loadOptions{clean: clean, flushedTo: points[tp], start: starts[tp], cleanedTo: cleaned[tp]}}
	}
	return nil
}

// foreignDirs are directories that others make in a log directory: the cache of tiered storage, and fsck's at the root of a volume. Any other
// that is no partition's is an error, since it may be one that somebody renamed.
var foreignDirs = []string{"remote-log-index-cache", "lost+found"}

func (m *Manager) takeCleanMarker(v *volume) (clean bool, err error) {
	name := filepath.Join(v.path, cleanShutdownFile)
	err = v.fs.Remove(name)
	if ignoreMissing(err) != nil {
		return false, err
	}
	return err == nil, v.fs.SyncDir(v.path)
}

// readCheckpoint reads an offset checkpoint. One that is corrupt counts as empty: then all is scanned, logs begin with their first
// segment, and the leader raises the high watermark again.
func (m *Manager) readCheckpoint(v *volume, name string) offsetCheckpoint {
	c, err := readOffsetCheckpoint(v.fs, v.path, name)
	if err != nil {
		m.host.logger.Warn().Err(err).Str("dir", v.path).Msg("checkpoint is unusable, it is taken for empty")
		return offsetCheckpoint{}
	}
	return c
}

// leftover goes on with a deletion. Other suffixed directories are left alone.
func (m *Manager) leftover(v *volume, name, suffix string) {
	if suffix == deleteDirSuffix {
		v.worker.removeDir(m.Defaults().FileDeleteDelayMs, filepath.Join(v.path, name))
		return
	}
	m.host.logger.Warn().Str("dir", filepath.Join(v.path, name)).Msg("directory is not in use and is left alone")
}

// loadOne loads a log. Its error makes the start fail; I/O errors and corruption only take the directory offline.
func (m *Manager) loadOne(job loadJob) error {
	dir := newLogDir(job.volume, job.name)
	l, err := loadLog(m.host, dir, job.tp, m.configOf(job.tp.Topic), job.options)
	if err != nil {
		m.offline(job.volume, err)
		return nil
	}
	if m.options.Stray != nil && m.options.Stray(l.tp, l.TopicID()) {
		name := suffixedDirName(l.tp, strayDirSuffix)
		m.host.logger.Warn().Stringer("partition", l.tp).Str("renamed", name).Msg("partition is not this broker's")
		if err := l.retire(name); err != nil {
			m.offline(job.volume, err)
		}
		return nil
	}
	if job.highWatermark > 0 {
		l.SetHighWatermark(job.highWatermark)
	}
	job.volume.logs.Add(1)
	add := m.logs.add
	if l.IsFuture() {
		add = m.logs.addFuture
	}
	if other := add(l); other != nil {
		return m.twice(l, other)
	}
	return nil
}

// twice decides about a partition that is in two directories.
func (m *Manager) twice(l, other *Log) error {
	keep, drop := keepOne(l, other)
	if keep == nil || l.IsFuture() {
		return fmt.Errorf("load %s: %v is also in %s; one of the two directories must be removed", l.dir.dirPath(), l.tp, other.dir.dirPath())
	}
	m.host.logger.Warn().Stringer("partition", l.tp).Str("kept", keep.Dir()).Str("deleted", drop.Dir()).Msg("partition is in two directories, as if it had just moved")
	m.logs.replace(keep)
	return drop.dir.volume.delete([]*Log{drop})[l.tp]
}

// start begins the background work, which each volume has for itself: one that hangs does not hold up the others'.
func (m *Manager) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	every := func(first, interval time.Duration, do func(*volume)) {
		for _, v := range m.volumes {
			m.running.Go(func() { repeat(ctx, first, interval, func() { do(v) }) })
		}
	}
	every(m.options.InitialDelay, m.options.RetentionInterval, m.deleteOldSegments)
	every(m.options.FlushInterval, m.options.FlushInterval, m.flushDue)
	every(m.options.CheckpointInterval, m.options.CheckpointInterval, m.checkpoint)
	every(m.options.ProducerExpiryInterval, m.options.ProducerExpiryInterval, m.expireProducers)
	m.running.Go(func() { m.watchFailures(ctx) })
	m.cleaner.start(nil)
}

// repeat calls do after the first wait and then in intervals.
func repeat(ctx context.Context, first, interval time.Duration, do func()) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		do()
		timer.Reset(interval)
	}
}

// watchFailures forgets the logs of each directory that fails, and passes the news on.
func (m *Manager) watchFailures(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-m.failed:
			m.logs.drop(v)
			m.failures <- m.status(v)
		}
	}
}

func (m *Manager) deleteOldSegments(v *volume) {
	for _, l := range m.logs.on(v) {
		if _, err := l.DeleteOldSegments(); err != nil {
			m.host.logger.Error().Err(err).Stringer("partition", l.tp).Msg("old segments could not be deleted")
		}
	}
}

func (m *Manager) flushDue(v *volume) {
	for _, l := range m.logs.on(v) {
		if err := l.flushIfDue(); err != nil {
			m.host.logger.Error().Err(err).Stringer("partition", l.tp).Msg("log could not be flushed")
		}
	}
}

func (m *Manager) checkpoint(v *volume) {
	for _, l := range m.logs.on(v) {
		if err := errors.Join(l.storage("write epochs of", l.saveEpochs()), l.saveTopicID()); err != nil && !l.retired.Load() {
			m.host.logger.Error().Err(err).Stringer("partition", l.tp).Msg("log's metadata could not be written")
		}
	}
	if err := errors.Join(v.syncOwed(), v.checkpoints.writeRecoveryPoints()); err != nil {
		m.host.logger.Error().Err(err).Str("dir", v.path).Msg("checkpoint could not be written")
	}
}

func (m *Manager) expireProducers(v *volume) {
	for _, l := range m.logs.on(v) {
		l.RemoveExpiredProducers()
	}
}
