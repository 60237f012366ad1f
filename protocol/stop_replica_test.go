package protocol

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The bytes are what Apache Kafka 3.9.2 makes of the same request.
func TestStopReplicaRequestAsApacheWritesIt(t *testing.T) {
	states := []kmsg.StopReplicaRequestTopic{{Topic: "t", PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{{Partition: 7, LeaderEpoch: 8, Delete: true}}}}
	plain := []kmsg.StopReplicaRequestTopic{{Topic: "t", Partitions: []int32{7}}}
	for version, tt := range map[int16]struct {
		apache string
		want   kmsg.StopReplicaRequest
	}{
		1: {"0000000100000102000000000000000301000000010001740000000100000007", kmsg.StopReplicaRequest{DeletePartitions: true, Topics: plain}},
		2: {"000000010000010200000000000000030102027402000000070000", kmsg.StopReplicaRequest{DeletePartitions: true, Topics: plain}},
		3: {"0000000100000102000000000000000302027402000000070000000801000000", kmsg.StopReplicaRequest{Topics: states}},
		4: {"000000010100000102000000000000000302027402000000070000000801000000", kmsg.StopReplicaRequest{IsKRaftController: true, Topics: states}},
	} {
		want := StopReplicaRequest{tt.want}
		want.Version, want.ControllerID, want.ControllerEpoch, want.BrokerEpoch = version, 1, 258, 3
		if b := hex.EncodeToString(want.AppendTo([]byte("before"))); b != hex.EncodeToString([]byte("before"))+tt.apache {
			t.Errorf("v%d: written as %s", version, b)
		}
		body, err := hex.DecodeString(tt.apache)
		if err != nil {
			t.Fatal(err)
		}
		var got StopReplicaRequest
		if err := DecodeRequest(&got, version, body); err != nil {
			t.Fatal(err)
		}
		got.UnknownTags = want.UnknownTags
		if !reflect.DeepEqual(got, want) {
			t.Errorf("v%d: read as %+v", version, got)
		}
		if after := hex.EncodeToString(body); after != tt.apache {
			t.Errorf("v%d: reading changed the body to %s", version, after)
		}
	}
}
