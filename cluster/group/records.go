package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// The records of __consumer_offsets. Keys and values begin with an int16 version; a nil value is a tombstone. Apache 3.9
// writes key versions 1 (offsets) and 2 (groups) and value version 3, and reads values up to 4; version 1 of an offset is
// written for commits with a retention of their own, which later versions cannot hold.
const (
	commitKeyVersion     = 1
	metadataKeyVersion   = 2
	valueVersion         = 3
	valueVersionMax      = 4
	expiringValueVersion = 1
	flexibleValueVersion = 4
)

func commitKey(group string, tp protocol.TopicPartition) []byte {
	k := kmsg.OffsetCommitKey{Version: commitKeyVersion, Group: group, Topic: tp.Topic, Partition: tp.Partition}
	return k.AppendTo(nil)
}

func metadataKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: metadataKeyVersion, Group: group}
	return k.AppendTo(nil)
}

func commitRecord(group string, o *PartitionOffset) protocol.Record {
	v := kmsg.OffsetCommitValue{
		Version: valueVersion, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata,
		CommitTimestamp: o.CommitTimestamp, ExpireTimestamp: o.ExpireTimestamp,
	}
	if o.ExpireTimestamp >= 0 {
		v.Version = expiringValueVersion
	}
	return protocol.Record{Key: commitKey(group, o.TopicPartition), Value: v.AppendTo(nil)}
}

// metadataRecord is the group's state with the given assignments; members keep only what they said of the chosen protocol.
func metadataRecord(g *Group, assignment func(*member) []byte) protocol.Record {
	v := kmsg.GroupMetadataValue{
		Version: valueVersion, ProtocolType: g.protocolType, Generation: g.generation, CurrentStateTimestamp: g.stateSince,
	}
	if g.members.len() > 0 {
		v.Protocol, v.Leader = &g.protocol, &g.leader
	}
	for _, m := range g.members.order {
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeoutMillis: millis(m.rebalanceTimeout), SessionTimeoutMillis: millis(m.sessionTimeout),
			Subscription: m.metadata(g.protocol), Assignment: assignment(m),
		})
	}
	return protocol.Record{Key: metadataKey(g.id), Value: v.AppendTo(nil)}
}

func millis(d time.Duration) int32 { return int32(d / time.Millisecond) }

// errVersion marks records of a version that is not known: of a newer coordinator.
var errVersion = errors.New("unknown version")

// errCut marks records that do not hold what their version says.
var errCut = errors.New("malformed")

// parsedKey is a record's key: of a group, or of an offset when partition is set.
type parsedKey struct {
	group     string
	partition *protocol.TopicPartition
}

func parseKey(b []byte) (parsedKey, error) {
	c := cursor{b: b}
	var k parsedKey
	switch version := c.int16(); version {
	case 0, commitKeyVersion:
		k.group = c.string()
		k.partition = &protocol.TopicPartition{Topic: c.string(), Partition: c.int32()}
	case metadataKeyVersion:
		k.group = c.string()
	default:
		return parsedKey{}, fmt.Errorf("read key of version %d: %w", version, errVersion)
	}
	if c.bad {
		return parsedKey{}, fmt.Errorf("read key %x: %w", b, errCut)
	}
	return k, nil
}

// openValue begins a value.
func openValue(b []byte) (c cursor, version int16, err error) {
	c = cursor{b: b}
	if version = c.int16(); c.bad || version < 0 || version > valueVersionMax {
		return c, version, fmt.Errorf("value of version %d: %w", version, errVersion)
	}
	c.flexible = version >= flexibleValueVersion
	return c, version, nil
}

func parseCommit(b []byte) (CommittedOffset, error) {
	c, version, err := openValue(b)
	if err != nil {
		return CommittedOffset{}, fmt.Errorf("read committed offset: %w", err)
	}
	o := CommittedOffset{Offset: c.int64(), LeaderEpoch: -1, ExpireTimestamp: -1}
	if version >= 3 {
		o.LeaderEpoch = c.int32()
	}
	o.Metadata, o.CommitTimestamp = c.string(), c.int64()
	if version == expiringValueVersion {
		o.ExpireTimestamp = c.int64()
	}
	if c.tags(); c.bad {
		return CommittedOffset{}, fmt.Errorf("read committed offset: %w", errCut)
	}
	return o, nil
}

// parseGroup makes the group that a metadata value describes. It keeps parts of b. The members' sessions begin when the
// group is loaded.
func parseGroup(id string, b []byte, settings *Settings, now time.Time) (*Group, error) {
	c, version, err := openValue(b)
	if err != nil {
		return nil, fmt.Errorf("read metadata of group %q: %w", id, err)
	}
	g := newGroup(id, settings, now)
	g.protocolType, g.generation, g.stateSince = c.string(), c.int32(), -1
	protocolName, leader := c.nullableString(), c.nullableString()
	if protocolName != nil {
		g.protocol = *protocolName
	}
	if version >= 2 {
		g.stateSince = c.int64()
	}
	for range c.count() {
		g.restore(parseMember(&c, version, g.protocol))
	}
	if c.tags(); c.bad {
		return nil, fmt.Errorf("read metadata of group %q: %w", id, errCut)
	}
	if leader != nil && g.members.byID[*leader] != nil {
		g.leader = *leader
	}
	if g.members.len() > 0 {
		g.state = Stable
	}
	g.topics = g.subscriptions()
	return g, nil
}

func parseMember(c *cursor, version int16, protocolName string) *member {
	m := &member{id: c.string()}
	if version >= 3 {
		m.instanceID = c.nullableString()
	}
	m.clientID, m.clientHost = c.string(), c.string()
	if version >= 1 {
		m.rebalanceTimeout = time.Duration(c.int32()) * time.Millisecond
	}
	m.sessionTimeout = time.Duration(c.int32()) * time.Millisecond
	if version == 0 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	m.protocols = listProtocols([]Protocol{{Name: protocolName, Metadata: c.bytes()}})
	m.assignment = c.bytes()
	c.tags()
	return m
}

// restore puts a stored member in its place. Only a damaged record names one twice.
func (g *Group) restore(m *member) {
	_, taken := g.members.byID[m.id]
	if m.instanceID != nil && !taken {
		_, taken = g.members.static[*m.instanceID]
	}
	if taken {
		return
	}
	g.members.add(m)
	if g.leader == "" {
		g.leader = m.id
	}
}
