package handlers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// fakeController remembers what it was asked and answers what it was told to.
type fakeController struct {
	asked   any
	unclean bool
	timeout time.Duration
	errs    map[protocol.TopicPartition]error
	running map[protocol.TopicPartition]cluster.Assignment
	err     error
}

func (f *fakeController) ElectLeaders(_ context.Context, unclean bool, partitions []protocol.TopicPartition, timeout time.Duration) (map[protocol.TopicPartition]error, error) {
	f.asked, f.unclean, f.timeout = partitions, unclean, timeout
	return f.errs, f.err
}

func (f *fakeController) AlterPartitionReassignments(_ context.Context, replicas map[protocol.TopicPartition][]cluster.BrokerID) (map[protocol.TopicPartition]error, error) {
	f.asked = replicas
	return f.errs, f.err
}

func (f *fakeController) ListPartitionReassignments(_ context.Context, partitions []protocol.TopicPartition) (map[protocol.TopicPartition]cluster.Assignment, error) {
	f.asked = partitions
	return f.running, f.err
}

func call[R kmsg.Response](t *testing.T, api API, req kmsg.Request) R {
	t.Helper()
	a, _, err := api.Begin(context.Background(), &Call{Listener: "PLAINTEXT"}, req)
	if err != nil {
		t.Fatal(err)
	}
	return a.Response.(R)
}

func tp(topic string, partition int32) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: topic, Partition: partition}
}

func TestElectLeadersOfAll(t *testing.T) {
	f := &fakeController{errs: map[protocol.TopicPartition]error{
		tp("topic-0", 1): kerr.ElectionNotNeeded, tp("topic-0", 0): nil, tp("b", 2): kerr.PreferredLeaderNotAvailable,
	}}
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType, req.TimeoutMillis = 2, 1, 5000
	resp := call[*kmsg.ElectLeadersResponse](t, electLeaders(bigImage(1, 2), f), req)
	if asked := f.asked.([]protocol.TopicPartition); len(asked) != 2 || !f.unclean || f.timeout != 5*time.Second {
		t.Errorf("asked for %v, unclean %v, until %v", asked, f.unclean, f.timeout)
	}
	if len(resp.Topics) != 2 || resp.Topics[0].Topic != "b" || len(resp.Topics[1].Partitions) != 1 || resp.Topics[1].Partitions[0].ErrorCode != 0 {
		t.Errorf("what needed no election must not be told: %+v", resp.Topics)
	}
}

func TestElectLeadersErrors(t *testing.T) {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version = 2
	req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "a", Partitions: []int32{0, 1}}}
	resp := call[*kmsg.ElectLeadersResponse](t, electLeaders(bigImage(0, 0), &fakeController{err: kerr.NotController}), req)
	if resp.ErrorCode != 0 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[1].ErrorCode != kerr.NotController.Code {
		t.Errorf("%+v", resp)
	}
	req.ElectionType = 7
	resp = call[*kmsg.ElectLeadersResponse](t, electLeaders(bigImage(0, 0), &fakeController{}), req)
	if resp.ErrorCode != kerr.UnknownServerError.Code || resp.Topics[0].Partitions[0].ErrorCode != kerr.UnknownServerError.Code {
		t.Errorf("%+v", resp)
	}
}

// Null replicas cancel, an empty list is an assignment that is refused.
func TestReassignKeepsNullApartFromEmpty(t *testing.T) {
	f := &fakeController{errs: map[protocol.TopicPartition]error{
		tp("a", 0): fmt.Errorf("%w: Empty replica list specified in partition reassignment.", kerr.InvalidReplicaAssignment), tp("a", 1): kerr.NoReassignmentInProgress,
	}}
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "a", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{
		{Partition: 0, Replicas: []int32{}}, {Partition: 1},
	}}}
	resp := call[*kmsg.AlterPartitionAssignmentsResponse](t, alterPartitionReassignments(f), req)
	asked := f.asked.(map[protocol.TopicPartition][]cluster.BrokerID)
	if asked[tp("a", 0)] == nil || asked[tp("a", 1)] != nil || len(asked) != 2 {
		t.Errorf("asked %#v", asked)
	}
	p := resp.Topics[0].Partitions
	if p[0].ErrorCode != kerr.InvalidReplicaAssignment.Code || *p[0].ErrorMessage != "Empty replica list specified in partition reassignment." ||
		p[1].ErrorCode != kerr.NoReassignmentInProgress.Code || *p[1].ErrorMessage != "No partition reassignment is in progress." {
		t.Errorf("%+v", p)
	}
	f.err = kerr.NotController
	if resp := call[*kmsg.AlterPartitionAssignmentsResponse](t, alterPartitionReassignments(f), req); resp.ErrorCode != kerr.NotController.Code || len(resp.Topics) > 0 {
		t.Errorf("%+v", resp)
	}
}

func TestListReassignments(t *testing.T) {
	f := &fakeController{running: map[protocol.TopicPartition]cluster.Assignment{
		tp("b", 0): {Replicas: []cluster.BrokerID{1, 2}, Adding: []cluster.BrokerID{1}, Removing: []cluster.BrokerID{2}}, tp("a", 3): {}, tp("a", 1): {},
	}}
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	resp := call[*kmsg.ListPartitionReassignmentsResponse](t, listPartitionReassignments(f), req)
	if f.asked.([]protocol.TopicPartition) != nil || len(resp.Topics) != 2 || resp.Topics[0].Partitions[0].Partition != 1 || resp.Topics[1].Partitions[0].RemovingReplicas[0] != 2 {
		t.Errorf("asked %v, got %+v", f.asked, resp.Topics)
	}
	req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	call[*kmsg.ListPartitionReassignmentsResponse](t, listPartitionReassignments(f), req)
	if asked := f.asked.([]protocol.TopicPartition); asked == nil || len(asked) != 0 {
		t.Errorf("an empty list asks for none, and not for all: %#v", asked)
	}
}
