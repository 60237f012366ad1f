package replica

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// crowd is a leader of some partitions of the topic t, and the session of one of its followers in all of them.
type crowd struct {
	*broker
	standing *Standing
	watches  []*StandingWatch
	offsets  []int64
	bytesMin int
}

// newCrowd has broker 1 lead n partitions that 2 and 3 follow, all in sync.
func newCrowd(t *testing.T, n int, follower cluster.BrokerID) *crowd {
	c := &crowd{broker: newBroker(t), standing: NewStanding(), offsets: make([]int64, n)}
	c.live(1, 2, 3)
	var states []*cluster.PartitionState
	for i := range n {
		s := led(1, 1, ids(1, 2, 3), ids(1, 2, 3))
		s.TopicPartition = tpOf(i)
		states = append(states, s)
	}
	if err := c.tell(states...); err != nil {
		t.Fatal(err)
	}
	clear(c.polls.patient) // it has led for long
	for i := range n {
		c.watches = append(c.watches, c.standing.Add(c.want(i)))
	}
	t.Cleanup(func() {
		for _, w := range c.watches {
			w.Close()
		}
	})
	c.fetch(follower, 0)
	return c
}

func tpOf(i int) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: "t", Partition: int32(i)}
}

func (c *crowd) want(i int) FetchPartition {
	q := wantFrom(c.offsets[i])
	q.TopicPartition, q.LeaderEpoch, q.LogStart = tpOf(i), 1, 0
	return q
}

// fetch is a request of the session. It takes what it gets, and returns what was looked at: the partition and its high watermark, "!" if that gave an error.
func (c *crowd) fetch(follower cluster.BrokerID, wait time.Duration) (looked []string) {
	c.t.Helper()
	f := &FetchParams{ReplicaID: follower, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, WaitMax: wait, BytesMin: max(c.bytesMin, 1), BytesMax: 1 << 20, Standing: c.standing}
	parts, results := c.Fetch(c.t.Context(), f, c.standing.Begin(f.BytesMin, nil), nil)
	c.standing.End()
	for i := range parts {
		q, r := &parts[i], &results[i]
		if r.Err != nil {
			looked = append(looked, fmt.Sprintf("%d!", q.Partition))
			continue
		}
		looked = append(looked, fmt.Sprintf("%d@%d", q.Partition, r.HighWatermark))
		if r.Len() > 0 {
			c.offsets[q.Partition] += int64(countRecords(c.t, r))
			c.watches[q.Partition].Set(c.want(int(q.Partition)))
			c.watches[q.Partition].ToEnd()
		}
		r.Release()
	}
	return looked
}

func (c *crowd) say(i int) {
	if _, err := c.Append(tpOf(i), batch(c.t, 1), AcksLeader, log.AppendOptions{}); err != nil {
		c.t.Error(err)
	}
}

func (c *crowd) expect(what string, got []string, want ...string) {
	c.t.Helper()
	if !slices.Equal(got, want) {
		c.t.Errorf("%s: looked at %v, want %v", what, got, want)
	}
}

func TestSessionLooksWhereSomethingHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4, 2)
		c.expect("nothing happened", c.fetch(2, 0))
		c.say(1)
		c.expect("an append", c.fetch(2, 0), "1@0")
		c.expect("the follower says that it has it", c.fetch(2, 0), "1@0")
		c.expect("nothing happened since", c.fetch(2, 0))
		c.follow3(1, 1)
		c.expect("the high watermark moved", c.fetch(2, 0), "1@1")
		c.expect("that was told", c.fetch(2, 0))
		c.say(1)
		c.follow3(1, 2)
		c.expect("an append that the other has", c.fetch(2, 0), "1@1")
		c.expect("the follower moves the high watermark itself", c.fetch(2, 0), "1@1")
		c.expect("and is told", c.fetch(2, 0), "1@2")
		c.expect("once", c.fetch(2, 0))

		if _, _, err := mustPartition(c, 1).deleteRecords(1); err != nil {
			t.Fatal(err)
		}
		c.expect("records were deleted", c.fetch(2, 0), "1@2")
		c.watches[3].Open()
		c.expect("it is told to look", c.fetch(2, 0), "3@0")
		c.watches[0].Set(c.want(0))
		c.expect("something else is wanted", c.fetch(2, 0), "0@0")

		s := led(2, 2, ids(1, 2, 3), ids(1, 2, 3))
		s.TopicPartition = tpOf(2)
		if err := c.tell(s); err != nil {
			t.Fatal(err)
		}
		c.expect("a new leader epoch", c.fetch(2, 0), "2!")
		c.expect("errors are found again", c.fetch(2, 0), "2!")
		mustPartition(c, 3).leave()
		c.expect("a partition has gone", c.fetch(2, 0), "2!", "3!")
		if n := c.standing.Quiet(); n != 2 {
			t.Errorf("%d are quiet, want 2", n)
		}
	})
}

