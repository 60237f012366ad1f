package log

import (
	"bytes"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

func FuzzSnapshot(f *testing.F) {
	e := newProducerEntry()
	e.addBatch(3, producerBatch{lastSequence: 7, delta: 2, lastOffset: 99, timestamp: 1000})
	f.Add(encodeSnapshot(map[int64]*producerEntry{1: e, 2: newProducerEntry()}))
	f.Add(encodeSnapshot(nil))
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		producers, err := decodeSnapshot(b)
		if err != nil {
			return
		}
		again, err := decodeSnapshot(encodeSnapshot(producers))
		if err != nil || len(again) != len(producers) {
			t.Errorf("%d producers come back as %d, %v", len(producers), len(again), err)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("0\n1\ntopic 3 1234\n"))
	f.Add([]byte("0\n2\n0 0\n1 250\n"))
	f.Add([]byte("0\n-1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		points := offsetCheckpoint{}
		_ = parseCheckpoint(b, func(line []byte) error {
			tp, offset, err := parseOffsetLine(line)
			points[tp] = offset
			return err
		})
		var entries []epochEntry
		err := parseCheckpoint(b, func(line []byte) error {
			e, err := parseEpochLine(line)
			entries = append(entries, e)
			return err
		})
		if err != nil {
			return
		}
		var again []epochEntry
		if err := parseCheckpoint(encodeEpochs(entries), func(line []byte) error {
			e, err := parseEpochLine(line)
			again = append(again, e)
			return err
		}); err != nil || !slices.Equal(again, entries) {
			t.Errorf("epochs %v come back as %v, %v", entries, again, err)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("topic-1.0123456789abcdef0123456789abcdef-delete")
	f.Add("00000000000000000042.log.swap")
	f.Add("version: 0\ntopic_id: sZiAPIzDTaWF5FI6AZlHNA")
	f.Add("#\nbroker.id=1\nversion=0\ncluster.id=x")
	f.Fuzz(func(t *testing.T, s string) {
		if tp, suffix, err := parseDirName(s); err == nil && suffix == "" && len(s) < 200 {
			if again, _, err := parseDirName(tp.String()); err != nil || again != tp {
				t.Errorf("%q is %v, which is %v", s, tp, again)
			}
		}
		parseSegmentFileName(s)
		_, _ = parsePartitionMetadata(s)
		_, _ = parseIdentity(s)
	})
}

// FuzzRecovery opens a log whose files hold anything. Whatever is left must be whole, and the same when it is opened again.
func FuzzRecovery(f *testing.F) {
	b, err := protocol.AppendBatch(nil, protocol.BatchOptions{Producer: &protocol.Producer{ID: 1}}, protocol.Record{Value: []byte("v")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte{}, []byte{}, []byte{}, []byte{}, []byte("0\n1\n0 0\n"), false)
	f.Add(append(slices.Clone(b), b...), []byte{0, 0, 0, 1, 0, 0, 0, 99}, make([]byte, 12), make([]byte, 34), encodeSnapshot(nil), []byte("0\n0\n"), true)
	f.Add(b[:40], make([]byte, 16), make([]byte, 24), []byte{1}, []byte{1}, []byte{}, true)
	f.Fuzz(func(t *testing.T, batches, index, timeIndex, txnIndex, snapshot, epochs []byte, clean bool) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("/d/t-0"); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			"t-0/00000000000000000000.log": batches, "t-0/00000000000000000000.index": index, "t-0/00000000000000000000.timeindex": timeIndex,
			"t-0/00000000000000000000.txnindex": txnIndex, "t-0/00000000000000000001.snapshot": snapshot, "t-0/leader-epoch-checkpoint": epochs,
		} {
			if err := vfs.WriteFile(mem, "/d/"+name, content, true); err != nil {
				t.Fatal(err)
			}
		}
		if clean {
			if err := vfs.WriteFile(mem, "/d/"+cleanShutdownFile, nil, true); err != nil {
				t.Fatal(err)
			}
		}
		end, ok := reopen(t, mem, clean)
		if !ok {
			return
		}
		if err := mem.Remove("/d/" + cleanShutdownFile); err != nil {
			t.Fatal(err)
		}
		if again, _ := reopen(t, mem, false); again != end && !clean {
			t.Errorf("log ends at %d, and when it is opened again at %d", end, again)
		}
	})
}

// reopen opens the log, reads all that can be read, and closes it. After an unclean stop all of it must be whole. It is not ok if the directory
// is not usable.
func reopen(t *testing.T, mem *vfs.Mem, clean bool) (end int64, ok bool) {
	m, err := Open(ManagerOptions{FS: mem, Dirs: []string{"/d"}, Logger: zerolog.Nop()})
	if err != nil {
		return 0, false
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	l, ok := m.Log(protocol.TopicPartition{Topic: "t"})
	if !ok {
		return 0, false
	}
	end = l.LogEndOffset().Offset
	if s, err := l.Read(l.LogStartOffset(), 1<<20, ToLogEnd, true); err == nil {
		_, _ = s.ReadAt(make([]byte, s.Len()), 0)
		s.Release()
	}
	_, _, _ = l.OffsetForTimestamp(0)
	_, _ = l.AbortedTransactions(0, end)
	if !clean {
		if err := l.Check(); err != nil {
			t.Error(err)
		}
	}
	return end, true
}

func TestSnapshotFile(t *testing.T) {
	e := newProducerEntry()
	e.addBatch(2, producerBatch{lastSequence: 0, delta: 0, lastOffset: 9, timestamp: 0x1a201c91da8})
	e.coordinatorEpoch = 0
	got := encodeSnapshot(map[int64]*producerEntry{0: e})
	want := []byte{0, 1, got[2], got[3], got[4], got[5], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0,
		0, 0, 1, 0xa2, 1, 0xc9, 0x1d, 0xa8, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
