package admin

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// The golden file holds what Apache's AdminUtils assigns: racks of the brokers 100, 101, …, replication factor, start, first partition.
func TestSpreadAsApache(t *testing.T) {
	data, err := os.ReadFile("testdata/assignments.apache.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "\t") { // one broker without a rack
			f = append([]string{""}, f...)
		}
		var brokers []candidate
		for i, rack := range strings.Split(f[0], ",") {
			brokers = append(brokers, candidate{id: cluster.BrokerID(100 + i), rack: rack})
		}
		factor, start, from := atoi(t, f[1]), atoi(t, f[2]), atoi(t, f[3])
		want := strings.Split(f[4], " ")
		s, err := newSpread(brokers, start, start)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.assign(from, len(want), factor)
		if err != nil {
			t.Fatal(err)
		}
		for i, replicas := range got {
			if g := strings.ReplaceAll(list(replicas), " ", ""); g != want[i] {
				t.Fatalf("racks %s factor %d start %d: partition %d has %s, Apache %s", f[0], factor, start, from+i, g, want[i])
			}
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever the brokers, replicas are on different ones, first replicas are even, and racks are used before one is used twice.
func TestSpreadIsEven(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for racks := 0; racks <= 3; racks++ {
			var brokers []candidate
			for i := range n {
				c := candidate{id: cluster.BrokerID(i)}
				if racks > 0 {
					c.rack = strconv.Itoa(i % racks)
				}
				brokers = append(brokers, c)
			}
			for factor := 1; factor <= n; factor++ {
				checkEven(t, brokers, min(n, max(racks, 1)), factor)
			}
		}
	}
}

func checkEven(t *testing.T, brokers []candidate, racks, factor int) {
	t.Helper()
	s, err := newSpread(slices.Clone(brokers), 2%len(brokers), 1)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 4
	got, err := s.assign(0, rounds*len(brokers), factor)
	if err != nil {
		t.Fatal(err)
	}
	leaders := map[cluster.BrokerID]int{}
	for _, replicas := range got {
		leaders[replicas[0]]++
		used := map[string]bool{}
		for _, id := range replicas {
			used[brokers[id].rack] = true
		}
		if hasDuplicates(replicas) || len(replicas) != factor || brokers[0].rack != "" && len(used) != min(racks, factor) {
			t.Fatalf("%d brokers in %d racks, factor %d: %v", len(brokers), racks, factor, replicas)
		}
	}
	for id, count := range leaders {
		if count != rounds {
			t.Fatalf("%d brokers, factor %d: broker %d leads %d of %d", len(brokers), factor, id, count, len(got))
		}
	}
}

func TestSpreadRefuses(t *testing.T) {
	two := []candidate{{id: 1}, {id: 2}}
	s, err := newSpread(two, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		count, factor int
		want          *kerr.Error
	}{{0, 1, kerr.InvalidPartitions}, {-1, 1, kerr.InvalidPartitions}, {1, 0, kerr.InvalidReplicationFactor}, {1, 3, kerr.InvalidReplicationFactor}} {
		if _, err := s.assign(0, c.count, c.factor); protocol.CodeOf(err) != c.want.Code {
			t.Errorf("%d partitions of %d replicas: %v", c.count, c.factor, err)
		}
	}
	if _, err := newSpread([]candidate{{id: 1, rack: "a"}, {id: 2}}, 0, 0); err == nil {
		t.Error("brokers with and without rack were mixed")
	}
	none, err := newSpread(nil, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.assign(0, 1, 1); protocol.CodeOf(err) != kerr.InvalidReplicationFactor.Code {
		t.Errorf("no brokers: %v", err)
	}
}
