package admin

import (
	"context"
	"errors"
	"testing"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// A partition number in a directory's name costs one partition, however large it is; and an adoption can be repeated.
func TestAdopt(t *testing.T) {
	w := newWorld(t, 1, nil)
	ctx, id := context.Background(), protocol.NewTopicID()
	found := []FoundTopic{{Name: "t", ID: id, Partitions: []FoundPartition{{0, 5}, {2147483647, -1}}},
		{Name: "c", Compacted: true, Partitions: []FoundPartition{{0, 0}}}, {Name: offsetsTopic, Compacted: true, Partitions: []FoundPartition{{3, 0}}}}
	for range 2 {
		if err := w.admin.Adopt(ctx, found); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.store.Topic(ctx, "t", nil)
	if err != nil || got.ID != id || len(got.Partitions) != 2 {
		t.Errorf("topic %+v, %v, want both partitions under the id", got, err)
	}
	settings, err := w.admin.TopicValues(ctx, []string{offsetsTopic, "c", "t"})
	if err != nil {
		t.Fatal(err)
	}
	for i, compacted := range []bool{true, true, false} {
		c := settings[i].LogConfig()
		if c.Compact != compacted || c.Delete == compacted || c.Delete && (c.RetentionMs >= 0 || c.RetentionBytes >= 0) {
			t.Errorf("topic %d has settings by which it may lose records: %+v", i, c)
		}
	}
	states, err := w.store.PartitionStates(ctx, []protocol.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 2147483647}})
	if err != nil || states[0].State.LeaderEpoch != 5 || states[0].State.Leader != cluster.NoLeader || !errors.Is(states[1].Err, metastore.ErrNoNode) {
		t.Errorf("states are %+v, %v", states, err)
	}
}
