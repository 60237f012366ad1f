package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// bubble runs a test of a coordinator of one partition in virtual time; it fails if a goroutine outlives Close.
func bubble(t *testing.T, test func(t *testing.T, c *Coordinator, j *memJournal)) {
	synctest.Test(t, func(t *testing.T) {
		j := &memJournal{}
		c := New(DefaultSettings(), j, 1)
		defer c.Close()
		test(t, c, j)
	})
}

func elect(c *Coordinator) {
	c.Elected(0, 1)
	synctest.Wait()
}

func joinOf(client, id string) *JoinRequest {
	return &JoinRequest{
		Group: "g", MemberID: id, ClientID: client, SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: subscription("t")}},
	}
}

func commitOf(group string, offset int64) *CommitRequest {
	return &CommitRequest{Group: group, Generation: -1, Offsets: []PartitionOffset{{
		TopicPartition: protocol.TopicPartition{Topic: "t"}, CommittedOffset: CommittedOffset{Offset: offset, ExpireTimestamp: -1, CommitTimestamp: time.Now().UnixMilli()},
	}}}
}

func TestMembersWaitForEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		ctx := t.Context()
		began := time.Now()
		var members sync.WaitGroup
		for i := range 3 {
			members.Go(func() {
				r := c.Join(ctx, joinOf(fmt.Sprint("c", i), ""))
				if r.Err != nil || r.Generation != 1 {
					t.Errorf("join: %+v", r)
				}
				s := &SyncRequest{Group: "g", MemberID: r.MemberID, Generation: 1, Assignments: map[string][]byte{}}
				for _, m := range r.Members {
					s.Assignments[m.MemberID] = []byte("for " + m.MemberID)
				}
				if got := c.Sync(ctx, s); got.Err != nil || string(got.Assignment) != "for "+r.MemberID {
					t.Errorf("sync: %+v", got)
				}
			})
		}
		members.Wait()
		if waited := time.Since(began); waited != 6*time.Second { // two came within the first delay: it is extended once
			t.Errorf("the first rebalance took %v", waited)
		}
		d, err := c.Describe(ctx, "g")
		if err != nil || d.State != "Stable" || len(d.Members) != 3 {
			t.Errorf("%+v, %v", d, err)
		}
		time.Sleep(11 * time.Second)
		if d, _ := c.Describe(ctx, "g"); d.State != "Empty" {
			t.Errorf("after the sessions: %+v", d)
		}
	})
}

func TestErrorsByState(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		ctx := t.Context()
		verdicts := func() []error {
			_, leave := c.Leave(ctx, "g", []LeavingMember{{}})
			_, fetch := c.FetchOffsets(ctx, "g", nil, false)
			_, describe := c.Describe(ctx, "g")
			_, list := c.List(ctx)
			_, forget := c.DeleteOffsets(ctx, "g", nil)
			return []error{
				c.Join(ctx, joinOf("c", "x")).Err, c.Sync(ctx, &SyncRequest{Group: "g"}).Err, c.Heartbeat(ctx, &HeartbeatRequest{Group: "g"}),
				leave, fetch, describe, list, forget, c.Commit(ctx, commitOf("g", 1))[0], c.Delete(ctx, "g"),
			}
		}
		expect := func(when string, want ...error) {
			t.Helper()
			for i, got := range verdicts() {
				if got != want[min(i, len(want)-1)] {
					t.Errorf("%s: request %d: %v", when, i, got)
				}
			}
		}
		not, load := kerr.NotCoordinator, kerr.CoordinatorLoadInProgress
		expect("before election", not, not, not, not, not, not, nil, not, not, not)
		j.unread = errors.New("disk trouble")
		elect(c)
		expect("while loading", load, kerr.RebalanceInProgress, nil, load)
		j.mu.Lock()
		j.unread = nil
		j.mu.Unlock()
		time.Sleep(loadRetryInterval)
		synctest.Wait()
		unknown, missing := kerr.UnknownMemberID, kerr.GroupIDNotFound
		expect("serving", unknown, unknown, unknown, nil, nil, nil, nil, missing, nil, nil)
		c.Resigned(0, 2)
		expect("after resignation", not, not, not, not, not, not, nil, not, not, not)
		c.Elected(0, 1)
		expect("of an older epoch", not, not, not, not, not, not, nil, not, not, not)
		c.Close()
		expect("closed", kerr.CoordinatorNotAvailable)
		if err := c.Heartbeat(ctx, &HeartbeatRequest{}); err != kerr.InvalidGroupID {
			t.Errorf("no group: %v", err)
		}
	})
}

