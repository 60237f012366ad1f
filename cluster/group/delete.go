package group

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// tombstoneBytesMax bounds a batch of tombstones, below the 1 MB that a topic accepts by default, so that a group with very
// many offsets can still be deleted.
const tombstoneBytesMax = 512 << 10

// topicNameMax is the longest name that a topic can have.
const topicNameMax = 249

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
	s.delete(&deletion{group: g, partitions: known, whole: g.idle(known), ticket: t, errs: verdicts}, now)
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
	s.delete(&deletion{group: g, partitions: g.offsets.partitions(), whole: true, ticket: t, errs: make([]error, 1)}, now)
	if g.state == Dead && len(g.offsets.txn) > 0 {
		// What open transactions will commit outlives the group: their markers bring it back, here as on replay.
		s.groups[id] = newGroup(id, s.settings, now)
		s.groups[id].offsets.txn, s.groups[id].offsets.dropped = g.offsets.txn, g.offsets.dropped
	}
}

// PartitionsDeleted drops every group's offsets of partitions that were deleted. It does not block.
func (c *Coordinator) PartitionsDeleted(partitions []protocol.TopicPartition) {
	for _, s := range c.all() {
		s.notices.delete(partitions)
	}
}

// dropDeleted drops the offsets of the partitions that the shard has heard are deleted.
func (s *shard) dropDeleted(now time.Time) {
	if deleted := s.notices.takeDeleted(); len(deleted) > 0 {
		s.dropPartitions(deleted, now)
	}
}

// dropPartitions takes offsets from memory at once, and those that open transactions would bring: a topic that is made again under the
// name must not be read from there. Apache does so too, and its tombstones need no min.insync.replicas; here those that cannot be written
// are owed.
func (s *shard) dropPartitions(partitions []protocol.TopicPartition, now time.Time) {
	for _, g := range s.groups {
		g.offsets.drop(g.offsets.pendingAmong(partitions), s.last)
		if known := g.offsets.among(partitions); len(known) > 0 {
			g.offsets.drop(known, s.last)
			if !s.bury(g, known, now) {
				s.owing[g] = true
			}
		}
	}
}

// payTombstones writes those that are owed, until one cannot be written. Those that must wait for a commit under way, and those of a
// batch that was lost, are left to expireOffsets.
func (s *shard) payTombstones(now time.Time) {
	for g := range s.owing {
		if owed := g.offsets.owed(); len(owed) > 0 && !s.bury(g, owed, now) {
			return
		}
		delete(s.owing, g)
	}
}

// expireOffsets deletes offsets past their retention, and groups that have nothing left. What cannot be written stays
// until the next time.
func (s *shard) expireOffsets(now time.Time) {
	for _, g := range s.groups {
		if old := append(g.expired(now), g.offsets.owed()...); len(old) > 0 || g.idle(nil) {
			s.bury(g, old, now)
		}
	}
}

// bury writes the tombstones of offsets, and of the group if nothing else is left of it, and reports whether the log has them all.
func (s *shard) bury(g *Group, partitions []protocol.TopicPartition, now time.Time) bool {
	return s.delete(&deletion{group: g, partitions: partitions, whole: g.idle(partitions)}, now)
}

// deletion is offsets of a group, or the whole group, on their way out.
type deletion struct {
	group      *Group
	partitions []protocol.TopicPartition
	whole      bool
	ticket     Ticket // of who waits for it, or 0
	errs       []error
}

// delete writes tombstones, and reports whether the log has them all. If so a whole group is gone.
func (s *shard) delete(d *deletion, now time.Time) bool {
	g := d.group
	atOnce := max(1, tombstoneBytesMax/(len(g.id)+topicNameMax+32))
	chunks := slices.Collect(slices.Chunk(d.partitions, atOnce))
	if len(chunks) == 0 {
		chunks = append(chunks, nil)
	}
	for i, chunk := range chunks {
		if !s.write(g, d.write(chunk, i == len(chunks)-1), now) {
			return false
		}
	}
	if d.whole {
		s.settings.Logger.Info().Str("group", g.id).Int32("generation", g.generation).Msg("group is gone")
		g.enter(Dead, now)
		s.drop(g)
	}
	return true
}

// write appends a batch, unless there is nothing in it, and reports whether the log has it.
func (s *shard) write(g *Group, w Write, now time.Time) bool {
	e, written := Effects{}, true
	if len(w.Records) > 0 {
		e, written = s.append(g, w, now)
	} else {
		e = w.Then(now, -1, nil)
	}
	s.settle(g, e, now)
	return written
}

// write makes one batch of the deletion. Who waits is answered after the last, or the one that failed.
func (d *deletion) write(partitions []protocol.TopicPartition, last bool) Write {
	w := d.group.Forget(partitions, d.whole && last)
	then := w.Then
	w.Then = func(now time.Time, base int64, err error) Effects {
		e := then(now, base, err)
		if last || base < 0 {
			e.Answers = append(e.Answers, Answer{Ticket: d.ticket, Errs: mark(d.errs, commitError(err))})
		}
		return e
	}
	return w
}
