package peer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// LeaderOptions say how a follower fetches.
type LeaderOptions struct {
	Options
	ID                cluster.BrokerID           // of the follower
	Epoch             func() cluster.BrokerEpoch // of its registration
	WaitMax           time.Duration              // replica.fetch.wait.max.ms
	BytesMin          int32                      // replica.fetch.min.bytes
	BytesMax          int32                      // replica.fetch.response.max.bytes
	PartitionBytesMax int32                      // replica.fetch.max.bytes
}

// Leader is a broker that leads partitions, as a follower asks it. It implements replica.Leader, and serves one fetcher.
type Leader struct {
	*Channel
	options LeaderOptions
	session session
	unnamed bool   // some partition of the last whole fetch had no topic id
	buf     []byte // holds the last answer to a fetch
	answers []replica.LeaderAnswer
}

// NewLeader returns a leader that is not connected yet.
func NewLeader(o LeaderOptions) *Leader {
	return &Leader{Channel: NewChannel(o.Options), options: o}
}

// Fetches tell divergence since version 12 (Kafka 2.7), and name topics by id since 13. Those after 17 are KRaft's.
const (
	fetchMin         = 12
	fetchByID        = 13
	fetchMax         = 17
	epochEndsMin     = 2 // with the follower's leader epoch
	listOffsetsMin   = 4 // likewise
	replicaStateFrom = 15
)

// Fetch implements replica.Leader. What it returns is valid until the next Fetch.
func (l *Leader) Fetch(ctx context.Context, asks []replica.FetchAsk, whole bool) ([]replica.LeaderAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	req := kmsg.NewPtrFetchRequest()
	versions := bounds{fetchMin, fetchMax}
	if whole {
		l.unnamed = slices.ContainsFunc(asks, func(a replica.FetchAsk) bool { return a.TopicID.IsZero() })
	}
	if l.unnamed {
		versions.highest = fetchByID - 1
	}
	if err := l.negotiateLocked(ctx, req, versions); err != nil {
		return nil, err
	}
	l.limit(req)
	l.session.ask(req, asks, whole, l.options.PartitionBytesMax)
	answer, buf, err := l.exchangeLocked(ctx, req, l.buf)
	l.buf = buf
	if err != nil {
		l.session.lost()
		return nil, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if again, err := l.session.answered(req, resp); again || err != nil {
		return nil, err
	}
	l.answers = l.session.read(l.answers[:0], resp)
	return l.answers, nil
}

// Remembers implements replica.Leader.
func (l *Leader) Remembers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.epoch != 0
}

func (l *Leader) limit(req *kmsg.FetchRequest) {
	o := &l.options
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(o.WaitMax.Milliseconds()), o.BytesMin, o.BytesMax
	if req.Version < replicaStateFrom {
		req.ReplicaID = int32(o.ID)
	} else {
		req.ReplicaState.ID, req.ReplicaState.Epoch = int32(o.ID), int64(o.Epoch())
	}
}

// EpochEnds implements replica.Leader.
func (l *Leader) EpochEnds(ctx context.Context, asks []replica.FetchAsk) ([]replica.LeaderAnswer, error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = int32(l.options.ID)
	req.Topics = grouped(len(asks), func(i int) string { return asks[i].Topic },
		func(i int) kmsg.OffsetForLeaderEpochRequestTopic {
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = asks[i].Topic
			return t
		},
		func(t *kmsg.OffsetForLeaderEpochRequestTopic, i int) {
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = asks[i].Partition, int32(asks[i].Epoch), int32(asks[i].LastEpoch)
			t.Partitions = append(t.Partitions, p)
		})
	resp, err := call[*kmsg.OffsetForLeaderEpochResponse](ctx, l.Channel, bounds{epochEndsMin, 4}, req)
	if err != nil {
		return nil, err
	}
	return epochEnds(asks, resp), nil
}

// epochEnds puts the answers in the order of the asks. One that is missing is as good as an error.
func epochEnds(asks []replica.FetchAsk, resp *kmsg.OffsetForLeaderEpochResponse) []replica.LeaderAnswer {
	found := map[protocol.TopicPartition]replica.LeaderAnswer{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			found[tp] = replica.LeaderAnswer{TopicPartition: tp, Err: kerr.ErrorForCode(p.ErrorCode),
				Epoch: replica.EpochEnd{Epoch: cluster.LeaderEpoch(p.LeaderEpoch), End: p.EndOffset}}
		}
	}
	answers := make([]replica.LeaderAnswer, len(asks))
	for i, a := range asks {
		answer, ok := found[a.TopicPartition]
		if !ok {
			answer = replica.LeaderAnswer{TopicPartition: a.TopicPartition, Err: errBadAnswer}
		}
		answers[i] = answer
	}
	return answers
}

// The timestamps that stand for the ends of a log.
const (
	latestTimestamp   = -1
	earliestTimestamp = -2
)

// Range implements replica.Leader.
func (l *Leader) Range(ctx context.Context, ask replica.FetchAsk) (start, end int64, err error) {
	if start, err = l.offset(ctx, &ask, earliestTimestamp); err != nil {
		return 0, 0, err
	}
	end, err = l.offset(ctx, &ask, latestTimestamp)
	return start, end, err
}

func (l *Leader) offset(ctx context.Context, ask *replica.FetchAsk, timestamp int64) (int64, error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.Timestamp = ask.Partition, int32(ask.Epoch), timestamp
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = ask.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.Topics = int32(l.options.ID), append(req.Topics, t)
	resp, err := call[*kmsg.ListOffsetsResponse](ctx, l.Channel, bounds{listOffsetsMin, 9}, req)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("list offsets of %s: %w", ask.TopicPartition, errBadAnswer)
	}
	found := &resp.Topics[0].Partitions[0]
	return found.Offset, kerr.ErrorForCode(found.ErrorCode)
}
