package group

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// offsets is what a group committed.
type offsets struct {
	committed map[protocol.TopicPartition]commit
	inFlight  map[protocol.TopicPartition]int // commits written and not yet committed by the log
	// txn holds what open transactions will commit, by producer id: shown to nobody until the marker comes (KIP-98).
	txn map[int64]*txnOffsets
	// dropped are offsets of deleted partitions that count no more, until the log has their tombstones.
	dropped map[protocol.TopicPartition]*drop
}

// drop is what is left to do for the offset of a deleted partition.
type drop struct {
	at      int64 // no commit up to this place of the log counts
	written bool  // the tombstone is on its way
}

// commit is an offset and the log offset of the batch that brought it. The latter decides which of two is newer, since a
// transaction's takes its place when the transaction ends.
type commit struct {
	CommittedOffset
	at int64
}

func newOffsets() offsets {
	return offsets{
		committed: map[protocol.TopicPartition]commit{},
		inFlight:  map[protocol.TopicPartition]int{},
		txn:       map[int64]*txnOffsets{},
		dropped:   map[protocol.TopicPartition]*drop{},
	}
}

// put stores a commit unless a newer one is there. A batch may name a partition twice: its last word counts. What was
// written before the partition was deleted is dropped; what comes after must not be deleted by a tombstone that is still owed.
func (o *offsets) put(tp protocol.TopicPartition, c commit) {
	if d := o.dropped[tp]; d != nil {
		if c.at <= d.at {
			return
		}
		delete(o.dropped, tp)
	}
	if old, ok := o.committed[tp]; !ok || old.at <= c.at {
		o.committed[tp] = c
	}
}

func (o *offsets) empty() bool { return len(o.committed)+len(o.inFlight)+len(o.txn) == 0 }

// unstable reports whether a commit of the partition is under way.
func (o *offsets) unstable(tp protocol.TopicPartition) bool {
	return o.inFlight[tp] > 0 || o.inTransaction(tp)
}

func (o *offsets) inTransaction(tp protocol.TopicPartition) bool {
	for _, t := range o.txn {
		if _, ok := t.commits[tp]; ok {
			return true
		}
	}
	return false
}

// partitions lists everything that has an offset, in memory or in the log, or will have one when writes under way commit, in order of
// name.
func (o *offsets) partitions() []protocol.TopicPartition {
	all := slices.Collect(maps.Keys(o.committed))
	all = slices.AppendSeq(all, maps.Keys(o.inFlight))
	all = slices.AppendSeq(all, maps.Keys(o.dropped))
	slices.SortFunc(all, comparePartitions)
	return slices.Compact(all)
}

func comparePartitions(a, b protocol.TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

// Commit is an OffsetCommit or, with a producer, a TxnOffsetCommit. It is answered when the offsets are committed in the log.
func (g *Group) Commit(now time.Time, t Ticket, r *CommitRequest) Effects {
	if err := g.checkCommit(now, r); err != nil {
		g.answerCommit(t, fill(len(r.Offsets), err))
		return g.take()
	}
	errs := make([]error, len(r.Offsets))
	var kept []PartitionOffset
	var records []protocol.Record
	for i, o := range r.Offsets {
		if utf16Len(o.Metadata) > g.settings.OffsetMetadataMax {
			errs[i] = kerr.OffsetMetadataTooLarge
			continue
		}
		kept = append(kept, o)
		records = append(records, commitRecord(g.id, &o))
	}
	if len(kept) == 0 {
		g.answerCommit(t, errs)
		return g.take()
	}
	g.depart(kept, r.Producer)
	g.write(records, true, func(_ time.Time, base int64, err error) {
		g.landed(kept, r.Producer, base)
		g.answerCommit(t, mark(errs, commitError(err)))
	})
	if r.Producer != nil {
		g.effects.Writes[len(g.effects.Writes)-1].txn = &txnWrite{*r.Producer, r.guard}
	}
	return g.take()
}

// checkCommit decides who may commit, and takes a member's commit for a sign of life. Without a generation only a group
// without members may be committed to: by an administrator, or a consumer that assigns its partitions by hand. In a transaction
// any may, since producers before KIP-447 do not say whom they commit for; it is the coordinator of the transaction that knows
// the producer, and no sign of life of a member.
func (g *Group) checkCommit(now time.Time, r *CommitRequest) error {
	anonymous := r.Generation < 0 && r.MemberID == "" && r.InstanceID == nil
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable
	case r.Generation < 0 && g.state == Empty, anonymous && r.Producer != nil:
		return nil
	case anonymous:
		return kerr.UnknownMemberID
	}
	m, err := g.current(r.MemberID, r.InstanceID, r.Generation)
	switch {
	case err != nil || r.Producer != nil:
		return err
	case g.state == CompletingRebalance:
		return kerr.RebalanceInProgress
	}
	// In PreparingRebalance the old generation may still commit what it did.
	m.heard(now)
	return nil
}

