package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestCodeOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int16
	}{
		{"nil is no error", nil, 0},
		{"a Kafka error is its own code", kerr.NotLeaderForPartition, 6},
		{"a wrapped Kafka error keeps its code", fmt.Errorf("append to t-0: %w", fmt.Errorf("offset out of range: %w", kerr.OffsetOutOfRange)), 1},
		{"a joined Kafka error keeps its code", errors.Join(io.EOF, kerr.FencedLeaderEpoch), 74},
		{"a passed deadline is a time-out", fmt.Errorf("wait: %w", context.DeadlineExceeded), 7},
		{"a Kafka error wins over a deadline", errors.Join(context.DeadlineExceeded, kerr.RequestTimedOut), 7},
		{"a cancelled wait has no code of its own", context.Canceled, -1},
		{"anything else is unknown", io.ErrUnexpectedEOF, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := CodeOf(tt.err); got != tt.want {
				t.Errorf("CodeOf(%v) = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}
