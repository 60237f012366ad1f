package peer

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
)

// The versions are those that Apache's brokers send under each inter.broker.protocol.version.
func TestVersionsOfProtocols(t *testing.T) {
	for _, test := range []struct {
		protocol                            cluster.ProtocolVersion
		leaderAndISR, metadata, stop        int16
		fetch, listOffsets, alterPartitions int16
	}{
		{cluster.ProtocolVersion{}, math.MaxInt16, math.MaxInt16, math.MaxInt16, math.MaxInt16, math.MaxInt16, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3}, 5, 7, 3, 12, 6, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Internal: 1}, 5, 7, 3, 12, 7, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 1}, 5, 7, 3, 13, 7, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 2}, 6, 7, 3, 13, 7, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 3, Internal: 3}, 6, 7, 3, 13, 7, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 4}, 7, 8, 4, 13, 7, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 5}, 7, 8, 4, 14, 8, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 5, Internal: 2}, 7, 8, 4, 15, 8, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 7, Internal: 3}, 7, 8, 4, 15, 8, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 7, Internal: 4}, 7, 8, 4, 16, 8, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 8}, 7, 8, 4, 16, 8, math.MaxInt16},
		{cluster.ProtocolVersion{Major: 3, Minor: 9}, 7, 8, 4, 17, 9, math.MaxInt16},
	} {
		for key, want := range map[kmsg.Key]int16{kmsg.LeaderAndISR: test.leaderAndISR, kmsg.UpdateMetadata: test.metadata, kmsg.StopReplica: test.stop,
			kmsg.Fetch: test.fetch, kmsg.ListOffsets: test.listOffsets, kmsg.AlterPartition: test.alterPartitions} {
			if got := highest(test.protocol, int16(key)); got != want {
				t.Errorf("%v: %s v%d, Apache sends v%d", test.protocol, key.Name(), got, want)
			}
		}
	}
}
