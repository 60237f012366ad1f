package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rebalanceRetryMin keeps a rebalance in which nobody joined from being tried in a circle, since a client may ask for a
// rebalance timeout of nothing.
const rebalanceRetryMin = time.Second

// rebalance is the wait for members to join.
type rebalance struct {
	deadline time.Time // zero: none under way

	// The first rebalance of an empty group waits for more members, whoever is there, and while they keep coming it waits
	// on (KIP-134).
	initial   bool
	grew      bool // members came since the deadline was set
	delay     time.Duration
	remaining time.Duration // how much longer it may wait
}

// assigning is the wait for members to sync.
type assigning struct {
	missing  map[string]bool // members that did not sync yet
	deadline time.Time       // when these are removed; zero: all synced
	stored   time.Time       // when the write of the assignment is given up; zero: none under way
}

// synced ticks a member off.
func (a *assigning) synced(id string) {
	delete(a.missing, id)
	if len(a.missing) == 0 {
		a.deadline = time.Time{}
	}
}

// prepareRebalance makes everyone join again, unless they are about to.
func (g *Group) prepareRebalance(now time.Time, reason string) {
	if !g.state.canRebalance() {
		return
	}
	if g.state == CompletingRebalance {
		g.failAssignment(now, kerr.RebalanceInProgress)
	}
	g.assigning = assigning{}
	g.rebalance = rebalance{deadline: now.Add(g.members.rebalanceTimeout())}
	if g.state == Empty {
		delay := g.settings.InitialRebalanceDelay
		g.rebalance = rebalance{
			initial: true, deadline: now.Add(delay), delay: delay, remaining: max(g.members.rebalanceTimeout()-delay, 0),
		}
	}
	g.logger().Info().Str("group", g.id).Stringer("state", g.state).Int32("generation", g.generation).Str("reason", reason).
		Msg("preparing to rebalance")
	g.enter(PreparingRebalance, now)
	g.tryCompleteJoin(now)
}

// tryCompleteJoin ends the wait for joins when nobody is missing. The first rebalance of a group runs its time.
func (g *Group) tryCompleteJoin(now time.Time) {
	if g.state == PreparingRebalance && !g.rebalance.initial && g.pending.len() == 0 && g.members.joined() == g.members.len() {
		g.completeJoin(now)
	}
}

func (g *Group) rebalanceDue(now time.Time) {
	r := &g.rebalance
	if r.initial && r.grew && r.remaining > 0 {
		r.grew = false
		waited := r.delay
		r.delay = min(g.settings.InitialRebalanceDelay, r.remaining)
		r.remaining = max(r.remaining-waited, 0)
		r.deadline = now.Add(r.delay)
		return
	}
	g.completeJoin(now)
}

// completeJoin begins the next generation with those who joined. Dynamic members that did not are out; static ones keep
// their place until their session ends.
func (g *Group) completeJoin(now time.Time) {
	g.removeAbsent()
	if g.members.len() > 0 && !g.leaderJoined() {
		g.logger().Error().Str("group", g.id).Msg("could not complete the rebalance: no member joined")
		g.rebalance = rebalance{deadline: now.Add(max(g.members.rebalanceTimeout(), rebalanceRetryMin))}
		return
	}
	g.rebalance = rebalance{}
	g.generation++
	if g.members.len() == 0 {
		g.becomeEmpty(now)
		return
	}
	g.protocol = g.members.vote()
	g.topics = g.subscriptions()
	g.enter(CompletingRebalance, now)
	g.logger().Info().Str("group", g.id).Int32("generation", g.generation).Int("members", g.members.len()).Msg("stabilized group")
	g.assigning = assigning{missing: map[string]bool{}, deadline: now.Add(g.members.rebalanceTimeout())}
	for _, m := range g.members.order {
		g.answerJoin(m.join, g.joined(m))
		m.join, m.isNew = 0, false
		m.heard(now)
		g.assigning.missing[m.id] = true
	}
}

func (g *Group) removeAbsent() {
	var absent []*member
	for _, m := range g.members.order {
		if m.join == 0 && m.instanceID == nil {
			absent = append(absent, m)
		}
	}
	for _, m := range absent {
		g.logger().Info().Str("group", g.id).Str("member", m.id).Msg("member did not join in time")
		g.forget(m)
	}
}

