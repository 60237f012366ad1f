package handlers

import (
	"slices"

	"gokafka/cluster"
	"gokafka/protocol"
)

// leaderHints tells who leads, for answers that say where to go instead (KIP-951).
type leaderHints interface {
	Metadata() *cluster.Metadata
	CurrentLeader(tp protocol.TopicPartition) (cluster.BrokerID, cluster.LeaderEpoch)
}

// hints gathers the addresses of the leaders that an answer names, each once.
type hints struct{ nodes []protocol.FetchNode }

// add returns a partition's leader and leader epoch, -1 if unknown, and keeps the leader's address on the client's
// listener if it is alive.
func (h *hints) add(l leaderHints, tp protocol.TopicPartition, listener string) (id, epoch int32) {
	leader, leaderEpoch := l.CurrentLeader(tp)
	if node, ok := nodeOf(l.Metadata(), leader, listener); ok && !slices.ContainsFunc(h.nodes, func(n protocol.FetchNode) bool { return n.ID == node.ID }) {
		h.nodes = append(h.nodes, node)
	}
	return int32(leader), int32(leaderEpoch)
}

func nodeOf(m *cluster.Metadata, id cluster.BrokerID, listener string) (protocol.FetchNode, bool) {
	b := m.Broker(id)
	if b == nil {
		return protocol.FetchNode{}, false
	}
	e, ok := b.Endpoint(listener)
	if !ok {
		return protocol.FetchNode{}, false
	}
	n := protocol.FetchNode{ID: int32(id), Host: e.Host, Port: e.Port}
	if b.Rack != "" {
		n.Rack = &b.Rack
	}
	return n, true
}
