package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// TestLiveIsReplay drives a shard at random, and whenever nothing is on its way compares what it holds with what its log
// says. It is the promise that a coordinator's move loses and invents nothing.
func TestLiveIsReplay(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRandomRun(t, seed)
			for range 400 {
				r.step()
			}
			if r.compared < 50 {
				t.Errorf("compared only %d times", r.compared)
			}
		})
	}
}

// randomRun is a shard, and clients that do what they like.
type randomRun struct {
	*rand.Rand
	t        *testing.T
	shard    *shard
	journal  *memJournal
	settings Settings
	now      time.Time
	clients  []*randomClient
	ends     []txnEnd // markers that are not committed yet
	told     []txnEnd // the last markers that the shard was told of
	compared int
	trace    []string
}

type randomClient struct {
	name     string
	group    string
	instance *string
	id       string
	gen      int32
	leads    bool
	peers    []string
	joining  chan Answer
}

func newRandomRun(t *testing.T, seed uint64) *randomRun {
	r := &randomRun{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, now: time.UnixMilli(1_000_000), journal: &memJournal{}, settings: DefaultSettings()}
	r.settings.InitialRebalanceDelay = 0
	r.settings.OffsetsRetention = 5 * time.Minute
	n := 0
	r.settings.NewID = func() string { n++; return fmt.Sprint(n) }
	r.shard = newShard(0, &r.settings, r.journal)
	for i := range 6 {
		c := &randomClient{name: fmt.Sprintf("c%d", i), group: fmt.Sprintf("g%d", i%2)}
		if i >= 4 {
			c.instance = &c.name
		}
		r.clients = append(r.clients, c)
	}
	return r
}

func (r *randomRun) step() {
	c := r.clients[r.IntN(len(r.clients))]
	what := r.IntN(18)
	r.trace = append(r.trace, fmt.Sprintf("%d by %s gen %d", what, c.name, c.gen))
	switch what {
	case 0, 1, 2:
		r.join(c)
	case 3, 4, 5:
		r.sync(c)
	case 6, 7:
		r.commit(c)
	case 8:
		r.leave(c)
	case 9:
		r.delete(c)
	case 10:
		r.pass(time.Duration(r.IntN(20)) * time.Second)
	case 11:
		r.toggle()
	case 12:
		r.shard.expireOffsets(r.now)
	case 13:
		r.forget(c)
	case 14, 15:
		r.commitInTxn(c)
	case 16, 17:
		r.endTxn()
	}
	for _, c := range r.clients {
		r.hear(c)
	}
	if r.shard.flying == 0 && !r.journal.held {
		r.compare()
	}
}

func (r *randomRun) ticket(answer chan Answer) Ticket {
	r.shard.tickets++
	r.shard.waiters[r.shard.tickets] = answer
	return r.shard.tickets
}

func (r *randomRun) join(c *randomClient) {
	if r.IntN(4) == 0 {
		c.id = "" // a restart
	}
	c.joining = make(chan Answer, 1)
	protocols := []Protocol{{Name: "range", Metadata: subscription("t", "u"[:r.IntN(2)])}, {Name: "sticky", Metadata: subscription("t")}}
	r.shard.join(r.now, r.ticket(c.joining), &JoinRequest{
		Group: c.group, MemberID: c.id, InstanceID: c.instance, ClientID: c.name, SessionTimeout: 30 * time.Second,
		RebalanceTimeout: 10 * time.Second, ProtocolType: "consumer", Protocols: protocols[:1+r.IntN(2)],
		RequireKnownMemberID: r.IntN(2) == 0 && c.instance == nil, SkipAssignment: r.IntN(2) == 0,
	})
}

func (r *randomRun) hear(c *randomClient) {
	if c.joining == nil {
		return
	}
	select {
	case a := <-c.joining:
		c.joining = nil
		if a.Join.Err == kerr.UnknownMemberID || a.Join.Err == kerr.FencedInstanceID {
			c.id = ""
			return
		}
		c.id, c.gen, c.leads, c.peers = a.Join.MemberID, a.Join.Generation, a.Join.Leader == a.Join.MemberID, nil
		for _, m := range a.Join.Members {
			c.peers = append(c.peers, m.MemberID)
		}
	default:
	}
}

func (r *randomRun) sync(c *randomClient) {
	g := r.shard.groups[c.group]
	if g == nil {
		return
	}
	assignments := map[string][]byte{}
	for _, p := range c.peers {
		assignments[p] = []byte(fmt.Sprintf("%s by %s in %d", p, c.id, r.Uint32()))
	}
	t := r.ticket(make(chan Answer, 1))
	r.shard.settle(g, g.Sync(r.now, t, &SyncRequest{Group: c.group, MemberID: c.id, InstanceID: c.instance, Generation: c.gen, Assignments: assignments}), r.now)
}

