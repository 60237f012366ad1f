package group

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Commit stores offsets, and returns an error for each once they are committed in the log.
func (c *Coordinator) Commit(ctx context.Context, r *CommitRequest) []error {
	s, err := c.committable(ctx, r)
	if err != nil {
		return fill(len(r.Offsets), err)
	}
	errs, err := s.awaitWrite(ctx, func(now time.Time, t Ticket) { s.commitOffsets(now, t, r) })
	if err != nil {
		return fill(len(r.Offsets), err)
	}
	return errs
}

// committable finds who stores the offsets, and has the transaction verified that commits them: one that does not include the
// group would leave them pending for ever.
func (c *Coordinator) committable(ctx context.Context, r *CommitRequest) (*shard, error) {
	if r.Producer == nil {
		return c.shard(r.Group)
	}
	s, err := c.named(r.Group)
	if err != nil {
		return nil, err
	}
	r.guard, err = c.journal.Verify(ctx, s.tp, *r.Producer)
	return s, commitError(err)
}

// awaitWrite is await for requests that last as long as a write, at most offsets.commit.timeout.ms. One that is given up
// still takes effect when its write is committed later.
func (s *shard) awaitWrite(ctx context.Context, f func(now time.Time, t Ticket)) ([]error, error) {
	limited, cancel := context.WithTimeout(ctx, s.settings.CommitTimeout)
	defer cancel()
	a, err := s.await(limited, f)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, kerr.RequestTimedOut
	}
	return a.Errs, err
}

func (s *shard) commitOffsets(now time.Time, t Ticket, r *CommitRequest) {
	g := s.groups[r.Group]
	if g == nil && r.Generation >= 0 && r.Producer == nil {
		s.answer(Answer{Ticket: t, Errs: fill(len(r.Offsets), kerr.IllegalGeneration)}) // of a group that is gone
		return
	}
	if g == nil {
		g = newGroup(r.Group, s.settings, now)
	}
	s.groups[r.Group] = g
	if r.Producer != nil {
		s.enteredTxn(r.Producer.ID, r.Group)
	}
	s.settle(g, g.Commit(now, t, r), now)
}

// FetchOffsets returns a group's offsets, of the given partitions or with nil of all. With requireStable, partitions with
// a commit under way carry UNSTABLE_OFFSET_COMMIT.
func (c *Coordinator) FetchOffsets(
	ctx context.Context, group string, partitions []protocol.TopicPartition, requireStable bool,
) ([]FetchedOffset, error) {
	s, err := c.shard(group)
	if err != nil {
		return nil, err
	}
	var fetched []FetchedOffset
	err = s.do(ctx, func(time.Time) {
		if g := s.groups[group]; g != nil {
			fetched = g.Fetch(partitions, requireStable)
		} else {
			fetched = noOffsets(partitions)
		}
	})
	if err != nil {
		return nil, err
	}
	return fetched, nil
}
