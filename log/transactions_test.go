package log_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
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

// Case 53, case 57: an abort whose index entry cannot be written changes nothing when descriptors are missing, so that the marker which
// the coordinator sends again ends the transaction; after any other error the directory is offline and a restart ends it.
func TestAbortsThatCannotBeIndexed(t *testing.T) {
	for failing, cause := range map[vfs.Op]error{vfs.OpCreate: syscall.EMFILE, vfs.OpWrite: syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			var broken atomic.Bool
			mem := vfs.NewMem()
			m := open(t, vfs.Faulty{FS: mem, Fail: func(op vfs.Op, name string) error {
				if broken.Load() && op == failing && strings.HasSuffix(name, ".txnindex") {
					return &fs.PathError{Op: string(op), Path: name, Err: cause}
				}
				return nil
			}}, nil)
			defer m.Close()
			l := logtest.Create(t, m, partition)
			producer := &protocol.Producer{ID: 1}
			appendBatch(t, l, 0, protocol.BatchOptions{Producer: producer, Transactional: true}, "v")
			marker, err := protocol.MarkerBatch(1, 0, protocol.Marker{Type: protocol.MarkerAbort}, now)
			if err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			if _, err := l.AppendAsLeader(slices.Clone(marker), 0, log.AppendOptions{Origin: log.OriginCoordinator}); !errors.Is(err, cause) {
				t.Fatalf("append of the marker: %v", err)
			}
			broken.Store(false)
			if m.Dirs()[0].Offline {
				m = open(t, mem.Crash(nil, 1), nil)
				defer m.Close()
				l, _ = m.Log(partition)
			} else if _, err := l.AppendAsLeader(marker, 0, log.AppendOptions{Origin: log.OriginCoordinator}); err != nil {
				t.Fatalf("the marker again: %v", err)
			}
			l.RaiseHighWatermark(l.LogEndOffset())
			if o := l.Offsets(); o.LastStable.Offset != 2 || o.End.Offset != 2 {
				t.Errorf("stable up to %d of %d", o.LastStable.Offset, o.End.Offset)
			}
			if list, err := l.AbortedTransactions(0, 2); len(list) != 1 || err != nil {
				t.Errorf("aborted %v, %v", list, err)
			}
			logtest.Check(t, m)
		})
	}
}

// A follower that takes many batches at once knows the same aborted transactions as the leader, to whom they came one by one.
func TestFollowersKnowWhatWasAborted(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		leader, follower := logtest.Open(t, logtest.Options{}), logtest.Open(t, logtest.Options{})
		sequences := map[int64]int32{}
		for range 40 {
			if id := rnd.Int64N(3); rnd.IntN(2) == 0 {
				transactional(t, leader, id, sequences[id])
				sequences[id]++
			} else if sequences[id] > 0 {
				appendMarker(t, leader, id, protocol.MarkerAbort)
			}
		}
		end := leader.LogEndOffset().Offset
		for at := follower.LogEndOffset().Offset; at < end; at = follower.LogEndOffset().Offset {
			s, err := leader.Read(at, 100+rnd.IntN(1500), log.ToLogEnd, true)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, s.Len())
			_, err = s.ReadAt(b, 0)
			s.Release()
			if err == nil {
				_, err = follower.AppendAsFollower(b, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for from := range end {
			for to := from + 1; to <= end; to++ {
				want, err := leader.AbortedTransactions(from, to)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := follower.AbortedTransactions(from, to); err != nil || !slices.Equal(got, want) {
					t.Fatalf("seed %d: aborted in [%d, %d): %v, %v, want %v", seed, from, to, got, err, want)
				}
			}
		}
	}
}
