package controller

import (
	"slices"

	"gokafka/cluster"
)

// election is one way to choose a leader: Apache's PartitionLeaderElectionStrategy.
type election uint8

const (
	electOffline            election = iota // the first in sync that lives; unclean only if the topic allows it
	electUnclean                            // electOffline, allowing an unclean leader whatever the topic says
	electReassigned                         // the first of the target replicas that lives and is in sync
	electPreferred                          // the first replica, if it lives and is in sync
	electControlledShutdown                 // the first in sync that is not shutting down
)

// String names the election in log lines.
func (e election) String() string {
	return [...]string{"offline", "unclean", "reassignment", "preferred", "controlled shutdown"}[e]
}

// elected is the outcome of an election: the state to write and who is to hear of it.
type elected struct {
	state      cluster.LeaderAndISR
	recipients []cluster.BrokerID
}

// elect chooses a partition's leader, given its state as it is written now. ok is false when there is no candidate. Each election
// begins a new leader epoch, whether the leader changes or not.
func (s *State) elect(e election, p *partition, now cluster.LeaderAndISR, uncleanAllowed bool) (r elected, ok bool) {
	switch e {
	case electReassigned:
		return s.electReassigned(p, now)
	case electPreferred:
		return s.electPreferred(p, now)
	case electControlledShutdown:
		return s.electControlledShutdown(p, now)
	}
	return s.electOffline(p, now, uncleanAllowed)
}

func (s *State) electOffline(p *partition, now cluster.LeaderAndISR, uncleanAllowed bool) (elected, bool) {
	live := s.onlineOf(p, p.assignment.Replicas)
	if leader, ok := firstOf(live, now.ISR); ok {
		return elected{newEpoch(now, leader, s.onlineOf(p, now.ISR)), live}, true
	}
	if !uncleanAllowed || len(live) == 0 {
		return elected{}, false
	}
	next := newEpoch(now, live[0], live[:1:1])
	next.Recovering = true // the leader may lack records that were acknowledged (KIP-704)
	return elected{next, live}, true
}

func (s *State) electReassigned(p *partition, now cluster.LeaderAndISR) (elected, bool) {
	to := target(p.assignment)
	leader, ok := firstOf(s.onlineOf(p, to), now.ISR)
	return elected{newEpoch(now, leader, now.ISR), to}, ok
}

func (s *State) electPreferred(p *partition, now cluster.LeaderAndISR) (elected, bool) {
	replicas := p.assignment.Replicas
	if len(replicas) == 0 || !s.online(p, replicas[0]) || !slices.Contains(now.ISR, replicas[0]) {
		return elected{}, false
	}
	return elected{newEpoch(now, replicas[0], now.ISR), replicas}, true
}

// electControlledShutdown tells the leaving broker too, so that it stops leading.
func (s *State) electControlledShutdown(p *partition, now cluster.LeaderAndISR) (elected, bool) {
	reachable := slices.DeleteFunc(slices.Clone(p.assignment.Replicas), func(id cluster.BrokerID) bool { return !s.reachable(p, id) })
	staying := func(ids []cluster.BrokerID) []cluster.BrokerID {
		return slices.DeleteFunc(slices.Clone(ids), func(id cluster.BrokerID) bool { return s.brokers[id] != nil && s.brokers[id].shuttingDown })
	}
	leader, ok := firstOf(staying(reachable), now.ISR)
	return elected{newEpoch(now, leader, staying(now.ISR)), reachable}, ok
}

// onlineOf keeps those of the replicas that can serve.
func (s *State) onlineOf(p *partition, ids []cluster.BrokerID) []cluster.BrokerID {
	return slices.DeleteFunc(slices.Clone(ids), func(id cluster.BrokerID) bool { return !s.online(p, id) })
}

func firstOf(candidates, isr []cluster.BrokerID) (cluster.BrokerID, bool) {
	for _, id := range candidates {
		if slices.Contains(isr, id) {
			return id, true
		}
	}
	return cluster.NoLeader, false
}

// newEpoch is the state with a leader and an ISR in the next leader epoch. Recovery, once begun, ends only by the leader's word.
func newEpoch(now cluster.LeaderAndISR, leader cluster.BrokerID, isr []cluster.BrokerID) cluster.LeaderAndISR {
	next := now
	next.Leader, next.ISR = leader, isr
	next.LeaderEpoch++
	return next
}
