package group

import (
	"bytes"
	"slices"
	"time"
)

// protocolList is what a member knows, in order of preference, and where in it each is, the first of equals: a client may send a million
// of them, and the next one, who has others, must not be compared with each.
type protocolList struct {
	list []Protocol
	at   map[string]int
}

func listProtocols(list []Protocol) protocolList {
	l := protocolList{list: list, at: make(map[string]int, len(list))}
	for i, p := range list {
		if _, again := l.at[p.Name]; !again {
			l.at[p.Name] = i
		}
	}
	return l
}

// member is one consumer, or other client, in a group.
type member struct {
	id               string
	instanceID       *string // nil: dynamic
	clientID         string
	clientHost       string
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	protocols        protocolList
	assignment       []byte

	isNew   bool      // has not been through a rebalance: it may expire while it waits for one
	join    Ticket    // its JoinGroup that waits, or 0
	sync    Ticket    // its SyncGroup that waits, or 0
	expires time.Time // end of its session; zero: not running
}

func newMember(id string, r *JoinRequest) *member {
	return &member{
		id: id, instanceID: r.InstanceID, clientID: r.ClientID, clientHost: r.ClientHost,
		sessionTimeout: r.SessionTimeout, rebalanceTimeout: r.RebalanceTimeout, protocols: listProtocols(r.Protocols), isNew: true,
	}
}

// heard restarts the session.
func (m *member) heard(now time.Time) { m.expires = now.Add(m.sessionTimeout) }

// waits reports whether the member is held by the coordinator itself, so that its silence means nothing.
func (m *member) waits() bool { return m.join != 0 || m.sync != 0 }

// update takes over what a repeated JoinGroup says.
func (m *member) update(r *JoinRequest) {
	m.protocols, m.sessionTimeout, m.rebalanceTimeout = listProtocols(r.Protocols), r.SessionTimeout, r.RebalanceTimeout
}

func (m *member) supports(protocol string) bool {
	_, ok := m.protocols.at[protocol]
	return ok
}

// metadata is what the member said beside the protocol; nil when it does not know it.
func (m *member) metadata(protocol string) []byte {
	if i, ok := m.protocols.at[protocol]; ok {
		return m.protocols.list[i].Metadata
	}
	return nil
}

// matches reports whether a repeated join says the same as before.
func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols.list, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// roster holds a group's members in the order in which they came. Groups are small, so questions over all members are
// answered by looking at all: a counter beside them would be one more thing to keep right.
type roster struct {
	order  []*member
	byID   map[string]*member
	static map[string]string // member id by instance id
}

func newRoster() roster {
	return roster{byID: map[string]*member{}, static: map[string]string{}}
}

func (r *roster) add(m *member) {
	r.order = append(r.order, m)
	r.byID[m.id] = m
	if m.instanceID != nil {
		r.static[*m.instanceID] = m.id
	}
}

func (r *roster) remove(m *member) {
	r.order = slices.DeleteFunc(r.order, func(other *member) bool { return other == m })
	delete(r.byID, m.id)
	if m.instanceID != nil {
		delete(r.static, *m.instanceID)
	}
}

// rename gives a static member another id.
func (r *roster) rename(m *member, id string) {
	delete(r.byID, m.id)
	m.id = id
	r.byID[id] = m
	r.static[*m.instanceID] = id
}

func (r *roster) len() int { return len(r.order) }

// rebalanceTimeout is the longest that any member asks for.
func (r *roster) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range r.order {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// joined counts the members whose JoinGroup waits.
func (r *roster) joined() int {
	n := 0
	for _, m := range r.order {
		if m.join != 0 {
			n++
		}
	}
	return n
}

// allSupport reports whether every member knows the protocol.
func (r *roster) allSupport(protocol string) bool {
	for _, m := range r.order {
		if !m.supports(protocol) {
			return false
		}
	}
	return true
}

// candidates are the protocols that every member knows.
func (r *roster) candidates() map[string]bool {
	common := map[string]bool{}
	if len(r.order) == 0 {
		return common
	}
	for _, p := range r.order[0].protocols.list {
		if r.allSupport(p.Name) {
			common[p.Name] = true
		}
	}
	return common
}

// vote chooses the protocol: each member votes for the first of its own that all know, and most votes win. Among equals
// the one voted for first wins, so that the choice does not depend on chance. Empty when there is none in common.
func (r *roster) vote() string {
	candidates, votes := r.candidates(), map[string]int{}
	var ballot []string
	for _, m := range r.order {
		i := slices.IndexFunc(m.protocols.list, func(p Protocol) bool { return candidates[p.Name] })
		if i < 0 {
			continue
		}
		name := m.protocols.list[i].Name
		if votes[name]++; votes[name] == 1 {
			ballot = append(ballot, name)
		}
	}
	var chosen string
	most := 0
	for _, name := range ballot {
		if votes[name] > most {
			chosen, most = name, votes[name]
		}
	}
	return chosen
}
