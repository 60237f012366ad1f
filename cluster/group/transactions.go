package group

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// txnOffsets is what the open transaction of one producer will commit in a group.
type txnOffsets struct {
	commits map[protocol.TopicPartition]commit
	flights int // batches written and not yet committed by the log
	// forgotten are the places in the log of the last tombstones for what is in commits. The shard hears of a marker after it is
	// committed, perhaps after it heard of tombstones behind it, which delete what the marker brought.
	forgotten map[protocol.TopicPartition]int64
}

// txnEnd is the marker at an offset of the log that ends a producer's transaction.
type txnEnd struct {
	producerID int64
	offset     int64
	commit     bool
}

// txnWrite is what the batch of a transaction carries beside its records.
type txnWrite struct {
	producer cluster.TxnProducer
	guard    cluster.TxnGuard // what Journal.Verify answered
}

// ofTxn is the producer's transaction, begun if it is not there.
func (o *offsets) ofTxn(producerID int64) *txnOffsets {
	t := o.txn[producerID]
	if t == nil {
		t = &txnOffsets{commits: map[protocol.TopicPartition]commit{}, forgotten: map[protocol.TopicPartition]int64{}}
		o.txn[producerID] = t
	}
	return t
}

// addPending keeps an offset for the end of its transaction.
func (o *offsets) addPending(producerID int64, tp protocol.TopicPartition, c commit) {
	t := o.ofTxn(producerID)
	t.commits[tp] = c
	delete(t.forgotten, tp)
}

// forget drops an offset whose tombstone is at a place of the log.
func (o *offsets) forget(tp protocol.TopicPartition, tombstone int64) {
	delete(o.committed, tp)
	switch d := o.dropped[tp]; {
	case d == nil:
	case o.inTransaction(tp):
		d.written = false // the marker brings it back in the log, and then another tombstone is owed
	case d.at < tombstone:
		delete(o.dropped, tp)
	}
	for _, t := range o.txn {
		if _, ok := t.commits[tp]; ok {
			t.forgotten[tp] = tombstone
		}
	}
}

// leaveTxn forgets a transaction that nothing is left of.
func (o *offsets) leaveTxn(producerID int64) {
	if t := o.txn[producerID]; t != nil && t.flights+len(t.commits) == 0 {
		delete(o.txn, producerID)
	}
}

// endTxn ends a producer's transaction. Offsets behind the marker are of the next transaction: a marker that was written twice comes
// late. Those that are committed count, unless newer ones came meanwhile.
func (o *offsets) endTxn(end txnEnd) {
	t := o.txn[end.producerID]
	if t == nil {
		return
	}
	for tp, c := range t.commits {
		if c.at > end.offset {
			continue
		}
		if end.commit && t.forgotten[tp] < end.offset {
			o.put(tp, c)
		}
		delete(t.commits, tp)
		delete(t.forgotten, tp)
	}
	o.leaveTxn(end.producerID)
}

// CompleteTransaction tells that a transaction's marker is committed at an offset of a partition of __consumer_offsets. Whoever reads
// the group after it has returned finds that the offsets of the transaction count, or are dropped. A broker that does not lead the
// partition has nothing to do: who does reads the marker. The error, REQUEST_TIMED_OUT, asks to write the marker again.
func (c *Coordinator) CompleteTransaction(ctx context.Context, partition int32, m *cluster.TxnMarker, offset int64) error {
	c.mu.RLock()
	s := c.led[partition]
	c.mu.RUnlock()
	if s == nil {
		return nil
	}
	return s.completeTxn(ctx, txnEnd{producerID: m.ProducerID, offset: offset, commit: m.Commit})
}

// completeTxn does not wait for a partition that is being loaded, since many other transactions may wait for the same answer; Apache's
// waits for no group at all (scheduleHandleTxnCompletion). Nobody can read the groups before they are loaded.
func (s *shard) completeTxn(ctx context.Context, end txnEnd) error {
	if s.notices.end(end) {
		return nil
	}
	result := make(chan error, 1)
	select {
	case s.requests <- func(now time.Time) { s.queueTxnEnd(now, end, result) }:
	case <-s.done:
		return nil
	case <-ctx.Done():
		return kerr.RequestTimedOut
	}
	select {
	case err := <-result:
		return err
	case <-s.done:
		return nil
	case <-ctx.Done():
		return kerr.RequestTimedOut
	}
}

// queueTxnEnd ends a transaction after the batches before the marker have landed. They are committed, as it is, but the committer
// may not have come to tell.
func (s *shard) queueTxnEnd(now time.Time, end txnEnd, result chan<- error) {
	then := func(now time.Time, _ int64, _ error) Effects {
		s.endTxn(now, end)
		result <- nil
		return Effects{}
	}
	switch {
	case s.flying >= inFlightMax:
		result <- kerr.RequestTimedOut
	case s.flying == 0:
		then(now, end.offset, nil)
	default:
		s.flying++
		s.inFlight <- flight{then: then, base: end.offset}
	}
}

// endTxn ends a producer's transaction in every group that it committed to.
func (s *shard) endTxn(now time.Time, end txnEnd) {
	for id := range s.txnGroups[end.producerID] {
		g := s.groups[id]
		if g != nil {
			g.offsets.endTxn(end)
			s.settle(g, Effects{}, now)
		}
		if g == nil || g.offsets.txn[end.producerID] == nil {
			s.leftTxn(end.producerID, id)
		}
	}
}

// enteredTxn notes that a group has offsets of a producer's transaction, or will have.
func (s *shard) enteredTxn(producerID int64, group string) {
	if s.txnGroups[producerID] == nil {
		s.txnGroups[producerID] = map[string]bool{}
	}
	s.txnGroups[producerID][group] = true
}

func (s *shard) leftTxn(producerID int64, group string) {
	delete(s.txnGroups[producerID], group)
	if len(s.txnGroups[producerID]) == 0 {
		delete(s.txnGroups, producerID)
	}
}
