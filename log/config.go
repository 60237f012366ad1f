package log

import "math"

// TimestampType says whose clock stamps records.
type TimestampType uint8

// The two values of message.timestamp.type.
const (
	CreateTime    TimestampType = iota // the producer's
	LogAppendTime                      // the broker's
)

// Config holds the settings of one log. It is immutable: a change makes a new one, given to Log.SetConfig. Times are
// milliseconds, as in the settings they come from, because they are compared with record timestamps.
type Config struct {
	SegmentBytesMax      int   // segment.bytes
	SegmentMsMax         int64 // segment.ms
	SegmentJitterMs      int64 // segment.jitter.ms
	IndexBytesMax        int   // segment.index.bytes
	IndexIntervalBytes   int   // index.interval.bytes
	FlushMessages        int64 // flush.messages
	FlushMs              int64 // flush.ms
	RetentionBytes       int64 // retention.bytes, negative: no limit
	RetentionMs          int64 // retention.ms, negative: no limit
	FileDeleteDelayMs    int64 // file.delete.delay.ms
	Delete, Compact      bool  // cleanup.policy
	Compaction           Compaction
	Messages             MessageConfig
	UncleanElection      bool // unclean.leader.election.enable, read by the controller
	MinInSyncReplicas    int  // min.insync.replicas, read by the partition
	Preallocate          bool // preallocate
	DownConversionEnable bool // message.downconversion.enable
}

// Compaction holds the settings of the log cleaner.
type Compaction struct {
	MinCleanableDirtyRatio float64 // min.cleanable.dirty.ratio
	LagMsMin, LagMsMax     int64   // min.compaction.lag.ms, max.compaction.lag.ms
	DeleteRetentionMs      int64   // delete.retention.ms
}

// MessageConfig holds what the validation of incoming batches needs.
type MessageConfig struct {
	BytesMax           int    // max.message.bytes, a batch's size after compression
	CompressionType    string // compression.type: producer, uncompressed, gzip, snappy, lz4, zstd
	GzipLevel          int    // compression.gzip.level
	LZ4Level           int    // compression.lz4.level
	ZstdLevel          int    // compression.zstd.level
	TimestampType      TimestampType
	TimestampBeforeMax int64 // message.timestamp.before.max.ms
	TimestampAfterMax  int64 // message.timestamp.after.max.ms
}

// DefaultConfig returns Apache Kafka's defaults.
func DefaultConfig() *Config {
	const day = 24 * 60 * 60 * 1000
	return &Config{
		SegmentBytesMax:    1 << 30,
		SegmentMsMax:       7 * day,
		IndexBytesMax:      10 << 20,
		IndexIntervalBytes: 4096,
		FlushMessages:      math.MaxInt64,
		FlushMs:            math.MaxInt64,
		RetentionBytes:     -1,
		RetentionMs:        7 * day,
		FileDeleteDelayMs:  60_000,
		Delete:             true,
		Compaction:         Compaction{MinCleanableDirtyRatio: 0.5, LagMsMax: math.MaxInt64, DeleteRetentionMs: day},
		Messages: MessageConfig{
			BytesMax: 1<<20 + 12, CompressionType: "producer", GzipLevel: -1, LZ4Level: 9, ZstdLevel: 3,
			TimestampBeforeMax: math.MaxInt64, TimestampAfterMax: math.MaxInt64,
		},
		MinInSyncReplicas:    1,
		DownConversionEnable: true,
	}
}

// segmentMs is how long a segment may take records. A compacted log rolls early enough for max.compaction.lag.ms, since the
// cleaner never touches the active segment.
func (c *Config) segmentMs() int64 {
	if c.Compact {
		return max(min(c.Compaction.LagMsMax, c.SegmentMsMax), 0)
	}
	return c.SegmentMsMax
}
