package controller

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// AlterPartition writes the in-sync replicas that leaders propose (KIP-497). A proposal is judged by its epochs first; one that says
// what is written already succeeds, so that a leader may repeat what it has had no answer to.
//
// Some checks are KRaft's and not those of Apache's ZooKeeper controller, which lets any broker that knows the epochs make itself
// leader, and accepts an empty ISR: here the sender must lead the partition, and be in the ISR it proposes, in which every replica of
// the partition may be once.
func (c *Controller) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	resp, err := ask(ctx, c, "alter partition", func(ctx context.Context, t *term) (*cluster.AlterPartitionResponse, error) {
		return t.alterPartition(ctx, r)
	})
	if errors.Is(err, ErrNotController) || errors.Is(err, metastore.ErrControllerMoved) {
		return &cluster.AlterPartitionResponse{Err: ErrNotController}, nil
	}
	return resp, err
}

func (t *term) alterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	if b := t.state.brokers[r.BrokerID]; b == nil || b.Epoch != r.BrokerEpoch {
		return &cluster.AlterPartitionResponse{Err: kerr.StaleBrokerEpoch}, nil
	}
	resp := &cluster.AlterPartitionResponse{Partitions: make(map[protocol.TopicPartition]cluster.AlterPartitionResult, len(r.Partitions))}
	var next []change
	var known []*partition
	asked := map[*partition]protocol.TopicPartition{}
	for i := range r.Partitions {
		proposal := &r.Partitions[i]
		p, err := t.proposedFor(proposal)
		done := false
		if err == nil {
			known = append(known, p)
			done, err = t.judge(p, r.BrokerID, proposal)
		}
		switch {
		case err != nil:
			resp.Partitions[proposal.TopicPartition] = cluster.AlterPartitionResult{Err: err}
		case done:
			resp.Partitions[proposal.TopicPartition] = cluster.AlterPartitionResult{State: p.state}
		default:
			asked[p] = proposal.TopicPartition
			next = append(next, change{p: p, state: proposed(p.state, proposal)})
		}
	}
	if err := t.commitProposals(ctx, next, asked, resp); err != nil {
		return nil, err
	}
	t.sendMetadata(known...) // also of what was refused: the sender may know less than the others
	return resp, t.completeReassignments(ctx, known)
}

// commitProposals writes the accepted proposals. One that was refused and stands written all the same was written by its own first try,
// whose answer was lost: its leader must hear so, since nothing else would tell it. (Apache answers INVALID_UPDATE_VERSION.)
func (t *term) commitProposals(ctx context.Context, next []change, asked map[*partition]protocol.TopicPartition, resp *cluster.AlterPartitionResponse) error {
	results := map[*partition]error{}
	stale, err := t.writeStates(ctx, next, results, func(change) {})
	if err != nil {
		return err
	}
	for _, p := range stale { // memory is behind what is written
		results[p] = kerr.InvalidUpdateVersion
	}
	if err := t.refreshStates(ctx, stale); err != nil {
		return err
	}
	for _, c := range next {
		err := results[c.p]
		if errors.Is(err, kerr.InvalidUpdateVersion) && sameInSync(c.p.state, c.state) {
			err = nil
		}
		resp.Partitions[asked[c.p]] = cluster.AlterPartitionResult{Err: err, State: c.p.state}
	}
	return nil
}

// sameInSync reports whether two states have the same leader, in the same epoch, and the same replicas in sync.
func sameInSync(a, b cluster.LeaderAndISR) bool {
	return a.Leader == b.Leader && a.LeaderEpoch == b.LeaderEpoch && a.Recovering == b.Recovering && slices.Equal(a.ISR, b.ISR)
}

// proposedFor finds the partition of a proposal: by topic id if there is one (AlterPartition v2 and later), else by name.
func (t *term) proposedFor(a *cluster.AlterPartition) (*partition, error) {
	of := t.state.topics[a.Topic]
	if !a.TopicID.IsZero() {
		if of = t.state.topicsByID[a.TopicID]; of == nil {
			return nil, kerr.UnknownTopicID
		}
	}
	if of == nil || of.partitions[a.Partition] == nil || !of.partitions[a.Partition].hasState {
		return nil, kerr.UnknownTopicOrPartition
	}
	return of.partitions[a.Partition], nil
}

// judge says whether a proposal may be written. done means that what it says is written already.
func (t *term) judge(p *partition, from cluster.BrokerID, a *cluster.AlterPartition) (done bool, err error) {
	now := &p.state
	switch {
	case a.PartitionEpoch > now.PartitionEpoch || a.LeaderEpoch > now.LeaderEpoch:
		return false, ErrNotController // the sender heard of a later controller than this one
	case a.LeaderEpoch < now.LeaderEpoch:
		return false, kerr.FencedLeaderEpoch
	case from == now.Leader && slices.Equal(a.NewISR, now.ISR) && a.Recovering == now.Recovering:
		return true, nil
	case a.PartitionEpoch < now.PartitionEpoch:
		return false, kerr.InvalidUpdateVersion
	case from != now.Leader || !slices.Contains(a.NewISR, from):
		return false, kerr.InvalidRequest
	case a.Recovering && (len(a.NewISR) > 1 || !now.Recovering):
		return false, kerr.InvalidRequest
	case slices.ContainsFunc(a.NewISR, func(id cluster.BrokerID) bool { return !t.state.live(id) }):
		return false, kerr.IneligibleReplica
	case slices.ContainsFunc(a.NewISR, func(id cluster.BrokerID) bool { return !p.mayBeInSync(id) }):
		return false, kerr.IneligibleReplica // its leader goes back to the ISR there is, and may ask again when it knows the assignment
	case repeats(a.NewISR):
		return false, kerr.InvalidRequest
	}
	return false, nil
}

// mayBeInSync reports whether a broker is a replica. A member that a reassignment has taken out of the assignment stays until the leader
// drops it.
func (p *partition) mayBeInSync(id cluster.BrokerID) bool {
	return slices.Contains(p.assignment.Replicas, id) || slices.Contains(p.state.ISR, id)
}

// repeats reports whether a broker is named twice: it would count twice for min.insync.replicas.
func repeats(ids []cluster.BrokerID) bool {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return true
		}
	}
	return false
}

func proposed(now cluster.LeaderAndISR, a *cluster.AlterPartition) cluster.LeaderAndISR {
	now.ISR, now.Recovering = slices.Clone(a.NewISR), a.Recovering
	return now
}