func (g *Group) answerCommit(t Ticket, errs []error) {
	g.effects.Answers = append(g.effects.Answers, Answer{Ticket: t, Errs: errs})
}

// depart begins the flight of commits. Nobody may take what they are about to replace for stable.
func (g *Group) depart(kept []PartitionOffset, p *cluster.TxnProducer) {
	for _, o := range kept {
		g.offsets.inFlight[o.TopicPartition]++
	}
	if p != nil {
		g.offsets.ofTxn(p.ID).flights++
	}
}

// landed ends the flight of commits. If they are in the log (base ≥ 0) they count from now on, those of a transaction when it is
// committed.
func (g *Group) landed(kept []PartitionOffset, p *cluster.TxnProducer, base int64) {
	for _, o := range kept {
		if g.offsets.inFlight[o.TopicPartition]--; g.offsets.inFlight[o.TopicPartition] == 0 {
			delete(g.offsets.inFlight, o.TopicPartition)
		}
		c := commit{CommittedOffset: o.CommittedOffset, at: base}
		switch {
		case base < 0:
		case p != nil:
			g.offsets.addPending(p.ID, o.TopicPartition, c)
		default:
			g.offsets.put(o.TopicPartition, c)
		}
	}
	if p != nil {
		g.offsets.ofTxn(p.ID).flights--
		g.offsets.leaveTxn(p.ID)
	}
}

// write asks for a batch.
func (g *Group) write(records []protocol.Record, offsets bool, then func(now time.Time, base int64, err error)) {
	g.effects.Writes = append(g.effects.Writes, Write{
		Records: records, Offsets: offsets,
		Then: func(now time.Time, base int64, err error) Effects {
			then(now, base, err)
			return g.take()
		},
	})
}

// persist writes the group's own state, with these assignments.
func (g *Group) persist(assignment func(*member) []byte, then func(now time.Time, base int64, err error)) {
	g.write([]protocol.Record{metadataRecord(g, assignment)}, false, then)
}

