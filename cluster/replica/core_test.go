package replica

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

const lagMax = 30 * time.Second

var t0 = time.Unix(1_700_000_000, 0)

func at(offset int64) log.Position {
	return log.Position{Offset: offset, SegmentBase: 0, Byte: int32(offset) * 100}
}

// alive is an image in which these brokers live.
func alive(ids ...cluster.BrokerID) *cluster.Metadata {
	r := &cluster.UpdateMetadataRequest{}
	for _, id := range ids {
		r.LiveBrokers = append(r.LiveBrokers, cluster.Broker{ID: id})
	}
	m, _ := cluster.NewMetadata("").With(r)
	return m
}

// led is a state in which broker 1 leads.
func led(epoch cluster.LeaderEpoch, partitionEpoch cluster.PartitionEpoch, replicas, members []cluster.BrokerID) *cluster.PartitionState {
	return &cluster.PartitionState{
		TopicPartition: protocol.TopicPartition{Topic: "t"},
		LeaderAndISR:   cluster.LeaderAndISR{Leader: 1, LeaderEpoch: epoch, ISR: members, PartitionEpoch: partitionEpoch},
		Assignment:     cluster.Assignment{Replicas: replicas},
	}
}

func ids(ids ...cluster.BrokerID) []cluster.BrokerID { return ids }

// leader is broker 1, which began to lead replicas 1, 2 and 3 in epoch 5 at offset start.
func leader(t *testing.T, start int64, members ...cluster.BrokerID) *core {
	t.Helper()
	c := newCore(1, lag{time: lagMax})
	if newLeader, applied := c.becomeLeader(led(5, 10, ids(1, 2, 3), members), start, t0); !newLeader || !applied {
		t.Fatalf("becomeLeader = %v, %v", newLeader, applied)
	}
	t.Cleanup(func() {
		if err := c.check(); err != nil {
			t.Errorf("invariant: %v", err)
		}
	})
	return &c
}

func (c *core) fetch(id cluster.BrokerID, offset, leaderEnd int64, now time.Time) *Progress {
	p := c.follower(id)
	p.fetched(at(offset), 0, leaderEnd, -1, now)
	return p
}

// A reassignment takes a replica out of the assignment first and out of the ISR after that. In between it can still be elected, so
// nothing is committed that it lacks.
func TestUnassignedMemberHoldsTheHighWatermark(t *testing.T) {
	c := leader(t, 0, 1, 2, 3)
	c.fetch(2, 24, 28, t0)
	c.fetch(3, 28, 28, t0)
	if _, applied := c.becomeLeader(led(6, 11, ids(1, 3), ids(1, 2, 3)), 28, t0); !applied {
		t.Fatal("not applied")
	}
	if end, ok := c.committedEnd(at(28), 1, alive(1, 2, 3), t0.Add(time.Hour)); !ok || end.Offset != 24 {
		t.Errorf("candidate %v, %v: member 2 has 24", end.Offset, ok)
	}
	p := c.shrinking(28, t0.Add(time.Hour))
	if changed, _ := c.answered(p, cluster.AlterPartitionResult{State: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 6, ISR: ids(1, 3), PartitionEpoch: 12}}, t0); !changed {
		t.Fatal("no change")
	}
	if c.follower(2) != nil {
		t.Error("2 has left the ISR and is still a follower")
	}
	if end, _ := c.committedEnd(at(28), 1, alive(1, 2, 3), t0); end.Offset != 28 {
		t.Errorf("candidate %v after 2 has left", end.Offset)
	}
}

