package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Join is a JoinGroup. It is answered at once, or when the rebalance that it begins or takes part in completes.
func (g *Group) Join(now time.Time, t Ticket, r *JoinRequest) Effects {
	switch {
	case !g.accepts(r.MemberID):
		g.discard(r.MemberID)
		g.refuseJoin(t, "", kerr.GroupMaxSizeReached)
	case g.state == Dead:
		g.refuseJoin(t, r.MemberID, kerr.CoordinatorNotAvailable)
	case !g.supports(r):
		g.refuseJoin(t, r.MemberID, kerr.InconsistentGroupProtocol)
	case r.MemberID == "":
		g.joinAsNew(now, t, r)
	default:
		g.rejoin(now, t, r)
	}
	if g.state == PreparingRebalance {
		g.tryCompleteJoin(now)
	}
	return g.take()
}

// accepts reports whether there is room. While members rejoin, those that did count rather than those known: a group may
// be above the limit since the limit was lowered, and so the last to come are the ones to go.
func (g *Group) accepts(memberID string) bool {
	m := g.members.byID[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.join != 0 || g.members.joined() < g.settings.SizeMax
	case CompletingRebalance, Stable:
		return m != nil || g.members.len() < g.settings.SizeMax
	}
	return true
}

// discard drops a member for which there was no room.
func (g *Group) discard(memberID string) {
	g.pending.remove(memberID)
	if m := g.members.byID[memberID]; m != nil {
		g.forget(m)
	}
}

// supports reports whether the joining member has the group's type and a protocol that all members know.
func (g *Group) supports(r *JoinRequest) bool {
	if g.state == Empty {
		return r.ProtocolType != "" && len(r.Protocols) > 0
	}
	if g.protocolType != r.ProtocolType {
		return false
	}
	for _, p := range r.Protocols {
		if g.members.allSupport(p.Name) {
			return true
		}
	}
	return false
}

func (g *Group) joinAsNew(now time.Time, t Ticket, r *JoinRequest) {
	if r.InstanceID != nil {
		id := *r.InstanceID + "-" + g.settings.NewID()
		if old, ok := g.members.static[*r.InstanceID]; ok {
			g.replaceStatic(now, t, r, g.members.byID[old], id)
		} else {
			g.addMember(now, t, r, id)
		}
		return
	}
	id := r.ClientID + "-" + g.settings.NewID()
	switch {
	case r.RequireKnownMemberID && g.pending.len() >= pendingMax:
		g.refuseJoin(t, "", kerr.GroupMaxSizeReached)
		return
	case r.RequireKnownMemberID:
		g.pending.add(id, now.Add(r.SessionTimeout))
		g.refuseJoin(t, id, kerr.MemberIDRequired)
		return
	}
	g.addMember(now, t, r, id)
}

func (g *Group) rejoin(now time.Time, t Ticket, r *JoinRequest) {
	if g.pending.has(r.MemberID) && r.InstanceID == nil {
		g.addMember(now, t, r, r.MemberID)
		return
	}
	m, err := g.member(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		g.refuseJoin(t, r.MemberID, err)
	case g.state == Empty:
		g.refuseJoin(t, r.MemberID, kerr.UnknownMemberID)
	case g.mustRebalance(m, r):
		g.park(m, t, r)
		g.prepareRebalance(now, "member joins again: "+reason(r))
	default:
		// It most likely missed the answer to its last join: the generation is still the current one.
		g.answerJoin(t, g.joined(m))
	}
}

// mustRebalance reports whether a known member's join begins a rebalance, or takes part in one. A leader that joins a
// stable group wants one even when it says nothing new: the topics may have changed.
func (g *Group) mustRebalance(m *member, r *JoinRequest) bool {
	return g.state == PreparingRebalance || g.state == Stable && m.id == g.leader || !m.matches(r.Protocols)
}

func reason(r *JoinRequest) string {
	if r.Reason == "" {
		return "not provided"
	}
	return r.Reason
}

// park lets a join wait in the member. An older one, of a connection that was given up, is sent away.
func (g *Group) park(m *member, t Ticket, r *JoinRequest) {
	g.refuseJoin(m.join, m.id, kerr.RebalanceInProgress)
	m.update(r)
	m.join = t
}

