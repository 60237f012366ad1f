package server

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/protocol"
)

// Who asked for an election waits until its broker has heard of it, and not for a leader that is gone again.
func TestElectionIsHeardOf(t *testing.T) {
	tp := protocol.TopicPartition{Topic: "t"}
	elected := map[protocol.TopicPartition]controller.ElectionResult{
		tp: {Leader: 1, Epoch: 5}, {Topic: "unknown"}: {Leader: cluster.NoLeader, Err: kerr.UnknownTopicOrPartition}}
	for _, test := range []struct {
		leader cluster.BrokerID
		epoch  cluster.LeaderEpoch
		heard  bool
	}{{2, 4, false}, {1, 5, true}, {2, 6, true}, {cluster.NoLeader, 6, true}} {
		m, _ := cluster.NewMetadata("").With(&cluster.UpdateMetadataRequest{States: []cluster.PartitionState{
			{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: test.leader, LeaderEpoch: test.epoch}}}})
		if got := shows(m, elected); got != test.heard {
			t.Errorf("leader %d in epoch %d: %v", test.leader, test.epoch, got)
		}
	}
	if shows(cluster.NewMetadata(""), elected) {
		t.Error("a partition that is not known yet")
	}
}