func TestSessionTimeoutLimits(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		for _, timeout := range []time.Duration{0, 5999 * time.Millisecond, 30*time.Minute + 1} {
			r := joinOf("c", "")
			r.SessionTimeout = timeout
			if got := c.Join(t.Context(), r); got.Err != kerr.InvalidSessionTimeout {
				t.Errorf("%v: %+v", timeout, got)
			}
		}
	})
}

// Who waits when the coordinator moves is sent to the new one, and finds there what was written.
func TestMoveOfCoordinator(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		ctx := t.Context()
		if errs := c.Commit(ctx, commitOf("g", 5)); errs[0] != nil {
			t.Fatal(errs)
		}
		waiting := make(chan JoinResult)
		go func() { waiting <- c.Join(ctx, joinOf("c", "")) }()
		synctest.Wait()
		c.Resigned(0, 2)
		if r := <-waiting; r.Err != kerr.NotCoordinator {
			t.Errorf("%+v", r)
		}
		c.Elected(0, 3)
		c.Elected(0, 4) // stays the leader: nothing is loaded again
		synctest.Wait()
		if got, err := c.FetchOffsets(ctx, "g", nil, true); err != nil || len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		c.Resigned(0, 3) // late news
		if _, err := c.Describe(ctx, "g"); err != nil {
			t.Errorf("an older epoch must not end it: %v", err)
		}
		c.Resigned(0, -1)
		if _, err := c.Describe(ctx, "g"); err != kerr.NotCoordinator {
			t.Errorf("the partition was stopped: %v", err)
		}
	})
}

// Writes on their way do not hold up the loop, and take effect in order.
func TestCommitsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 1))
		j.hold()
		results := make(chan []error, 3)
		go func() { results <- c.Commit(ctx, commitOf("g", 2)) }()
		synctest.Wait()
		go func() { results <- c.Commit(ctx, commitOf("g", 3)) }()
		synctest.Wait()
		if got, _ := c.FetchOffsets(ctx, "g", nil, false); got[0].Offset != 1 {
			t.Errorf("shown before it is committed: %+v", got)
		}
		if got, _ := c.FetchOffsets(ctx, "g", nil, true); got[0].Err != kerr.UnstableOffsetCommit {
			t.Errorf("stable: %+v", got)
		}
		j.release(nil)
		for range 2 {
			if errs := <-results; errs[0] != nil {
				t.Error(errs)
			}
		}
		if got, _ := c.FetchOffsets(ctx, "g", nil, true); got[0].Offset != 3 {
			t.Errorf("the last must win: %+v", got)
		}
	})
}

// A client waits no longer than offsets.commit.timeout.ms; what is committed after that counts.
func TestCommitTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		j.hold()
		began := time.Now()
		if errs := c.Commit(ctx, commitOf("g", 2)); errs[0] != kerr.RequestTimedOut || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", errs, time.Since(began))
		}
		j.release(nil)
		synctest.Wait()
		if got, _ := c.FetchOffsets(ctx, "g", nil, true); got[0].Offset != 2 {
			t.Errorf("%+v", got)
		}
		j.hold()
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if errs := c.Commit(gone, commitOf("g", 3)); !errors.Is(errs[0], context.Canceled) {
			t.Errorf("a client that went: %v", errs)
		}
		// Leadership lost while it waits: it may be in the next leader's log, or not.
		lost := make(chan []error)
		go func() { lost <- c.Commit(ctx, commitOf("g", 4)) }()
		synctest.Wait()
		j.release(kerr.NotLeaderForPartition)
		if errs := <-lost; errs[0] != kerr.NotCoordinator {
			t.Errorf("%v", errs)
		}
		if got, _ := c.FetchOffsets(ctx, "g", nil, true); got[0].Offset >= 4 {
			t.Errorf("shown though not committed here: %+v", got)
		}
	})
}

