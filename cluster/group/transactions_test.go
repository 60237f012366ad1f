package group

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
)

func inTxn(r *CommitRequest, producerID int64) *CommitRequest {
	r.Producer = &cluster.TxnProducer{TransactionalID: "x", ID: producerID}
	return r
}

// A marker that is committed while the partition is loaded may be missed by the replay, so its end waits for the loading.
func TestTransactionEndsWhileLoading(t *testing.T) {
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
		offset := j.mark(m)
		impatient, cancel := context.WithTimeout(ctx, loadRetryInterval/2)
		defer cancel()
		if err := c.CompleteTransaction(impatient, 0, m, offset); err != kerr.RequestTimedOut {
			t.Errorf("while loading: %v", err)
		}
		done := make(chan error)
		go func() { done <- c.CompleteTransaction(ctx, 0, m, offset) }()
		synctest.Wait()
		j.mu.Lock()
		j.unread = nil
		j.mu.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got, err := c.FetchOffsets(ctx, "g", nil, true); err != nil || len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("%+v, %v", got, err)
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