func TestHighWatermarkCandidate(t *testing.T) {
	const late = time.Hour
	for _, test := range []struct {
		name    string
		members []cluster.BrokerID
		fetched map[cluster.BrokerID]int64 // at t0
		joins   cluster.BrokerID           // an expansion is pending
		leaves  cluster.BrokerID           // a shrink is pending
		dead    cluster.BrokerID
		minISR  int
		age     time.Duration // since the fetches
		want    int64         // -1: stays
	}{
		{name: "alone in the ISR: own end, followers that never fetched do not count", members: ids(1), age: late, want: 100},
		{name: "waits for a member that has not fetched", members: ids(1, 2), fetched: nil, want: -1},
		{name: "waits for the slowest member", members: ids(1, 2, 3), fetched: map[cluster.BrokerID]int64{2: 90, 3: 80}, want: 80},
		{name: "a replica outside does not hold it back", members: ids(1, 2), fetched: map[cluster.BrokerID]int64{2: 90, 3: 10}, age: late, want: 90},
		{name: "but one that is caught up and will join does", members: ids(1, 2), fetched: map[cluster.BrokerID]int64{2: 100, 3: 60}, age: 0, want: 100},
		{name: "one that joins counts before the controller has agreed", members: ids(1, 2), fetched: map[cluster.BrokerID]int64{2: 95, 3: 70}, joins: 3, age: late, want: 70},
		{name: "one that leaves counts until the controller has agreed", members: ids(1, 2, 3), fetched: map[cluster.BrokerID]int64{2: 100, 3: 40}, leaves: 3, age: late, want: 40},
		{name: "stands while the ISR is below its minimum", members: ids(1), minISR: 2, want: -1},
		{name: "the minimum is no more than the replicas there are", members: ids(1, 2, 3), fetched: map[cluster.BrokerID]int64{2: 100, 3: 100}, minISR: 5, want: 100},
		{name: "a dead replica that was caught up does not hold it back", members: ids(1, 2), fetched: map[cluster.BrokerID]int64{2: 100, 3: 99}, dead: 3, want: 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := leader(t, 0, test.members...)
			for id, offset := range test.fetched {
				c.fetch(id, offset, 100, t0)
			}
			if test.joins != 0 {
				c.propose(c.isr.with(test.joins), test.joins)
			}
			if test.leaves != 0 {
				c.propose(c.isr.without(ids(test.leaves)), noBroker)
			}
			image := alive(slices.DeleteFunc(ids(1, 2, 3), func(id cluster.BrokerID) bool { return id == test.dead })...)
			got, ok := c.committedEnd(at(100), max(test.minISR, 1), image, t0.Add(test.age))
			if !ok {
				got.Offset = -1
			}
			if got.Offset != test.want {
				t.Errorf("candidate %d, want %d", got.Offset, test.want)
			}
		})
	}
}

// A follower that is live and had everything within the lag time is about to join; committing without it would make it
// drop out again at once.
func TestHighWatermarkWaitsForACaughtUpReplica(t *testing.T) {
	c := leader(t, 0, 1)
	c.fetch(2, 100, 100, t0)
	for _, test := range []struct {
		age  time.Duration
		want int64
	}{{lagMax, 100}, {lagMax + time.Millisecond, 150}} {
		if got, _ := c.committedEnd(at(150), 1, alive(1, 2), t0.Add(test.age)); got.Offset != test.want {
			t.Errorf("%v after it had everything: candidate %d, want %d", test.age, got.Offset, test.want)
		}
	}
}

func TestFollowerIsCaughtUpAtItsPreviousFetch(t *testing.T) {
	c := leader(t, 0, 1, 2)
	type step struct{ after, offset, leaderEnd, caughtUp int } // seconds after t0
	for _, s := range []step{
		{1, 50, 100, 0},   // behind: the grace of a member of the ISR, from t0
		{2, 100, 200, 1},  // has what the leader had at the previous fetch
		{3, 150, 300, 1},  // has not
		{4, 300, 300, 4},  // has all
		{5, 290, 400, 4},  // truncated
		{6, 400, 1000, 5}, // has what the leader had a fetch ago
	} {
		now := t0.Add(time.Duration(s.after) * time.Second)
		p := c.fetch(2, int64(s.offset), int64(s.leaderEnd), now)
		if want := t0.Add(time.Duration(s.caughtUp) * time.Second); !p.CaughtUp.Equal(want) {
			t.Errorf("fetch at %d of %d, second %d: caught up at %v, want %v", s.offset, s.leaderEnd, s.after, p.CaughtUp.Sub(t0), want.Sub(t0))
		}
	}
}

