package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
	"gokafka/protocol"
)

// batchesMax is how many batches a transaction has at most.
const batchesMax = 3

// transactor writes transactions to one partition, and ends them as their coordinator does. Each transaction has an epoch of its own, so that nothing that
// comes late can be taken for a part of the next one (KIP-890).
type transactor struct {
	w         *world
	number    int
	topic     *topic
	partition int32

	at       place
	made     int
	epoch    int16
	sequence int32
	batches  int   // in the open transaction, acknowledged
	last     int64 // offset of the last of them
	waiting  bool
	request  []byte // not answered yet; nil: none
	marker   bool   // it ends the transaction
	commit   bool
	torn     bool // a part of it was lost in an unclean election
	values   []string
}

func (x *transactor) pid() int64 { return int64(5000 + x.number) }

// open reports whether something of the last transaction is still to be done.
func (x *transactor) open() bool { return x.request != nil || x.batches > 0 || x.torn }

// tick repeats what was not answered, or goes on.
func (x *transactor) tick(finish bool) {
	if x.waiting || x.topic.deleted {
		return
	}
	if x.at.learn(x.w, x.topic, x.partition); x.at.leader == 0 {
		return
	}
	if x.request == nil {
		x.next(finish)
	}
	x.waiting = true
	text := fmt.Sprint(x.values)
	o := log.AppendOptions{}
	if x.marker {
		o.Origin = log.OriginCoordinator
		text = fmt.Sprintf("[x%d ends, commit=%v]", x.number, x.commit)
	}
	x.w.produceWith(x.at.leader, x.topic.partition(x.partition), x.request, o, text, x.answered)
}

// next makes the next batch, or the marker.
func (x *transactor) next(finish bool) {
	var err error
	x.marker = x.torn || x.batches > 0 && (finish || x.w.chance(0.4) || x.batches == batchesMax)
	if x.marker {
		x.commit = !x.torn && x.w.chance(0.6)
		m := protocol.Marker{Type: protocol.MarkerAbort}
		if x.commit {
			m.Type = protocol.MarkerCommit
		}
		x.request, err = protocol.MarkerBatch(x.pid(), x.epoch, m, time.Now().UnixMilli())
		x.w.must(err)
		return
	}
	x.made++
	x.values = []string{fmt.Sprintf("x%d-%d", x.number, x.made)}
	x.request, err = protocol.AppendBatch(nil, protocol.BatchOptions{Transactional: true,
		Producer: &protocol.Producer{ID: x.pid(), Epoch: x.epoch, Sequence: x.sequence}}, protocol.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(x.values[0])})
	x.w.must(err)
}

func (x *transactor) answered(r produced) {
	x.waiting = false
	k := key{x.topic.id, x.partition}
	h := x.w.check.histories[k]
	switch {
	case r.err == nil && x.marker:
		x.w.check.ended(k, x.pid(), x.last, x.commit, r.by)
		x.epoch++
		x.sequence, x.batches, x.torn = 0, 0, false
		x.w.ended++
	case r.err == nil:
		x.w.check.acknowledged(k, r.first, x.values, r.by)
		x.last = r.first
		x.batches++
		x.sequence++
	case errors.Is(r.err, kerr.OutOfOrderSequenceNumber) || errors.Is(r.err, kerr.InvalidProducerEpoch):
		if !h.tainted && !h.deleting {
			x.w.breaks("%v: the transaction of %v is refused: %v", h.tp, x.values, code(r.err))
		}
		x.epoch++ // what is left of it is aborted in the next epoch, as by a coordinator
		x.sequence, x.batches, x.torn = 0, 0, true
	default:
		return
	}
	x.request = nil
}

// ended checks an answer to a marker: it stands after the last record of its transaction, before any other of that producer.
func (c *checker) ended(k key, pid, last int64, commit bool, by *life) {
	h := c.histories[k]
	if h == nil || h.tainted || h.deleting || c.w.brokers[by.id].life != by {
		return
	}
	if found, ok := endOf(h.committed, pid, last); !ok || found != commit {
		c.w.breaks("%v: the end of transaction %d (commit=%v) is acknowledged, and in the log is: there=%v, commit=%v", h.tp, pid, commit, ok, found)
	}
}

const committedMarker = "COMMIT"

// endOf is how the transaction of a producer's record at an offset ended.
func endOf(entries []entry, pid, offset int64) (commit, ended bool) {
	for _, e := range entries[min(int(offset)+1, len(entries)):] {
		if e.control && e.pid == pid {
			return e.value == committedMarker, true
		}
	}
	return false, false
}

// judge checks what a leader told a consumer of the end of a committed record's transaction. Its marker need not be committed: a leader that was
// stopped in good order and leads again has forgotten that it is not, because the snapshots of producers, here as in Apache Kafka, have open
// transactions only. The coordinator repeats a marker that gets lost, so what consumers were told must come true.
func (c *checker) judge(k key, h *history, e entry, told bool, by *life) {
	commit, ended := endOf(h.committed, e.pid, e.offset)
	if !ended && by.number > 1 {
		h.foretold[e.pid] = told
		if c.w.brokers[by.id].life != by {
			return // its log is gone
		}
		if m := c.mirrors[by.id][k]; m != nil {
			commit, ended = endOf(m.entries, e.pid, e.offset)
		}
	}
	if !ended || commit != told {
		c.w.breaks("%v: a consumer of decided records is told commit=%v of %q at %d, whose transaction has ended=%v with commit=%v", h.tp, told, e.value, e.offset, ended, commit)
	}
}

// decided drops what a consumer of decided records skips, by the list of aborted transactions that came with them.
func decided(entries []entry, aborted []log.AbortedTransaction) (delivered, skipped []entry) {
	aborted = slices.Clone(aborted)
	slices.SortFunc(aborted, func(a, b log.AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	open := map[int64]bool{}
	for _, e := range entries {
		for len(aborted) > 0 && aborted[0].FirstOffset <= e.offset {
			open[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case e.control:
			delete(open, e.pid)
		case e.transactional && open[e.pid]:
			skipped = append(skipped, e)
		default:
			delivered = append(delivered, e)
		}
	}
	return delivered, skipped
}

// readDecided checks what a consumer of decided records took and what it skipped.
func (c *checker) readDecided(k key, delivered, skipped []entry, by *life) {
	h := c.histories[k]
	if h == nil || h.tainted || h.deleting {
		return
	}
	for _, e := range delivered {
		if e.transactional {
			c.judge(k, h, e, true, by)
		}
	}
	for _, e := range skipped {
		c.judge(k, h, e, false, by)
	}
}

// once reports whether a value may be in the log once only, because its producer is idempotent.
func once(value string) bool { return strings.HasPrefix(value, "i") || strings.HasPrefix(value, "x") }
