package group

import (
	"context"
	"testing"

	"gokafka/cluster"
	"gokafka/protocol"
)

// devNull is a journal that commits at once and forgets.
type devNull struct{ next int64 }

func (d *devNull) Append(_ protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	base := d.next
	d.next += int64(protocol.Batch(batch).Count())
	return base, nil, nil
}

func (d *devNull) Verify(context.Context, protocol.TopicPartition, cluster.TxnProducer) (cluster.TxnGuard, error) {
	return 0, nil
}

func (d *devNull) AppendVerified(tp protocol.TopicPartition, batch []byte, _ cluster.TxnGuard) (int64, func(context.Context) error, error) {
	return d.Append(tp, batch)
}

func (d *devNull) Replay(context.Context, protocol.TopicPartition, int, func([]byte) error) error {
	return nil
}

func benchCoordinator(b *testing.B) *Coordinator {
	b.Helper()
	settings := DefaultSettings()
	settings.InitialRebalanceDelay = 0
	c := New(settings, &devNull{}, 1)
	b.Cleanup(c.Close)
	c.Elected(0, 1)
	for {
		if _, err := c.List(b.Context()); err == nil {
			return c
		}
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	c := benchCoordinator(b)
	joined := c.Join(b.Context(), joinOf("c", ""))
	c.Sync(b.Context(), &SyncRequest{Group: "g", MemberID: joined.MemberID, Generation: 1})
	r := &HeartbeatRequest{Group: "g", MemberID: joined.MemberID, Generation: 1}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Heartbeat(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	c := benchCoordinator(b)
	r := commitOf("g", 1)
	b.ReportAllocs()
	for b.Loop() {
		if errs := c.Commit(b.Context(), r); errs[0] != nil {
			b.Fatal(errs)
		}
	}
}

func BenchmarkFetchOffsets(b *testing.B) {
	c := benchCoordinator(b)
	r := commitOf("g", 1)
	c.Commit(b.Context(), r)
	partitions := []protocol.TopicPartition{r.Offsets[0].TopicPartition}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.FetchOffsets(b.Context(), "g", partitions, true); err != nil {
			b.Fatal(err)
		}
	}
}
