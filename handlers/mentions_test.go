package handlers

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/cluster/group"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/protocol"
)

// Those that are asked have something to tell of whatever it is about.

type chattyConfigs struct{}

func (chattyConfigs) Describe(_ context.Context, questions []admin.Question) []admin.Description {
	answers := make([]admin.Description, len(questions))
	for i := range answers {
		answers[i].Entries = []config.Entry{{Name: "some.setting"}}
	}
	return answers
}

type chattyGroups struct{ groupCoordinator }

func (chattyGroups) Describe(context.Context, string) (group.Description, error) {
	return group.Description{Members: make([]group.MemberDescription, 1)}, nil
}

func (chattyGroups) FetchOffsets(context.Context, string, []protocol.TopicPartition, bool) ([]group.FetchedOffset, error) {
	return make([]group.FetchedOffset, 1), nil
}

type chattyTxns struct{ txnCoordinator }

func (chattyTxns) Describe(context.Context, string) (txn.Description, error) {
	return txn.Description{Partitions: make([]protocol.TopicPartition, 1)}, nil
}

type chattyReplicas struct{}

func (chattyReplicas) Metadata() *cluster.Metadata { return topicImage("a") }

func (chattyReplicas) ActiveProducers(protocol.TopicPartition) ([]log.ProducerState, error) {
	return make([]log.ProducerState, 1), nil
}

func (chattyReplicas) ListOffset(*replica.OffsetQuery) (log.TimestampOffset, error) {
	return log.TimestampOffset{}, nil
}

func (chattyReplicas) SegmentOffsets(*replica.OffsetQuery, int) ([]int64, error) {
	return make([]int64, 1), nil
}

// Case 106: a small request that names one thing over and over does not get all there is to tell of it each time.
func TestManyMentionsOfOneThing(t *testing.T) {
	const n = 1000
	groups, configs, offsets := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewPtrOffsetFetchRequest()
	txns, producers := kmsg.NewPtrDescribeTransactionsRequest(), kmsg.NewPtrDescribeProducersRequest()
	for range n {
		groups.Groups = append(groups.Groups, "g")
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker})
		offsets.Groups = append(offsets.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
		txns.TransactionalIDs = append(txns.TransactionalIDs, "id")
		producers.Topics = append(producers.Topics, kmsg.DescribeProducersRequestTopic{Topic: "a", Partitions: []int32{0}})
	}
	segmentOffsets, segments := listOffsets(chattyReplicas{}), kmsg.NewPtrListOffsetsRequest()
	segmentOffsets.Max = 0 // newer ones tell of none
	for range n {
		segments.Topics = append(segments.Topics, kmsg.ListOffsetsRequestTopic{Topic: "a", Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, 1)})
	}
	type told struct {
		code int16
		much int
	}
	for name, test := range map[string]struct {
		api     API
		request kmsg.Request
		told    func(resp kmsg.Response, i int) told
	}{
		"DescribeGroups": {describeGroups(chattyGroups{}), groups, func(resp kmsg.Response, i int) told {
			g := resp.(*kmsg.DescribeGroupsResponse).Groups[i]
			return told{g.ErrorCode, len(g.Members)}
		}},
		"DescribeConfigs": {describeConfigs(chattyConfigs{}), configs, func(resp kmsg.Response, i int) told {
			r := resp.(*kmsg.DescribeConfigsResponse).Resources[i]
			return told{r.ErrorCode, len(r.Configs)}
		}},
		"OffsetFetch": {offsetFetch(offsetFetcher{Groups: chattyGroups{}}), offsets, func(resp kmsg.Response, i int) told {
			g := resp.(*kmsg.OffsetFetchResponse).Groups[i]
			return told{g.ErrorCode, len(g.Topics)}
		}},
		"DescribeTransactions": {describeTransactions(chattyTxns{}), txns, func(resp kmsg.Response, i int) told {
			s := resp.(*kmsg.DescribeTransactionsResponse).TransactionStates[i]
			return told{s.ErrorCode, len(s.Topics)}
		}},
		"DescribeProducers": {describeProducers(chattyReplicas{}), producers, func(resp kmsg.Response, i int) told {
			p := resp.(*kmsg.DescribeProducersResponse).Topics[i].Partitions[0]
			return told{p.ErrorCode, len(p.ActiveProducers)}
		}},
		"ListOffsets": {segmentOffsets, segments, func(resp kmsg.Response, i int) told {
			p := resp.(*kmsg.ListOffsetsResponse).Topics[i].Partitions[0]
			return told{p.ErrorCode, len(p.OldStyleOffsets)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			test.request.SetVersion(test.api.Max)
			answer, _, err := test.api.Begin(t.Context(), &Call{Key: test.api.Key, Version: test.api.Max}, test.request)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				want := told{0, 1}
				if i >= mentionsMax {
					want = told{kerr.InvalidRequest.Code, 0}
				}
				if got := test.told(answer.Response, i); got != want {
					t.Fatalf("mention %d: told %+v, want %+v", i, got, want)
				}
			}
		})
	}
}
