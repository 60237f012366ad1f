package replica

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

func TestListOffset(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	for range 3 {
		b.mustProduce(1)
	}
	b.follow(2, 2)
	query := func(timestamp int64, bound log.Bound) (log.TimestampOffset, error) {
		return b.ListOffset(&OffsetQuery{TopicPartition: tp0, Timestamp: timestamp, LeaderEpoch: -1, Bound: bound, LeaderOnly: true})
	}
	for _, test := range []struct {
		name      string
		timestamp int64
		bound     log.Bound
		offset    int64
		epoch     int32
	}{
		{"latest", LatestTimestamp, log.ToHighWatermark, 2, 5},
		{"latest decided", LatestTimestamp, log.ToLastStable, 2, 5},
		{"latest of a broker", LatestTimestamp, log.ToLogEnd, 3, 5},
		{"earliest", EarliestTimestamp, log.ToHighWatermark, 0, 5},
		{"earliest local", EarliestLocalTimestamp, log.ToHighWatermark, 0, 5},
		{"latest tiered", LatestTieredTimestamp, log.ToHighWatermark, -1, -1},
		{"by timestamp", 500, log.ToHighWatermark, 0, 5},
		{"after the last", 1001, log.ToHighWatermark, -1, -1},
		{"the largest timestamp", MaxTimestamp, log.ToHighWatermark, 0, 5},
	} {
		if got, err := query(test.timestamp, test.bound); err != nil || got.Offset != test.offset || got.LeaderEpoch != test.epoch {
			t.Errorf("%s: %+v, %v; want offset %d of epoch %d", test.name, got, err, test.offset, test.epoch)
		}
	}

	b.lead(6, 1, 2) // starts at 3, the high watermark is at 2
	for _, timestamp := range []int64{LatestTimestamp, 5000} {
		if _, err := query(timestamp, log.ToHighWatermark); !errors.Is(err, ErrOffsetNotAvailable) {
			t.Errorf("case 15: timestamp %d right after an election: %v", timestamp, err)
		}
	}
	if got, err := query(LatestTimestamp, log.ToLogEnd); err != nil || got.Offset != 3 {
		t.Errorf("a broker is told the end in any case: %+v, %v", got, err)
	}
}

