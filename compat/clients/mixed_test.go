package clients

import (
	"math/rand/v2"
	"slices"
	"testing"

	"gokafka/compat"
)

// mixed are the clients that go into one group. All know the range assignor; franz-go must be told to speak nothing else. segmentio's
// shares groups with nobody: it announces version 1 of the subscription and leaves out a field of it, which Java's leader cannot read,
// and itself cannot read what others put there.
func mixed() []Client {
	few := []string{"sarama", "librdkafka", "kafka-python", "kafkajs", "java-3.9"}
	members := []Client{{Name: "franz-go with range", command: goDriver("franz-range")}}
	for _, c := range chosen(All) {
		if compat.Full() && c.Name != "franz-go" && c.Name != "segmentio" || slices.Contains(few, c.Name) {
			members = append(members, c)
		}
	}
	return members
}

// Members of one group that are of different clients understand each other through the broker: as they come and go, each partition has
// one owner, whichever client leads the group, and each record is read once.
func TestMixedGroup(t *testing.T) {
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "mixed", mixedPartitions)
		m := &mixedGroup{b: b, filler: newFiller(t, b.Addr(), "mixed"), seen: map[string]string{}}
		for range compat.Rounds(2) {
			clients := mixed()
			rand.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
			for _, c := range clients {
				m.members = append(m.members, join(t, c, "of many", b.Addr(), "mixed", "mixed"))
				m.settle(t)
			}
			for len(m.members) > 1 {
				i := rand.IntN(len(m.members))
				left := m.members[i]
				m.members = slices.Delete(m.members, i, i+1)
				left.leave()
				m.collect(t, left)
				m.settle(t)
			}
		}
	})
}

const mixedPartitions = 24

// mixedGroup is a group with what its members have read.
type mixedGroup struct {
	b       compat.Broker
	filler  *filler
	members []*member
	seen    map[string]string // value → who read it
}

// settle waits until the members share the partitions, and has them read something.
func (m *mixedGroup) settle(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			for _, x := range m.members {
				t.Logf("%s holds %v", x.name, x.holding())
			}
		}
	}()
	until(t, "each partition has one owner", func() bool {
		var all []int32
		for _, x := range m.members {
			held := x.holding()
			if len(held) == 0 {
				return false
			}
			all = append(all, held...)
		}
		slices.Sort(all)
		return len(all) == mixedPartitions && len(slices.Compact(all)) == mixedPartitions
	})
	m.filler.fill(t, 10*mixedPartitions)
	awaitCommitted(t, m.b.Addr(), "mixed", "mixed", m.filler.next)
	for _, x := range m.members {
		m.collect(t, x)
	}
	until(t, "all is read", func() bool {
		for _, x := range m.members {
			m.collect(t, x)
		}
		return len(m.seen) == m.filler.next
	})
}

// collect takes what a member has read since the last time. Nobody may have read it before: members only change when all is committed.
func (m *mixedGroup) collect(t *testing.T, x *member) {
	t.Helper()
	for _, r := range x.take() {
		if before, twice := m.seen[r.value]; twice {
			t.Errorf("%s was read by %s and by %s", r.value, before, x.name)
		}
		m.seen[r.value] = x.name
	}
}
