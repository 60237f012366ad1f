package log

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrNearlyFull: the disk has no room left but the reserve. Nothing failed; the directory stays online, and appends work again when
// something was deleted.
var ErrNearlyFull = fmt.Errorf("disk is nearly full: %w", kerr.KafkaStorageError)

// What is kept free of a disk when nobody says how much: a hundredth, and not more than 4 GiB.
const (
	ReserveDefault  int64 = -1
	reserveShare          = 100
	reserveBytesMax       = 4 << 30
)

// How many bytes are appended at most before the disk is looked at again, since it may not be ours alone.
const (
	slackBytesMin = 64 << 10
	slackBytesMax = 16 << 20
)

// reserve keeps the last of a disk free of clients' records. A full disk is an I/O error like any other, which takes the directory
// offline until somebody has tidied up and restarted the broker. While there is a little room, consumers read and commit, logs are
// flushed and checkpoints written, retention goes on, and the broker stops cleanly.
type reserve struct {
	bytes  int64 // 0: none
	space  func() (total, usable int64, err error)
	logger zerolog.Logger

	slack atomic.Int64 // bytes that may be appended before the disk is looked at

	mu   sync.Mutex
	full bool
}

// admit lets n bytes through unless they would reach into the reserve.
func (r *reserve) admit(n int) error {
	if r.bytes == 0 || r.slack.Add(-int64(n)) >= 0 {
		return nil
	}
	return r.measure(int64(n))
}

// measure looks at the disk. One that does not tell is taken to have room: it will say itself when it has none.
func (r *reserve) measure(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	total, usable, err := r.space()
	if err != nil {
		r.slack.Store(slackBytesMax)
		return nil
	}
	keep := r.bytes
	if keep < 0 {
		keep = min(total/reserveShare, reserveBytesMax)
	}
	full := usable-keep < n
	if full != r.full {
		r.full = full
		r.logger.Warn().Bool("refused", full).Int64("usable", usable).Int64("reserve", keep).Msg("disk is nearly full or has room again: records are refused or taken")
	}
	if full {
		r.slack.Store(-1)
		return ErrNearlyFull
	}
	r.slack.Store(min(usable-keep, max(slackBytesMin, min(slackBytesMax, keep/4))) - n)
	return nil
}
