package replica

import (
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

func TestThrottleRate(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	th := newThrottle(Window{11, time.Second})
	th.SetRate(100)
	for _, step := range []struct {
		at       float64
		bytes    int
		exceeded bool
	}{
		{0, 0, false},
		{0, 100, false},
		{0.1, 1, true},     // 101 bytes in what counts as a second
		{1.2, 0, false},    // in 1.2 seconds
		{1.2, 900, true},   // 1001 bytes
		{9.9, 0, true},     // in 9.9 seconds
		{10.1, 0, false},   // in 10.1
		{11.05, 0, false},  // the first sample is too old, 900 bytes in 9.85
		{12.3, 0, false},   // nothing is left
		{12.3, 101, true},  // a burst counts over a second
		{1000, 0, false},   // all is forgotten
		{1000, 100, false}, // the limit itself is not above it
	} {
		if step.bytes > 0 {
			th.Record(step.bytes, at(step.at))
		}
		if got := th.Exceeded(at(step.at)); got != step.exceeded {
			t.Errorf("%v bytes at %v s: exceeded %v", step.bytes, step.at, got)
		}
	}
}

func TestThrottleCovers(t *testing.T) {
	tp := func(topic string, partition int32) protocol.TopicPartition {
		return protocol.TopicPartition{Topic: topic, Partition: partition}
	}
	var none *Throttle
	th := newThrottle(Window{11, time.Second})
	if none.Covers(tp("a", 0)) || th.Covers(tp("a", 0)) {
		t.Error("nothing was to be covered")
	}
	th.Cover("a", Covered{Partitions: []int32{1, 2}})
	th.Cover("b", Covered{All: true})
	if th.Covers(tp("a", 0)) || !th.Covers(tp("a", 2)) || !th.Covers(tp("b", 7)) || th.Covers(tp("c", 0)) {
		t.Error("others are covered than were said to be")
	}
	th.Cover("a", Covered{})
	th.Cover("b", Covered{})
	if th.Covers(tp("a", 1)) || th.covered.Load() != nil {
		t.Error("still covered")
	}
}

// A follower that is not in sync gets no records while the leader has sent more than it may; its fetch waits meanwhile. One in sync gets all.
func TestLeaderHoldsBackReplicasOutOfSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttles := NewThrottles(Window{11, time.Second}, Window{11, time.Second})
		b := newBroker(t, func(o *Options) { o.Throttles = throttles })
		b.live(1, 2, 3)
		if err := b.tell(led(5, 5, ids(1, 2, 3), ids(1, 2))); err != nil {
			t.Fatal(err)
		}
		clear(b.polls.patient) // it has led for long
		b.mustProduce(10)
		throttles.Leader.Cover(tp0.Topic, Covered{All: true})
		throttles.Leader.SetRate(100)
		fetch := func(id cluster.BrokerID) (n int, took time.Duration) {
			began := time.Now()
			q := wantFrom(0)
			q.LogStart, q.LastFetchedEpoch = 0, cluster.NoEpoch
			f := consumer(500*time.Millisecond, 1)
			f.ReplicaID, f.LeaderOnly, f.Bound = id, true, 0
			r := b.fetchOne(t.Context(), f, q)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			defer r.Release()
			return r.Len(), time.Since(began)
		}
		if n, _ := fetch(3); n == 0 {
			t.Error("nothing before the limit was reached")
		}
		if n, took := fetch(3); n > 0 || took != 500*time.Millisecond {
			t.Errorf("%d bytes above the limit, after %v", n, took)
		}
		if n, took := fetch(2); n == 0 || took > 0 {
			t.Errorf("%d bytes for a replica in sync, after %v", n, took)
		}
		time.Sleep(time.Minute)
		if n, took := fetch(3); n == 0 || took > 0 {
			t.Errorf("%d bytes a minute later, after %v", n, took)
		}
	})
}

// A follower leaves throttled partitions out while it has fetched more than it may, looks again, and goes on at last.
func TestFollowerThrottlesItself(t *testing.T) {
	th := newThrottle(Window{11, time.Second})
	th.SetRate(100)
	now := time.Unix(1000, 0)
	c := newFetcherCore(time.Second, false)
	c.throttled = func(tp protocol.TopicPartition) bool {
		return th.holds(tp, func() time.Time { return now })
	}
	history := write("aaa")
	other := protocol.TopicPartition{Topic: "other"}
	for _, tp := range []protocol.TopicPartition{tp0, other} {
		c.follow(tp, 1, 3, history)
	}
	th.Cover(tp0.Topic, Covered{All: true})
	asks := everything(&c, now)
	if len(asks) != 2 {
		t.Fatalf("asks for %d partitions below the limit", len(asks))
	}
	for i := range asks {
		c.appended(&asks[i], copied{next: 4, lastEpoch: 1}, 9)
	}
	th.Record(150, now)
	if asks = everything(&c, now); len(asks) != 1 || asks[0].TopicPartition != other {
		t.Errorf("asks for %v above the limit", asks)
	}
	if at := c.wakeAt(now); !at.Equal(now.Add(time.Second)) {
		t.Errorf("looks again at %v", at)
	}
	now = now.Add(2 * time.Second)
	if asks = everything(&c, now); len(asks) != 2 || !c.wakeAt(now).IsZero() {
		t.Errorf("asks for %v later", asks)
	}
	for i := range asks {
		c.appended(&asks[i], copied{next: 9, lastEpoch: 1}, 9)
	}
	th.Record(1000, now)
	if asks = everything(&c, now); len(asks) != 2 {
		t.Errorf("asks for %v when all is in sync", asks)
	}
}