// ListOffsets v0: a segment below one that is old enough counts, however young it is (a cleaning writes it anew).
func TestSegmentOffsets(t *testing.T) {
	disk := vfs.NewMem()
	b := newBrokerOn(t, disk, "/data")
	b.config.SegmentBytesMax = 200
	b.lead(5, 1)
	for i, second := range []int64{300, 100, 200} {
		b.mustProduce(1)
		if err := disk.Chtimes(fmt.Sprintf("/data/t-0/%020d.log", i), time.Unix(second, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		timestamp int64
		count     int
		want      []int64
	}{
		{99_999, 9, nil},
		{150_000, 9, []int64{1, 0}},
		{200_000, 9, []int64{2, 1, 0}},
		{200_000, 2, []int64{2, 1}},
		{LatestTimestamp, 9, []int64{3, 2, 1, 0}},
		{EarliestTimestamp, 9, []int64{0}},
	} {
		q := OffsetQuery{TopicPartition: tp0, Timestamp: test.timestamp, LeaderEpoch: -1, LeaderOnly: true}
		if got, err := b.SegmentOffsets(&q, test.count); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%d of %d: %v, %v; want %v", test.count, test.timestamp, got, err, test.want)
		}
	}
}

func TestDeleteRecords(t *testing.T) {
	deleteTo := func(b *broker, offset int64) Deletion {
		d := []Deletion{{TopicPartition: tp0, Offset: offset}}
		b.DeleteRecords(b.t.Context(), time.Now().Add(10*time.Second), d)
		return d[0]
	}
	t.Run("alone", func(t *testing.T) {
		b := newBroker(t)
		b.lead(5, 1)
		for range 4 {
			b.mustProduce(1)
		}
		for _, step := range []struct {
			offset, low int64
			err         error
		}{{2, 2, nil}, {1, 2, nil}, {5, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {ToHighWatermark, 4, nil}} {
			if d := deleteTo(b, step.offset); d.LowWatermark != step.low || protocol.CodeOf(d.Err) != protocol.CodeOf(step.err) {
				t.Errorf("case 60: to %d: low watermark %d, %v; want %d, %v", step.offset, d.LowWatermark, d.Err, step.low, step.err)
			}
		}
	})
	t.Run("with a follower", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t)
			b.live(1, 2)
			b.lead(5, 1, 2)
			b.mustProduce(1)
			b.follow(2, 1)
			begin := time.Now()
			if d := deleteTo(b, 1); !errors.Is(d.Err, ErrTimedOut) || time.Since(begin) != 10*time.Second {
				t.Errorf("the follower keeps its records: %+v after %v", d, time.Since(begin))
			}
			go func() {
				time.Sleep(time.Second)
				q := wantFrom(1)
				q.LeaderEpoch, q.LogStart = 5, 1
				b.fetchOne(t.Context(), &FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, BytesMax: 1}, q)
			}()
			begin = time.Now()
			if d := deleteTo(b, 1); d.Err != nil || d.LowWatermark != 1 || time.Since(begin) != time.Second {
				t.Errorf("the follower deleted, too: %+v after %v", d, time.Since(begin))
			}
			synctest.Wait()
		})
	})
	t.Run("what may not be", func(t *testing.T) {
		b := newBroker(t)
		b.config.Delete, b.config.Compact = false, true
		b.lead(5, 1)
		if d := deleteTo(b, 0); !errors.Is(d.Err, kerr.PolicyViolation) || d.LowWatermark != -1 {
			t.Errorf("compacted: %+v", d)
		}
		d := []Deletion{{TopicPartition: protocol.TopicPartition{Topic: cluster.OffsetsTopic}}}
		if b.DeleteRecords(t.Context(), time.Now(), d); !errors.Is(d[0].Err, kerr.InvalidTopicException) {
			t.Errorf("internal: %+v", d[0])
		}
	})
}

// Followers wait for records when records are deleted. They are told at once, and tell that they did the same.
func TestDeletionIsToldToFollowers(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		w.say(1, "a")
		w.settle()
		begin := time.Now()
		d := []Deletion{{TopicPartition: tp0, Offset: ToHighWatermark}}
		w.brokers[1].DeleteRecords(t.Context(), begin.Add(10*time.Second), d)
		if d[0].Err != nil || d[0].LowWatermark != 1 || time.Since(begin) > 0 {
			t.Errorf("low watermark %d, %v after %v", d[0].LowWatermark, d[0].Err, time.Since(begin))
		}
	})
}

func TestJournal(t *testing.T) {
	b := newBroker(t)
	b.lead(5, 1)
	j := &Journal{Manager: b.Manager, Acks: AcksAll}
	for i := range 50 {
		base, wait, err := j.Append(tp0, batch(t, 2))
		if base != int64(2*i) || wait != nil || err != nil {
			t.Fatalf("append %d: %d, %v", i, base, err)
		}
	}
	for _, bytesMax := range []int{1, 500, 1 << 20} {
		next, visits := int64(0), 0
		err := j.Replay(t.Context(), tp0, bytesMax, func(batches []byte) error {
			visits++
			for x, err := range protocol.Batches(batches) {
				if err != nil || x.BaseOffset() != next {
					t.Fatalf("batch %v, %v; want offset %d", x, err, next)
				}
				next = x.NextOffset()
			}
			return nil
		})
		if err != nil || next != 100 {
			t.Errorf("replay by %d bytes: up to %d in %d visits, %v", bytesMax, next, visits, err)
		}
	}
	stop := errors.New("enough")
	if err := j.Replay(t.Context(), tp0, 1, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a visitor that has enough: %v", err)
	}
	if _, _, err := j.Append(protocol.TopicPartition{Topic: "other"}, batch(t, 1)); !errors.Is(err, ErrUnknownPartition) {
		t.Errorf("another partition: %v", err)
	}
}
