package peer

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Peer is another broker, for the controller and for those who ask the controller.
type Peer struct{ *Channel }

// New returns a peer that is not connected yet.
func New(o Options) *Peer { return &Peer{NewChannel(o)} }

// The oldest versions that carry all that is said here: requests by topic, and the broker's epoch (KIP-380).
const (
	leaderAndISRMin   = 2
	updateMetadataMin = 5
	stopReplicaMin    = 3
)

// LeaderAndISR tells the broker what it leads and follows. The error is a failure to reach it.
func (p *Peer) LeaderAndISR(ctx context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	req := leaderAndISR(r)
	resp, err := call[*kmsg.LeaderAndISRResponse](ctx, p.Channel, atLeast(leaderAndISRMin), req)
	if err != nil {
		return nil, err
	}
	return leaderAndISRAnswer(req, resp), nil
}

// UpdateMetadata tells the broker of the cluster. What the broker thinks of it is an error that wraps a *kerr.Error; others are a
// failure to reach it.
func (p *Peer) UpdateMetadata(ctx context.Context, r *cluster.UpdateMetadataRequest) error {
	resp, err := call[*kmsg.UpdateMetadataResponse](ctx, p.Channel, atLeast(updateMetadataMin), updateMetadata(r))
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// StopReplica has the broker stop replicas. The error is a failure to reach it.
func (p *Peer) StopReplica(ctx context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	resp, err := call[*kmsg.StopReplicaResponse](ctx, p.Channel, atLeast(stopReplicaMin), stopReplica(r))
	if err != nil {
		return nil, err
	}
	answer := &cluster.StopReplicaResponse{Err: kerr.ErrorForCode(resp.ErrorCode), Partitions: map[protocol.TopicPartition]error{}}
	for _, s := range resp.Partitions {
		if err := kerr.ErrorForCode(s.ErrorCode); err != nil {
			answer.Partitions[protocol.TopicPartition{Topic: s.Topic, Partition: s.Partition}] = err
		}
	}
	return answer, nil
}

// AlterPartition proposes in-sync replicas to the controller. The error is a failure to reach it.
func (p *Peer) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	req, versions := alterPartition(r), atLeast(0)
	if slices.ContainsFunc(r.Partitions, func(a cluster.AlterPartition) bool { return a.TopicID.IsZero() }) {
		versions.highest = 1 // later ones know topics by id alone
	}
	resp, err := call[*kmsg.AlterPartitionResponse](ctx, p.Channel, versions, req)
	if err != nil {
		return nil, err
	}
	return alterPartitionAnswer(req, resp), nil
}

// ControlledShutdown asks the controller to move away what a broker leads, and returns what it still leads.
func (p *Peer) ControlledShutdown(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) ([]protocol.TopicPartition, error) {
	req := kmsg.NewPtrControlledShutdownRequest()
	req.BrokerID, req.BrokerEpoch = int32(id), int64(epoch)
	resp, err := call[*kmsg.ControlledShutdownResponse](ctx, p.Channel, atLeast(1), req)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	var left []protocol.TopicPartition
	for _, tp := range resp.PartitionsRemaining {
		left = append(left, protocol.TopicPartition{Topic: tp.Topic, Partition: tp.Partition})
	}
	return left, nil
}

// AllocateProducerIDs has the controller reserve count producer ids, from first on, for a broker.
func (p *Peer) AllocateProducerIDs(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) (first int64, count int32, err error) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = int32(id), int64(epoch)
	resp, err := call[*kmsg.AllocateProducerIDsResponse](ctx, p.Channel, atLeast(0), req)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return 0, 0, err
	}
	return resp.ProducerIDStart, resp.ProducerIDLen, nil
}
