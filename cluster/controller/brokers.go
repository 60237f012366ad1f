package controller

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// readBrokers reads the live brokers. One whose registration is unreadable is as good as absent.
func (t *term) readBrokers(ctx context.Context) ([]cluster.Broker, error) {
	brokers, err := t.store.Brokers(ctx, t.watcher, t.watcher)
	if errors.Is(err, metastore.ErrUnreadable) {
		t.logger.Error().Err(err).Msg("broker registration is unreadable")
		err = nil
	}
	return brokers, err
}

// brokersChanged compares the live brokers with those known. One that is there with a later epoch went away and came back in between.
func (t *term) brokersChanged(ctx context.Context) error {
	now, err := t.readBrokers(ctx)
	if err != nil {
		return err
	}
	gone := maps.Clone(t.state.brokers)
	var added, bounced []cluster.Broker
	for _, b := range now {
		known := gone[b.ID]
		delete(gone, b.ID)
		switch {
		case known == nil:
			added = append(added, b)
		case b.Epoch > known.Epoch:
			bounced = append(bounced, b)
		}
	}
	dead := slices.Sorted(maps.Keys(gone))
	t.logger.Info().Ints("new", idsOf(added)).Ints("bounced", idsOf(bounced)).Any("dead", dead).Msg("brokers changed")
	t.relink(ctx, added, bounced, dead)
	return t.brokersMoved(ctx, added, bounced, dead)
}

// relink opens and closes channels.
func (t *term) relink(ctx context.Context, added, bounced []cluster.Broker, dead []cluster.BrokerID) {
	for _, b := range added {
		t.link.add(ctx, b)
	}
	for _, b := range bounced {
		t.link.remove(b.ID)
		t.link.add(ctx, b)
	}
	for _, id := range dead {
		t.link.remove(id)
	}
}

func (t *term) brokersMoved(ctx context.Context, added, bounced []cluster.Broker, dead []cluster.BrokerID) error {
	if err := t.brokersCame(ctx, added); err != nil {
		return err
	}
	var left []cluster.BrokerID
	for _, b := range bounced {
		left = append(left, b.ID)
	}
	if err := t.brokersWent(ctx, left); err != nil {
		return err
	}
	if err := t.brokersCame(ctx, bounced); err != nil {
		return err
	}
	return t.brokersWent(ctx, dead)
}

// brokersCame tells new brokers everything, and everybody of them; then what waited for them goes on.
func (t *term) brokersCame(ctx context.Context, brokers []cluster.Broker) error {
	if len(brokers) == 0 {
		return nil
	}
	others := t.state.brokerIDs()
	var ids []cluster.BrokerID
	for _, b := range brokers {
		t.state.addBroker(b)
		ids = append(ids, b.ID)
	}
	b := newBatch(t.state, t.link)
	b.addMetadataTo(others)
	b.send()
	t.tellMetadata(ids)
	replicas := t.state.replicasOn(ids...)
	t.onlineReplicas(replicas)
	if _, err := t.electLeaderless(ctx, nil); err != nil {
		return err
	}
	if err := t.resumeReassignmentsTo(ctx, ids); err != nil {
		return err
	}
	return t.retryDeletionsOn(ctx, replicas)
}

// tellMetadata tells brokers of all brokers and partitions.
func (t *term) tellMetadata(ids []cluster.BrokerID) {
	led := slices.DeleteFunc(t.state.allPartitions(), func(p *partition) bool { return p.topic.deleting })
	b := newBatch(t.state, t.link)
	b.addMetadataTo(ids, led...)
	b.send()
}

// brokersWent moves what dead brokers led, and takes them out of every ISR.
func (t *term) brokersWent(ctx context.Context, ids []cluster.BrokerID) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		t.state.removeBroker(id)
	}
	return t.replicasWentOffline(ctx, t.state.replicasOn(ids...))
}

// replicasWentOffline elects new leaders first, then shrinks the ISRs that the replicas were in.
func (t *term) replicasWentOffline(ctx context.Context, replicas []partitionReplica) error {
	var deleting, rest []partitionReplica
	leaderless := set[*partition]{}
	for _, r := range replicas {
		if r.p.topic.deleting {
			deleting = append(deleting, r)
			continue
		}
		rest = append(rest, r)
		if r.p.hasState && !t.state.online(r.p, r.p.state.Leader) {
			leaderless[r.p] = struct{}{}
		}
	}
	t.offlinePartitions(sorted(maps.Keys(leaderless)))
	elected, err := t.electLeaderless(ctx, nil)
	if err != nil {
		return err
	}
	if err := t.offlineReplicas(ctx, rest); err != nil {
		return err
	}
	if err := t.deletionFailed(ctx, deleting); err != nil {
		return err
	}
	if len(rest) == 0 && !elected { // nobody was told yet that the broker is gone
		t.sendMetadata()
	}
	return t.completeElected(ctx)
}

