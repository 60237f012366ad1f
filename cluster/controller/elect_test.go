package controller

import (
	"reflect"
	"slices"
	"testing"

	"gokafka/cluster"
	"gokafka/protocol"
)

type ids = []cluster.BrokerID

// TestElect elects for one partition with a given assignment and state, on a cluster of brokers 1 to 4.
func TestElect(t *testing.T) {
	for _, k := range []struct {
		name       string
		election   election
		replicas   ids
		removing   ids
		isr        ids
		dead       ids
		leaving    ids // shutting down
		failed     ids // on a failed directory
		unclean    bool
		leader     cluster.BrokerID // NoLeader: nobody
		newISR     ids
		recipients ids
		recovering bool
	}{
		{name: "first in sync", election: electOffline, replicas: ids{1, 2, 3}, isr: ids{3, 2, 1}, dead: ids{1}, leader: 2, newISR: ids{3, 2}, recipients: ids{2, 3}},
		{name: "not in sync", election: electOffline, replicas: ids{1, 2, 3}, isr: ids{1, 3}, dead: ids{1}, leader: 3, newISR: ids{3}, recipients: ids{2, 3}},
		{name: "shutting down", election: electOffline, replicas: ids{1, 2, 3}, isr: ids{1, 2, 3}, dead: ids{1}, leaving: ids{2}, leader: 3, newISR: ids{3}, recipients: ids{3}},
		{name: "failed directory", election: electOffline, replicas: ids{1, 2}, isr: ids{1, 2}, failed: ids{1}, leader: 2, newISR: ids{2}, recipients: ids{2}},
		{name: "nobody in sync", election: electOffline, replicas: ids{1, 2}, isr: ids{1}, dead: ids{1}, leader: cluster.NoLeader},
		{name: "unclean", election: electOffline, replicas: ids{1, 2, 3}, isr: ids{1}, dead: ids{1}, unclean: true, leader: 2, newISR: ids{2}, recipients: ids{2, 3}, recovering: true},
		{name: "unclean is not needed", election: electUnclean, replicas: ids{1, 2}, isr: ids{2}, dead: ids{1}, unclean: true, leader: 2, newISR: ids{2}, recipients: ids{2}},
		{name: "unclean, nobody lives", election: electUnclean, replicas: ids{1, 2}, isr: ids{1}, dead: ids{1, 2}, unclean: true, leader: cluster.NoLeader},
		{name: "preferred", election: electPreferred, replicas: ids{1, 2}, isr: ids{2, 1}, leader: 1, newISR: ids{2, 1}, recipients: ids{1, 2}},
		{name: "preferred is dead", election: electPreferred, replicas: ids{1, 2}, isr: ids{2, 1}, dead: ids{1}, leader: cluster.NoLeader},
		{name: "preferred is not in sync", election: electPreferred, replicas: ids{1, 2}, isr: ids{2}, leader: cluster.NoLeader},
		{name: "preferred of nothing", election: electPreferred, isr: ids{2}, leader: cluster.NoLeader},
		{name: "reassigned", election: electReassigned, replicas: ids{3, 4, 1}, removing: ids{1}, isr: ids{1, 3, 4}, dead: ids{3}, leader: 4, newISR: ids{1, 3, 4}, recipients: ids{3, 4}},
		{name: "reassigned, target is behind", election: electReassigned, replicas: ids{3, 1}, removing: ids{1}, isr: ids{1}, leader: cluster.NoLeader},
		{name: "shutdown", election: electControlledShutdown, replicas: ids{1, 2, 3}, isr: ids{1, 2, 3}, leaving: ids{1}, leader: 2, newISR: ids{2, 3}, recipients: ids{1, 2, 3}},
		{name: "shutdown of two", election: electControlledShutdown, replicas: ids{1, 2, 3}, isr: ids{1, 2, 3}, leaving: ids{1, 2}, leader: 3, newISR: ids{3}, recipients: ids{1, 2, 3}},
		{name: "shutdown of the last", election: electControlledShutdown, replicas: ids{1, 2}, isr: ids{1}, leaving: ids{1}, leader: cluster.NoLeader},
	} {
		t.Run(k.name, func(t *testing.T) {
			s, p := cluster4(k.replicas, k.removing)
			for _, id := range k.dead {
				s.removeBroker(id)
			}
			for _, id := range k.leaving {
				s.brokers[id].shuttingDown = true
			}
			for _, id := range k.failed {
				s.offlineDirs[id] = set[*partition]{p: {}}
			}
			now := cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 5, ISR: k.isr, PartitionEpoch: 7}
			got, ok := s.elect(k.election, p, now, k.unclean)
			if ok != (k.leader != cluster.NoLeader) {
				t.Fatalf("elected %v: %+v", ok, got)
			}
			if !ok {
				return
			}
			want := elected{cluster.LeaderAndISR{Leader: k.leader, LeaderEpoch: 6, ISR: k.newISR, PartitionEpoch: 7, Recovering: k.recovering}, k.recipients}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, want %+v", got, want)
			}
		})
	}
}

