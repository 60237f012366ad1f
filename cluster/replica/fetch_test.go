package replica

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

func consumer(wait time.Duration, bytesMin int) *FetchParams {
	return &FetchParams{ReplicaID: -1, BrokerEpoch: -1, Bound: log.ToHighWatermark, WaitMax: wait, BytesMin: bytesMin, BytesMax: 1 << 20}
}

func wantFrom(offset int64) FetchPartition {
	return FetchPartition{TopicPartition: tp0, Offset: offset, LogStart: -1, BytesMax: 1 << 20, LeaderEpoch: cluster.NoEpoch, LastFetchedEpoch: cluster.NoEpoch}
}

// fetchOne fetches tp0 alone and lets its records go.
func (b *broker) fetchOne(ctx context.Context, f *FetchParams, q FetchPartition) FetchResult {
	b.t.Helper()
	_, results := b.Fetch(ctx, f, []FetchPartition{q}, nil)
	return results[0]
}

// follow fetches as a follower, in the leader's epoch.
func (b *broker) follow(id cluster.BrokerID, offset int64) FetchResult {
	b.t.Helper()
	p, err := b.Partition(tp0)
	if err != nil {
		b.t.Fatal(err)
	}
	q := wantFrom(offset)
	q.LeaderEpoch, q.LogStart = p.View().LeaderEpoch, 0
	r := b.fetchOne(b.t.Context(), &FetchParams{ReplicaID: id, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, BytesMax: 1 << 20}, q)
	r.Release()
	return r
}

func TestProduceAndConsumeAlone(t *testing.T) {
	b := newBroker(t)
	b.lead(0, 1)
	a, err := b.produce(3, AcksAll)
	if err != nil || a.FirstOffset != 0 || a.LastOffset != 2 || !a.Committed || a.LogStartOffset != 0 {
		t.Fatalf("append: %+v, %v; alone in the ISR it is committed at once", a, err)
	}
	r := b.fetchOne(t.Context(), consumer(0, 1), wantFrom(1))
	if r.Err != nil || r.HighWatermark != 3 || r.LastStable != 3 || r.LogStart != 0 || r.Aborted != nil {
		t.Fatalf("fetch: %+v", r)
	}
	records, err := io.ReadAll(io.NewSectionReader(r.Records, 0, int64(r.Len())))
	r.Release()
	if err != nil || protocol.Batch(records).BaseOffset() != 0 || protocol.Batch(records).LeaderEpoch() != 0 {
		t.Errorf("records %v, %v; the whole batch comes that has the offset in it", protocol.Batch(records), err)
	}
}

