package group

import (
	"encoding/binary"
	"unicode/utf16"
)

// subscriptions returns the topics that the members of a consumer group subscribe to, or nil when that is not known: for
// other types of groups, and when a member's metadata is not what consumers send. It is what clients sent to each other,
// so it is read with mistrust.
func (g *Group) subscriptions() map[string]bool {
	if g.protocolType != consumerType {
		return nil
	}
	topics := map[string]bool{}
	for _, m := range g.members.order {
		if !addTopics(topics, m.metadata(g.protocol)) {
			g.logger().Warn().Str("group", g.id).Str("member", m.id).Msg("cannot read the member's subscription")
			return nil
		}
	}
	return topics
}

// addTopics reads a ConsumerProtocolSubscription as version 0, which begins every version: version int16, topics, user data.
func addTopics(topics map[string]bool, b []byte) bool {
	if len(b) < 6 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	if b = b[6:]; n < 0 {
		return false
	}
	for range n { // ends with the bytes: each topic takes two at least
		topic, rest, ok := cut(b)
		if !ok {
			return false
		}
		topics[topic] = true
		b = rest
	}
	if len(b) < 4 {
		return false
	}
	userData := int32(binary.BigEndian.Uint32(b))
	return userData == -1 || userData >= 0 && int(userData) <= len(b)-4
}

func cut(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	if n < 0 || n > len(b)-2 {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}

// utf16Len is a string's length as Java counts it.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