func TestExpansion(t *testing.T) {
	for _, test := range []struct {
		name       string
		offset, hw int64
		epochStart int64
		live       bool
		pending    bool
		member     bool
		want       bool
	}{
		{name: "has all that is committed", offset: 80, hw: 80, epochStart: 50, live: true, want: true},
		{name: "lags behind the high watermark", offset: 79, hw: 80, epochStart: 50, live: true},
		{name: "case 10: lags behind the epoch's start", offset: 90, hw: 80, epochStart: 95, live: true},
		{name: "dead", offset: 80, hw: 80, epochStart: 50},
		{name: "another change is in flight", offset: 80, hw: 80, epochStart: 50, live: true, pending: true},
		{name: "is a member", offset: 80, hw: 80, epochStart: 50, live: true, member: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			members := ids(1, 3)
			if test.member {
				members = append(members, 2)
			}
			c := leader(t, test.epochStart, members...)
			if test.pending {
				c.propose(ids(1), noBroker)
			}
			image := alive(1, 3)
			if test.live {
				image = alive(1, 2, 3)
			}
			p := c.expansion(c.fetch(2, test.offset, 100, t0), test.hw, 100, image)
			if (p != nil) != test.want {
				t.Fatalf("proposal %+v", p)
			}
			if p != nil && (!slices.Equal(p.isr, ids(1, 3, 2)) || p.leaderEpoch != 5 || p.partitionEpoch != 10) {
				t.Errorf("proposal %+v", *p)
			}
		})
	}
}

func TestShrinking(t *testing.T) {
	c := leader(t, 0, 1, 2, 3)
	c.fetch(2, 100, 100, t0)
	c.fetch(3, 60, 100, t0)
	if p := c.shrinking(100, t0.Add(lagMax)); p != nil {
		t.Fatalf("within the lag time: %+v", p)
	}
	p := c.shrinking(100, t0.Add(lagMax+1))
	if p == nil || !slices.Equal(p.isr, ids(1, 2)) {
		t.Fatalf("after the lag time: %+v; the replica at the log end stays, the other leaves", p)
	}
	if c.isr.size() != 3 || c.isr.maximalSize() != 3 {
		t.Errorf("the one that leaves still counts: ISR %d, maximal %d", c.isr.size(), c.isr.maximalSize())
	}
	if again := c.shrinking(200, t0.Add(time.Hour)); again != nil {
		t.Errorf("a second change in flight: %+v", again)
	}
}

// Kafka 0.8's replica.lag.max.messages: who is further behind is out of sync, however lately it had everything. It does not join before it
// has come near enough to stay, and nothing waits for it before that.
func TestLagInMessages(t *testing.T) {
	for _, test := range []struct {
		name   string
		max    int64
		offset int64 // of follower 2, where the leader has 100; unknownOffset: it has not fetched
		tooFar bool
	}{
		{name: "no limit", max: 0, offset: 0},
		{name: "has all", max: 10, offset: 100},
		{name: "at the limit", max: 10, offset: 90},
		{name: "beyond the limit", max: 10, offset: 89, tooFar: true},
		{name: "not heard of yet: the lag time counts", max: 10, offset: unknownOffset},
	} {
		t.Run(test.name, func(t *testing.T) {
			member, outside := leader(t, 0, 1, 2), leader(t, 0, 1)
			for _, c := range []*core{member, outside} {
				c.lagMax.messages = test.max
				c.fetch(2, 0, 0, t0) // it had everything
				c.follower(2).End = at(test.offset)
			}
			if p := member.shrinking(100, t0); (p != nil) != test.tooFar {
				t.Errorf("leaves: %+v", p)
			}
			highWatermark := max(test.offset, 0)
			joins := outside.expansion(outside.follower(2), highWatermark, 100, alive(1, 2)) != nil
			if want := test.offset >= 0 && !test.tooFar; joins != want {
				t.Errorf("joins: %v, want %v", joins, want)
			}
		})
	}
	c := leader(t, 0, 1)
	c.lagMax.messages = 10
	c.fetch(2, 80, 80, t0)
	for end, want := range map[int64]int64{90: 80, 91: 91} {
		if got, _ := c.committedEnd(at(end), 1, alive(1, 2), t0); got.Offset != want {
			t.Errorf("a replica outside at 80 of %d: candidate %d, want %d", end, got.Offset, want)
		}
	}
}

