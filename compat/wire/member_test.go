package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is one member of a group, on a connection of its own, known to each side under the id that it drew.
type member struct {
	x          *Exchange
	group      string
	instance   *string
	topic      string
	ids        [2]string
	generation int32
}

// subscription is what a consumer says when it joins: the topics that it wants.
func subscription(topics ...string) []byte {
	b := []byte{0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

func newMember(x *Exchange, name, group string) *member {
	return &member{x: x.On(name), group: group, topic: x.N}
}

// joining is the member's JoinGroup request, at version 5 unless that is the API under test.
func (m *member) joining(side int) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version = 5
	r.Group, r.MemberID, r.InstanceID = m.group, m.ids[side], m.instance
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 30000, 60000, "consumer"
	for _, name := range []string{"range", "roundrobin"} {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscription(m.topic)
		r.Protocols = append(r.Protocols, p)
	}
	return r
}

// enter asks for a member id, if the version has that step, and begins to join. The returned function waits until the group is formed.
func (m *member) enter() func() Answers {
	m.x.T.Helper()
	version := int16(5)
	if m.x.key == kmsg.JoinGroup {
		version = m.x.V
	}
	if version >= 4 && m.ids[0] == "" && m.instance == nil {
		m.remember(m.x.SendEach(func(side int) kmsg.Request { return m.joining(side) }))
	}
	finish := m.x.BeginEach(func(side int) kmsg.Request { return m.joining(side) })
	return func() Answers {
		m.x.T.Helper()
		got := finish()
		m.remember(got)
		return got
	}
}

func (m *member) remember(got Answers) {
	for i := range got {
		if r, ok := got.Response(i).(*kmsg.JoinGroupResponse); ok {
			m.ids[i] = r.MemberID
			if i == 0 {
				m.generation = r.Generation
			}
		}
	}
}

// join enters and waits.
func (m *member) join() Answers {
	m.x.T.Helper()
	return m.enter()()
}

// sync fetches the member's assignment; a leader brings everybody's.
func (m *member) sync(assigned ...*member) Answers {
	m.x.T.Helper()
	return m.x.SendEach(func(side int) kmsg.Request { return m.syncing(side, assigned...) })
}

func (m *member) syncing(side int, assigned ...*member) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version = 3
	r.Group, r.Generation, r.MemberID, r.InstanceID = m.group, m.generation, m.ids[side], m.instance
	r.ProtocolType, r.Protocol = text("consumer"), text("range")
	for i, other := range assigned {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = other.ids[side], append([]byte("assignment "), byte('a'+i))
		r.GroupAssignment = append(r.GroupAssignment, a)
	}
	return r
}

// stable is a member that is alone in a group and has its assignment.
func stable(x *Exchange, group string) *member {
	x.T.Helper()
	m := newMember(x, "member", group)
	m.join()
	m.sync(m)
	return m
}

func (m *member) heartbeat(alter func(*kmsg.HeartbeatRequest)) Answers {
	m.x.T.Helper()
	return m.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version = 3
		r.Group, r.Generation, r.MemberID, r.InstanceID = m.group, m.generation, m.ids[side], m.instance
		if alter != nil {
			alter(r)
		}
		return r
	})
}

func (m *member) leave(alter func(*kmsg.LeaveGroupRequest)) Answers {
	m.x.T.Helper()
	return m.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version = 3
		r.Group, r.MemberID = m.group, m.ids[side]
		l := kmsg.NewLeaveGroupRequestMember()
		l.MemberID, l.InstanceID = m.ids[side], m.instance
		r.Members = append(r.Members, l)
		if alter != nil {
			alter(r)
		}
		return r
	})
}

func (m *member) commit(offset int64, alter func(*kmsg.OffsetCommitRequest)) Answers {
	m.x.T.Helper()
	return m.x.SendEach(func(side int) kmsg.Request {
		r := commit(m.group, m.topic, offset)
		r.Generation, r.MemberID, r.InstanceID = m.generation, m.ids[side], m.instance
		if alter != nil {
			alter(r)
		}
		return r
	})
}

// commit is an OffsetCommit from outside of any group, at version 7 unless that is the API under test.
func commit(group, topic string, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version = 7
	r.Group, r.Generation, r.RetentionTimeMillis = group, -1, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata, p.Timestamp, p.LeaderEpoch = offset, text("note"), -1, 0
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// committed asks for a group's offset of partitions 0 and 1, or for all offsets when the topic is empty.
func committed(version int16, group, topic string) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.Group = version, group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = group, -1
	if topic != "" {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, []int32{0, 1}
		r.Topics = append(r.Topics, t)
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = topic, []int32{0, 1}
		g.Topics = append(g.Topics, gt)
	}
	r.Groups = append(r.Groups, g)
	return r
}
