package log

import (
	"os"
	"time"

	"github.com/rs/zerolog"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Origin says who wrote a batch, hence how strictly it is checked.
type Origin uint8

// The origins.
const (
	OriginClient      Origin = iota // a produce request: everything is checked
	OriginReplication               // from the leader, which has checked it
	OriginCoordinator               // group offsets and transaction markers: epochs are checked, sequences do not exist
)

// AppendOptions are what a leader's append may vary in. The zero value is a client's produce request.
type AppendOptions struct {
	Origin Origin
	// Verification is the guard that Log.StartVerification gave before the transaction coordinator was asked (KIP-890).
	Verification VerificationGuard
	// Verify demands that the first batch of a transaction carries a valid Verification.
	Verify bool
}

// VerificationGuard ties an answer of the transaction coordinator to the question it was asked for; zero is no guard.
type VerificationGuard uint64

// AppendInfo says what an append did.
type AppendInfo struct {
	FirstOffset, LastOffset int64 // FirstOffset -1 when nothing was appended
	LeaderEpoch             int32 // of the last batch, -1 none
	MaxTimestamp            int64
	AppendTime              int64 // broker time of a LogAppendTime topic, else -1
	LogStartOffset          int64
	Bytes                   int
	Records                 int64 // LastOffset-FirstOffset+1
	Duplicate               bool  // the batch was in the log already; the offsets are the earlier ones
}

// Bound is up to where a reader may see.
type Bound uint8

// The bounds of a read.
const (
	ToLogEnd        Bound = iota // followers
	ToHighWatermark              // read_uncommitted consumers
	ToLastStable                 // read_committed consumers
)

// Offsets is one consistent look at a log's marks: Start ≤ LastStable ≤ HighWatermark ≤ End.
type Offsets struct {
	Start         int64
	LastStable    Position
	HighWatermark Position
	End           Position
}

// Log is one partition's durable log on one disk. All methods may be called by any goroutine.
type Log struct{}

func (l *Log) TopicPartition() protocol.TopicPartition { panic("draft") }
func (l *Log) Dir() string                             { panic("draft") } // its log.dirs entry
func (l *Log) Config() *Config                         { panic("draft") }
func (l *Log) SetConfig(c *Config)                     { panic("draft") }
func (l *Log) TopicID() protocol.TopicID               { panic("draft") }
func (l *Log) SetTopicID(id protocol.TopicID) error    { panic("draft") } // ErrInconsistentTopicID

func (l *Log) Offsets() Offsets           { panic("draft") } // lock-free
func (l *Log) LogStartOffset() int64      { panic("draft") }
func (l *Log) LogEndOffset() Position     { panic("draft") }
func (l *Log) HighWatermark() Position    { panic("draft") }
func (l *Log) LastStableOffset() Position { panic("draft") }
func (l *Log) RecoveryPoint() int64       { panic("draft") }
func (l *Log) Size() int64                { panic("draft") }
func (l *Log) Segments() int              { panic("draft") }

// AppendAsLeader validates, assigns offsets and the leader epoch in place and appends. records may be changed.
func (l *Log) AppendAsLeader(records []byte, leaderEpoch int32, o AppendOptions) (AppendInfo, error) {
	panic("draft")
}

// AppendAsFollower appends batches as the leader has them; those with a leader epoch above leaderEpoch and all after them are left out (KAFKA-18723).
func (l *Log) AppendAsFollower(records []byte, leaderEpoch int32) (AppendInfo, error) { panic("draft") }

// SetHighWatermark sets it (follower, start): clipped to [start, end]. It may move back (logged). Returns the new one.
func (l *Log) SetHighWatermark(offset int64) Position { panic("draft") }

// RaiseHighWatermark raises it, never lowers it (leader); reports whether offset or segment moved.
func (l *Log) RaiseHighWatermark(p Position) (moved bool) { panic("draft") }

// Read returns whole batches from the one that contains offset, at most bytesMax bytes (the last may be cut), or one whole batch of
// any size if minOneBatch. Nothing to read: an empty slice. The caller releases it.
func (l *Log) Read(offset int64, bytesMax int, bound Bound, minOneBatch bool) (*Slice, error) {
	panic("draft")
}

// PositionOf finds where an offset's batch lies.
func (l *Log) PositionOf(offset int64) (Position, error) { panic("draft") }

// TimestampOffset is an answer to ListOffsets: LeaderEpoch -1 if none.
type TimestampOffset struct {
	Timestamp   int64
	Offset      int64
	LeaderEpoch int32
}

// OffsetForTimestamp finds the first record at or after start whose timestamp is ≥ timestamp; ok is false if there is none.
func (l *Log) OffsetForTimestamp(timestamp int64) (r TimestampOffset, ok bool, err error) {
	panic("draft")
}

// OffsetOfMaxTimestamp finds the first record with the largest timestamp (ListOffsets -3).
func (l *Log) OffsetOfMaxTimestamp() (r TimestampOffset, ok bool, err error) { panic("draft") }

// AbortedTransaction is a range of a producer's records that read_committed consumers skip.
type AbortedTransaction struct{ ProducerID, FirstOffset int64 }

// AbortedTransactions lists those that overlap [from, to).
func (l *Log) AbortedTransactions(from, to int64) ([]AbortedTransaction, error) { panic("draft") }

// EpochCache has the leader epochs: Latest, EndOffset, Previous.
func (l *Log) EpochCache() *LeaderEpochCache { panic("draft") }

// AssignEpoch records that the epoch begins at the offset: a new leader calls it with its log end.
func (l *Log) AssignEpoch(epoch int32, offset int64) error { panic("draft") }

// LeaderEpochCache maps leader epochs to their first offset. Its methods may be called by any goroutine.
type LeaderEpochCache struct{}

func (c *LeaderEpochCache) Latest() (epoch int32, ok bool)                { panic("draft") }
func (c *LeaderEpochCache) Previous(epoch int32) (earlier int32, ok bool) { panic("draft") }
func (c *LeaderEpochCache) EpochAt(offset int64) (epoch int32, ok bool)   { panic("draft") }

// EndOffset answers OffsetForLeaderEpoch; (-1, -1) when undefined. logEnd is the log's end.
func (c *LeaderEpochCache) EndOffset(requested int32, logEnd int64) (epoch int32, end int64) {
	panic("draft")
}

// ProducerState is an idempotent producer that the log knows.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32
	LastTimestamp    int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // -1 none
}

