package log_test

import (
	"errors"
	"fmt"
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// A producer whose last batches were not acknowledged before a clean stop sends them again: they are known, all five, wherever segments
// begin; the one before them is not.
func TestBatchesAreKnownAfterACleanStop(t *testing.T) {
	for name, bytes := range map[string]int{"one segment": 1 << 20, "a new segment every third batch": 250, "a segment for each batch": 80} {
		t.Run(name, func(t *testing.T) {
			fsys, small := vfs.NewMem(), func(c *log.Config) { c.SegmentBytesMax = bytes }
			send := func(l *log.Log, sequence int32) (log.AppendInfo, error) {
				o := protocol.BatchOptions{Producer: &protocol.Producer{ID: 7, Epoch: 2, Sequence: sequence}}
				return l.AppendAsLeader(logtest.Batch(t, o, now, fmt.Sprint(sequence)), 1, log.AppendOptions{})
			}
			m := open(t, fsys, small)
			l := logtest.Create(t, m, partition)
			for sequence := range int32(10) {
				if _, err := send(l, sequence); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			m = open(t, fsys, small)
			defer m.Close()
			l, _ = m.Log(partition)
			for sequence := int32(5); sequence < 10; sequence++ {
				if info, err := send(l, sequence); err != nil || !info.Duplicate || info.FirstOffset != int64(sequence) {
					t.Errorf("batch %d: %+v, %v", sequence, info, err)
				}
			}
			if _, err := send(l, 4); !errors.Is(err, log.ErrOutOfOrderSequence) {
				t.Errorf("batch 4: %v", err)
			}
			logtest.Check(t, m)
		})
	}
}
