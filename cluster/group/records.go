package group

import (
	"encoding/binary"
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

// errVersion marks records of a version that is not known: of a newer coordinator, to be skipped.
var errVersion = errors.New("unknown version")

// parsedKey is a record's key: of a group, or of an offset when partition is set.
type parsedKey struct {
	group     string
	partition *protocol.TopicPartition
}

func parseKey(b []byte) (parsedKey, error) {
	version, err := peekVersion(b)
	switch {
	case err != nil:
		return parsedKey{}, err
	case version == 0 || version == commitKeyVersion:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(b); err != nil {
			return parsedKey{}, fmt.Errorf("read offset key: %w", err)
		}
		return parsedKey{group: k.Group, partition: &protocol.TopicPartition{Topic: k.Topic, Partition: k.Partition}}, nil
	case version == metadataKeyVersion:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(b); err != nil {
			return parsedKey{}, fmt.Errorf("read group key: %w", err)
		}
		return parsedKey{group: k.Group}, nil
	}
	return parsedKey{}, fmt.Errorf("read key of version %d: %w", version, errVersion)
}

func peekVersion(b []byte) (int16, error) {
	if len(b) < 2 {
		return 0, errors.New("read version: too short")
	}
	return int16(binary.BigEndian.Uint16(b)), nil
}

func parseCommit(b []byte) (CommittedOffset, error) {
	var v kmsg.OffsetCommitValue
	if err := parseValue(b, &v); err != nil {
		return CommittedOffset{}, fmt.Errorf("read committed offset: %w", err)
	}
	c := CommittedOffset{
		Offset: v.Offset, LeaderEpoch: -1, Metadata: v.Metadata, CommitTimestamp: v.CommitTimestamp, ExpireTimestamp: -1,
	}
	if v.Version >= 3 {
		c.LeaderEpoch = v.LeaderEpoch
	}
	if v.Version == expiringValueVersion {
		c.ExpireTimestamp = v.ExpireTimestamp
	}
	return c, nil
}

// parseValue decodes any version that is known. A version from the future is an error here: silently dropping an offset or
// a group would be worse.
func parseValue(b []byte, v interface{ ReadFrom([]byte) error }) error {
	version, err := peekVersion(b)
	if err != nil {
		return err
	}
	if version < 0 || version > valueVersionMax {
		return fmt.Errorf("value of version %d: %w", version, errVersion)
	}
	return v.ReadFrom(b)
}

// parseGroup makes the group that a metadata value describes. Its members' sessions begin when the group is loaded.
func parseGroup(id string, b []byte, settings *Settings, now time.Time) (*Group, error) {
	var v kmsg.GroupMetadataValue
	if err := parseValue(b, &v); err != nil {
		return nil, fmt.Errorf("read metadata of group %q: %w", id, err)
	}
	g := newGroup(id, settings, now)
	g.generation, g.protocolType, g.stateSince = v.Generation, v.ProtocolType, -1
	if v.Version >= 2 {
		g.stateSince = v.CurrentStateTimestamp
	}
	if v.Protocol != nil {
		g.protocol = *v.Protocol
	}
	for i := range v.Members {
		g.restore(&v, &v.Members[i])
	}
	if v.Leader != nil && g.members.byID[*v.Leader] != nil {
		g.leader = *v.Leader
	}
	if g.members.len() > 0 {
		g.state = Stable
	}
	g.topics = g.subscriptions()
	return g, nil
}

func (g *Group) restore(v *kmsg.GroupMetadataValue, stored *kmsg.GroupMetadataValueMember) {
	m := &member{
		id: stored.MemberID, instanceID: stored.InstanceID, clientID: stored.ClientID, clientHost: stored.ClientHost,
		sessionTimeout:   time.Duration(stored.SessionTimeoutMillis) * time.Millisecond,
		rebalanceTimeout: time.Duration(stored.RebalanceTimeoutMillis) * time.Millisecond,
		protocols:        []Protocol{{Name: g.protocol, Metadata: stored.Subscription}},
		assignment:       stored.Assignment,
	}
	if v.Version == 0 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	_, taken := g.members.byID[m.id]
	if m.instanceID != nil {
		_, static := g.members.static[*m.instanceID]
		taken = taken || static
	}
	if taken {
		return // only a damaged record names a member twice
	}
	g.members.add(m)
	if g.leader == "" {
		g.leader = m.id
	}
}