func (l *Log) ActiveProducers() []ProducerState { panic("draft") }

// StartVerification gives the guard for the first batch of a transaction, zero if one is open in the log.
func (l *Log) StartVerification(producerID int64, sequence int32, epoch int16) VerificationGuard {
	panic("draft")
}

// TruncateTo removes all at and after offset; false if there was nothing.
func (l *Log) TruncateTo(offset int64) (bool, error) { panic("draft") }

// TruncateFullyAndStartAt drops everything; the log begins and ends at offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error { panic("draft") }

// IncrementLogStartOffset moves the start up (DeleteRecords, leader's start); above the high watermark: ErrOffsetOutOfRange.
func (l *Log) IncrementLogStartOffset(offset int64) (bool, error) { panic("draft") }

// Flush makes all appended durable and moves the recovery point.
func (l *Log) Flush() error { panic("draft") }

// Slice is a run of bytes of one segment's file. It implements protocol.FileRange.
type Slice struct{}

// Start is the position of the first byte: the batch that contains the offset asked for (Offset is the offset asked for).
func (s *Slice) Start() Position { panic("draft") }

// FirstBatchCut reports that bytesMax was too small for the first batch (only without minOneBatch).
func (s *Slice) FirstBatchCut() bool                        { panic("draft") }
func (s *Slice) Len() int                                   { panic("draft") }
func (s *Slice) File() (*os.File, int64)                    { panic("draft") }
func (s *Slice) ReadAt(p []byte, offset int64) (int, error) { panic("draft") }
func (s *Slice) Current() bool                              { panic("draft") }
func (s *Slice) Release()                                   { panic("draft") }