// A refusal does not speak for a request that was sent before and not answered: a controller may still get that and agree. The proposal
// is taken back by a write that makes the request void, whatever is heard of it, and counts until that is known to be done.
func TestRefusalAfterUnansweredRequest(t *testing.T) {
	result := func(partitionEpoch cluster.PartitionEpoch, members ...cluster.BrokerID) cluster.AlterPartitionResult {
		return cluster.AlterPartitionResult{State: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 5, ISR: members, PartitionEpoch: partitionEpoch}}
	}
	refused := func(err error) cluster.AlterPartitionResult { return cluster.AlterPartitionResult{Err: err} }
	type step struct {
		asked   []cluster.BrokerID // what the controller is asked for
		answer  cluster.AlterPartitionResult
		maximal int // members waited for, after the answer
	}
	joins, back := ids(1, 2, 3), ids(2, 1)
	for _, test := range []struct {
		name  string
		steps []step // after the last, nothing is asked any more
	}{
		{"taken back", []step{{joins, refused(kerr.IneligibleReplica), 3}, {back, result(11, 2, 1), 2}}},
		{"done before it was taken back", []step{{joins, refused(kerr.IneligibleReplica), 3}, {back, refused(kerr.InvalidUpdateVersion), 3}, {joins, result(11, 1, 2, 3), 3}}},
		{"overtaken by another change", []step{{joins, refused(kerr.IneligibleReplica), 3}, {back, refused(kerr.InvalidUpdateVersion), 3}, {joins, refused(kerr.InvalidUpdateVersion), 3}}},
		{"taking it back is not answered", []step{{joins, refused(kerr.IneligibleReplica), 3}, {back, refused(kerr.UnknownServerError), 3}, {back, result(11, 2, 1), 2}}},
		{"not to be taken back", []step{{joins, refused(kerr.IneligibleReplica), 3}, {back, refused(kerr.IneligibleReplica), 3}, {back, refused(kerr.FencedLeaderEpoch), 3}}},
		{"refused for another reason", []step{{joins, refused(kerr.FencedLeaderEpoch), 3}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := leader(t, 0, 1, 2)
			p := c.expansion(c.fetch(3, 100, 100, t0), 100, 100, alive(1, 2, 3))
			c.unanswered(p, t0)
			for i, s := range test.steps {
				if !slices.Equal(p.asked(), s.asked) {
					t.Errorf("step %d: asked for %v, want %v", i, p.asked(), s.asked)
				}
				_, again := c.answered(p, s.answer, t0)
				if again == (i == len(test.steps)-1) || c.isr.maximalSize() != s.maximal {
					t.Errorf("step %d: again = %v, maximal ISR of %d, want %d", i, again, c.isr.maximalSize(), s.maximal)
				}
			}
		})
	}
}

// A leader alone in its ISR has no other way to write it: it waits until the request can be on its way no more.
func TestRefusalAfterUnansweredRequestOfTheLast(t *testing.T) {
	c := leader(t, 0, 1)
	p := c.expansion(c.fetch(3, 100, 100, t0), 100, 100, alive(1, 2, 3))
	c.unanswered(p, t0)
	refusal := cluster.AlterPartitionResult{Err: kerr.IneligibleReplica}
	if _, again := c.answered(p, refusal, t0.Add(doubtMax-1)); !again || !c.isr.maximalContains(3) {
		t.Errorf("again = %v, member 3 is waited for: %v", again, c.isr.maximalContains(3))
	}
	if _, again := c.answered(p, refusal, t0.Add(doubtMax)); again || c.isr.maximalContains(3) {
		t.Errorf("later: again = %v, member 3 is waited for: %v", again, c.isr.maximalContains(3))
	}
}

