package cluster

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"gokafka/compat/proxy"
)

// role is what the victim of a fault is to the cluster when the fault strikes.
type role string

const (
	leader     role = "leader"
	follower   role = "follower"
	controller role = "controller"
)

// fault is something that happens to the cluster. strike begins it, and returns what ends it.
type fault struct {
	name   string
	role   role // "" if it has no victim
	strike func(c *Cluster, victim int32) (end func())
}

// cut says which ways of a broker are cut off. A packet that is lost on its way out may be a request or an answer.
type cut struct{ in, out bool }

// fromPeers cuts the connections between one broker and all others.
func (w cut) fromPeers(c *Cluster, victim int32) {
	for id := range c.Brokers {
		if id != victim {
			c.network.between(victim, id, proxy.Fault{HoldRequests: w.out, HoldAnswers: w.in})
			c.network.between(id, victim, proxy.Fault{HoldRequests: w.in, HoldAnswers: w.out})
		}
	}
}

// fromZooKeeper cuts a broker's connections to ZooKeeper.
func (w cut) fromZooKeeper(c *Cluster, victim int32) {
	c.network.zookeeper[victim].Set("", proxy.Fault{HoldRequests: w.out, HoldAnswers: w.in})
}

var ways = map[string]cut{"": {in: true, out: true}, "inbound ": {in: true}, "outbound ": {out: true}}

// healed is the end of a fault of the network: what was held arrives late, or never.
func healed(c *Cluster) func() { return func() { c.network.heal(rand.IntN(2) == 0) } }

// faults are all that a campaign chooses from.
func faults() (all []fault) {
	for _, r := range []role{leader, follower, controller} {
		all = append(all,
			fault{"kill", r, func(c *Cluster, victim int32) func() {
				c.Brokers[victim].Kill()
				return func() { c.comesBack(victim) }
			}},
			fault{"kill and start at once", r, func(c *Cluster, victim int32) func() {
				c.Brokers[victim].Kill()
				c.comesBack(victim)
				return func() {}
			}},
			fault{"stop", r, func(c *Cluster, victim int32) func() {
				if err := c.Brokers[victim].Stop(); err != nil {
					c.t.Error(err)
				}
				return func() { c.comesBack(victim) }
			}},
			fault{"pause", r, func(c *Cluster, victim int32) func() {
				c.Brokers[victim].Pause()
				return c.Brokers[victim].Resume
			}},
			fault{"cut off from everything", r, func(c *Cluster, victim int32) func() {
				cut{in: true, out: true}.fromPeers(c, victim)
				cut{in: true, out: true}.fromZooKeeper(c, victim)
				return healed(c)
			}},
			fault{"delay", r, func(c *Cluster, victim int32) func() {
				slow := proxy.Fault{Delay: time.Duration(20+rand.IntN(300)) * time.Millisecond}
				c.network.peers[victim].Set("", slow)
				c.network.zookeeper[victim].Set("", slow)
				return healed(c)
			}},
		)
		for name, way := range ways {
			all = append(all,
				fault{name + "cut off from brokers", r, func(c *Cluster, victim int32) func() { way.fromPeers(c, victim); return healed(c) }},
				fault{name + "cut off from ZooKeeper", r, func(c *Cluster, victim int32) func() { way.fromZooKeeper(c, victim); return healed(c) }})
		}
	}
	return append(all, commonFaults...)
}

// commonFaults are those that strike several.
var commonFaults = []fault{
	{"all killed", "", func(c *Cluster, _ int32) func() {
		each(c, func(id int32) { c.Brokers[id].Kill() })
		return func() { each(c, c.comesBack) }
	}},
	{"all but one killed", "", func(c *Cluster, _ int32) func() {
		survivor := rand.Int32N(int32(len(c.Brokers))) + 1
		others := func(act func(id int32)) func() {
			return func() {
				each(c, func(id int32) {
					if id != survivor {
						act(id)
					}
				})
			}
		}
		others(func(id int32) { c.Brokers[id].Kill() })()
		return others(c.comesBack)
	}},
	{"all paused", "", func(c *Cluster, _ int32) func() {
		each(c, func(id int32) { c.Brokers[id].Pause() })
		return func() { each(c, func(id int32) { c.Brokers[id].Resume() }) }
	}},
	{"two cut off from each other", "", func(c *Cluster, _ int32) func() {
		one := rand.Int32N(int32(len(c.Brokers))) + 1
		other := one%int32(len(c.Brokers)) + 1
		c.network.between(one, other, proxy.Cut)
		c.network.between(other, one, proxy.Cut)
		return healed(c)
	}},
	{"brokers cut off from each other", "", func(c *Cluster, _ int32) func() {
		each(c, func(id int32) { cut{in: true, out: true}.fromPeers(c, id) })
		return healed(c)
	}},
	{"all cut off from ZooKeeper", "", func(c *Cluster, _ int32) func() {
		each(c, func(id int32) { cut{in: true, out: true}.fromZooKeeper(c, id) })
		return healed(c)
	}},
	{"ZooKeeper paused", "", func(c *Cluster, _ int32) func() {
		c.zookeeper.Pause()
		return c.zookeeper.Resume
	}},
	{"ZooKeeper killed", "", func(c *Cluster, _ int32) func() {
		c.zookeeper.Stop()
		return func() {
			if err := c.zookeeper.Start(); err != nil {
				c.t.Error(err)
			}
		}
	}},
}

// each acts on all brokers at once.
func each(c *Cluster, act func(id int32)) {
	var wg sync.WaitGroup
	for id := range c.Brokers {
		wg.Go(func() { act(id) })
	}
	wg.Wait()
}

func (c *Cluster) comesBack(id int32) {
	if err := c.Brokers[id].Start(); err != nil {
		c.t.Errorf("broker %d does not come back: %v", id, err)
	}
}

// victim is a broker that has a role now.
func (c *Cluster) victim(r role, topic string) int32 {
	c.t.Helper()
	switch r {
	case leader:
		return c.Leader(topic, 0)
	case follower:
		return c.Leader(topic, 0)%int32(len(c.Brokers)) + 1
	case controller:
		return c.Controller()
	}
	return 0
}

func (f fault) String() string {
	if f.role == "" {
		return f.name
	}
	return fmt.Sprintf("%s: %s", f.role, f.name)
}