var _ protocol.FileRange = (*Slice)(nil)

// Identity is what meta.properties says.
type Identity struct {
	ClusterID string
	BrokerID  int32
}

// ReadIdentity reads meta.properties of the directories; zero Identity (BrokerID -1) if none has one; an error if they disagree.
func ReadIdentity(fsys vfs.FS, dirs []string) (Identity, error) { panic("draft") }

// ManagerOptions configure a Manager. Zero values are Apache's defaults.
type ManagerOptions struct {
	FS       vfs.FS   // nil: the operating system's
	Dirs     []string // log.dirs
	Identity Identity // checked against, or written to, meta.properties
	Defaults *Config  // of topics that TopicConfig does not know
	// TopicConfig gives a topic's settings while logs are loaded; nil: Defaults for all.
	TopicConfig func(topic string) *Config
	// Stray reports that a partition found on disk does not belong to this broker; its directory is renamed to -stray. Nil: none.
	Stray func(protocol.TopicPartition, protocol.TopicID) bool

	RecoveryThreadsPerDir      int           // num.recovery.threads.per.data.dir
	RetentionCheckInterval     time.Duration // log.retention.check.interval.ms
	FlushCheckInterval         time.Duration // log.flush.scheduler.interval.ms
	RecoveryCheckpointInterval time.Duration // log.flush.offset.checkpoint.interval.ms
	StartCheckpointInterval    time.Duration // log.flush.start.offset.checkpoint.interval.ms
	ProducerIDExpiration       time.Duration // producer.id.expiration.ms
	ProducerExpirationCheck    time.Duration // producer.id.expiration.check.interval.ms
	Logger                     zerolog.Logger
	Now                        func() time.Time // nil: time.Now
}

// Manager owns the log directories and all logs in them.
type Manager struct{}

// Open locks the directories, loads all logs (recovering them after an unclean stop) and starts the background work.
func Open(o ManagerOptions) (*Manager, error) { panic("draft") }

func (m *Manager) Log(tp protocol.TopicPartition) (*Log, bool) { panic("draft") }
func (m *Manager) Logs() []*Log                                { panic("draft") }

// CreateOptions of a new log.
type CreateOptions struct {
	TopicID protocol.TopicID // zero: none
	Config  *Config          // nil: defaults
	IsNew   bool             // the log cannot exist in an offline directory
}

// Create returns the partition's log, making it in the directory with the fewest logs if there is none. While a directory is offline and
// the log is not new, it may be there: ErrStorage. Its high watermark is the checkpointed one.
func (m *Manager) Create(tp protocol.TopicPartition, o CreateOptions) (*Log, error) { panic("draft") }

// Delete takes the log away at once and its files after file.delete.delay.ms. No log: no error.
func (m *Manager) Delete(tps ...protocol.TopicPartition) error { panic("draft") }

// SetConfig gives every log of the topic new settings.
func (m *Manager) SetConfig(topic string, c *Config) { panic("draft") }

// SetDefaults replaces the settings of topics without their own.
func (m *Manager) SetDefaults(c *Config) { panic("draft") }

// CheckpointHighWatermarks writes replication-offset-checkpoint of every directory (the replica manager's ticker calls it).
func (m *Manager) CheckpointHighWatermarks() error { panic("draft") }

// DirStatus describes one of log.dirs.
type DirStatus struct {
	Path          string
	Offline       bool
	Err           error // why it is offline
	Total, Usable int64 // bytes, -1 unknown
	Logs          []*Log
}

func (m *Manager) Dirs() []DirStatus { panic("draft") }

// Failures reports each directory that went offline, once. The channel is closed by Close.
func (m *Manager) Failures() <-chan DirStatus { panic("draft") }

// Close flushes and closes all logs, writes the checkpoints and the clean-shutdown marker.
func (m *Manager) Close() error { panic("draft") }
