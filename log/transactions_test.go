package log_test

import (
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/protocol"
)

// Transactions whose first records were deleted end like others: the last stable offset is the log's start until then, and moves on.
func TestLogStartsWithinTransactions(t *testing.T) {
	l := logtest.Open(t, logtest.Options{})
	expect := func(what string, stable int64) {
		t.Helper()
		l.RaiseHighWatermark(l.LogEndOffset())
		if got := l.LastStableOffset().Offset; got != stable {
			t.Errorf("%s: last stable offset %d, want %d", what, got, stable)
		}
		if err := l.Check(); err != nil {
			t.Error(err)
		}
	}
	cut := func(offset int64) {
		t.Helper()
		if _, err := l.IncrementLogStartOffset(offset); err != nil {
			t.Fatal(err)
		}
	}
	transactional(t, l, 1, 0)                              // 0
	transactional(t, l, 2, 0)                              // 1
	transactional(t, l, 1, 1)                              // 2
	transactional(t, l, 3, 0)                              // 3
	appendBatch(t, l, 0, protocol.BatchOptions{}, "plain") // 4
	expect("three are open", 0)
	cut(1)
	expect("the start of one is gone", 1)
	cut(3)
	expect("the start of two is gone", 3)
	appendMarker(t, l, 1, protocol.MarkerAbort) // 5
	expect("one is over", 3)
	appendMarker(t, l, 2, protocol.MarkerCommit) // 6
	expect("two are over", 3)
	cut(7)
	expect("all records are gone", 7)
	appendMarker(t, l, 3, protocol.MarkerAbort) // 7
	expect("all are over", 8)
	if aborted, err := l.AbortedTransactions(3, 8); err != nil || len(aborted) != 2 || aborted[1] != (log.AbortedTransaction{ProducerID: 3, FirstOffset: 3}) {
		t.Errorf("aborted %v, %v", aborted, err)
	}
}