func (r *randomRun) commit(c *randomClient) {
	r.shard.commitOffsets(r.now, r.ticket(make(chan Answer, 1)), r.commitRequest(c))
}

// commitInTxn commits for one of three producers, unless it still waits for the end of its last transaction.
func (r *randomRun) commitInTxn(c *randomClient) {
	req := r.commitRequest(c)
	req.Producer = &cluster.TxnProducer{TransactionalID: "x", ID: int64(r.IntN(3))}
	if slices.ContainsFunc(r.ends, func(e txnEnd) bool { return e.producerID == req.Producer.ID }) {
		return
	}
	r.shard.commitOffsets(r.now, r.ticket(make(chan Answer, 1)), req)
}

// endTxn writes a marker, at times twice; the shard hears of it when it is committed, and at times again much later.
func (r *randomRun) endTxn() {
	m := &cluster.TxnMarker{ProducerID: int64(r.IntN(3)), Commit: r.IntN(2) == 0}
	for range 1 + r.IntN(2) {
		r.ends = append(r.ends, txnEnd{m.ProducerID, r.journal.mark(m), m.Commit})
	}
	if !r.journal.held {
		r.completeTxns()
	}
}

func (r *randomRun) completeTxns() {
	late := r.told
	r.told, r.ends = r.ends, nil
	for _, e := range append(r.told, late...) {
		r.shard.queueTxnEnd(r.now, e, make(chan error, 1))
	}
}

func (r *randomRun) commitRequest(c *randomClient) *CommitRequest {
	req := &CommitRequest{Group: c.group, MemberID: c.id, InstanceID: c.instance, Generation: c.gen}
	if r.IntN(3) == 0 {
		req = &CommitRequest{Group: c.group, Generation: -1}
	}
	for range 1 + r.IntN(3) {
		o := PartitionOffset{TopicPartition: r.partition(), CommittedOffset: CommittedOffset{
			Offset: int64(r.IntN(1000)), LeaderEpoch: -1, CommitTimestamp: r.now.UnixMilli(), ExpireTimestamp: -1,
		}}
		if r.IntN(5) == 0 {
			o.ExpireTimestamp = r.now.UnixMilli() + int64(r.IntN(100_000))
		}
		req.Offsets = append(req.Offsets, o)
	}
	return req
}

func (r *randomRun) partition() protocol.TopicPartition {
	return protocol.TopicPartition{Topic: []string{"t", "u", "v"}[r.IntN(3)], Partition: int32(r.IntN(2))}
}

func (r *randomRun) leave(c *randomClient) {
	if g := r.shard.groups[c.group]; g != nil {
		_, _, e := g.Leave(r.now, []LeavingMember{{MemberID: c.id, InstanceID: c.instance}})
		r.shard.settle(g, e, r.now)
	}
}

func (r *randomRun) delete(c *randomClient) {
	r.shard.deleteGroup(r.now, r.ticket(make(chan Answer, 1)), c.group)
}

func (r *randomRun) forget(c *randomClient) {
	g, tps := r.shard.groups[c.group], []protocol.TopicPartition{r.partition(), r.partition()}
	switch verdicts, err := r.shard.deletable(c.group, tps); {
	case r.IntN(2) == 0:
		r.drop(tps)
	case err == nil:
		r.shard.deleteOffsets(r.now, r.ticket(make(chan Answer, 1)), g, tps, verdicts)
	}
}

// drop has partitions deleted, at times when their tombstones cannot be written.
func (r *randomRun) drop(tps []protocol.TopicPartition) {
	if r.IntN(2) == 0 {
		r.journal.refusing(kerr.NotEnoughReplicas)
		defer r.journal.refusing(nil)
	}
	r.shard.dropPartitions(tps, r.now)
}

func (r *randomRun) pass(step time.Duration) {
	end := r.now.Add(step)
	for next := r.shard.alarms.next(); !next.IsZero() && !next.After(end); next = r.shard.alarms.next() {
		r.now = next
		r.shard.tick(r.now)
	}
	r.now = end
}

// toggle holds commits back, or lets them go, at times with a late error.
func (r *randomRun) toggle() {
	if !r.journal.held {
		r.journal.hold()
		return
	}
	var outcome error
	if r.IntN(3) == 0 {
		outcome = kerr.NotEnoughReplicasAfterAppend
	}
	r.journal.release(outcome)
	r.completeTxns()
	for r.shard.flying > 0 {
		f := <-r.shard.inFlight
		if f.wait != nil {
			f.err = outcome
		}
		r.shard.land(f, r.now)
	}
}

func (r *randomRun) compare() {
	l := newLoader(&r.settings)
	if err := l.add(r.journal.log); err != nil {
		r.t.Fatal(err)
	}
	live, replayed := r.shard.groups, l.groups(r.now)
	r.compared++
	for _, id := range []string{"g0", "g1"} {
		if owes := live[id]; owes != nil && replayed[id] != nil {
			for tp := range owes.offsets.dropped {
				delete(replayed[id].offsets.committed, tp)
			}
		}
		if got, want := durable(live[id], live[id]), durable(replayed[id], live[id]); got != want {
			r.t.Fatalf("group %s live:\n%s\nreplayed:\n%s\nafter %s", id, got, want, strings.Join(r.trace, ", "))
		}
	}
}

