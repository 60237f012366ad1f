package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/log/vfs"
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

// Nobody waits past the deadline, and without a timeout not at all: what was elected and is not known yet has timed out.
func TestElectionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs, err := log.Open(log.ManagerOptions{FS: vfs.NewMem(), Dirs: []string{"/data"}, Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer logs.Close()
		m := replica.New(replica.Options{BrokerID: 1, ClusterID: "c", Logs: logs, Config: func(string) *log.Config { return log.DefaultConfig() },
			LagTimeMax: time.Minute, CheckpointInterval: time.Minute, Logger: zerolog.Nop()})
		defer m.Close()
		tp, failed := protocol.TopicPartition{Topic: "t"}, protocol.TopicPartition{Topic: "failed"}
		elected := map[protocol.TopicPartition]controller.ElectionResult{tp: {Leader: 1, Epoch: 5}, failed: {Err: kerr.ElectionNotNeeded}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		await := func(timeout time.Duration) (map[protocol.TopicPartition]error, time.Duration) {
			began := time.Now()
			errs := control{image: m}.awaitElected(ctx, began.Add(timeout), elected)
			return errs, time.Since(began)
		}
		for _, timeout := range []time.Duration{time.Second, 0, -time.Second} {
			if errs, waited := await(timeout); errs[tp] != kerr.RequestTimedOut || errs[failed] != kerr.ElectionNotNeeded || waited != max(0, timeout) {
				t.Errorf("timeout %v: %v after %v", timeout, errs, waited)
			}
		}
		s := cluster.PartitionState{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 5}}
		if err := m.ApplyUpdateMetadata(&cluster.UpdateMetadataRequest{States: []cluster.PartitionState{s}}); err != nil {
			t.Fatal(err)
		}
		if errs, _ := await(0); errs[tp] != nil {
			t.Errorf("known already: %v", errs)
		}
	})
}
