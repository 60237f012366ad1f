package group

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Commit stores offsets, and returns an error for each once they are committed in the log.
func (c *Coordinator) Commit(ctx context.Context, r *CommitRequest) []error {
	s, err := c.shard(r.Group)
	if err != nil {
		return fill(len(r.Offsets), err)
	}
	errs, err := s.awaitWrite(ctx, func(now time.Time, t Ticket) { s.commitOffsets(now, t, r) })
	if err != nil {
		return fill(len(r.Offsets), err)
	}
	return errs
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
	if g == nil && r.Generation >= 0 {
		s.answer(Answer{Ticket: t, Errs: fill(len(r.Offsets), kerr.IllegalGeneration)}) // of a group that is gone
		return
	}
	if g == nil {
		g = newGroup(r.Group, s.settings, now)
	}
	e := g.Commit(now, t, r)
	if s.groups[r.Group] == nil && !g.idle(nil) {
		s.groups[r.Group] = g
	}
	s.settle(g, e, now)
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

// DeleteOffsets deletes a group's offsets of some partitions, those that the group does not read. It returns an error for
// each, or one for the request.
func (c *Coordinator) DeleteOffsets(ctx context.Context, group string, partitions []protocol.TopicPartition) ([]error, error) {
	s, err := c.named(group)
	if err != nil {
		return nil, err
	}
	var refused error
	errs, err := s.awaitWrite(ctx, func(now time.Time, t Ticket) {
		var verdicts []error
		if verdicts, refused = s.deletable(group, partitions); refused != nil {
			s.answer(Answer{Ticket: t})
			return
		}
		s.deleteOffsets(now, t, s.groups[group], partitions, verdicts)
	})
	if err != nil {
		return nil, err
	}
	return errs, refused
}

// deletable says for each partition whether its offset may be deleted.
func (s *shard) deletable(group string, partitions []protocol.TopicPartition) ([]error, error) {
	g := s.groups[group]
	if g == nil {
		return nil, kerr.GroupIDNotFound
	}
	if g.state != Empty && g.protocolType != consumerType {
		return nil, kerr.NonEmptyGroup
	}
	verdicts := make([]error, len(partitions))
	for i, tp := range partitions {
		verdicts[i] = g.CanDeleteOffset(tp.Topic)
	}
	return verdicts, nil
}

func (s *shard) deleteOffsets(now time.Time, t Ticket, g *Group, partitions []protocol.TopicPartition, verdicts []error) {
	var allowed []protocol.TopicPartition
	for i, tp := range partitions {
		if verdicts[i] == nil {
			allowed = append(allowed, tp)
		}
	}
	known := g.offsets.among(allowed)
	whole := g.idle(known)
	w := answering(g, g.Forget(known, whole), t, verdicts)
	s.delete(g, w, whole, now)
}

// answering has a write's end answer a request.
func answering(g *Group, w Write, t Ticket, errs []error) Write {
	then := w.Then
	w.Then = func(now time.Time, base int64, err error) Effects {
		e := then(now, base, err)
		e.Answers = append(e.Answers, Answer{Ticket: t, Errs: mark(errs, commitError(err))})
		return e
	}
	return w
}

// Delete deletes a group and its offsets, when it has no members.
func (c *Coordinator) Delete(ctx context.Context, group string) error {
	s, err := c.shard(group)
	if err != nil {
		return err
	}
	errs, err := s.awaitWrite(ctx, func(now time.Time, t Ticket) { s.deleteGroup(now, t, group) })
	if err != nil {
		return err
	}
	return errs[0]
}

func (s *shard) deleteGroup(now time.Time, t Ticket, id string) {
	g := s.groups[id]
	switch {
	case g == nil:
		s.answer(Answer{Ticket: t, Errs: []error{kerr.GroupIDNotFound}})
		return
	case g.state != Empty:
		s.answer(Answer{Ticket: t, Errs: []error{kerr.NonEmptyGroup}})
		return
	}
	w := g.Forget(g.offsets.partitions(), true)
	s.delete(g, answering(g, w, t, make([]error, 1)), true, now)
	if g.state == Dead && len(g.offsets.txn) > 0 {
		// What open transactions will commit outlives the group: their markers bring it back, here as on replay.
		s.groups[id] = newGroup(id, s.settings, now)
		s.groups[id].offsets.txn = g.offsets.txn
	}
}

// PartitionsDeleted drops every group's offsets of partitions that were deleted. It does not block.
func (c *Coordinator) PartitionsDeleted(partitions []protocol.TopicPartition) {
	for _, s := range c.all() {
		select {
		case s.requests <- func(now time.Time) { s.dropPartitions(partitions, now) }:
		default:
			s.settings.Logger.Warn().Stringer("partition", s.tp).Msg("too busy to drop offsets of deleted topics; they stay until they expire")
		}
	}
}