// When replicas are missing for long, clients that retry do not pile up writes without bound.
func TestInFlightIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		j.hold()
		var refused int
		var mu sync.Mutex
		var clients sync.WaitGroup
		for i := range inFlightMax + 10 {
			clients.Go(func() {
				if errs := c.Commit(ctx, commitOf(fmt.Sprint(i), 1)); errs[0] == kerr.CoordinatorNotAvailable {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if refused != 10 {
			t.Errorf("%d refused", refused)
		}
		j.release(nil)
		synctest.Wait()
		if errs := c.Commit(ctx, commitOf("g", 1)); errs[0] != nil {
			t.Error(errs)
		}
	})
}

func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 2))
		time.Sleep(7*24*time.Hour - time.Second)
		if got, _ := c.FetchOffsets(ctx, "g", nil, true); len(got) != 1 {
			t.Error("gone too early")
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if list, err := c.List(ctx); err != nil || len(list) != 0 || j.appends != 2 {
			t.Errorf("%v, %v, %d batches", list, err, j.appends)
		}
	})
}

// Ids that are asked for and never used are bounded, and gone when their sessions are over.
func TestPendingIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		r := joinOf("c", "")
		r.RequireKnownMemberID = true
		for range pendingMax {
			if got := c.Join(t.Context(), r); got.Err != kerr.MemberIDRequired {
				t.Fatalf("%+v", got)
			}
		}
		if got := c.Join(t.Context(), r); got.Err != kerr.GroupMaxSizeReached {
			t.Errorf("%+v", got)
		}
		time.Sleep(r.SessionTimeout)
		synctest.Wait()
		if list, err := c.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// A group with more offsets than one batch can delete.
func TestDeleteManyOffsets(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		r := commitOf("g", 1)
		for i := range int32(5000) {
			r.Offsets = append(r.Offsets, r.Offsets[0])
			r.Offsets[i].Partition = i
		}
		if errs := c.Commit(t.Context(), r); errs[0] != nil {
			t.Fatal(errs[0])
		}
		j.mu.Lock()
		j.refuse = kerr.NotEnoughReplicas
		j.mu.Unlock()
		if err := c.Delete(t.Context(), "g"); err != kerr.CoordinatorNotAvailable {
			t.Errorf("it cannot be written: %v", err)
		}
		if got, _ := c.FetchOffsets(t.Context(), "g", nil, false); len(got) != 5000 {
			t.Errorf("%d offsets are left, though nothing was written", len(got))
		}
		j.mu.Lock()
		j.refuse = nil
		j.mu.Unlock()
		if err := c.Delete(t.Context(), "g"); err != nil || j.appends != 4 {
			t.Errorf("%v after %d batches", err, j.appends)
		}
		if err := c.Delete(t.Context(), "g"); err != kerr.GroupIDNotFound {
			t.Error(err)
		}
		l := newLoader(&c.settings)
		if err := l.add(j.log); err != nil || len(l.groups(time.Now())) != 0 {
			t.Errorf("something is left in the log: %v", err)
		}
	})
}

// Many groups and one large one: each stable point has one owner for each place.
func TestManyMembers(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		ctx := t.Context()
		var clients sync.WaitGroup
		for g := range 100 {
			n := 1
			if g == 0 {
				n = 200
			}
			for i := range n {
				clients.Go(func() { live(t, c, fmt.Sprint("g", g), fmt.Sprint("c", i)) })
			}
		}
		clients.Wait()
		for _, g := range []string{"g0", "g1"} {
			d, err := c.Describe(ctx, g)
			if err != nil || d.State != "Stable" {
				t.Errorf("%s %+v, %v", g, d.State, err)
			}
			owners := map[string]bool{}
			for _, m := range d.Members {
				if owners[string(m.Assignment)] || len(m.Assignment) == 0 {
					t.Errorf("%s: %q is assigned twice, or nothing", g, m.Assignment)
				}
				owners[string(m.Assignment)] = true
			}
		}
	})
}

