package replica

import "gokafka/cluster"

// closerReplica finds the replica that a consumer in some rack had better read from than from this leader (KIP-392): one in its
// rack that is in sync and has the offset, of several the one that is furthest. It is none when the leader is in that rack
// itself, or when no such replica lives. It is what Apache Kafka's RackAwareReplicaSelector does.
func (c *core) closerReplica(rack, listener string, offset int64, image *cluster.Metadata) cluster.BrokerID {
	if leader := image.Broker(c.self); rack == "" || !c.isLeader() || leader == nil || leader.Rack == rack {
		return noBroker
	}
	var best *Progress
	for i := range c.followers {
		p := &c.followers[i]
		if c.isr.contains(p.ID) && p.LogStart <= offset && offset <= p.End.Offset && answersIn(image.Broker(p.ID), rack, listener) && p.ahead(best) {
			best = p
		}
	}
	if best == nil {
		return noBroker
	}
	return best.ID
}

func answersIn(b *cluster.Broker, rack, listener string) bool {
	if b == nil || b.Rack != rack {
		return false
	}
	_, ok := b.Endpoint(listener)
	return ok
}

// ahead reports whether p is a better choice than q: it has more, or had everything more lately.
func (p *Progress) ahead(q *Progress) bool {
	if q == nil || p.End.Offset != q.End.Offset {
		return q == nil || p.End.Offset > q.End.Offset
	}
	return p.CaughtUp.After(q.CaughtUp)
}

// closerReplica is core.closerReplica, for a fetch that may read from followers.
func (p *Partition) closerReplica(f *FetchParams, offset int64) cluster.BrokerID {
	if f.Rack == "" || !p.host.rackAware {
		return noBroker
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.core.closerReplica(f.Rack, f.Listener, offset, p.host.image.Load())
}
