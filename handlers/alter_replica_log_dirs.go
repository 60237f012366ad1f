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
		wanted := map[protocol.TopicPartition]string{}
		eachMove(r, func(tp protocol.TopicPartition, dir string) { wanted[tp] = dir })
		places := map[string]int{} // of topics in the answer
		eachMove(r, func(tp protocol.TopicPartition, _ string) {
			dir, open := wanted[tp]
			if !open {
				return // named before
			}
			delete(wanted, tp)
			i, known := places[tp.Topic]
			if !known {
				i = len(resp.Topics)
				places[tp.Topic] = i
				resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: tp.Topic})
			}
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, kmsg.AlterReplicaLogDirsResponseTopicPartition{
				Partition: tp.Partition, ErrorCode: protocol.CodeOf(m.MoveReplica(tp, dir))})
		})
		return resp, nil
	})
}

func eachMove(r *kmsg.AlterReplicaLogDirsRequest, visit func(tp protocol.TopicPartition, dir string)) {
	for _, d := range r.Dirs {
		for _, t := range d.Topics {
			for _, partition := range t.Partitions {
				visit(protocol.TopicPartition{Topic: t.Topic, Partition: partition}, d.Dir)
			}
		}
	}
}
