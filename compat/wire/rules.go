package wire

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rule says how the answers of one API are compared. Paths are written without indexes.
type rule struct {
	ignore    []string // fields that differ for a reason that has nothing to do with behaviour
	unordered []string // arrays that Apache fills from hash maps
	drawn     []string // numbers that a broker draws at random
}

var rules = map[kmsg.Key]rule{
	kmsg.Fetch:               {drawn: []string{"SessionID"}},
	kmsg.Metadata:            {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.OffsetFetch:         {unordered: []string{"Topics", "Groups.Topics", "Groups.Topics.Partitions", "Topics.Partitions"}},
	kmsg.ListGroups:          {unordered: []string{"Groups"}},
	kmsg.InitProducerID:      {drawn: []string{"ProducerID"}},
	kmsg.DescribeConfigs:     {unordered: []string{"Resources.Configs", "Resources"}},
	kmsg.CreateTopics:        {unordered: []string{"Topics.Configs", "Topics"}},
	kmsg.DescribeLogDirs:     {unordered: []string{"Dirs.Topics", "Dirs.Topics.Partitions"}, ignore: []string{"Dirs.TotalBytes", "Dirs.UsableBytes"}},
	kmsg.AlterReplicaLogDirs: {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.DescribeGroups:      {unordered: []string{"Groups.Members"}},
	kmsg.JoinGroup:           {unordered: []string{"Members"}},
	kmsg.DeleteTopics:        {unordered: []string{"Topics"}},
	kmsg.DeleteRecords:       {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.ListOffsets:         {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.Produce:             {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.OffsetCommit:        {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.OffsetDelete:        {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.DeleteGroups:        {unordered: []string{"Groups"}},
	kmsg.WriteTxnMarkers:     {unordered: []string{"Markers", "Markers.Topics", "Markers.Topics.Partitions"}},
	kmsg.TxnOffsetCommit:     {unordered: []string{"Topics", "Topics.Partitions"}},

	kmsg.OffsetForLeaderEpoch:       {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.CreatePartitions:           {unordered: []string{"Topics"}},
	kmsg.AlterConfigs:               {unordered: []string{"Resources"}},
	kmsg.IncrementalAlterConfigs:    {unordered: []string{"Resources"}},
	kmsg.DescribeProducers:          {unordered: []string{"Topics", "Topics.Partitions", "Topics.Partitions.ActiveProducers"}},
	kmsg.ElectLeaders:               {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.AlterPartitionAssignments:  {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.ListPartitionReassignments: {unordered: []string{"Topics", "Topics.Partitions"}},
	kmsg.ConsumerGroupDescribe:      {unordered: []string{"Groups"}},
	kmsg.DescribeCluster:            {unordered: []string{"Brokers"}},
	kmsg.AddPartitionsToTxn:         {unordered: []string{"Topics", "Topics.Partitions", "Transactions", "Transactions.Topics", "Transactions.Topics.Partitions"}},
	kmsg.DescribeTransactions: {unordered: []string{"TransactionStates.Topics", "TransactionStates.Topics.Partitions"},
		drawn: []string{"TransactionStates.ProducerID", "TransactionStates.StartTimestamp"}},
	kmsg.ListTransactions: {unordered: []string{"UnknownStateFilters"}, drawn: []string{"TransactionStates.ProducerID"}},
}

// comparable leaves out of two answers what the brokers need not have in common: the APIs that gokafka does not have (what it
// has must be the same), the settings that point Apache to its ZooKeeper, and the defaults that are gokafka's own.
func comparable(answers [2]kmsg.Response) [2]kmsg.Response {
	switch apache := answers[0].(type) {
	case *kmsg.ApiVersionsResponse:
		have := map[int16]bool{}
		for _, k := range answers[1].(*kmsg.ApiVersionsResponse).ApiKeys {
			have[k.ApiKey] = true
		}
		trimmed := *apache
		trimmed.ApiKeys = slices.DeleteFunc(slices.Clone(apache.ApiKeys), func(k kmsg.ApiVersionsResponseApiKey) bool { return !have[k.ApiKey] })
		answers[0] = &trimmed
	case *kmsg.DescribeConfigsResponse:
		for i := range answers {
			answers[i] = withoutOwn(answers[i].(*kmsg.DescribeConfigsResponse))
		}
	}
	return answers
}

// ownDefaults are settings whose default differs because gokafka runs alone on one machine when nothing else is said.
var ownDefaults = []string{"broker.id", "node.id", "listeners",
	"offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr"}

func withoutOwn(r *kmsg.DescribeConfigsResponse) *kmsg.DescribeConfigsResponse {
	trimmed := *r
	trimmed.Resources = slices.Clone(r.Resources)
	for i := range trimmed.Resources {
		configs := &trimmed.Resources[i].Configs
		*configs = slices.DeleteFunc(slices.Clone(*configs), func(c kmsg.DescribeConfigsResponseResourceConfig) bool {
			return c.Name == "zookeeper.connect" || strings.HasPrefix(c.Name, "zookeeper.session")
		})
		for j, c := range *configs {
			if slices.Contains(ownDefaults, c.Name) {
				(*configs)[j].ConfigSynonyms = c.ConfigSynonyms[:min(1, len(c.ConfigSynonyms))]
			}
		}
	}
	return &trimmed
}
