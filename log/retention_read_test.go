package log_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// vanishing is a log whose first segments are removed, file and all, while a reader has looked into an index but not opened the batches, or
// asks for a segment's age.
func vanishing(t *testing.T) (m *log.Manager, l *log.Log, arm func()) {
	var armed atomic.Bool
	remove := func() {
		if _, err := l.IncrementLogStartOffset(20); err != nil {
			t.Error(err)
		}
		if _, err := l.DeleteOldSegments(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // until the worker has removed the files
	}
	faulty := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
		looked := op == vfs.OpRead && strings.HasSuffix(name, "00000.index") || op == vfs.OpStat && strings.HasSuffix(name, "00000.log")
		if looked && armed.Swap(false) {
			remove()
		}
		return nil
	}}
	config := func(c *log.Config) { c.SegmentBytesMax, c.IndexIntervalBytes, c.FileDeleteDelayMs = 2000, 100, 0 }
	m = open(t, faulty, config)
	l = logtest.Create(t, m, partition)
	for range 40 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 200))
	}
	l.RaiseHighWatermark(l.LogEndOffset())
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(t, faulty, config)
	l, _ = m.Log(partition)
	return m, l, func() { armed.Store(true) }
}

// Case 60: retention that removes a segment below a reader is no error of the disk, which would take the whole directory offline.
func TestRetentionBelowAReader(t *testing.T) {
	for name, read := range map[string]func(*log.Log) error{
		"records": func(l *log.Log) error {
			s, err := l.Read(3, 1000, log.ToLogEnd, true)
			if err == nil {
				s.Release()
			}
			if !errors.Is(err, log.ErrOffsetOutOfRange) {
				return errors.New("read below the start")
			}
			return nil
		},
		"timestamp": func(l *log.Log) error {
			r, ok, err := l.OffsetForTimestamp(1)
			if ok && r.Offset != 20 {
				return errors.New("found a record below the start")
			}
			return err
		},
		"largest timestamp": func(l *log.Log) error {
			_, _, err := l.OffsetOfMaxTimestamp()
			return err
		},
		"segments": func(l *log.Log) error {
			starts, err := l.SegmentStarts()
			if err == nil && starts[0].Offset != 20 {
				return errors.New("found a segment below the start")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, l, arm := vanishing(t)
				defer m.Close()
				arm()
				if err := read(l); err != nil {
					t.Error(err)
				}
				if l.LogStartOffset() != 20 {
					t.Error("nothing was removed, the test tests nothing")
				}
				if m.Dirs()[0].Offline {
					t.Errorf("the directory went offline: %v", m.Dirs()[0].Err)
				}
				logtest.Check(t, m)
			})
		})
	}
}

// Who still reads a log that was deleted, files and all, is told so, and the directory stays online.
func TestReadersOfADeletedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, vfs.NewMem(), func(c *log.Config) { c.FileDeleteDelayMs = 0 })
		defer m.Close()
		l := logtest.Create(t, m, partition)
		appendBatch(t, l, 0, protocol.BatchOptions{}, "v")
		if failed := m.Delete(partition); len(failed) > 0 {
			t.Fatal(failed)
		}
		synctest.Wait() // until the worker has removed the files
		_, read := l.Read(0, 1000, log.ToLogEnd, true)
		_, _, find := l.OffsetForTimestamp(now)
		_, list := l.SegmentStarts()
		for what, err := range map[string]error{"read": read, "find": find, "list": list} {
			if !errors.Is(err, log.ErrStorage) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if m.Dirs()[0].Offline {
			t.Error("the directory went offline")
		}
	})
}

// Case 60, case 89: what was read before retention came is not given out without the aborted transactions that went with the segment.
func TestAbortedTransactionsThatWentWithTheirSegment(t *testing.T) {
	l := logtest.Open(t, logtest.Options{Config: func(c *log.Config) { c.SegmentBytesMax = 600 }})
	producer := &protocol.Producer{ID: 7, Epoch: 0, Sequence: 0}
	appendBatch(t, l, 0, protocol.BatchOptions{Producer: producer, Transactional: true}, "aborted")
	appendMarker(t, l, 7, protocol.MarkerAbort)
	for range 4 {
		appendBatch(t, l, 0, protocol.BatchOptions{}, strings.Repeat("v", 400))
	}
	l.RaiseHighWatermark(l.LogEndOffset())
	if list, err := l.AbortedTransactions(0, 2); len(list) != 1 || err != nil {
		t.Fatalf("before: %v, %v", list, err)
	}
	if _, err := l.IncrementLogStartOffset(3); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DeleteOldSegments(); err != nil {
		t.Fatal(err)
	}
	if list, err := l.AbortedTransactions(0, 2); !errors.Is(err, log.ErrOffsetOutOfRange) {
		t.Errorf("after: %v, %v", list, err)
	}
}
