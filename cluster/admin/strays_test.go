package admin

import (
	"testing"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

func TestStrays(t *testing.T) {
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	session := tree.Connect()
	store := metastore.New(session)
	if err := store.CreatePersistentPaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, other := protocol.NewTopicID(), protocol.NewTopicID()
	assigned := map[int32]cluster.Assignment{0: {Replicas: []cluster.BrokerID{1, 2}}, 1: {Replicas: []cluster.BrokerID{2, 3}}}
	if _, err := store.CreateTopics(t.Context(), []metastore.NewTopic{{Topic: metastore.Topic{Name: "t", ID: id, Partitions: assigned}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Write(t.Context(), []metastore.Txn{{metastore.Create(metastore.PathTopic("broken"), []byte("{"), metastore.Persistent)}}); err != nil {
		t.Fatal(err)
	}
	stray, err := Strays(t.Context(), store, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		topic string
		index int32
		id    protocol.TopicID
		want  bool
	}{
		{"assigned", "t", 0, id, false},
		{"assigned, from before there were ids", "t", 0, protocol.TopicID{}, false},
		{"of an earlier topic of that name", "t", 0, other, true},
		{"assigned to others", "t", 1, id, true},
		{"no such partition", "t", 2, id, true},
		{"no such topic", "gone", 0, id, true},
		{"nobody can read the assignment", "broken", 0, id, false},
	} {
		if got := stray(protocol.TopicPartition{Topic: test.topic, Partition: test.index}, test.id); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
