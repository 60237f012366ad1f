package sim

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/protocol"
)

// plants are faults of design, each of which some seed must find. They sit between the parts, in what one tells another.
var plants = map[string]func(*scenario){
	"followers do not truncate what their leader never had": func(s *scenario) {
		s.seams.ask = func(a *replica.FetchAsk) { a.LastEpoch = cluster.NoEpoch }
	},
	"followers of an earlier epoch count": func(s *scenario) {
		s.seams.ask = func(a *replica.FetchAsk) { a.Epoch, a.LastEpoch = cluster.NoEpoch, cluster.NoEpoch }
	},
	"records are acknowledged before all in-sync replicas have them": func(s *scenario) {
		s.seams.acked = func(appended produced, _ func() produced) produced { return appended }
	},
	"a leader that was replaced acknowledges": func(s *scenario) {
		s.seams.acked = func(_ produced, await func() produced) produced {
			r := await()
			if errors.Is(r.err, kerr.NotLeaderForPartition) {
				r.err = nil
			}
			return r
		}
	},
	"the ISR grows by followers that lack the start of the epoch": func(s *scenario) { s.seams.led = inviteAll },
	"leaders are elected from outside of the ISR":                 func(s *scenario) { s.seams.unclean = true },
	"consumers read what is not committed":                        func(s *scenario) { s.seams.bound = log.ToLogEnd },
	"consumers of decided records read open transactions":         func(s *scenario) { s.seams.decided = log.ToHighWatermark },
	"aborted transactions are not told": func(s *scenario) {
		s.seams.aborted = func([]log.AbortedTransaction) []log.AbortedTransaction { return nil }
	},
	"the end of a transaction is answered and not written": func(s *scenario) { s.seams.append = loseMarkers },
	"a broker that starts again does not know producers":   func(s *scenario) { s.seams.append = forgetProducers },
}

// plantsInCoordinators are faults of design of transaction coordinators.
var plantsInCoordinators = map[string]func(*scenario){
	"a marker is lost on its way to one of the partitions": func(s *scenario) { s.seams.marker = loseOne },
	"a coordinator that takes over forgets open transactions": func(s *scenario) {
		s.seams.journal = func(j txn.Journal) txn.Journal { return forgetful{j} }
	},
	"a coordinator that takes over acts on what is not committed yet": func(s *scenario) {
		s.seams.journal = func(j txn.Journal) txn.Journal { return rash{j} }
	},
	"a commit is answered before its record is replicated": func(s *scenario) {
		s.seams.journal = func(j txn.Journal) txn.Journal { return hasty{j} }
	},
}

// loseOne loses markers of some transactions for one partition.
func loseOne(m cluster.TxnMarker) bool {
	return m.Partitions[0].Partition == 1 && m.ProducerEpoch%2 == 1
}

// loseMarkers loses one in three.
func loseMarkers(_ *life, records []byte) []byte {
	if b := protocol.Batch(records); b.Control() && b.ProducerEpoch()%3 == 2 {
		return nil
	}
	return records
}

// forgetProducers has the brokers of a second life take what idempotent producers repeat for something new.
func forgetProducers(l *life, records []byte) []byte {
	b := protocol.Batch(records)
	if l.number == 1 || b.Transactional() || !b.HasProducerID() {
		return records
	}
	var anonymous []protocol.Record
	for r, err := range protocol.Records(b) {
		l.w.must(err)
		anonymous = append(anonymous, protocol.Record{Timestamp: r.Timestamp, Value: slices.Clone(r.Value)})
	}
	records, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, anonymous...)
	l.w.must(err)
	return records
}

// inviteAll proposes all assigned replicas for the ISR as soon as a broker leads.
func inviteAll(l *life, r *cluster.LeaderAndISRRequest) {
	for i := range r.States {
		s := &r.States[i]
		if s.Leader != l.id || slices.Equal(s.ISR, s.Replicas) {
			continue
		}
		invitation := cluster.AlterPartition{TopicPartition: s.TopicPartition, TopicID: s.TopicID, LeaderEpoch: s.LeaderEpoch, NewISR: s.Replicas, PartitionEpoch: s.PartitionEpoch}
		l.working.Go(func() {
			_, _ = proposer{l}.AlterPartition(l.ctx, &cluster.AlterPartitionRequest{BrokerID: l.id, BrokerEpoch: l.registration.Epoch(), Partitions: []cluster.AlterPartition{invitation}})
		})
	}
}

// seedsForPlants is how many seeds a planted fault has to be found with.
const seedsForPlants = 60

func TestPlantedFaultsAreFound(t *testing.T) {
	findPlants(t, plants, func(s *scenario) { s.config.UncleanElection = false }) // which forgives much
}

func TestPlantedFaultsInCoordinatorsAreFound(t *testing.T) {
	findPlants(t, plantsInCoordinators, (*scenario).coordinate)
}

func findPlants(t *testing.T, plants map[string]func(*scenario), prepare func(*scenario)) {
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(seedsForPlants) {
				o := simulate(t, seed+1, *stepsFlag, func(s *scenario) {
					prepare(s)
					plant(s)
				})
				if o.broken != nil && !strings.Contains(o.broken.Error(), "come to rest") {
					t.Logf("seed %d: %v", seed+1, o.broken)
					return
				}
			}
			t.Errorf("not found by %d seeds", seedsForPlants)
		})
	}
}
