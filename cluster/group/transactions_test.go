package group

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

func inTxn(r *CommitRequest, producerID int64) *CommitRequest {
	r.Producer = &cluster.TxnProducer{TransactionalID: "x", ID: producerID}
	return r
}

// A marker that is committed while the partition is loaded may be missed by the replay. Who tells of it does not wait for the end of that.
func TestTransactionEndsWhileLoading(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		ctx := t.Context()
		elect(c)
		if errs := c.Commit(ctx, inTxn(commitOf("g", 5), 7)); errs[0] != nil {
			t.Fatal(errs)
		}
		c.Resigned(0, 2)
		j.stalled = make(chan struct{})
		c.Elected(0, 3)
		synctest.Wait()
		m := &cluster.TxnMarker{ProducerID: 7, Commit: true}
		tellHastily(t, c, m, j.mark(m))
		if _, err := c.FetchOffsets(ctx, "g", nil, false); err != kerr.CoordinatorLoadInProgress {
			t.Errorf("while loading: %v", err)
		}
		close(j.stalled)
		synctest.Wait()
		if got, err := c.FetchOffsets(ctx, "g", nil, true); err != nil || len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// commitTxn has a transaction's marker written, and tells of it.
func commitTxn(t *testing.T, c *Coordinator, j *memJournal, producerID int64) {
	t.Helper()
	m := &cluster.TxnMarker{ProducerID: producerID, Commit: true}
	if err := c.CompleteTransaction(t.Context(), 0, m, j.mark(m)); err != nil {
		t.Error(err)
	}
}

// tellHastily tells of a marker and has no time to wait.
func tellHastily(t *testing.T, c *Coordinator, m *cluster.TxnMarker, offset int64) {
	t.Helper()
	hasty, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.CompleteTransaction(hasty, 0, m, offset); err != nil {
		t.Errorf("the marker at %d: %v", offset, err)
	}
}

// Markers that are told of while the log cannot be read do not pile up: the next attempt reads them.
func TestTransactionEndsOfUnreadableLog(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		ctx := t.Context()
		elect(c)
		if errs := c.Commit(ctx, inTxn(commitOf("g", 5), 7)); errs[0] != nil {
			t.Fatal(errs)
		}
		c.Resigned(0, 2)
		j.unread = errors.New("disk trouble")
		c.Elected(0, 3)
		synctest.Wait()
		m := &cluster.TxnMarker{ProducerID: 7, Commit: true}
		for range 3 * requestsMax {
			tellHastily(t, c, m, j.mark(m))
		}
		time.Sleep(loadRetryInterval)
		synctest.Wait()
		if ends := c.led[0].notices.takeEnds(); len(ends) > 0 {
			t.Errorf("%d are kept", len(ends))
		}
		j.readable()
		time.Sleep(loadRetryInterval)
		synctest.Wait()
		if got, err := c.FetchOffsets(ctx, "g", nil, true); err != nil || len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A marker that the replay has read as well must not end the producer's next transaction.
func TestTransactionEndIsReplayedAndTold(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		ctx := t.Context()
		elect(c)
		c.Commit(ctx, inTxn(commitOf("g", 5), 7))
		m := &cluster.TxnMarker{ProducerID: 7, Commit: true}
		offset := j.mark(m)
		if err := c.CompleteTransaction(ctx, 0, m, offset); err != nil {
			t.Fatal(err)
		}
		if errs := c.Commit(ctx, inTxn(commitOf("g", 6), 7)); errs[0] != nil {
			t.Fatal(errs)
		}
		c.Resigned(0, 2)
		j.stalled = make(chan struct{})
		c.Elected(0, 3)
		synctest.Wait()
		tellHastily(t, c, m, offset)
		close(j.stalled)
		synctest.Wait()
		if got, err := c.FetchOffsets(ctx, "g", nil, false); err != nil || len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		of := []protocol.TopicPartition{{Topic: "t"}}
		if got, err := c.FetchOffsets(ctx, "g", of, true); err != nil || got[0].Err != kerr.UnstableOffsetCommit {
			t.Errorf("the next transaction has ended: %+v, %v", got, err)
		}
	})
}

// Whoever does not lead the partition has nothing to do: the marker is in the log for who does.
func TestTransactionEndsElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		m := &cluster.TxnMarker{ProducerID: 7, Commit: true}
		if err := c.CompleteTransaction(t.Context(), 0, m, 0); err != nil {
			t.Errorf("not elected: %v", err)
		}
		elect(c)
		j.hold()
		go c.Commit(t.Context(), inTxn(commitOf("g", 5), 7))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- c.CompleteTransaction(t.Context(), 0, m, j.mark(m)) }()
		synctest.Wait()
		c.Resigned(0, 2)
		if err := <-done; err != nil {
			t.Errorf("resigned meanwhile: %v", err)
		}
		j.release(nil)
	})
}

// What the transaction's coordinator says of a commit, as the client hears it.
func TestCommitIsVerified(t *testing.T) {
	for _, test := range []struct{ answer, want error }{
		{nil, nil},
		{kerr.InvalidTxnState, kerr.InvalidTxnState},
		{kerr.TransactionAbortable, kerr.TransactionAbortable},
		{kerr.InvalidProducerEpoch, kerr.InvalidProducerEpoch},
		{kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping},
		{kerr.ConcurrentTransactions, kerr.ConcurrentTransactions},
		{kerr.NetworkException, kerr.CoordinatorLoadInProgress},
		{kerr.NotLeaderForPartition, kerr.NotCoordinator},
		{kerr.NotCoordinator, kerr.NotCoordinator},
	} {
		bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
			elect(c)
			j.unverified = test.answer
			if errs := c.Commit(t.Context(), inTxn(commitOf("g", 5), 7)); errs[0] != test.want {
				t.Errorf("%v: %v, want %v", test.answer, errs[0], test.want)
			}
			if errs := c.Commit(t.Context(), inTxn(commitOf("", 5), 7)); errs[0] != kerr.InvalidGroupID {
				t.Errorf("no group: %v", errs[0])
			}
			if written := j.appends > 0; written != (test.want == nil) {
				t.Errorf("%v: written %v", test.answer, written)
			}
		})
	}
}

// As many ends of transactions as may be wait for batches that are not committed; more are to be tried again.
func TestTransactionEndsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		j.hold()
		go c.Commit(t.Context(), commitOf("g", 1))
		synctest.Wait()
		results := make(chan error, inFlightMax+5)
		m := &cluster.TxnMarker{ProducerID: 7}
		for range inFlightMax + 5 {
			go func() { results <- c.CompleteTransaction(t.Context(), 0, m, 1) }()
		}
		synctest.Wait()
		if n := len(results); n != 6 {
			t.Errorf("%d are refused", n)
		}
		j.release(nil)
		synctest.Wait()
		refused := 0
		for range inFlightMax + 5 {
			if <-results != nil {
				refused++
			}
		}
		if refused != 6 {
			t.Errorf("%d were refused", refused)
		}
	})
}
