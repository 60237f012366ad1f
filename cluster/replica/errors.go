package replica

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What a partition refuses with. They are values made once, since a client that has stale metadata gets them at the
// rate of its requests.
var (
	// ErrNotLeader means that this broker does not lead the partition, or does not host it although it exists.
	ErrNotLeader = fmt.Errorf("not the leader of the partition: %w", kerr.NotLeaderForPartition)
	// ErrUnknownPartition means that the cluster has no such topic or partition, as far as this broker was told.
	ErrUnknownPartition = fmt.Errorf("no such partition: %w", kerr.UnknownTopicOrPartition)
	// ErrOffline means that the partition's log directory failed.
	ErrOffline = fmt.Errorf("the partition's log directory is offline: %w", kerr.KafkaStorageError)
	// ErrFencedEpoch means that the caller's leader epoch is older than this broker's.
	ErrFencedEpoch = fmt.Errorf("leader epoch is older than the current one: %w", kerr.FencedLeaderEpoch)
	// ErrUnknownEpoch means that the caller's leader epoch is newer than this broker's.
	ErrUnknownEpoch = fmt.Errorf("leader epoch is newer than the known one: %w", kerr.UnknownLeaderEpoch)
	// ErrNotEnoughReplicas refuses an acks=all append before anything is written.
	ErrNotEnoughReplicas = fmt.Errorf("fewer in-sync replicas than min.insync.replicas: %w", kerr.NotEnoughReplicas)
	// ErrNotEnoughReplicasAfterAppend reports that the ISR shrank below the minimum while acks were awaited. The records stay.
	ErrNotEnoughReplicasAfterAppend = fmt.Errorf("fewer in-sync replicas than min.insync.replicas after the append: %w", kerr.NotEnoughReplicasAfterAppend)
	// ErrTimedOut reports that a wait ended by its deadline. What was appended stays.
	ErrTimedOut = fmt.Errorf("timed out: %w", kerr.RequestTimedOut)
	// ErrInconsistentTopicID means that the caller means another topic of the same name.
	ErrInconsistentTopicID = fmt.Errorf("topic id differs from the log's: %w", kerr.InconsistentTopicID)
	// ErrOffsetNotAvailable means that a new leader does not yet know how far its log is committed.
	ErrOffsetNotAvailable = fmt.Errorf("high watermark has not reached this leader's epoch yet: %w", kerr.OffsetNotAvailable)
	// ErrStaleControllerEpoch refuses a request of a controller that was replaced.
	ErrStaleControllerEpoch = fmt.Errorf("controller epoch or leader epoch is stale: %w", kerr.StaleControllerEpoch)
	// ErrStaleBrokerEpoch refuses a request that was meant for an earlier incarnation of this broker.
	ErrStaleBrokerEpoch = fmt.Errorf("request is for an earlier incarnation of this broker: %w", kerr.StaleBrokerEpoch)
	// ErrNotSent means that a request to another broker failed before it went out.
	ErrNotSent = errors.New("request was not sent")
	// ErrUnknownFollower refuses a fetch by a broker that is not in the partition's assignment. It has been told something
	// that this leader was not told yet, so it shall try again.
	ErrUnknownFollower = fmt.Errorf("fetching broker is not a replica of the partition: %w", kerr.UnknownLeaderEpoch)

	errOutOfRange       = fmt.Errorf("offset out of range: %w", kerr.OffsetOutOfRange)
	errNotReplica       = fmt.Errorf("this broker is not in the assignment: %w", kerr.UnknownTopicOrPartition)
	errNotDeletable     = fmt.Errorf("records cannot be deleted, cleanup.policy has no delete: %w", kerr.PolicyViolation)
	errInternalTopic    = fmt.Errorf("topic is internal: %w", kerr.InvalidTopicException)
	errNoProducer       = fmt.Errorf("marker without a producer: %w", kerr.UnknownServerError)
	errNotInTransaction = fmt.Errorf("partition was not added to the transaction: %w", kerr.InvalidTxnState)
	errNotLeaderReplica = fmt.Errorf("fetching broker is not a replica of the partition: %w", kerr.NotLeaderForPartition)
)
