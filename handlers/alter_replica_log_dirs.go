package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// replicaMover is what AlterReplicaLogDirs asks of the replicas.
type replicaMover interface {
	// MoveReplica has a replica move to one of log.dirs, or be made there. It does not wait for the move.
	MoveReplica(tp protocol.TopicPartition, dir string) error
}

// alterReplicaLogDirs moves replicas between this broker's log directories (KIP-113), v0 to v2.
//
// Behaviour: the answer says that a move has begun; DescribeLogDirs shows how far it is. A replica that is not here yet is
// REPLICA_NOT_AVAILABLE, and will be made in the directory. Of a partition that is named twice the last directory counts.
//
// Versions: 2 flexible.
func alterReplicaLogDirs(m replicaMover) API {
	return on(0, 2, func(_ context.Context, _ *Call, r *kmsg.AlterReplicaLogDirsRequest) (*kmsg.AlterReplicaLogDirsResponse, error) {
		resp := r.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
		order, dirs := wantedDirs(r)
		places := map[string]int{} // of topics in the answer
		for _, tp := range order {
			code := protocol.CodeOf(m.MoveReplica(tp, dirs[tp]))
			i, known := places[tp.Topic]
			if !known {
				i = len(resp.Topics)
				places[tp.Topic] = i
				resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: tp.Topic})
			}
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions,
				kmsg.AlterReplicaLogDirsResponseTopicPartition{Partition: tp.Partition, ErrorCode: code})
		}
		return resp, nil
	})
}

// wantedDirs are the partitions of a request in the order in which they are named first, and where each is to go.
func wantedDirs(r *kmsg.AlterReplicaLogDirsRequest) (order []protocol.TopicPartition, dirs map[protocol.TopicPartition]string) {
	dirs = map[protocol.TopicPartition]string{}
	for _, d := range r.Dirs {
		for _, t := range d.Topics {
			for _, partition := range t.Partitions {
				tp := protocol.TopicPartition{Topic: t.Topic, Partition: partition}
				if _, named := dirs[tp]; !named {
					order = append(order, tp)
				}
				dirs[tp] = d.Dir
			}
		}
	}
	return order, dirs
}
