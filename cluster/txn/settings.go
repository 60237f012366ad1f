package txn

import (
	"time"

	"github.com/rs/zerolog"
)

// Settings are the broker's settings for transactions, fixed for its life.
type Settings struct {
	TimeoutMax         time.Duration // transaction.max.timeout.ms
	AbortInterval      time.Duration // transaction.abort.timed.out.transaction.cleanup.interval.ms
	IDExpiration       time.Duration // transactional.id.expiration.ms
	ExpirationInterval time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms
	LoadBytes          int           // transaction.state.log.load.buffer.size
	RequestTimeout     time.Duration // request.timeout.ms: how long a client is kept waiting for the log's replicas

	Logger zerolog.Logger
}

// DefaultSettings are Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{
		TimeoutMax:         15 * time.Minute,
		AbortInterval:      10 * time.Second,
		IDExpiration:       7 * 24 * time.Hour,
		ExpirationInterval: time.Hour,
		LoadBytes:          5 << 20,
		RequestTimeout:     30 * time.Second,
		Logger:             zerolog.Nop(),
	}
}
