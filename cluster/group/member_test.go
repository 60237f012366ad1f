package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// manyProtocols are protocols as a hostile client has them: a frame of two megabytes.
func manyProtocols(prefix string, more ...Protocol) []Protocol {
	protocols := make([]Protocol, 200_000)
	for i := range protocols {
		protocols[i].Name = fmt.Sprint(prefix, i)
	}
	return append(protocols, more...)
}

// Two members with as many protocols as a request can hold, and none or one in common, do not keep the other groups of the partition waiting:
// to compare each with each would take minutes.
func TestMembersWithManyProtocols(t *testing.T) {
	settings, now := DefaultSettings(), time.Now()
	g := newGroup("g", &settings, now)
	join := func(ticket Ticket, protocols []Protocol) Effects {
		r := joinOf("c", "")
		r.Protocols = protocols
		return g.Join(now, ticket, r)
	}
	common := Protocol{Name: "range", Metadata: subscription("t")}
	join(1, manyProtocols("a", common))
	if e := join(2, manyProtocols("b")); len(e.Answers) != 1 || e.Answers[0].Join.Err != kerr.InconsistentGroupProtocol {
		t.Errorf("nothing in common: %+v", e.Answers)
	}
	if e := join(3, manyProtocols("b", common)); len(e.Answers) != 0 {
		t.Errorf("one in common: %+v", e.Answers)
	}
	if chosen := g.members.vote(); chosen != common.Name {
		t.Errorf("chose %q", chosen)
	}
}

// A protocol that is named twice counts as it was named first.
func TestAProtocolNamedTwice(t *testing.T) {
	m := newMember("m", &JoinRequest{Protocols: []Protocol{{Name: "range", Metadata: []byte{1}}, {Name: "range", Metadata: []byte{2}}}})
	if metadata := m.metadata("range"); len(metadata) != 1 || metadata[0] != 1 {
		t.Errorf("metadata %v", metadata)
	}
	if !m.supports("range") || m.supports("roundrobin") {
		t.Error("what it supports is not what it said")
	}
}
