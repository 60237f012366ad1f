package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

// A replica that is moved with a throttle takes as long as the throttle says, at the least; without one it would be there at once.
// (What the reassignment tool does with throttles is among the operator's tools.)
func TestMovedReplicasAreThrottled(t *testing.T) {
	const (
		size = 8 << 20
		rate = "1048576"
	)
	ctx := context.Background()
	c := Start(t, 3, nil)
	if _, err := c.admin.CreateTopics(ctx, 1, 2, nil, "moved"); err != nil {
		t.Fatal(err)
	}
	producer := load.Client(t, c.Addrs(), kgo.DefaultProduceTopic("moved"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range size / (64 << 10) {
		producer.Produce(ctx, &kgo.Record{Value: make([]byte, 64<<10)}, nil)
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	topics, err := c.admin.ListTopics(ctx, "moved")
	if err != nil {
		t.Fatal(err)
	}
	stays := topics["moved"].Partitions[0].Leader
	var comes int32
	for id := range c.Brokers {
		if replicas := topics["moved"].Partitions[0].Replicas; id != replicas[0] && id != replicas[1] {
			comes = id
		}
	}
	set := func(name, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	}
	ids := []int32{1, 2, 3}
	if _, err := c.admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{set("leader.replication.throttled.rate", rate)}, ids...); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{set("leader.replication.throttled.replicas", "*")}, "moved"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // brokers hear of settings soon, and say nothing of it
	var assign kadm.AlterPartitionAssignmentsReq
	assign.Assign("moved", 0, []int32{stays, comes})
	began := time.Now()
	if r, err := c.admin.AlterPartitionAssignments(ctx, assign); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	c.await("reassignment", func(ctx context.Context) error {
		m, err := c.admin.Metadata(ctx, "moved")
		if p := m.Topics["moved"].Partitions[0]; err == nil && !slices.Equal(p.Replicas, []int32{stays, comes}) {
			err = fmt.Errorf("replicas are %v", p.Replicas)
		}
		return err
	})
	took := time.Since(began)
	t.Logf("%d MiB at %s bytes in a second took %v", size>>20, rate, took)
	if took < 4*time.Second {
		t.Errorf("8 MiB at 1 MiB/s took only %v", took)
	}
}