func mustPartition(c *crowd, i int) *Partition {
	p, err := c.Partition(tpOf(i))
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// follow3 has the other follower fetch one partition from an offset.
func (c *crowd) follow3(i int, offset int64) {
	q := wantFrom(offset)
	q.TopicPartition, q.LeaderEpoch, q.LogStart = tpOf(i), 1, 0
	f := &FetchParams{ReplicaID: 3, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, BytesMin: 1, BytesMax: 1 << 20}
	_, results := c.Fetch(c.t.Context(), f, []FetchPartition{q}, nil)
	results[0].Release()
}

// What a session did not look at when it began to wait ends its wait, and is in the answer with whatever else happened.
func TestSessionIsWokenByQuietPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4, 2)
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			c.say(2)
		}()
		c.expect("an append", c.fetch(2, time.Minute), "2@0")
		c.fetch(2, 0)
		go func() {
			time.Sleep(time.Second)
			c.follow3(2, 1) // moves the high watermark, for which nobody waits
			time.Sleep(time.Second)
			c.say(0)
		}()
		c.expect("another", c.fetch(2, time.Minute), "0@0", "2@1")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
		c.fetch(2, 0)
		began = time.Now()
		c.expect("nothing", c.fetch(2, time.Minute))
		if took := time.Since(began); took != time.Minute {
			t.Errorf("waited for %v, want a minute", took)
		}
	})
}

// Bytes are counted over all partitions, whether they were there before the wait or came in it.
func TestSessionWaitsForBytesOfAllPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3, 2)
		c.bytesMin = 3 * len(batch(t, 1))
		c.say(1)
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			c.say(2)
			time.Sleep(time.Second)
			c.say(2)
		}()
		c.expect("three batches", c.fetch(2, time.Minute), "1@0", "2@0")
		if took := time.Since(began); took != 2*time.Second || !slices.Equal(c.offsets, []int64{0, 1, 2}) {
			t.Errorf("offsets %v after %v", c.offsets, took)
		}
	})
}

// A follower that is to join the ISR is looked at by each of its fetches, for what keeps it out may pass without a word.
func TestSessionOfOneThatIsNotInSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		s := led(2, 2, ids(1, 2, 3), ids(1, 3))
		s.TopicPartition = tpOf(1)
		if err := c.tell(s); err != nil {
			t.Fatal(err)
		}
		q := c.want(1)
		q.LeaderEpoch = 2
		c.watches[1].Set(q)
		c.expect("first", c.fetch(2, 0), "1@0")
		c.expect("again", c.fetch(2, 0), "1@0")
	})
}

// A session that is closed leaves nothing in the partitions, not even if one of its fetches goes on.
func TestClosedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3, 2)
		watched := func() (n int32) {
			for i := range c.watches {
				n += mustPartition(c, i).watchers.any.Load()
			}
			return n
		}
		if n := watched(); n != 3 {
			t.Fatalf("%d watches of a session in three partitions", n)
		}
		for _, w := range c.watches {
			w.Open()
		}
		go func() {
			time.Sleep(time.Second)
			c.say(0)
			for _, w := range c.watches {
				w.Close()
				w.Close()
			}
		}()
		c.fetch(2, 2*time.Second)
		synctest.Wait()
		c.fetch(2, 0)
		if n, quiet := watched(), c.standing.Quiet(); n != 0 || quiet != 0 {
			t.Errorf("%d watches and %d quiet partitions are left", n, quiet)
		}
	})
}

// A reader who never comes back costs each partition one event. One who does is told as ever.
func TestSessionOfWhichNothingIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		c.say(1)
		if here, there := mustPartition(c, 0).watchers.any.Load(), mustPartition(c, 1).watchers.any.Load(); here != 1 || there != 0 {
			t.Errorf("%d watches where nothing happened, %d where something did; want 1 and 0", here, there)
		}
		c.say(1)
		c.expect("it comes back", c.fetch(2, 0), "1@0")
		c.expect("for the rest", c.fetch(2, 0), "1@0")
		c.expect("and knows all", c.fetch(2, 0))
		go func() {
			time.Sleep(time.Second)
			c.say(1)
		}()
		c.expect("and waits", c.fetch(2, time.Minute), "1@0")
	})
}

