package group

import "unicode/utf16"

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
	c := cursor{b: b}
	c.int16()
	n := c.length(false)
	if n < 0 || n > len(c.b) {
		return false
	}
	for range n {
		topics[c.string()] = true
		if c.bad {
			return false
		}
	}
	if userData := c.length(false); userData != -1 {
		c.take(userData)
	}
	return !c.bad
}

// utf16Len is a string's length as Java counts it.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
