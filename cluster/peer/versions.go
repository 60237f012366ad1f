package peer

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
)

// since says which version of a request came with which inter.broker.protocol.version.
type since struct {
	protocol cluster.ProtocolVersion
	version  int16
}

// spoken lists, newest first, the highest version of each request that Apache's brokers send to each other under an
// inter.broker.protocol.version since 3.0. Requests that are not here are negotiated there too.
var spoken = map[kmsg.Key][]since{
	kmsg.Fetch: {{cluster.ProtocolVersion{Major: 3, Minor: 9}, 17}, {cluster.ProtocolVersion{Major: 3, Minor: 7, Internal: 4}, 16},
		{cluster.ProtocolVersion{Major: 3, Minor: 5, Internal: 1}, 15}, {cluster.ProtocolVersion{Major: 3, Minor: 5}, 14},
		{cluster.ProtocolVersion{Major: 3, Minor: 1}, 13}, {cluster.ProtocolVersion{Major: 3}, 12}},
	kmsg.ListOffsets: {{cluster.ProtocolVersion{Major: 3, Minor: 9}, 9}, {cluster.ProtocolVersion{Major: 3, Minor: 5}, 8},
		{cluster.ProtocolVersion{Major: 3, Internal: 1}, 7}, {cluster.ProtocolVersion{Major: 3}, 6}},
	kmsg.LeaderAndISR: {{cluster.ProtocolVersion{Major: 3, Minor: 4}, 7}, {cluster.ProtocolVersion{Major: 3, Minor: 2}, 6},
		{cluster.ProtocolVersion{Major: 3}, 5}},
	kmsg.UpdateMetadata: {{cluster.ProtocolVersion{Major: 3, Minor: 4}, 8}, {cluster.ProtocolVersion{Major: 3}, 7}},
	kmsg.StopReplica:    {{cluster.ProtocolVersion{Major: 3, Minor: 4}, 4}, {cluster.ProtocolVersion{Major: 3}, 3}},
}

// highest is the highest version of a request that may be sent; the zero protocol version sets no limit.
func highest(p cluster.ProtocolVersion, key int16) int16 {
	if p == (cluster.ProtocolVersion{}) {
		return math.MaxInt16
	}
	steps := spoken[kmsg.Key(key)]
	for _, s := range steps {
		if p.AtLeast(s.protocol.Major, s.protocol.Minor, s.protocol.Internal) {
			return s.version
		}
	}
	if len(steps) > 0 { // an older protocol, which the configuration refuses
		return steps[len(steps)-1].version
	}
	return math.MaxInt16
}
