package admin

import (
	"context"
	"testing"

	"gokafka/protocol"
)

// A partition number in a directory's name costs one partition, however large it is; and an adoption can be repeated.
func TestAdopt(t *testing.T) {
	w := newWorld(t, 1, nil)
	ctx, id := context.Background(), protocol.NewTopicID()
	found := []FoundTopic{{Name: "t", ID: id, Partitions: []int32{0, 2147483647}}, {Name: offsetsTopic, Partitions: []int32{3}}}
	for range 2 {
		if err := w.admin.Adopt(ctx, found); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.store.Topic(ctx, "t", nil)
	if err != nil || got.ID != id || len(got.Partitions) != 2 {
		t.Errorf("topic %+v, %v, want both partitions under the id", got, err)
	}
	settings, err := w.admin.TopicValues(ctx, []string{offsetsTopic})
	if err != nil || !settings[0].LogConfig().Compact {
		t.Errorf("the offsets topic is not compacted: %v", err)
	}
}
