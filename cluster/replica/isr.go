package replica

import (
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
)

// isr is the leader's view of its in-sync replicas: the set that the controller committed and at most one change that
// was proposed to it.
//
// While the outcome of a proposal is unknown, the leader must satisfy both outcomes. So the high watermark and acks=all
// count the maximal ISR: the committed members, and the one that is about to join. A member that is about to leave
// still counts until it has left.
type isr struct {
	committed []cluster.BrokerID
	pending   *proposal // nil: nothing in flight
}

// proposal is one change of the ISR on its way to the controller. Its identity matters: an answer applies only to the
// proposal that is still the pending one.
type proposal struct {
	isr            []cluster.BrokerID // as it would be
	joins          cluster.BrokerID   // noBroker for a shrink
	leaderEpoch    cluster.LeaderEpoch
	partitionEpoch cluster.PartitionEpoch // the state that it was made from
	doubtUntil     time.Time              // until then a request that was not answered may still reach a controller; zero: all were answered

	// back is what is asked for instead, to take the proposal back: the committed set in another order. Nothing else can be said of a
	// request that may still be on its way. Once this is written, the partition epoch that the request names is over.
	back []cluster.BrokerID // nil: the proposal stands
}

// doubtMax is how long a request of which nothing was heard may still be on its way. Its connection was reset, so none of it leaves this
// broker any more: that is what is left of it in the network, and in a controller that is slow.
const doubtMax = 10 * time.Second

// asked is what the controller is asked to write.
func (p *proposal) asked() []cluster.BrokerID {
	if p.back != nil {
		return p.back
	}
	return p.isr
}

// reordered is the same set, written otherwise; nil if there is only one way. The leader stays where it is if it can.
func reordered(members []cluster.BrokerID) []cluster.BrokerID {
	n := len(members)
	if n < 2 {
		return nil
	}
	other := slices.Clone(members)
	other[n-2], other[n-1] = other[n-1], other[n-2]
	return other
}

const noBroker cluster.BrokerID = -1

// size is how many replicas are in sync for sure: what min.insync.replicas is compared with before an append.
func (s *isr) size() int { return len(s.committed) }

func (s *isr) contains(id cluster.BrokerID) bool { return slices.Contains(s.committed, id) }

// maximalSize counts the maximal ISR.
func (s *isr) maximalSize() int {
	if s.pending != nil && s.pending.joins != noBroker {
		return len(s.committed) + 1
	}
	return len(s.committed)
}

// minimalSize counts the members that are in sync whatever becomes of the proposal.
func (s *isr) minimalSize() int {
	if s.pending != nil {
		return min(len(s.committed), len(s.pending.isr))
	}
	return len(s.committed)
}

// maximalContains reports whether a replica must be waited for.
func (s *isr) maximalContains(id cluster.BrokerID) bool {
	return s.contains(id) || s.pending != nil && s.pending.joins == id
}

// with is the committed set and one more; without is the committed set less some. Both keep the order.
func (s *isr) with(id cluster.BrokerID) []cluster.BrokerID {
	return append(slices.Clone(s.committed), id)
}

func (s *isr) without(gone []cluster.BrokerID) []cluster.BrokerID {
	return slices.DeleteFunc(slices.Clone(s.committed), func(id cluster.BrokerID) bool { return slices.Contains(gone, id) })
}

// verdict is what a refused proposal means for the partition.
type verdict int

const (
	verdictRetry verdict = iota // nothing is known: the same proposal is sent again
	verdictDrop                 // the controller surely did not do it, this time: back to the committed set, unless it was asked before
	verdictOver                 // the partition epoch is over, by this proposal or another change
	verdictWait                 // our state is stale: keep counting the maximal ISR until the next LeaderAndIsr
)

var (
	droppedBy = []*kerr.Error{kerr.OperationNotAttempted, kerr.IneligibleReplica}
	awaitedBy = []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.FencedLeaderEpoch,
		kerr.InvalidRequest, kerr.NewLeaderElected}
)

// judge maps the controller's error for one partition to what must be done about it.
func judge(err error) verdict {
	is := func(e *kerr.Error) bool { return errors.Is(err, e) }
	switch {
	case slices.ContainsFunc(droppedBy, is):
		return verdictDrop
	case is(kerr.InvalidUpdateVersion):
		return verdictOver
	case slices.ContainsFunc(awaitedBy, is):
		return verdictWait
	}
	return verdictRetry
}
