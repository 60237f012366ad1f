package replica

import (
	"sync"
	"time"

	"gokafka/cluster"
)

// polls are the fetches in which followers wait for records, by follower. One that was just told to follow another partition of this leader
// cannot ask for it before its fetch is over, and acks=all waits for that. So when this broker becomes a leader the fetches of its followers are
// answered, and those that come next are soon: first after earlyMin, then each after twice as long, since a follower may be told later than its
// leader. In Apache the partition's records wait for the end of the fetch, for up to replica.fetch.wait.max.ms.
type polls struct {
	mu      sync.Mutex
	waiting map[cluster.BrokerID]map[waiter]struct{}
	patient map[cluster.BrokerID]time.Duration // how long the next fetch waits of a follower from which something new is expected
}

// begin adds a follower's fetch and returns how long it may wait.
func (p *polls) begin(id cluster.BrokerID, w waiter, waitMax time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[id] == nil {
		p.waiting[id] = map[waiter]struct{}{}
	}
	p.waiting[id][w] = struct{}{}
	wait, expected := p.patient[id]
	if !expected || wait >= waitMax {
		delete(p.patient, id)
		return waitMax
	}
	p.patient[id] = 2 * wait
	return wait
}

func (p *polls) end(id cluster.BrokerID, w waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.waiting[id], w); len(p.waiting[id]) == 0 {
		delete(p.waiting, id) // anybody may call himself any broker
	}
}

// expect has the fetches of followers answered soon.
func (p *polls) expect(followers map[cluster.BrokerID]struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range followers {
		p.patient[id] = earlyMin
		for w := range p.waiting[id] {
			w.wake()
		}
	}
}