// live is a client that joins, syncs and beats for a minute, and joins again whenever it must.
func live(t *testing.T, c *Coordinator, group, client string) {
	ctx, id := t.Context(), ""
	var generation int32
	rejoin := func() {
		for {
			r := joinOf(client, id)
			r.Group, r.RequireKnownMemberID = group, true
			joined := c.Join(ctx, r)
			if id = joined.MemberID; joined.Err == kerr.UnknownMemberID {
				id = ""
			}
			if joined.Err != nil {
				continue
			}
			generation = joined.Generation
			s := &SyncRequest{Group: group, MemberID: id, Generation: generation, Assignments: map[string][]byte{}}
			for i, m := range joined.Members {
				s.Assignments[m.MemberID] = fmt.Append(nil, i)
			}
			if c.Sync(ctx, s).Err == nil {
				return
			}
		}
	}
	rejoin()
	for range 20 {
		time.Sleep(3 * time.Second)
		if c.Heartbeat(ctx, &HeartbeatRequest{Group: group, MemberID: id, Generation: generation}) != nil {
			rejoin()
		}
	}
}

func TestListIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journals := &manyJournals{by: map[int32]*memJournal{}}
		c := New(DefaultSettings(), journals, 5)
		defer c.Close()
		for p := range int32(5) {
			c.Elected(p, 1)
		}
		synctest.Wait()
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprintf("g%02d", i))
			if errs := c.Commit(t.Context(), commitOf(want[i], 1)); errs[0] != nil {
				t.Fatal(errs)
			}
		}
		list, err := c.List(t.Context())
		var got []string
		for _, l := range list {
			got = append(got, l.Group)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// A broker that is elected for all partitions at once loads them a few at a time.
func TestLoadsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &slowJournal{}
		c := New(DefaultSettings(), j, 50)
		defer c.Close()
		for p := range int32(50) {
			c.Elected(p, 1)
		}
		time.Sleep(50 / loadsMax * time.Second)
		synctest.Wait()
		if _, err := c.List(t.Context()); err != kerr.CoordinatorLoadInProgress {
			t.Errorf("too early: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := c.List(t.Context()); err != nil || j.most != loadsMax {
			t.Errorf("%v, %d at once", err, j.most)
		}
	})
}

// slowJournal takes a second for a replay, and counts those that run at once.
type slowJournal struct {
	memJournal
	now, most int
}

func (j *slowJournal) Replay(context.Context, protocol.TopicPartition, int, func([]byte) error) error {
	j.count(1)
	time.Sleep(time.Second)
	j.count(-1)
	return nil
}

func (j *slowJournal) count(by int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now += by
	j.most = max(j.most, j.now)
}

// manyJournals has a log for each partition.
type manyJournals struct {
	mu sync.Mutex
	by map[int32]*memJournal
}

func (m *manyJournals) of(tp protocol.TopicPartition) *memJournal {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by[tp.Partition] == nil {
		m.by[tp.Partition] = &memJournal{}
	}
	return m.by[tp.Partition]
}

func (m *manyJournals) Append(tp protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	return m.of(tp).Append(tp, batch)
}

func (m *manyJournals) Verify(ctx context.Context, tp protocol.TopicPartition, p cluster.TxnProducer) (cluster.TxnGuard, error) {
	return m.of(tp).Verify(ctx, tp, p)
}

func (m *manyJournals) AppendVerified(tp protocol.TopicPartition, batch []byte, o cluster.TxnGuard) (int64, func(context.Context) error, error) {
	return m.of(tp).AppendVerified(tp, batch, o)
}

func (m *manyJournals) Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func([]byte) error) error {
	return m.of(tp).Replay(ctx, tp, bytesMax, visit)
}
