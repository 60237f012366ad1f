package wire

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// single is what one node can do: the APIs that gokafka must have now. Others are compared as soon as it advertises them.
var single = []kmsg.Key{
	kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.Heartbeat,
	kmsg.LeaveGroup, kmsg.SyncGroup, kmsg.DescribeGroups, kmsg.ListGroups, kmsg.SASLHandshake, kmsg.ApiVersions, kmsg.CreateTopics, kmsg.DeleteTopics,
	kmsg.DeleteRecords, kmsg.InitProducerID, kmsg.OffsetForLeaderEpoch, kmsg.DescribeConfigs, kmsg.AlterConfigs, kmsg.AlterReplicaLogDirs, kmsg.DescribeLogDirs, kmsg.CreatePartitions,
	kmsg.DeleteGroups, kmsg.ElectLeaders, kmsg.IncrementalAlterConfigs, kmsg.AlterPartitionAssignments, kmsg.ListPartitionReassignments, kmsg.OffsetDelete,
	kmsg.DescribeCluster, kmsg.DescribeProducers, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.DescribeTransactions, kmsg.ListTransactions,
}

// The same requests to both brokers, at every version: the answers agree field by field.
func TestWire(t *testing.T) {
	s := NewSuite(t, map[string]string{"auto.create.topics.enable": "true", "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
		"log.retention.ms": "-1"}) // the records of the cases are years old
	warmUp(t, s)
	for _, cases := range [][]Case{connectionCases, topicCases, produceCases, fetchCases, offsetCases, groupCases, configCases, clusterCases, brokerCases, txnCases, verifiedCases, differentCases} {
		for _, c := range cases {
			s.Run(t, c)
		}
	}
	table, gaps := s.Coverage(single)
	t.Logf("\n%s", table)
	for _, gap := range gaps {
		t.Errorf("no case compares %s", gap)
	}
}

// The versions that are advertised are Apache's, and nothing of a single node's is missing.
func TestAdvertised(t *testing.T) {
	s := NewSuite(t, nil)
	for key, ours := range s.ours {
		if theirs, ok := s.versions[key]; !ok || ours != theirs {
			t.Errorf("%s: Apache advertises %v, %s %v", key.Name(), theirs, s.names[1], ours)
		}
	}
	for _, key := range single {
		if _, ok := s.ours[key]; !ok {
			t.Errorf("%s is not advertised by %s", key.Name(), s.names[1])
		}
	}
}

// warmUp has both brokers make their offsets topic and reserve producer ids, which Apache does in the background, so that no case
// meets them half done.
func warmUp(t *testing.T, s *Suite) {
	s.Run(t, Case{Name: "warm up", Key: kmsg.FindCoordinator, Max: 1, Run: func(x *Exchange) {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = "warm-up"
		x.Until(req, func(r kmsg.Response) bool { return r.(*kmsg.FindCoordinatorResponse).ErrorCode == 0 })
		req.Version, req.CoordinatorType = 3, 1
		setup(x).Until(req, func(r kmsg.Response) bool { return r.(*kmsg.FindCoordinatorResponse).ErrorCode == 0 })
		setup(x.Unchecked()).Until((&transactor{id: "warm-up"}).initialize(0, nil), func(r kmsg.Response) bool { return r.(*kmsg.InitProducerIDResponse).ErrorCode == 0 })
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Version, fetch.Group = 2, "warm-up"
		x.Until(fetch, func(r kmsg.Response) bool { return r.(*kmsg.OffsetFetchResponse).ErrorCode == 0 })
		x.Unchecked().Until(kmsg.NewPtrInitProducerIDRequest(), func(r kmsg.Response) bool { return r.(*kmsg.InitProducerIDResponse).ErrorCode == 0 })
	}})
}

// createTopic makes a topic with default settings and waits until both brokers lead its partitions.
func createTopic(x *Exchange, name string, partitions int32, configs ...string) {
	x.T.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 20000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for pair := range slices.Chunk(configs, 2) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = pair[0], &pair[1]
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	y := *x
	y.key = -1 // the setup's version does not follow the case's
	y.Send(req)
	y.awaitLeaders(name, int(partitions))
}

func (x *Exchange) awaitLeaders(topic string, partitions int) {
	x.T.Helper()
	x.Unchecked().Until(metadata(4, false, topic), func(r kmsg.Response) bool {
		m := r.(*kmsg.MetadataResponse)
		return len(m.Topics) == 1 && m.Topics[0].ErrorCode == 0 && len(m.Topics[0].Partitions) == partitions &&
			!slices.ContainsFunc(m.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.ErrorCode != 0 || p.Leader < 0 })
	})
}

func metadata(version int16, create bool, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = version, create
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

// topicIDs are a topic's ids on the two sides.
func topicIDs(x *Exchange, topic string) (ids [2][16]byte) {
	x.T.Helper()
	y := *x.Unchecked()
	y.key = -1
	got := y.Send(metadata(10, false, topic))
	for i := range ids {
		if m, ok := got.Response(i).(*kmsg.MetadataResponse); ok && len(m.Topics) == 1 {
			ids[i] = m.Topics[0].TopicID
		}
	}
	return ids
}

// appendRecords produces to a partition at a version that takes anything.
func appendRecords(x *Exchange, topic string, partition int32, records []byte) {
	x.T.Helper()
	y := *x
	y.key = -1
	req := produce(-1, topic, partition, records)
	req.Version = 7
	if len(records) > 16 && records[16] < 2 {
		req.Version = 2
	}
	y.Send(req)
}

func produce(acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func fetch(topic string, id [16]byte, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 0, 0, 50<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}