func TestProposalAnswered(t *testing.T) {
	state := func(epoch cluster.LeaderEpoch, partitionEpoch cluster.PartitionEpoch) cluster.AlterPartitionResult {
		return cluster.AlterPartitionResult{State: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: epoch, ISR: ids(1, 2, 3), PartitionEpoch: partitionEpoch}}
	}
	refused := func(e error) cluster.AlterPartitionResult {
		return cluster.AlterPartitionResult{Err: fmt.Errorf("controller: %w", e)}
	}
	for _, test := range []struct {
		name           string
		answer         cluster.AlterPartitionResult
		changed, again bool
		pending        bool // still
		maximal        int
	}{
		{"committed", state(5, 11), true, false, false, 3},
		{"of another leader epoch", state(6, 11), false, false, true, 3},
		{"of an older partition epoch", state(5, 9), false, false, true, 3},
		{"ineligible replica: surely not done", refused(kerr.IneligibleReplica), false, false, false, 2},
		{"not attempted: surely not done", refused(kerr.OperationNotAttempted), false, false, false, 2},
		{"fenced: wait for LeaderAndIsr, count the maximal ISR", refused(kerr.FencedLeaderEpoch), false, false, true, 3},
		{"invalid version: likewise", refused(kerr.InvalidUpdateVersion), false, false, true, 3},
		{"unknown topic id: likewise", refused(kerr.UnknownTopicID), false, false, true, 3},
		{"anything else: again", refused(kerr.UnknownServerError), false, true, true, 3},
		{"the controller was removed meanwhile: again", refused(errors.New("broken pipe")), false, true, true, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := leader(t, 0, 1, 2)
			p := c.expansion(c.fetch(3, 100, 100, t0), 100, 100, alive(1, 2, 3))
			changed, again := c.answered(p, test.answer, t0)
			if changed != test.changed || again != test.again {
				t.Errorf("answered = %v, %v, want %v, %v", changed, again, test.changed, test.again)
			}
			if (c.isr.pending != nil) != test.pending || c.isr.maximalSize() != test.maximal {
				t.Errorf("pending %v, maximal ISR of %d; want %v, %d", c.isr.pending != nil, c.isr.maximalSize(), test.pending, test.maximal)
			}
		})
	}
	t.Run("to a proposal that is not the pending one", func(t *testing.T) {
		c := leader(t, 0, 1, 2)
		old := c.expansion(c.fetch(3, 100, 100, t0), 100, 100, alive(1, 2, 3))
		c.becomeLeader(led(6, 12, ids(1, 2, 3), ids(1, 2)), 120, t0)
		if changed, again := c.answered(old, state(6, 13), t0); changed || again || c.isr.size() != 2 {
			t.Errorf("answered = %v, %v; ISR %v", changed, again, c.isr.committed)
		}
	})
}

func TestFence(t *testing.T) {
	c := leader(t, 0, 1)
	for epoch, want := range map[cluster.LeaderEpoch]error{-1: nil, 5: nil, 4: ErrFencedEpoch, 0: ErrFencedEpoch, 6: ErrUnknownEpoch} {
		if err := c.fence(epoch); err != want {
			t.Errorf("case 8: epoch %d against 5: %v, want %v", epoch, err, want)
		}
	}
}

func TestAdmits(t *testing.T) {
	c := leader(t, 0, 1)
	for _, test := range []struct {
		state *cluster.PartitionState
		want  error
	}{
		{led(6, 11, ids(1, 2), ids(1)), nil},
		{led(5, 11, ids(1, 2), ids(1)), ErrStaleControllerEpoch},
		{led(4, 11, ids(1, 2), ids(1)), ErrStaleControllerEpoch},
		{led(6, 11, ids(2, 3), ids(2)), errNotReplica},
	} {
		if err := c.admits(test.state); err != test.want {
			t.Errorf("case 33: epoch %d, replicas %v: %v, want %v", test.state.LeaderEpoch, test.state.Replicas, err, test.want)
		}
	}
	fresh := newCore(1, lag{time: lagMax})
	if err := fresh.admits(led(0, 0, ids(1), ids(1))); err != nil {
		t.Errorf("the first state after start: %v", err)
	}
}

