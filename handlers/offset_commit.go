package handlers

import (
	"context"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/group"
	"gokafka/protocol"
)

// offsetCommitter is what OffsetCommit needs.
type offsetCommitter struct {
	Groups      groupCoordinator
	Image       clusterImage
	Legacy      legacyOffsets
	MetadataMax int // offset.metadata.max.bytes, for version 0
}

// offsetCommit
//
// Behaviour: stores a group's offsets; partitions that do not exist are refused one by one, the rest is one batch in the
// group's log. An offset may be negative.
//
// Versions: 0 stores in ZooKeeper, apart from all others. 1 brings the generation and a timestamp of its own, 2 to 4 a
// retention time, 6 the leader epoch, 7 static members.
func offsetCommit(o offsetCommitter) API {
	return on(0, 9, func(ctx context.Context, c *Call, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
		offsets := requestedOffsets(c, req)
		errs := make([]error, len(offsets))
		known := existing(o.Image.Metadata(), offsets, errs)
		if c.Version == 0 {
			o.commitLegacy(ctx, req.Group, offsets, known, errs)
		} else if len(known) > 0 {
			o.commit(ctx, req, offsets, known, errs)
		}
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		resp.Topics = shapeByTopic(len(offsets), func(i int) string { return offsets[i].Topic },
			func(i int) kmsg.OffsetCommitResponseTopicPartition {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = offsets[i].Partition, protocol.CodeOf(errs[i])
				return p
			},
			func(name string, partitions []kmsg.OffsetCommitResponseTopicPartition) kmsg.OffsetCommitResponseTopic {
				t := kmsg.NewOffsetCommitResponseTopic()
				t.Topic, t.Partitions = name, partitions
				return t
			})
		return resp, nil
	})
}

func requestedOffsets(c *Call, req *kmsg.OffsetCommitRequest) []group.PartitionOffset {
	now := time.Now().UnixMilli()
	expires := int64(-1)
	if req.RetentionTimeMillis != -1 && c.Version >= 2 && c.Version <= 4 {
		expires = now + req.RetentionTimeMillis
	}
	var offsets []group.PartitionOffset
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			o := group.PartitionOffset{
				TopicPartition: protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition},
				CommittedOffset: group.CommittedOffset{
					Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata), CommitTimestamp: now, ExpireTimestamp: expires,
				},
			}
			if c.Version == 1 && p.Timestamp != -1 {
				o.CommitTimestamp = p.Timestamp
			}
			offsets = append(offsets, o)
		}
	}
	return offsets
}

// existing returns the indexes of the offsets whose partition exists, and marks the others.
func existing(image *cluster.Metadata, offsets []group.PartitionOffset, errs []error) []int {
	known := make([]int, 0, len(offsets))
	for i := range offsets {
		if image.Partition(offsets[i].TopicPartition) == nil {
			errs[i] = kerr.UnknownTopicOrPartition
			continue
		}
		known = append(known, i)
	}
	return known
}

func (o offsetCommitter) commit(ctx context.Context, req *kmsg.OffsetCommitRequest, offsets []group.PartitionOffset, known []int, errs []error) {
	r := &group.CommitRequest{Group: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation}
	commitKnown(ctx, o.Groups, r, offsets, known, errs)
}

// commitKnown commits the offsets whose indexes are known, and fills in what becomes of them.
func commitKnown(
	ctx context.Context, groups groupCoordinator, r *group.CommitRequest, offsets []group.PartitionOffset, known []int, errs []error,
) {
	r.Offsets = make([]group.PartitionOffset, len(known))
	for i, at := range known {
		r.Offsets[i] = offsets[at]
	}
	for i, err := range groups.Commit(ctx, r) {
		errs[known[i]] = err
	}
}

func (o offsetCommitter) commitLegacy(ctx context.Context, group string, offsets []group.PartitionOffset, known []int, errs []error) {
	for _, i := range known {
		if len(utf16.Encode([]rune(offsets[i].Metadata))) > o.MetadataMax {
			errs[i] = kerr.OffsetMetadataTooLarge
			continue
		}
		if group == "" {
			errs[i] = kerr.UnknownServerError // Apache's, which cannot name the node
			continue
		}
		errs[i] = o.Legacy.SetConsumerOffset(ctx, group, offsets[i].Topic, offsets[i].Partition, offsets[i].Offset)
	}
}