func TestFetchLimits(t *testing.T) {
	b := newBroker(t)
	var parts []FetchPartition
	for i := range int32(3) {
		s := led(0, 0, ids(1), ids(1))
		s.Partition = i
		if err := b.tell(s); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := b.Append(s.TopicPartition, batch(t, 1), AcksLeader, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		q := wantFrom(0)
		q.Partition = i
		parts = append(parts, q)
	}
	one := len(batch(t, 1))
	for _, test := range []struct {
		name           string
		bytesMax, each int
		hard           bool
		want           [3]int
	}{
		{"all fits", 1 << 20, 1 << 20, false, [3]int{3 * one, 3 * one, 3 * one}},
		{"the first batch comes whole, however small the limits", 1, 1, false, [3]int{one, 0, 0}},
		{"then limits are exact", 2*one + 10, 1 << 20, false, [3]int{2*one + 10, 0, 0}},
		{"per partition", 1 << 20, one + 10, false, [3]int{one + 10, one + 10, one + 10}},
		{"what is left for the second partition is less than a batch", 3*one + 10, 1 << 20, false, [3]int{3 * one, 0, 0}},
		{"hard limits of old: a cut batch", 1 << 20, 10, true, [3]int{10, 10, 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := consumer(0, 1)
			f.BytesMax, f.HardLimit = test.bytesMax, test.hard
			for i := range parts {
				parts[i].BytesMax = int32(test.each)
			}
			var got [3]int
			_, results := b.Fetch(t.Context(), f, parts, nil)
			for i, r := range results {
				if r.Err != nil {
					t.Error(r.Err)
				}
				got[i] = r.Len()
				r.Release()
			}
			if got != test.want {
				t.Errorf("bytes %v, want %v", got, test.want)
			}
		})
	}
}

func TestFetchErrors(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	id := protocol.NewTopicID()
	s := led(5, 5, ids(1, 2), ids(1, 2))
	s.TopicID = id
	if err := b.tell(s); err != nil {
		t.Fatal(err)
	}
	b.mustProduce(1)
	for _, test := range []struct {
		name     string
		change   func(*FetchPartition)
		follower cluster.BrokerID
		want     error
	}{
		{"as it should be", func(*FetchPartition) {}, -1, nil},
		{"case 8: older epoch", func(q *FetchPartition) { q.LeaderEpoch = 4 }, -1, kerr.FencedLeaderEpoch},
		{"case 8: newer epoch", func(q *FetchPartition) { q.LeaderEpoch = 6 }, -1, kerr.UnknownLeaderEpoch},
		{"its own epoch", func(q *FetchPartition) { q.LeaderEpoch = 5 }, -1, nil},
		{"the topic's id", func(q *FetchPartition) { q.TopicID = id }, -1, nil},
		{"case 38: another id", func(q *FetchPartition) { q.TopicID = protocol.NewTopicID() }, -1, kerr.InconsistentTopicID},
		{"unknown", func(q *FetchPartition) { q.Partition = 7 }, -1, kerr.UnknownTopicOrPartition},
		{"beyond the end", func(q *FetchPartition) { q.Offset = 2 }, -1, kerr.OffsetOutOfRange},
		{"between high watermark and end", func(q *FetchPartition) { q.Offset = 1 }, -1, nil},
		{"before the start", func(q *FetchPartition) { q.Offset = -1 }, -1, kerr.OffsetOutOfRange},
		{"a follower", func(q *FetchPartition) { q.LeaderEpoch = 5 }, 2, nil},
		{"case 9: a follower of the epoch before", func(q *FetchPartition) { q.LeaderEpoch = 4 }, 2, kerr.FencedLeaderEpoch},
		{"a broker that is no replica", func(q *FetchPartition) { q.LeaderEpoch = 5 }, 3, kerr.UnknownLeaderEpoch},
		{"likewise without an epoch", func(*FetchPartition) {}, 3, kerr.NotLeaderForPartition},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := wantFrom(0)
			test.change(&q)
			f := consumer(0, 1)
			if f.ReplicaID = test.follower; test.follower >= 0 {
				f.Bound, f.LeaderOnly = log.ToLogEnd, true
			}
			r := b.fetchOne(t.Context(), f, q)
			defer r.Release()
			if protocol.CodeOf(r.Err) != protocol.CodeOf(test.want) {
				t.Errorf("%v, want %v", r.Err, test.want)
			}
			if r.Err != nil && (r.HighWatermark != -1 || r.LogStart != -1 || r.LastStable != -1) {
				t.Errorf("marks %d %d %d with an error", r.HighWatermark, r.LogStart, r.LastStable)
			}
		})
	}
}

func TestFollowersRaiseTheHighWatermark(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2, 3)
	b.lead(5, 1, 2, 3)
	for range 4 {
		b.mustProduce(1)
	}
	p, _ := b.Partition(tp0)
	for _, step := range []struct {
		follower     cluster.BrokerID
		offset, want int64
	}{{2, 2, 0}, {3, 1, 1}, {3, 4, 2}, {2, 3, 3}, {2, 3, 3}, {2, 4, 4}} {
		r := b.follow(step.follower, step.offset)
		if r.Err != nil || p.View().Log.HighWatermark().Offset != step.want {
			t.Fatalf("%d fetches at %d: high watermark %d, want %d (%v)", step.follower, step.offset, p.View().Log.HighWatermark().Offset, step.want, r.Err)
		}
	}
}

// Case 11, the leader's side: what a follower has that must truncate says nothing about its progress.
func TestDivergingFetchIsNoProgress(t *testing.T) {
	b := newBroker(t)
	b.live(1, 2)
	b.lead(5, 1, 2)
	b.mustProduce(2)
	b.lead(7, 1, 2)
	b.mustProduce(2)
	p, _ := b.Partition(tp0)
	fetch := func(offset int64, last cluster.LeaderEpoch) FetchResult {
		q := wantFrom(offset)
		q.LeaderEpoch, q.LastFetchedEpoch, q.LogStart = 7, last, 0
		r := b.fetchOne(t.Context(), &FetchParams{ReplicaID: 2, Bound: log.ToLogEnd, LeaderOnly: true, BytesMax: 1 << 20}, q)
		r.Release()
		return r
	}
	if r := fetch(3, 6); r.Err != nil || r.Diverging != (EpochEnd{5, 2}) || p.core.follower(2).End.Offset >= 0 {
		t.Errorf("diverging %+v (%v), progress %+v", r.Diverging, r.Err, p.core.follower(2))
	}
	if r := fetch(3, 5); r.Diverging != (EpochEnd{5, 2}) {
		t.Errorf("beyond the end of its epoch: diverging %+v", r.Diverging)
	}
	if r := fetch(2, 5); r.Diverging.Epoch >= 0 || p.core.follower(2).End.Offset != 2 || p.View().Log.HighWatermark().Offset != 2 {
		t.Errorf("agreeing: diverging %+v, progress %+v, high watermark %d", r.Diverging, p.core.follower(2), p.View().Log.HighWatermark().Offset)
	}
	if r := fetch(0, 9); !errors.Is(r.Err, kerr.OffsetOutOfRange) {
		t.Errorf("an epoch that nobody knows: %v", r.Err)
	}
}

