package handlers

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/group"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// offsetFetcher is what OffsetFetch needs.
type offsetFetcher struct {
	Groups groupCoordinator
	Image  clusterImage
	Legacy legacyOffsets
}

// offsetFetch
//
// Behaviour: returns a group's offsets; -1 where it has none, whether the partition exists or not. A null list of topics
// means all that the group has. A request for no group at all, which Apache never answers, is answered with none.
//
// Versions: 0 reads ZooKeeper, apart from all others, and does mind partitions that do not exist. Before 2 there is no
// error for the group, so each partition carries it. 2 brings null for all topics, 5 the leader epoch, 7 the refusal of
// offsets that an open transaction may change, 8 several groups.
func offsetFetch(o offsetFetcher) API {
	return on(0, 9, func(ctx context.Context, c *Call, req *kmsg.OffsetFetchRequest) (*kmsg.OffsetFetchResponse, error) {
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		if c.Version >= 8 {
			named := mentions[string]{}
			for i := range req.Groups {
				err := named.add(req.Groups[i].Group)
				resp.Groups = append(resp.Groups, o.group(ctx, &req.Groups[i], req.RequireStable, err))
			}
			return resp, nil
		}
		partitions := listPartitions(req.Topics, func(t *kmsg.OffsetFetchRequestTopic) (string, []int32) { return t.Topic, t.Partitions })
		var fetched []group.FetchedOffset
		var err error
		if c.Version == 0 {
			fetched = o.legacy(ctx, req.Group, partitions)
		} else {
			fetched, err = o.Groups.FetchOffsets(ctx, req.Group, partitions, req.RequireStable)
		}
		if err != nil && c.Version < 2 {
			fetched, err = failed(partitions, err), nil
		}
		resp.ErrorCode = protocol.CodeOf(err)
		resp.Topics = shapeByTopic(len(fetched), func(i int) string { return fetched[i].Topic },
			func(i int) kmsg.OffsetFetchResponseTopicPartition {
				f, p := fetched[i], kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.Offset, p.LeaderEpoch = f.Partition, f.Offset, f.LeaderEpoch
				p.Metadata, p.ErrorCode = &f.Metadata, protocol.CodeOf(f.Err)
				return p
			},
			func(name string, partitions []kmsg.OffsetFetchResponseTopicPartition) kmsg.OffsetFetchResponseTopic {
				t := kmsg.NewOffsetFetchResponseTopic()
				t.Topic, t.Partitions = name, partitions
				return t
			})
		return resp, nil
	})
}

// group answers for one group of versions 8 and later, unless it is refused.
func (o offsetFetcher) group(ctx context.Context, req *kmsg.OffsetFetchRequestGroup, requireStable bool, refused error) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	if refused != nil {
		resp.ErrorCode = protocol.CodeOf(refused)
		return resp
	}
	partitions := listPartitions(req.Topics, func(t *kmsg.OffsetFetchRequestGroupTopic) (string, []int32) { return t.Topic, t.Partitions })
	fetched, err := o.Groups.FetchOffsets(ctx, req.Group, partitions, requireStable)
	resp.ErrorCode = protocol.CodeOf(err)
	resp.Topics = shapeByTopic(len(fetched), func(i int) string { return fetched[i].Topic },
		func(i int) kmsg.OffsetFetchResponseGroupTopicPartition {
			f, p := fetched[i], kmsg.NewOffsetFetchResponseGroupTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = f.Partition, f.Offset, f.LeaderEpoch
			p.Metadata, p.ErrorCode = &f.Metadata, protocol.CodeOf(f.Err)
			return p
		},
		func(name string, partitions []kmsg.OffsetFetchResponseGroupTopicPartition) kmsg.OffsetFetchResponseGroupTopic {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic, t.Partitions = name, partitions
			return t
		})
	return resp
}

// listPartitions lists what a request asks for, each partition once; nil, from null, for everything.
func listPartitions[T any](topics []T, of func(*T) (topic string, partitions []int32)) []protocol.TopicPartition {
	if topics == nil {
		return nil
	}
	listed, seen := []protocol.TopicPartition{}, map[protocol.TopicPartition]bool{}
	for i := range topics {
		topic, partitions := of(&topics[i])
		for _, p := range partitions {
			if tp := (protocol.TopicPartition{Topic: topic, Partition: p}); !seen[tp] {
				listed, seen[tp] = append(listed, tp), true
			}
		}
	}
	return listed
}

func failed(partitions []protocol.TopicPartition, err error) []group.FetchedOffset {
	fetched := make([]group.FetchedOffset, len(partitions))
	for i, tp := range partitions {
		fetched[i] = group.FetchedOffset{TopicPartition: tp, Err: err, Offset: -1, LeaderEpoch: -1}
	}
	return fetched
}

// legacy reads offsets where version 0 keeps them.
func (o offsetFetcher) legacy(ctx context.Context, id string, partitions []protocol.TopicPartition) []group.FetchedOffset {
	fetched := failed(partitions, nil)
	image := o.Image.Metadata()
	for i, tp := range partitions {
		f := &fetched[i]
		if image.Partition(tp) == nil {
			f.Err = kerr.UnknownTopicOrPartition
			continue
		}
		if id == "" {
			f.Err = kerr.UnknownServerError // as in offsetCommit
			continue
		}
		switch offset, err := o.Legacy.ConsumerOffset(ctx, id, tp.Topic, tp.Partition); {
		case err == nil:
			f.Offset = offset
		case errors.Is(err, metastore.ErrNoNode):
			f.Err = kerr.UnknownTopicOrPartition
		default:
			f.Err = err
		}
	}
	return fetched
}
