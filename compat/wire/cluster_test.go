package wire

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// settle waits for a broker setting to reach the broker, which Apache tells itself through ZooKeeper.
func (x *Exchange) settle() { time.Sleep(300 * time.Millisecond) }

func elect(kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	r := kmsg.NewPtrElectLeadersRequest()
	r.ElectionType, r.TimeoutMillis = kind, 10000
	t := kmsg.NewElectLeadersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	r.Topics = append(r.Topics, t)
	return r
}

func reassign(topic string, partition int32, replicas ...int32) *kmsg.AlterPartitionAssignmentsRequest {
	r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	r.TimeoutMillis = 10000
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func reassigning(partition int32, replicas ...int32) func(x *Exchange) {
	return func(x *Exchange) { createTopic(x, x.N, 1); x.Send(reassign(x.N, partition, replicas...)) }
}

func logDirs(topic string, partitions ...int32) *kmsg.DescribeLogDirsRequest {
	r := kmsg.NewPtrDescribeLogDirsRequest()
	t := kmsg.NewDescribeLogDirsRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	r.Topics = append(r.Topics, t)
	return r
}

// moves asks for partitions of a topic in a directory.
func moves(dir, topic string, partitions ...int32) *kmsg.AlterReplicaLogDirsRequest {
	r := kmsg.NewPtrAlterReplicaLogDirsRequest()
	d := kmsg.NewAlterReplicaLogDirsRequestDir()
	t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
	t.Topic, t.Partitions = topic, partitions
	d.Dir, d.Topics = dir, append(d.Topics, t)
	r.Dirs = append(r.Dirs, d)
	return r
}

// home is the log directory of each side, with what follows it.
func home(x *Exchange, after string, request func(dir string) *kmsg.AlterReplicaLogDirsRequest) {
	x.SendEach(func(side int) kmsg.Request { return request(x.suite.sides[side].Broker.Dir() + after) })
}

var clusterCases = []Case{
	{"where it is", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, x.N, 0, 1) })
	}},
	{"partition that there is not", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, x.N, 0, 5, -1) })
	}},
	{"topic that there is not", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, x.N, 0) })
	}},
	{"directory that there is not", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		for _, dir := range []string{"", "/", "relative", "/no/such/directory"} {
			x.Send(moves(dir, x.N, 0, 5))
		}
		home(x, "/", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, x.N, 0) })
		home(x, "/.", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, x.N, 0) })
	}},
	{"names that cannot be", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		for _, name := range []string{"", "..", "a b", "a/b", strings.Repeat("n", 213), strings.Repeat("n", 214), strings.Repeat("n", 249), strings.Repeat("n", 300)} {
			home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest { return moves(dir, name, 0, 10) })
			x.Send(moves("/no/such/directory", name, 0))
		}
	}},
	{"partition twice", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest {
			r := moves("/no/such/directory", x.N, 0, 0)
			r.Dirs = append(r.Dirs, moves(dir, x.N, 0).Dirs...)
			return r
		})
		home(x, "", func(dir string) *kmsg.AlterReplicaLogDirsRequest {
			r := moves(dir, x.N, 0)
			r.Dirs = append(r.Dirs, moves("/no/such/directory", x.N, 0).Dirs...)
			return r
		})
	}},
	{"nothing", kmsg.AlterReplicaLogDirs, 0, 0, func(x *Exchange) {
		x.Send(kmsg.NewPtrAlterReplicaLogDirsRequest())
		x.Send(moves("/no/such/directory", x.N))
	}},

	{"plain", kmsg.DescribeCluster, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrDescribeClusterRequest()) }},
	{"authorized operations", kmsg.DescribeCluster, 0, 0, func(x *Exchange) {
		r := kmsg.NewPtrDescribeClusterRequest()
		r.IncludeClusterAuthorizedOperations = true
		x.Send(r)
	}},
	{"controllers", kmsg.DescribeCluster, 1, 0, func(x *Exchange) {
		for _, kind := range []int8{2, 0, 7} {
			r := kmsg.NewPtrDescribeClusterRequest()
			r.EndpointType = kind
			x.Send(r)
		}
	}},

	{"one topic", kmsg.DescribeLogDirs, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		appendRecords(x, x.N, 0, good)
		x.Send(logDirs(x.N, 0, 1))
	}},
	{"one partition", kmsg.DescribeLogDirs, 0, 0, func(x *Exchange) { createTopic(x, x.N, 2); x.Send(logDirs(x.N, 1)) }},
	{"unknown topic", kmsg.DescribeLogDirs, 0, 0, func(x *Exchange) { x.Send(logDirs(x.N, 0)) }},
	{"no topics", kmsg.DescribeLogDirs, 0, 0, func(x *Exchange) { r := logDirs(x.N); r.Topics = []kmsg.DescribeLogDirsRequestTopic{}; x.Send(r) }},

	{"preferred, already there", kmsg.ElectLeaders, 0, 0, func(x *Exchange) { createTopic(x, x.N, 2); x.Send(elect(0, x.N, 0, 1)) }},
	{"unclean, not needed", kmsg.ElectLeaders, 1, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(elect(1, x.N, 0)) }},
	{"type 7", kmsg.ElectLeaders, 1, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(elect(7, x.N, 0)) }},
	{"unknown", kmsg.ElectLeaders, 0, 0, func(x *Exchange) { createTopic(x, x.N, 1); x.Send(elect(0, x.N, 5)); x.Send(elect(0, x.N+"-no", 0)) }},
	{"all", kmsg.ElectLeaders, 0, 0, func(x *Exchange) { r := elect(0, x.N); r.Topics = nil; x.Send(r) }},
	{"none", kmsg.ElectLeaders, 0, 0, func(x *Exchange) { r := elect(0, x.N); r.Topics = []kmsg.ElectLeadersRequestTopic{}; x.Send(r) }},

	{"to itself", kmsg.AlterPartitionAssignments, 0, 0, reassigning(0, 0)},
	{"to an unknown broker", kmsg.AlterPartitionAssignments, 0, 0, reassigning(0, 7)},
	{"to nobody", kmsg.AlterPartitionAssignments, 0, 0, reassigning(0, []int32{}...)},
	{"to a broker twice", kmsg.AlterPartitionAssignments, 0, 0, reassigning(0, 0, 0)},
	{"to broker -1", kmsg.AlterPartitionAssignments, 0, 0, reassigning(0, -1)},
	{"unknown partition", kmsg.AlterPartitionAssignments, 0, 0, reassigning(5, 0)},
	{"unknown topic", kmsg.AlterPartitionAssignments, 0, 0, func(x *Exchange) { x.Send(reassign(x.N, 0, 0)) }},
	{"cancel nothing", kmsg.AlterPartitionAssignments, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		r := reassign(x.N, 0)
		r.Topics[0].Partitions[0].Replicas = nil
		x.Send(r)
	}},

	{"all", kmsg.ListPartitionReassignments, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrListPartitionReassignmentsRequest()) }},
	{"of a topic", kmsg.ListPartitionReassignments, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		for _, name := range []string{x.N, x.N + "-no", "a b"} {
			r := kmsg.NewPtrListPartitionReassignmentsRequest()
			t := kmsg.NewListPartitionReassignmentsRequestTopic()
			t.Topic, t.Partitions = name, []int32{0, 7}
			r.Topics = append(r.Topics, t)
			x.Send(r)
		}
	}},
}