// brokerModified takes over a broker's new endpoints. One that is not known was unreadable when it came.
func (t *term) brokerModified(ctx context.Context, id cluster.BrokerID) error {
	now, err := t.store.Broker(ctx, id, t.watcher)
	if errors.Is(err, metastore.ErrNoNode) {
		return nil // the watch of all brokers tells
	}
	if err != nil {
		return err
	}
	known := t.state.brokers[id]
	if known == nil {
		return t.brokersChanged(ctx)
	}
	if slices.Equal(known.Endpoints, now.Endpoints) {
		return nil
	}
	known.Endpoints, known.Rack = now.Endpoints, now.Rack
	t.sendMetadata()
	return nil
}

// resync tells brokers everything that fell behind so far that what waited for them was dropped: also the new replicas that they may
// not have heard of. What was to be stopped or deleted was not dropped.
func (t *term) resync(context.Context) error {
	ids := t.link.overflowed()
	t.logger.Warn().Any("brokers", ids).Msg("brokers are too far behind, they are told everything anew")
	t.tellMetadata(ids)
	b := newBatch(t.state, t.link)
	for _, r := range t.state.replicasOn(ids...) {
		phase := r.p.replicaPhase(r.id)
		if r.p.hasState && !r.p.topic.deleting && (phase == replicaNew || phase == replicaOnline) {
			b.addLeaderAndISR([]cluster.BrokerID{r.id}, r.p, phase == replicaNew)
		}
	}
	b.send()
	return nil
}

// logDirsFailed asks the brokers that lost a log directory, by telling them what they lead and follow: those that lie there are
// answered with KAFKA_STORAGE_ERROR.
func (t *term) logDirsFailed(ctx context.Context) error {
	notices, err := t.store.LogDirEvents(ctx, t.watcher)
	if err != nil {
		return err
	}
	ids := set[cluster.BrokerID]{}
	for _, n := range notices {
		ids[n.Broker] = struct{}{}
	}
	t.onlineReplicas(t.state.replicasOn(slices.Sorted(maps.Keys(ids))...))
	return t.store.DeleteNotices(ctx, t.state.claim, notices)
}

// answered looks at a broker's response for what concerns the controller: replicas on failed directories, and deleted ones. A response
// of an earlier incarnation of the broker says nothing about this one.
func (t *term) answered(ctx context.Context, a answer) error {
	if b := t.state.brokers[a.from]; b == nil || b.Epoch != a.epoch {
		return nil
	}
	switch response := a.response.(type) {
	case *cluster.LeaderAndISRResponse:
		return t.leaderAndISRAnswered(ctx, a.from, a.request.(*cluster.LeaderAndISRRequest), response)
	case *cluster.StopReplicaResponse:
		return t.stopReplicaAnswered(ctx, a.from, a.request.(*cluster.StopReplicaRequest), response)
	}
	return nil
}

func (t *term) leaderAndISRAnswered(ctx context.Context, from cluster.BrokerID, request *cluster.LeaderAndISRRequest, response *cluster.LeaderAndISRResponse) error {
	if response.Err != nil {
		t.logger.Error().Err(response.Err).Int32("broker", int32(from)).Msg("LeaderAndIsr refused")
		return nil
	}
	var failed []partitionReplica
	for i := range request.States {
		tp := request.States[i].TopicPartition
		p, err := t.state.partition(tp), response.Partitions[tp]
		switch {
		case p == nil:
		case err == nil:
			delete(t.state.offlineDirs[from], p)
		case errors.Is(err, kerr.KafkaStorageError) && !t.state.onOfflineDir(p, from):
			failed = append(failed, partitionReplica{p, from})
		}
	}
	if len(failed) == 0 {
		return nil
	}
	if t.state.offlineDirs[from] == nil {
		t.state.offlineDirs[from] = set[*partition]{}
	}
	for _, r := range failed {
		t.state.offlineDirs[from][r.p] = struct{}{}
	}
	t.logger.Warn().Int32("broker", int32(from)).Int("replicas", len(failed)).Msg("replicas lie on a failed log directory")
	return t.replicasWentOffline(ctx, failed)
}

func idsOf(brokers []cluster.Broker) []int {
	ids := make([]int, len(brokers))
	for i, b := range brokers {
		ids[i] = int(b.ID)
	}
	return ids
}