// cluster4 is a state with four live brokers and one partition.
func cluster4(replicas, removing ids) (*State, *partition) {
	s := newState()
	for id := range cluster.BrokerID(4) {
		s.addBroker(cluster.Broker{ID: id + 1})
	}
	return s, s.addPartition(s.addTopic("t", protocol.TopicID{1}), 0, cluster.Assignment{Replicas: replicas, Removing: removing})
}

// TestRecoveryStays has an election keep what only the leader may end.
func TestRecoveryStays(t *testing.T) {
	s, p := cluster4(ids{1, 2}, nil)
	got, ok := s.elect(electOffline, p, cluster.LeaderAndISR{ISR: ids{2}, Recovering: true}, false)
	if !ok || !got.state.Recovering {
		t.Fatalf("%+v, %v", got, ok)
	}
}

func TestReassignTo(t *testing.T) {
	for _, k := range []struct {
		name string
		from cluster.Assignment
		to   ids
		want cluster.Assignment
	}{
		{"begin", cluster.Assignment{Replicas: ids{1, 2}}, ids{2, 3}, cluster.Assignment{Replicas: ids{2, 3, 1}, Adding: ids{3}, Removing: ids{1}}},
		{"order alone", cluster.Assignment{Replicas: ids{1, 2}}, ids{2, 1}, cluster.Assignment{Replicas: ids{2, 1}}},
		{"replace", cluster.Assignment{Replicas: ids{2, 3, 1}, Adding: ids{3}, Removing: ids{1}}, ids{4}, cluster.Assignment{Replicas: ids{4, 2, 1}, Adding: ids{4}, Removing: ids{2, 1}}},
		{"cancel", cluster.Assignment{Replicas: ids{2, 3, 1}, Adding: ids{3}, Removing: ids{1}}, ids{2, 1}, cluster.Assignment{Replicas: ids{2, 1}}},
		{"unknown", cluster.Assignment{}, ids{1}, cluster.Assignment{Replicas: ids{1}, Adding: ids{1}}},
	} {
		if got := reassignTo(k.from, k.to); !reflect.DeepEqual(got, k.want) {
			t.Errorf("%s: %+v, want %+v", k.name, got, k.want)
		}
	}
}

// TestPhases lists every legal step; all others are illegal.
func TestPhases(t *testing.T) {
	partitions := map[partitionPhase][]partitionPhase{
		partitionNonExistent: {partitionNew},
		partitionNew:         {partitionOnline, partitionOffline},
		partitionOnline:      {partitionOnline, partitionOffline},
		partitionOffline:     {partitionOnline, partitionOffline, partitionNonExistent},
	}
	for from := partitionNonExistent; from <= partitionOffline; from++ {
		for to := partitionNonExistent; to <= partitionOffline; to++ {
			if got, want := to.follows(from), slices.Contains(partitions[from], to); got != want {
				t.Errorf("%s to %s: %v", from, to, got)
			}
		}
	}
	replicas := map[replicaPhase][]replicaPhase{
		replicaNonExistent:        {replicaNew},
		replicaNew:                {replicaOnline, replicaOffline},
		replicaOnline:             {replicaOnline, replicaOffline},
		replicaOffline:            {replicaOnline, replicaOffline, replicaDeletionStarted, replicaDeletionIneligible},
		replicaDeletionStarted:    {replicaDeletionSuccessful, replicaDeletionIneligible},
		replicaDeletionSuccessful: {replicaNonExistent},
		replicaDeletionIneligible: {replicaOnline, replicaOffline},
	}
	for from := replicaNonExistent; from <= replicaDeletionIneligible; from++ {
		for to := replicaNonExistent; to <= replicaDeletionIneligible; to++ {
			if got, want := to.follows(from), slices.Contains(replicas[from], to); got != want {
				t.Errorf("%s to %s: %v", from, to, got)
			}
		}
	}
}
