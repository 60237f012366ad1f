package group

import (
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"gokafka/protocol"
)

// Settings are the broker's settings for groups, fixed for its life.
type Settings struct {
	SessionTimeoutMin     time.Duration // group.min.session.timeout.ms
	SessionTimeoutMax     time.Duration // group.max.session.timeout.ms
	SizeMax               int           // group.max.size, in members
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms

	OffsetMetadataMax      int                  // offset.metadata.max.bytes, counted as Java counts characters
	OffsetsRetention       time.Duration        // offsets.retention.minutes
	RetentionCheckInterval time.Duration        // offsets.retention.check.interval.ms
	CommitTimeout          time.Duration        // offsets.commit.timeout.ms
	LoadBytes              int                  // offsets.load.buffer.size
	Compression            protocol.Compression // offsets.topic.compression.codec

	Logger zerolog.Logger
	NewID  func() string // the random part of member ids
}

// DefaultSettings are Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{
		SessionTimeoutMin:      6 * time.Second,
		SessionTimeoutMax:      30 * time.Minute,
		SizeMax:                math.MaxInt32,
		InitialRebalanceDelay:  3 * time.Second,
		OffsetMetadataMax:      4096,
		OffsetsRetention:       7 * 24 * time.Hour,
		RetentionCheckInterval: 10 * time.Minute,
		CommitTimeout:          5 * time.Second,
		LoadBytes:              5 << 20,
		Logger:                 zerolog.Nop(),
		NewID:                  uuid.NewString,
	}
}
