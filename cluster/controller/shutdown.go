package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

// ControlledShutdown moves what a broker leads to others and takes it out of every ISR, before it stops. It returns the partitions that
// it still leads, because no other replica is in sync. An epoch below the broker's own is refused; -1 is not checked.
func (c *Controller) ControlledShutdown(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) ([]protocol.TopicPartition, error) {
	return ask(ctx, c, "controlled shutdown", func(ctx context.Context, t *term) ([]protocol.TopicPartition, error) {
		return t.shutDown(ctx, id, epoch)
	})
}

// handOverMax is how many partitions change hands at once. Until all who are concerned have carried out a request nobody may lead some
// of the partitions in it, so many small ones leave each without a leader for a shorter time than a large one.
const handOverMax = 100

func (t *term) shutDown(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) ([]protocol.TopicPartition, error) {
	b := t.state.brokers[id]
	switch {
	case b == nil:
		return nil, fmt.Errorf("%w: Broker id %d does not exist.", kerr.BrokerNotAvailable, id)
	case epoch >= 0 && epoch < b.Epoch:
		return nil, kerr.StaleBrokerEpoch
	}
	t.logger.Info().Int32("broker", int32(id)).Msg("broker shuts down")
	b.shuttingDown = true
	var led, followed []*partition
	for _, p := range sorted(maps.Keys(t.state.assigned[id])) {
		switch {
		case len(p.assignment.Replicas) < 2 || !p.hasState || p.topic.deleting:
		case p.state.Leader == id:
			led = append(led, p)
		default:
			followed = append(followed, p)
		}
	}
	for step := range slices.Chunk(led, handOverMax) {
		if _, err := t.onlinePartitions(ctx, step, electControlledShutdown); err != nil {
			return nil, err
		}
	}
	if err := t.stopFollowing(ctx, id, followed); err != nil {
		return nil, err
	}
	return stillLed(led, id), nil
}

// stopFollowing tells the broker to stop fetching first, so that it does not enter an ISR again that it is taken out of.
func (t *term) stopFollowing(ctx context.Context, id cluster.BrokerID, partitions []*partition) error {
	if len(partitions) == 0 {
		return nil
	}
	b := newBatch(t.state, t.link)
	replicas := make([]partitionReplica, len(partitions))
	for i, p := range partitions {
		b.addStopReplica(id, p, false)
		replicas[i] = partitionReplica{p, id}
	}
	b.send()
	return t.offlineReplicas(ctx, replicas)
}

func stillLed(partitions []*partition, id cluster.BrokerID) []protocol.TopicPartition {
	var led []protocol.TopicPartition
	for _, p := range partitions {
		if p.state.Leader == id {
			led = append(led, p.tp)
		}
	}
	return slices.Clip(led)
}

// producerIDBlockSize is how many producer ids a broker gets at once, as in Apache.
const producerIDBlockSize = 1000

// AllocateProducerIDs gives a broker the next block of producer ids.
func (c *Controller) AllocateProducerIDs(ctx context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) (metastore.ProducerIDBlock, error) {
	return ask(ctx, c, "allocate producer ids", func(ctx context.Context, t *term) (metastore.ProducerIDBlock, error) {
		switch b := t.state.brokers[id]; {
		case b == nil:
			return metastore.ProducerIDBlock{}, kerr.BrokerIDNotRegistered
		case b.Epoch != epoch:
			return metastore.ProducerIDBlock{}, kerr.StaleBrokerEpoch
		}
		return t.store.AllocateProducerIDs(ctx, id, producerIDBlockSize)
	})
}
