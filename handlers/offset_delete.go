package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// offsetDelete
//
// Behaviour: deletes a group's offsets of partitions that exist and that the group does not read.
func offsetDelete(g groupCoordinator, image clusterImage) API {
	return on(0, 0, func(ctx context.Context, c *Call, req *kmsg.OffsetDeleteRequest) (*kmsg.OffsetDeleteResponse, error) {
		resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
		var all, known []protocol.TopicPartition
		verdicts := map[protocol.TopicPartition]error{}
		view := image.Metadata()
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				all = append(all, tp)
				if view.Partition(tp) == nil {
					verdicts[tp] = kerr.UnknownTopicOrPartition
				} else {
					known = append(known, tp)
				}
			}
		}
		errs, err := g.DeleteOffsets(ctx, req.Group, known)
		if err != nil {
			resp.ErrorCode = protocol.CodeOf(err)
			return resp, nil
		}
		for i, tp := range known {
			verdicts[tp] = errs[i]
		}
		resp.Topics = shapeByTopic(len(all), func(i int) string { return all[i].Topic },
			func(i int) kmsg.OffsetDeleteResponseTopicPartition {
				p := kmsg.NewOffsetDeleteResponseTopicPartition()
				p.Partition, p.ErrorCode = all[i].Partition, protocol.CodeOf(verdicts[all[i]])
				return p
			},
			func(name string, partitions []kmsg.OffsetDeleteResponseTopicPartition) kmsg.OffsetDeleteResponseTopic {
				t := kmsg.NewOffsetDeleteResponseTopic()
				t.Topic, t.Partitions = name, partitions
				return t
			})
		return resp, nil
	})
}
