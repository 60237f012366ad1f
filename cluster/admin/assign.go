package admin

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
)

// candidate is a broker that may get replicas.
type candidate struct {
	id   cluster.BrokerID
	rack string // empty: none
}

func candidates(brokers []*cluster.Broker) []candidate {
	out := make([]candidate, len(brokers))
	for i, b := range brokers {
		out[i] = candidate{id: b.ID, rack: b.Rack}
	}
	return out
}

// spread is one assignment of replicas to brokers, as Apache's AdminUtils makes it: first replicas go round the brokers, the others
// follow at a distance that grows with each round, so that a broker's partitions have their other replicas on all others. With
// racks the brokers are taken alternately from each, and a rack gets a second replica only when every one has a first.
type spread struct {
	brokers      []candidate
	racks        int // number of racks, 0: they do not matter
	start, shift int
}

// newSpread fixes where the first replicas begin and at what distance the others follow.
func newSpread(brokers []candidate, start, shift int) (*spread, error) {
	s := &spread{brokers: brokers, start: start, shift: shift}
	byRack := map[string][]candidate{}
	for _, b := range brokers {
		byRack[b.rack] = append(byRack[b.rack], b)
	}
	if len(byRack[""]) == len(brokers) {
		return s, nil
	}
	if len(byRack[""]) > 0 {
		return nil, &Error{Code: kerr.UnknownServerError} // some brokers have a rack and some have none
	}
	s.racks = len(byRack)
	s.brokers = alternate(byRack)
	return s, nil
}

// alternate takes one broker of each rack in turn.
func alternate(byRack map[string][]candidate) []candidate {
	var racks []string
	total := 0
	for rack, brokers := range byRack {
		slices.SortFunc(brokers, func(a, b candidate) int { return int(a.id - b.id) })
		racks = append(racks, rack)
		total += len(brokers)
	}
	slices.Sort(racks)
	var out []candidate
	for round := 0; len(out) < total; round++ {
		for _, rack := range racks {
			if round < len(byRack[rack]) {
				out = append(out, byRack[rack][round])
			}
		}
	}
	return out
}

// assign gives count partitions their replicas; the first of them has the number from.
func (s *spread) assign(from, count, replicas int) ([][]cluster.BrokerID, error) {
	switch {
	case count <= 0:
		return nil, refuse(kerr.InvalidPartitions, "Number of partitions must be larger than 0.")
	case replicas <= 0:
		return nil, refuse(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0.")
	case replicas > len(s.brokers):
		return nil, refuse(kerr.InvalidReplicationFactor, "Replication factor: %d larger than available brokers: %d.", replicas, len(s.brokers))
	}
	n := len(s.brokers)
	out := make([][]cluster.BrokerID, count)
	shift := s.shift
	for i := range out {
		p := from + i
		if p > 0 && p%n == 0 {
			shift++
		}
		out[i] = s.replicas((p+s.start)%n, shift, replicas)
	}
	return out, nil
}

// replicas picks the brokers of one partition whose first is given.
func (s *spread) replicas(first, shift, count int) []cluster.BrokerID {
	n := len(s.brokers)
	picked := []cluster.BrokerID{s.brokers[first].id}
	racks := map[string]bool{s.brokers[first].rack: true}
	if s.racks > 0 {
		shift *= s.racks
	}
	for k := 0; len(picked) < count; k++ {
		b := s.brokers[(first+1+(shift+k)%(n-1))%n]
		if s.racks > 0 && (racks[b.rack] && len(racks) < s.racks || slices.Contains(picked, b.id)) {
			continue
		}
		picked = append(picked, b.id)
		racks[b.rack] = true
	}
	return picked
}
