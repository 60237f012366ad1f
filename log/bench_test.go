package log_test

import (
	"math/rand/v2"
	"testing"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// benchBatch is a batch of about 64 KiB in records of 1 KiB.
func benchBatch(b *testing.B) []byte {
	values := make([]string, 62)
	for i := range values {
		values[i] = string(make([]byte, 1024))
	}
	return logtest.Batch(b, protocol.BatchOptions{}, now, values...)
}

// benchLog opens a log on the disk. It is bounded, so that a long run does not fill it.
func benchLog(b *testing.B) *log.Log {
	return logtest.Open(b, logtest.Options{FS: vfs.OS{}, Dirs: []string{b.TempDir()}, Config: func(c *log.Config) { c.SegmentBytesMax = 256 << 20 }})
}

func BenchmarkAppend64KiB(b *testing.B) {
	l, records := benchLog(b), benchBatch(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(records)))
	for b.Loop() {
		protocol.Batch(records).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(records, 0, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
		l.RaiseHighWatermark(l.LogEndOffset())
		if l.Size() > 2<<30 {
			b.StopTimer()
			if err := l.TruncateFullyAndStartAt(0); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}

func BenchmarkAppendSmall(b *testing.B) {
	l, records := benchLog(b), logtest.Batch(b, protocol.BatchOptions{}, now, "a value")
	b.ReportAllocs()
	for b.Loop() {
		protocol.Batch(records).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(records, 0, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendIdempotent(b *testing.B) {
	l := benchLog(b)
	producer := protocol.Producer{ID: 1}
	records := logtest.Batch(b, protocol.BatchOptions{Producer: &producer}, now, "a value")
	b.ReportAllocs()
	for b.Loop() {
		protocol.Batch(records).SetBaseOffset(0)
		setSequence(records, producer.Sequence)
		producer.Sequence++
		if _, err := l.AppendAsLeader(records, 0, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// setSequence changes the batch's sequence number in place.
func setSequence(batch []byte, sequence int32) {
	for i := range 4 {
		batch[53+i] = byte(sequence >> (24 - 8*i))
	}
	protocol.Batch(batch).UpdateCRC()
}

// BenchmarkReadRandom looks up random offsets in a log of 64 MiB of small batches.
func BenchmarkReadRandom(b *testing.B) {
	l, records := benchLog(b), logtest.Batch(b, protocol.BatchOptions{}, now, string(make([]byte, 900)))
	for l.Size() < 64<<20 {
		protocol.Batch(records).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(records, 0, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	end := l.LogEndOffset().Offset
	rnd := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		s, err := l.Read(rnd.Int64N(end), 1<<20, log.ToLogEnd, true)
		if err != nil {
			b.Fatal(err)
		}
		s.Release()
	}
}