// leaderJoined makes sure that the leader is one who joined, the first of them when the old one did not.
func (g *Group) leaderJoined() bool {
	if m := g.members.byID[g.leader]; m != nil && m.join != 0 {
		return true
	}
	for _, m := range g.members.order {
		if m.join != 0 {
			g.logger().Info().Str("group", g.id).Str("old", g.leader).Str("new", m.id).Msg("new leader")
			g.leader = m.id
			return true
		}
	}
	return false
}

// becomeEmpty records that nobody is left. Should the write fail, a later coordinator finds the last generation and lets
// its members expire, so a warning is enough.
func (g *Group) becomeEmpty(now time.Time) {
	g.protocol = ""
	g.topics = g.subscriptions()
	g.enter(Empty, now)
	g.logger().Info().Str("group", g.id).Int32("generation", g.generation).Msg("group is empty")
	g.persist(nil, func(_ time.Time, _ int64, err error) {
		if err != nil {
			g.logger().Warn().Err(err).Str("group", g.id).Msg("could not write the empty group")
		}
	})
}

// Sync is a SyncGroup. Followers wait for the leader's, the leader for its assignment to be written.
func (g *Group) Sync(now time.Time, t Ticket, r *SyncRequest) Effects {
	m, err := g.checkSync(r)
	switch {
	case err != nil:
		g.answerSync(t, SyncResult{Err: err})
	case g.state == PreparingRebalance:
		g.answerSync(t, SyncResult{Err: kerr.RebalanceInProgress})
	case g.state == Stable:
		g.assigning.synced(m.id)
		g.answerSync(t, g.synced(m))
		m.heard(now)
	default:
		g.answerSync(m.sync, SyncResult{Err: kerr.RebalanceInProgress})
		m.sync = t
		g.assigning.synced(m.id)
		if m.id == g.leader && g.assigning.stored.IsZero() {
			g.storeAssignment(now, r.Assignments)
		}
	}
	return g.take()
}

func (g *Group) checkSync(r *SyncRequest) (*member, error) {
	if g.state == Dead {
		return nil, kerr.CoordinatorNotAvailable
	}
	m, err := g.current(r.MemberID, r.InstanceID, r.Generation)
	switch {
	case err != nil:
		return nil, err
	case r.ProtocolType != nil && *r.ProtocolType != g.protocolType:
		return nil, kerr.InconsistentGroupProtocol
	case r.Protocol != nil && *r.Protocol != g.protocol:
		return nil, kerr.InconsistentGroupProtocol
	}
	return m, nil
}

func (g *Group) synced(m *member) SyncResult {
	return SyncResult{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// storeAssignment writes the leader's assignment. Whom the leader forgot gets nothing to do.
func (g *Group) storeAssignment(now time.Time, assignments map[string][]byte) {
	generation := g.generation
	g.assigning.stored = now.Add(g.settings.CommitTimeout)
	of := func(m *member) []byte { return assignments[m.id] }
	g.persist(of, func(now time.Time, _ int64, err error) { g.assignmentStored(now, generation, of, err) })
}

// assignmentStored gives everyone the assignment. Whoever came or went meanwhile has begun a new rebalance; then the
// assignment is of the past.
func (g *Group) assignmentStored(now time.Time, generation int32, of func(*member) []byte, err error) {
	if g.state != CompletingRebalance || g.generation != generation || g.assigning.stored.IsZero() {
		return
	}
	g.assigning.stored = time.Time{}
	if err != nil {
		g.failAssignment(now, storeError(err))
		g.prepareRebalance(now, "could not write the assignment")
		return
	}
	g.enter(Stable, now)
	for _, m := range g.members.order {
		m.assignment = of(m)
		if m.sync != 0 {
			g.answerSync(m.sync, g.synced(m))
			m.sync = 0
			m.heard(now)
		}
	}
}

// failAssignment sends everyone who waits in SyncGroup away.
func (g *Group) failAssignment(now time.Time, err error) {
	for _, m := range g.members.order {
		m.assignment = nil
		if m.sync != 0 {
			g.answerSync(m.sync, SyncResult{Err: err})
			m.sync = 0
			m.heard(now)
		}
	}
}

// syncDue removes the members that joined but never asked for their assignment (KIP-815).
func (g *Group) syncDue(now time.Time) {
	g.assigning.deadline = time.Time{}
	var silent []*member
	for _, m := range g.members.order {
		if g.assigning.missing[m.id] {
			silent = append(silent, m)
		}
	}
	for _, m := range silent {
		g.logger().Info().Str("group", g.id).Str("member", m.id).Msg("member did not sync in time")
		g.forget(m)
	}
	g.prepareRebalance(now, "members did not sync")
}
