package txn

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// tens gives blocks of ten, and fails when told to.
type tens struct {
	next int64
	err  error
}

func (t *tens) AllocateProducerIDs(context.Context) (int64, int32, error) {
	if t.err != nil {
		return 0, 0, t.err
	}
	first := t.next
	t.next += 10
	return first, 10, nil
}

func TestProducerIDsGoOverBlocks(t *testing.T) {
	b := &tens{next: 4000}
	ids := NewProducerIDs(b)
	for want := int64(4000); want < 4025; want++ {
		if id, err := ids.Next(t.Context()); err != nil || id != want {
			t.Fatalf("Next() = %d, %v, want %d", id, err, want)
		}
	}
	if b.next != 4030 {
		t.Errorf("%d ids were allocated for 25 producers", b.next-4000)
	}
}

func TestProducerIDsFailWithTheController(t *testing.T) {
	b := &tens{err: kerr.NotController}
	ids := NewProducerIDs(b)
	_, err := ids.Next(t.Context())
	if !errors.Is(err, kerr.NotController) || protocol.CodeOf(err) != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("Next() = %v, want the controller's error and a code that makes producers try again", err)
	}
	b.err = nil
	if id, err := ids.Next(t.Context()); err != nil || id != 0 {
		t.Errorf("Next() after the error = %d, %v", id, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	<-ids.turn // somebody else is waiting for the controller
	if _, err := ids.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next() of a client that left = %v", err)
	}
}
