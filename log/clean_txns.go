package log

import (
	"cmp"
	"slices"

	"gokafka/protocol"
)

// openAbort is an aborted transaction whose marker has not been reached.
type openAbort struct {
	txn      abortedTxn
	observed bool // a batch of it is still in the log
}

// cleanedTxns follows the transactions while a log is read in order. It tells what need not stay: data that was aborted, and markers of
// transactions without data.
type cleanedTxns struct {
	upcoming  []abortedTxn // not begun, by first offset
	aborted   map[int64]*openAbort
	committed map[int64]bool         // producers with data since their last marker
	retained  func(abortedTxn) error // an abort marker stays, and its transaction is to be in the index; nil: nobody cares
}

func newCleanedTxns() *cleanedTxns {
	return &cleanedTxns{aborted: map[int64]*openAbort{}, committed: map[int64]bool{}}
}

// add makes aborted transactions known before the batches that they span are read. One may be added again.
func (c *cleanedTxns) add(txns []abortedTxn) {
	c.upcoming = append(c.upcoming, txns...)
	slices.SortStableFunc(c.upcoming, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
}

// begin opens the transactions that begin at or before the offset.
func (c *cleanedTxns) begin(offset int64) {
	n := 0
	for ; n < len(c.upcoming) && c.upcoming[n].first <= offset; n++ {
		t := c.upcoming[n]
		if c.aborted[t.producerID] == nil {
			c.aborted[t.producerID] = &openAbort{txn: t}
		}
	}
	c.upcoming = c.upcoming[n:]
}

// data reports whether a batch of data was aborted.
func (c *cleanedTxns) data(b protocol.Batch) (aborted bool) {
	c.begin(b.LastOffset())
	if !b.Transactional() {
		return false
	}
	if a := c.aborted[b.ProducerID()]; a != nil {
		a.observed = true
		return true
	}
	c.committed[b.ProducerID()] = true
	return false
}

// marker reports whether the transaction that a control batch ends has no data left. So it is for a marker that was itself removed.
func (c *cleanedTxns) marker(b protocol.Batch) (empty bool, err error) {
	c.begin(b.LastOffset())
	m, _, ok, err := readMarker(b)
	if err != nil || !ok {
		return err == nil, err
	}
	id := b.ProducerID()
	switch m.Type {
	case protocol.MarkerAbort:
		a := c.aborted[id]
		delete(c.aborted, id)
		if a == nil || !a.observed {
			return true, nil
		}
		if c.retained != nil {
			err = c.retained(a.txn)
		}
		return false, err
	case protocol.MarkerCommit:
		empty = !c.committed[id]
		delete(c.committed, id)
		return empty, nil
	}
	return false, nil
}

// abortedIn lists the aborted transactions that overlap [from, to).
func (l *Log) abortedIn(from, to int64) (list []abortedTxn, err error) {
	segments := *l.segments.Load()
	err = visitAborted(segments[max(floorSegment(segments, from), 0):], from, to, func(t abortedTxn) { list = append(list, t) })
	return list, err
}