// fill is n times the same error.
func fill(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// mark puts err where there is none yet.
func mark(errs []error, err error) []error {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// Fetch returns offsets of the given partitions, or with nil of all. With requireStable, those that a commit under way may
// change are refused, so that a consumer does not begin before a transaction's end (KIP-447).
func (g *Group) Fetch(partitions []protocol.TopicPartition, requireStable bool) []FetchedOffset {
	if partitions == nil {
		partitions = slices.SortedFunc(maps.Keys(g.offsets.committed), comparePartitions)
	}
	fetched := noOffsets(partitions)
	for i, tp := range partitions {
		f := &fetched[i]
		if requireStable && g.offsets.unstable(tp) {
			f.Err = kerr.UnstableOffsetCommit
		} else if c, ok := g.offsets.committed[tp]; ok {
			f.Offset, f.LeaderEpoch, f.Metadata = c.Offset, c.LeaderEpoch, c.Metadata
		}
	}
	return fetched
}

// noOffsets is the answer for partitions without offsets.
func noOffsets(partitions []protocol.TopicPartition) []FetchedOffset {
	fetched := make([]FetchedOffset, len(partitions))
	for i, tp := range partitions {
		fetched[i] = FetchedOffset{TopicPartition: tp, Offset: -1, LeaderEpoch: -1}
	}
	return fetched
}

// CanDeleteOffset says whether the offsets of a topic may be deleted: not while members of the group read it.
func (g *Group) CanDeleteOffset(topic string) error {
	switch {
	case g.state == Empty:
		return nil
	case g.protocolType != consumerType:
		return kerr.NonEmptyGroup
	case g.topics == nil || g.topics[topic]:
		return kerr.GroupSubscribedToTopic
	}
	return nil
}

// expired lists the partitions whose offsets are past their retention: since the group became empty; in a stable consumer
// group only of topics that it no longer reads, and like in a group without members at all, since the commit (KIP-211).
func (g *Group) expired(now time.Time) []protocol.TopicPartition {
	switch {
	case g.protocolType != "" && g.state == Empty:
		return g.olderThan(now, func(c commit) int64 {
			if g.stateSince >= 0 {
				return g.stateSince
			}
			return c.CommitTimestamp
		}, nil)
	case g.protocolType == consumerType && g.state == Stable && g.topics != nil:
		return g.olderThan(now, func(c commit) int64 { return c.CommitTimestamp }, g.topics)
	case g.protocolType == "":
		return g.olderThan(now, func(c commit) int64 { return c.CommitTimestamp }, nil)
	}
	return nil
}

func (g *Group) olderThan(now time.Time, since func(commit) int64, except map[string]bool) []protocol.TopicPartition {
	var old []protocol.TopicPartition
	for tp, c := range g.offsets.committed {
		if except[tp.Topic] || g.offsets.unstable(tp) {
			continue
		}
		over := now.UnixMilli()-since(c) >= g.settings.OffsetsRetention.Milliseconds()
		if c.ExpireTimestamp >= 0 {
			over = now.UnixMilli() >= c.ExpireTimestamp
		}
		if over {
			old = append(old, tp)
		}
	}
	slices.SortFunc(old, comparePartitions)
	return old
}

// idle reports whether nothing would be left of the group without these offsets, all of which it has, in memory or still in the log, so
// that it can go as well.
func (g *Group) idle(without []protocol.TopicPartition) bool {
	return g.state == Empty && g.pending.len() == 0 && len(g.offsets.inFlight)+len(g.offsets.txn) == 0 &&
		len(g.offsets.committed)+len(g.offsets.dropped) == len(without)
}

// vacant reports whether the group is as good as none: nobody ever was a member, and nothing is stored.
func (g *Group) vacant() bool { return g.generation == 0 && g.idle(nil) }

// Forget makes the write that deletes offsets, and with whole the group itself. A group of generation 0 was never
// written, so it needs no tombstone.
func (g *Group) Forget(partitions []protocol.TopicPartition, whole bool) Write {
	records := make([]protocol.Record, 0, len(partitions)+1)
	for _, tp := range partitions {
		records = append(records, protocol.Record{Key: commitKey(g.id, tp)})
		g.offsets.buried(tp, true)
	}
	if whole && g.generation > 0 {
		records = append(records, protocol.Record{Key: metadataKey(g.id)})
	}
	return Write{Records: records, Then: func(_ time.Time, base int64, _ error) Effects {
		for _, tp := range partitions {
			if base >= 0 {
				g.offsets.forget(tp, base)
			} else {
				g.offsets.buried(tp, false)
			}
		}
		return g.take()
	}}
}

// drop forgets offsets of deleted partitions, and owes their tombstones. It is told how far the log has come.
func (o *offsets) drop(partitions []protocol.TopicPartition, at int64) {
	for _, tp := range partitions {
		delete(o.committed, tp)
		o.dropped[tp] = &drop{at: at}
	}
}

// buried notes whether the tombstone of a dropped offset is on its way.
func (o *offsets) buried(tp protocol.TopicPartition, written bool) {
	if d := o.dropped[tp]; d != nil {
		d.written = written
	}
}

// owed lists the partitions whose tombstones can be written now: those with a commit under way may not get one behind it.
func (o *offsets) owed() []protocol.TopicPartition {
	var owed []protocol.TopicPartition
	for tp, d := range o.dropped {
		if !d.written && !o.unstable(tp) {
			owed = append(owed, tp)
		}
	}
	slices.SortFunc(owed, comparePartitions)
	return owed
}

// among returns those partitions that have an offset, or are about to, each once.
func (o *offsets) among(partitions []protocol.TopicPartition) []protocol.TopicPartition {
	var known []protocol.TopicPartition
	for _, tp := range partitions {
		if _, ok := o.committed[tp]; ok || o.inFlight[tp] > 0 {
			known = append(known, tp)
		}
	}
	slices.SortFunc(known, comparePartitions)
	return slices.Compact(known)
}

// pendingAmong returns those partitions that open transactions will commit to.
func (o *offsets) pendingAmong(partitions []protocol.TopicPartition) []protocol.TopicPartition {
	return slices.DeleteFunc(slices.Clone(partitions), func(tp protocol.TopicPartition) bool { return !o.inTransaction(tp) })
}