func (g *Group) addMember(now time.Time, t Ticket, r *JoinRequest, id string) {
	m := newMember(id, r)
	m.join = t
	m.expires = now.Add(newMemberJoinTimeout)
	if g.state == PreparingRebalance && g.generation == 0 {
		g.rebalance.grew = true
	}
	if g.members.len() == 0 {
		g.protocolType = r.ProtocolType
	}
	g.members.add(m)
	if g.leader == "" {
		g.leader = id
	}
	g.pending.remove(id)
	g.logger().Info().Str("group", g.id).Str("member", id).Stringer("state", g.state).Str("reason", reason(r)).Msg("member joins")
	g.prepareRebalance(now, "new member")
}

// joined is the answer to a member's join in the current generation.
func (g *Group) joined(m *member) JoinResult {
	r := JoinResult{MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	if m.id == g.leader && g.state != Stable {
		r.Members = g.roll()
	}
	return r
}

// roll lists the members for the leader.
func (g *Group) roll() []JoinedMember {
	members := make([]JoinedMember, len(g.members.order))
	for i, m := range g.members.order {
		members[i] = JoinedMember{MemberID: m.id, InstanceID: m.instanceID, Metadata: m.metadata(g.protocol)}
	}
	return members
}

// replaceStatic lets a restarted static member take the place of its former self (KIP-345). In a stable group whose
// protocol stays the same nobody else needs to notice.
func (g *Group) replaceStatic(now time.Time, t Ticket, r *JoinRequest, m *member, id string) {
	g.logger().Info().Str("group", g.id).Str("instance", *r.InstanceID).Str("old", m.id).Str("new", id).Msg("static member returns")
	s := succession{member: m, was: *m, leader: g.leader, ticket: t, generation: g.generation, skip: r.SkipAssignment}
	g.refuseJoin(m.join, m.id, kerr.FencedInstanceID)
	g.answerSync(m.sync, SyncResult{Err: kerr.FencedInstanceID})
	s.was.join, s.was.sync = 0, 0
	m.join, m.sync = 0, 0
	g.renameMember(m, id)
	g.park(m, t, r)
	m.heard(now)
	switch {
	case g.state == Stable && g.members.vote() == g.protocol:
		g.persist(func(m *member) []byte { return m.assignment }, s.stored(g))
	case g.state == Stable, g.state == CompletingRebalance:
		// In CompletingRebalance the leader may already be assigning to the old id, so the new one would get nothing.
		g.prepareRebalance(now, "static member returned: "+reason(r))
	}
}

func (g *Group) renameMember(m *member, id string) {
	if g.leader == m.id {
		g.leader = id
	}
	if g.assigning.missing[m.id] {
		g.assigning.synced(m.id)
		g.assigning.missing[id] = true
	}
	g.members.rename(m, id)
}

// succession is a static member's return in a stable group, while it is being written.
type succession struct {
	member     *member
	was        member // before
	leader     string // before
	ticket     Ticket
	generation int32
	skip       bool
}

// stored ends the succession: the member gets its answer, or if its new id could not be written, everything is as before.
// When a rebalance began meanwhile, the member waits in that.
func (s succession) stored(g *Group) func(now time.Time, base int64, err error) {
	return func(now time.Time, base int64, err error) {
		m := s.member
		if m.join != s.ticket || g.members.byID[m.id] != m || g.state != Stable || g.generation != s.generation {
			return
		}
		m.join = 0
		m.heard(now)
		if err == nil {
			g.answerJoin(s.ticket, s.result(g))
			return
		}
		g.logger().Warn().Err(err).Str("group", g.id).Msg("could not write the returned static member")
		g.answerJoin(s.ticket, JoinResult{
			Err: storeError(err), Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: s.leader,
		})
		if base < 0 {
			g.renameMember(m, s.was.id)
			m.protocols, m.sessionTimeout, m.rebalanceTimeout = s.was.protocols, s.was.sessionTimeout, s.was.rebalanceTimeout
		}
	}
}

// result tells a returned leader, from version 9 on, that it leads but need not assign. Older clients are told the old
// leader's id, so that they take themselves for followers: a stable group would ignore the assignment they make.
func (s succession) result(g *Group) JoinResult {
	r := g.joined(s.member)
	switch {
	case !s.skip:
		r.Leader = s.leader
	case s.member.id == g.leader:
		r.Members, r.SkipAssignment = g.roll(), true
	}
	return r
}