// A follower that leaves the ISR while it has nothing to fetch is looked at by its next fetch.
func TestSessionOfOneThatLeavesTheISR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		p := mustPartition(c, 1)
		p.mu.Lock()
		pr := p.core.propose(ids(1, 3), noBroker)
		p.mu.Unlock()
		p.proposalAnswered(pr, cluster.AlterPartitionResult{State: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 1, ISR: ids(1, 3), PartitionEpoch: 2}})
		c.expect("it is to join again", c.fetch(2, 0), "1@0")
		c.expect("until it has", c.fetch(2, 0), "1@0")
	})
}

// What one request of the controller does to many partitions, one answer tells.
func TestSessionHearsOfARequestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 500
		c := newCrowd(t, n, 2)
		var states []*cluster.PartitionState
		for i := range n {
			s := led(2, 2, ids(1, 2, 3), ids(1, 2, 3))
			s.TopicPartition, s.Leader = tpOf(i), 3
			states = append(states, s)
		}
		go func() {
			time.Sleep(time.Second)
			if err := c.tell(states...); err != nil {
				t.Error(err)
			}
		}()
		if looked := c.fetch(2, time.Minute); len(looked) != n {
			t.Errorf("looked at %d partitions of which another broker became the leader, want %d", len(looked), n)
		}
	})
}

// A partition that goes away is looked at again if a fetch finds that before its watches are told.
func TestSessionLooksAgainAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		p := mustPartition(c, 1)
		go func() {
			time.Sleep(time.Second)
			c.registry.set(p.TopicPartition, hosted{partition: p, offline: true})
		}()
		c.watches[1].Open()
		c.expect("found when the wait is over", c.fetch(2, 2*time.Second), "1!")
		p.leave()
		c.expect("the error again", c.fetch(2, 0), "1!")
		c.expect("and again", c.fetch(2, 0), "1!")
	})
}

// No wake-up is lost: whatever is appended while a session fetches, it has all of it without waiting for a timeout.
func TestSessionMissesNothing(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			const partitions, records = 8, 40
			c := newCrowd(t, partitions, 2)
			var writers sync.WaitGroup
			for w := range uint64(3) {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(seed, w))
					for range records {
						c.say(r.IntN(partitions))
						if r.IntN(4) == 0 {
							time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
						}
					}
				})
			}
			total := func() (n int64) {
				for _, offset := range c.offsets {
					n += offset
				}
				return n
			}
			for total() < 3*records {
				before, began := total(), time.Now()
				if c.fetch(2, time.Hour); time.Since(began) >= time.Hour {
					t.Fatalf("seed %d: waited in vain after %d of %d records", seed, before, 3*records)
				}
			}
			writers.Wait()
		})
	}
}

// The same for one record at a time, which no later one makes good for.
func TestSessionMissesNoSingleRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		for i := range 3000 {
			c.fetch(2, 0) // tells that it has the one before
			begun := make(chan struct{})
			go func() {
				close(begun)
				linger()
				c.say(i % 2)
			}()
			<-begun
			linger()
			began := time.Now()
			if c.fetch(2, time.Hour); time.Since(began) >= time.Hour {
				t.Fatalf("waited in vain for record %d", i)
			}
			synctest.Wait()
		}
	})
}

// linger takes up to some ten microseconds, more or less what a fetch takes to begin.
func linger() {
	for range rand.IntN(50) {
		runtime.Gosched()
	}
}

// BenchmarkLeaderRoundOfSession is BenchmarkLeaderRound in a session.
func BenchmarkLeaderRoundOfSession(b *testing.B) {
	m := newBroker(b)
	m.live(1, 2)
	var states []*cluster.PartitionState
	standing := NewStanding()
	var watches []*StandingWatch
	for i := range int32(1000) {
		s := led(5, 5, ids(1, 2), ids(1, 2))
		s.Partition = i
		states = append(states, s)
		watches = append(watches, standing.Add(FetchPartition{TopicPartition: s.TopicPartition, LeaderEpoch: 5, LastFetchedEpoch: cluster.NoEpoch, BytesMax: 1 << 20}))
	}
	if err := m.tell(states...); err != nil {
		b.Fatal(err)
	}
	f := &FetchParams{ReplicaID: 2, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, BytesMin: 1, BytesMax: 10 << 20, Standing: standing}
	var parts []FetchPartition
	var results []FetchResult
	b.ReportAllocs()
	for b.Loop() {
		watches[500].Open()
		parts, results = m.Fetch(b.Context(), f, standing.Begin(1, parts[:0]), results[:0])
		standing.End()
	}
	if len(results) != 1 || results[0].Err != nil {
		b.Errorf("%d results", len(results))
	}
	for _, w := range watches {
		w.Close()
	}
}