func TestRoleChanges(t *testing.T) {
	c := leader(t, 40, 1, 2)
	c.fetch(2, 60, 60, t0)

	if _, applied := c.becomeLeader(led(6, 9, ids(1, 2, 3), ids(1, 2)), 70, t0); applied || c.leaderEpoch != 5 {
		t.Errorf("a state with an older partition epoch applied")
	}
	newLeader, applied := c.becomeLeader(led(6, 12, ids(1, 2), ids(1, 2)), 70, t0.Add(time.Minute))
	if newLeader || !applied {
		t.Errorf("re-elected: newLeader %v, applied %v", newLeader, applied)
	}
	if p := c.follower(2); p.End.Offset != 60 || c.follower(3) != nil || c.epochStart != 70 {
		t.Errorf("re-elected: follower 2 at %d, follower 3 %v, epoch starts at %d; want 60, none, 70", p.End.Offset, c.follower(3), c.epochStart)
	}

	following := led(7, 13, ids(1, 2), ids(2))
	following.Leader = 2
	if newEpoch, applied := c.becomeFollower(following); !newEpoch || !applied || c.isLeader() || c.epochStart != unknownOffset {
		t.Errorf("deposed: %v, %v, leads %v, epoch start %d", newEpoch, applied, c.isLeader(), c.epochStart)
	}
	if newLeader, _ := c.becomeLeader(led(8, 14, ids(1, 2), ids(1, 2)), 90, t0); !newLeader || c.follower(2).End.Offset != unknownOffset {
		t.Errorf("elected again: newLeader %v, follower at %d; a new leader knows nothing of its followers", newLeader, c.follower(2).End.Offset)
	}
}

func TestLowWatermark(t *testing.T) {
	c := leader(t, 0, 1, 2, 3)
	if low := c.lowWatermark(50, alive(1, 2, 3)); low != unknownOffset {
		t.Errorf("followers that never fetched: %d, want unknown", low)
	}
	c.follower(2).LogStart, c.follower(3).LogStart = 70, 20
	if low := c.lowWatermark(50, alive(1, 2, 3)); low != 20 {
		t.Errorf("low watermark %d, want 20", low)
	}
	if low := c.lowWatermark(50, alive(1, 2)); low != 50 {
		t.Errorf("low watermark %d with a dead follower, want 50", low)
	}
}

func TestCloserReplica(t *testing.T) {
	broker := func(id cluster.BrokerID, rack string) cluster.Broker {
		return cluster.Broker{ID: id, Rack: rack, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT"}}}
	}
	image := func(brokers ...cluster.Broker) *cluster.Metadata {
		m, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{LiveBrokers: brokers})
		return m
	}
	all := image(broker(1, "x"), broker(2, "y"), broker(3, "y"))
	for _, test := range []struct {
		name     string
		rack     string
		listener string
		offset   int64
		members  []cluster.BrokerID
		image    *cluster.Metadata
		want     cluster.BrokerID
	}{
		{"the furthest in the rack", "y", "PLAINTEXT", 50, ids(1, 2, 3), all, 3},
		{"only in sync", "y", "PLAINTEXT", 50, ids(1, 2), all, 2},
		{"only with the offset", "y", "PLAINTEXT", 85, ids(1, 2, 3), all, 3},
		{"none has the offset yet", "y", "PLAINTEXT", 95, ids(1, 2, 3), all, noBroker},
		{"none has the offset any more", "y", "PLAINTEXT", 5, ids(1, 2, 3), all, noBroker},
		{"the leader's own rack", "x", "PLAINTEXT", 50, ids(1, 2, 3), all, noBroker},
		{"a rack without replicas", "z", "PLAINTEXT", 50, ids(1, 2, 3), all, noBroker},
		{"no rack", "", "PLAINTEXT", 50, ids(1, 2, 3), all, noBroker},
		{"not at this listener", "y", "SSL", 50, ids(1, 2, 3), all, noBroker},
		{"the furthest is dead", "y", "PLAINTEXT", 50, ids(1, 2, 3), image(broker(1, "x"), broker(2, "y")), 2},
	} {
		c := leader(t, 0, test.members...)
		for id, end := range map[cluster.BrokerID]int64{2: 80, 3: 90} {
			c.follower(id).fetched(at(end), 10, 100, -1, t0)
		}
		if got := c.closerReplica(test.rack, test.listener, test.offset, test.image); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
