package group

import (
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// consumerType is the protocol type of consumers, whose subscriptions the coordinator can read.
const consumerType = "consumer"

// newMemberJoinTimeout is how long a new member may wait for its first rebalance. It has no id yet and cannot send
// heartbeats; without this, clients that give up and retry would fill the group with ghosts (KAFKA-7610).
const newMemberJoinTimeout = 5 * time.Minute

// Group is one consumer group: its members, where it stands in a rebalance, and its offsets. It is a pure state machine:
// each event returns what is to be done. Its shard owns it.
type Group struct {
	id       string
	settings *Settings

	state        State
	stateSince   int64 // milliseconds; -1: unknown (loaded from an old record)
	generation   int32
	protocolType string // empty: never had members
	protocol     string
	leader       string          // member id
	topics       map[string]bool // what the members of a consumer group subscribe to; nil: not known

	members   roster
	pending   pendingIDs
	rebalance rebalance
	assigning assigning
	offsets   offsets
	effects   Effects
}

// newGroup returns a group that nobody joined yet.
func newGroup(id string, settings *Settings, now time.Time) *Group {
	return &Group{
		id: id, settings: settings, stateSince: now.UnixMilli(),
		members: newRoster(), pending: newPendingIDs(), offsets: newOffsets(),
	}
}

// Ticket names a request that waits for its answer. Zero is none.
type Ticket uint64

// Effects is what an event asks for.
type Effects struct {
	Answers []Answer
	Writes  []Write
}

// Answer ends a waiting request: the one field that is set says which kind.
type Answer struct {
	Ticket Ticket
	Join   *JoinResult
	Sync   *SyncResult
	Errs   []error // of a commit, by offset of the request
}

// Write is one batch for the group's partition.
type Write struct {
	Records []protocol.Record
	Offsets bool // offset commits rather than the group's own state: shows in the batch's sequence
	txn     *txnWrite
	// Then is told once what became of it: base is the batch's offset, or -1 when it is not in the log. With a base and
	// an error the batch is in the log, but not as safe as was asked for.
	Then func(now time.Time, base int64, err error) Effects
}

func (g *Group) answerJoin(t Ticket, r JoinResult) {
	if t != 0 {
		g.effects.Answers = append(g.effects.Answers, Answer{Ticket: t, Join: &r})
	}
}

func (g *Group) answerSync(t Ticket, r SyncResult) {
	if t != 0 {
		g.effects.Answers = append(g.effects.Answers, Answer{Ticket: t, Sync: &r})
	}
}

func (g *Group) refuseJoin(t Ticket, memberID string, err error) {
	g.answerJoin(t, JoinResult{Err: err, MemberID: memberID, Generation: -1})
}

// take hands over the effects gathered by one event.
func (g *Group) take() Effects {
	e := g.effects
	g.effects = Effects{}
	return e
}

func (g *Group) logger() *zerolog.Logger { return &g.settings.Logger }

func (g *Group) enter(s State, now time.Time) {
	g.state, g.stateSince = s, now.UnixMilli()
}

// Heartbeat keeps a member alive and tells it whether to join again.
func (g *Group) Heartbeat(now time.Time, r *HeartbeatRequest) error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	m, err := g.current(r.MemberID, r.InstanceID, r.Generation)
	if err != nil {
		return err
	}
	m.heard(now)
	if g.state == PreparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// Leave removes members and returns an error for each, or one for all.
func (g *Group) Leave(now time.Time, leaving []LeavingMember) ([]error, error, Effects) {
	if g.state == Dead {
		return nil, kerr.CoordinatorNotAvailable, Effects{}
	}
	errs := make([]error, len(leaving))
	for i := range leaving {
		errs[i] = g.leave(now, &leaving[i])
	}
	return errs, nil, g.take()
}

func (g *Group) leave(now time.Time, l *LeavingMember) error {
	id := l.MemberID
	if id == "" && l.InstanceID != nil {
		id = g.members.static[*l.InstanceID] // an administrator names a static member by its instance alone
	}
	if g.pending.has(id) && l.MemberID != "" {
		g.pending.remove(id)
		g.tryCompleteJoin(now)
		return nil
	}
	m, err := g.member(id, l.InstanceID)
	if err != nil {
		return err
	}
	g.logger().Info().Str("group", g.id).Str("member", id).Str("reason", l.Reason).Msg("member leaves")
	g.removeMember(now, m)
	return nil
}

// member returns the member that a request speaks for: by member id, and when it is static, the one that holds the
// instance id now; a predecessor is fenced.
func (g *Group) member(id string, instanceID *string) (*member, error) {
	if instanceID != nil {
		switch current, ok := g.members.static[*instanceID]; {
		case !ok:
			return nil, kerr.UnknownMemberID
		case current != id:
			return nil, kerr.FencedInstanceID
		}
	}
	if m := g.members.byID[id]; m != nil {
		return m, nil
	}
	return nil, kerr.UnknownMemberID
}

// current is member for requests that carry a generation.
func (g *Group) current(id string, instanceID *string, generation int32) (*member, error) {
	m, err := g.member(id, instanceID)
	if err == nil && generation != g.generation {
		return nil, kerr.IllegalGeneration
	}
	return m, err
}

// removeMember takes a member out and lets the others rebalance.
func (g *Group) removeMember(now time.Time, m *member) {
	g.forget(m)
	switch g.state {
	case Stable, CompletingRebalance:
		g.prepareRebalance(now, "member left")
	case PreparingRebalance:
		g.tryCompleteJoin(now)
	}
}

// forget takes a member out; what it waits for is answered, so that it starts over.
func (g *Group) forget(m *member) {
	g.answerJoin(m.join, JoinResult{Err: kerr.UnknownMemberID, Generation: -1})
	g.answerSync(m.sync, SyncResult{Err: kerr.UnknownMemberID})
	m.join, m.sync = 0, 0
	g.members.remove(m)
	g.assigning.synced(m.id)
	if g.leader != m.id {
		return
	}
	g.leader = ""
	if g.members.len() > 0 {
		g.leader = g.members.order[0].id
	}
}

// Deadline is when Tick is due; zero when nothing runs.
func (g *Group) Deadline() time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, m := range g.members.order {
		consider(m.expires)
	}
	consider(g.pending.next)
	consider(g.rebalance.deadline)
	consider(g.assigning.deadline)
	consider(g.assigning.stored)
	return first
}