func TestReadCommittedFetchHasAList(t *testing.T) {
	b := newBroker(t)
	b.lead(0, 1)
	b.mustProduce(1)
	f := consumer(0, 1)
	f.Bound = log.ToLastStable
	for _, offset := range []int64{0, 1} {
		r := b.fetchOne(t.Context(), f, wantFrom(offset))
		if r.Err != nil || r.Aborted == nil || len(r.Aborted) != 0 {
			t.Errorf("offset %d: aborted %v (%v), want a list without entries", offset, r.Aborted, r.Err)
		}
		r.Release()
	}
}

// BenchmarkFetch reads one batch of 64 KiB from one partition.
func BenchmarkFetch(b *testing.B) {
	m := newBrokerOn(b, vfs.OS{}, b.TempDir())
	m.lead(0, 1)
	for range 20 {
		if _, err := m.Append(tp0, batch(b, 64<<10/97), AcksAll, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	parts, results := []FetchPartition{wantFrom(5000)}, make([]FetchResult, 0, 1)
	parts[0].BytesMax = 1
	f := consumer(0, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, results = m.Fetch(b.Context(), f, parts, results[:0])
		if results[0].Err != nil || results[0].Len() == 0 {
			b.Fatal(results[0].Err)
		}
		results[0].Release()
	}
}

func TestConsumerIsSentToItsRack(t *testing.T) {
	b := newBroker(t, func(o *Options) { o.RackAware = true })
	r := &cluster.UpdateMetadataRequest{ControllerEpoch: 1}
	for id, rack := range []string{1: "x", 2: "y"} {
		r.LiveBrokers = append(r.LiveBrokers, cluster.Broker{ID: cluster.BrokerID(id), Rack: rack, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT"}}})
	}
	if err := b.ApplyUpdateMetadata(r); err != nil {
		t.Fatal(err)
	}
	b.lead(5, 1, 2)
	b.mustProduce(1)
	b.follow(2, 1)
	f := consumer(time.Hour, 1)
	f.Rack, f.Listener = "y", "PLAINTEXT"
	if r := b.fetchOne(t.Context(), f, wantFrom(0)); r.Err != nil || r.ReadFrom != 2 || r.Len() != 0 || r.HighWatermark != 1 {
		t.Errorf("in the follower's rack: %+v", r)
	}
	f.Rack = "x"
	r1 := b.fetchOne(t.Context(), f, wantFrom(0))
	if r1.ReadFrom != noBroker || r1.Len() == 0 {
		t.Errorf("in the leader's rack: %+v", r1)
	}
	r1.Release()
}

// BenchmarkLeaderRound reads for a follower of a thousand partitions that has everything.
func BenchmarkLeaderRound(b *testing.B) {
	m := newBroker(b)
	m.live(1, 2)
	var states []*cluster.PartitionState
	var parts []FetchPartition
	for i := range int32(1000) {
		s := led(5, 5, ids(1, 2), ids(1, 2))
		s.Partition = i
		states = append(states, s)
		parts = append(parts, FetchPartition{TopicPartition: s.TopicPartition, LeaderEpoch: 5, LastFetchedEpoch: cluster.NoEpoch, BytesMax: 1 << 20})
	}
	if err := m.tell(states...); err != nil {
		b.Fatal(err)
	}
	f := &FetchParams{ReplicaID: 2, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, BytesMin: 1, BytesMax: 10 << 20}
	var results []FetchResult
	b.ReportAllocs()
	for b.Loop() {
		_, results = m.Fetch(b.Context(), f, parts, results[:0])
	}
	if slices.ContainsFunc(results, func(r FetchResult) bool { return r.Err != nil || r.HighWatermark != 0 }) {
		b.Error("an answer is not what it should be")
	}
}