// durable prints what of a group must survive. While the live one rebalances that is its offsets only.
func durable(g, live *Group) string {
	var b strings.Builder
	rebalancing := live != nil && (live.state == PreparingRebalance || live.state == CompletingRebalance)
	if g == nil || g.generation == 0 && g.offsets.empty() || rebalancing && g.offsets.empty() {
		return "none"
	}
	if !rebalancing {
		fmt.Fprintf(&b, "%s generation %d type %q protocol %q leader %q\n", g.state, g.generation, g.protocolType, g.protocol, g.leader)
		for _, m := range g.members.order {
			fmt.Fprintf(&b, "%s %q %v %v %q %q\n", m.id, orNone(m.instanceID), m.sessionTimeout, m.rebalanceTimeout, m.metadata(g.protocol), m.assignment)
		}
	}
	for _, tp := range slices.SortedFunc(maps.Keys(g.offsets.committed), comparePartitions) {
		fmt.Fprintf(&b, "%s %+v\n", tp, g.offsets.committed[tp])
	}
	for _, id := range slices.Sorted(maps.Keys(g.offsets.txn)) {
		pending := g.offsets.txn[id].commits
		for _, tp := range slices.SortedFunc(maps.Keys(pending), comparePartitions) {
			fmt.Fprintf(&b, "producer %d: %s %+v\n", id, tp, pending[tp])
		}
	}
	return b.String()
}

func orNone(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

// A log as transactions leave it: what is open stays hidden, what committed counts by its place in the log.
func TestLoadTransactions(t *testing.T) {
	j := &memJournal{}
	settings := DefaultSettings()
	offset := func(at int64, txn int64, tp protocol.TopicPartition, tombstone bool) {
		t.Helper()
		o := PartitionOffset{TopicPartition: tp, CommittedOffset: CommittedOffset{Offset: at, ExpireTimestamp: -1}}
		r := commitRecord("g", &o)
		if tombstone {
			r.Value = nil
		}
		options := protocol.BatchOptions{}
		if txn >= 0 {
			options.Producer, options.Transactional = &protocol.Producer{ID: txn}, true
		}
		b, err := protocol.AppendBatch(nil, options, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := j.Append(protocol.TopicPartition{}, b); err != nil {
			t.Fatal(err)
		}
	}
	end := func(txn int64, m protocol.MarkerType) {
		t.Helper()
		b, err := protocol.MarkerBatch(txn, 0, protocol.Marker{Type: m}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := j.Append(protocol.TopicPartition{}, b); err != nil {
			t.Fatal(err)
		}
	}
	tp := func(p int32) protocol.TopicPartition { return protocol.TopicPartition{Topic: "t", Partition: p} }

	offset(10, 1, tp(0), false) // committed
	offset(11, 1, tp(1), false) // committed, but older than the plain commit that follows
	offset(12, -1, tp(1), false)
	offset(13, 2, tp(2), false) // aborted
	offset(14, 3, tp(3), false) // open
	offset(15, -1, tp(4), false)
	offset(16, 4, tp(4), false) // committed, newer than the plain one
	offset(17, 5, tp(5), false)
	offset(0, 5, tp(5), true) // taken back within its transaction
	offset(18, 1, tp(6), false)
	offset(0, -1, tp(6), true) // a tombstone does not reach into an open transaction
	end(1, protocol.MarkerCommit)
	end(2, protocol.MarkerAbort)
	end(4, protocol.MarkerCommit)
	end(5, protocol.MarkerCommit)

	l := newLoader(&settings)
	if err := l.add(j.log); err != nil {
		t.Fatal(err)
	}
	g := l.groups(time.Now())["g"]
	want := map[int32]int64{0: 10, 1: 12, 2: -1, 3: -1, 4: 16, 5: -1, 6: 18}
	for p, offset := range want {
		if f := g.Fetch([]protocol.TopicPartition{tp(p)}, false)[0]; f.Offset != offset {
			t.Errorf("t-%d: %d, want %d", p, f.Offset, offset)
		}
		f := g.Fetch([]protocol.TopicPartition{tp(p)}, true)[0]
		if unstable := f.Err == kerr.UnstableOffsetCommit; unstable != (p == 3) {
			t.Errorf("t-%d: unstable %v", p, unstable)
		}
	}
	if g.idle(nil) || len(g.expired(time.Now().Add(365*24*time.Hour))) != 4 {
		t.Errorf("expired %v; the open transaction must keep the group", g.expired(time.Now().Add(365*24*time.Hour)))
	}
}