// Tick does what the time has come for.
func (g *Group) Tick(now time.Time) Effects {
	g.expireMembers(now)
	if over := g.pending.expire(now); len(over) > 0 {
		g.logger().Info().Str("group", g.id).Strs("members", over).Msg("pending members did not come back")
		g.tryCompleteJoin(now)
	}
	if due(g.rebalance.deadline, now) {
		g.rebalanceDue(now)
	}
	if due(g.assigning.deadline, now) {
		g.syncDue(now)
	}
	if due(g.assigning.stored, now) {
		g.assignmentStored(now, g.generation, nil, kerr.RequestTimedOut)
	}
	return g.take()
}

func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// expireMembers removes members whose session ended. One that waits for an answer of ours is left alone, and its session
// starts anew with the answer; a new one may expire while it waits.
func (g *Group) expireMembers(now time.Time) {
	for _, m := range slices.Clone(g.members.order) {
		if !due(m.expires, now) || g.members.byID[m.id] != m {
			continue
		}
		m.expires = time.Time{}
		if m.waits() && !m.isNew {
			continue
		}
		g.logger().Info().Str("group", g.id).Str("member", m.id).Msg("member's session expired")
		g.removeMember(now, m)
	}
}

// Loaded starts what runs in a group that was read from the log: everyone's session begins anew, and a group that is too
// large by now rebalances, which gives its members the time to commit before some have to go.
func (g *Group) Loaded(now time.Time) Effects {
	if g.members.len() > g.settings.SizeMax {
		g.prepareRebalance(now, "group is over capacity")
	}
	for _, m := range g.members.order {
		m.heard(now)
	}
	return g.take()
}

// Describe shows the group. Metadata and assignments are complete only when it is stable.
func (g *Group) Describe() Description {
	d := Description{State: g.state.String(), ProtocolType: g.protocolType}
	stable := g.state == Stable
	if stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members.order {
		md := MemberDescription{MemberID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost}
		if stable {
			md.Metadata, md.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, md)
	}
	return d
}
