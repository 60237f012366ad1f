package controller

// partitionPhase is where a partition stands in the controller's memory (Apache's PartitionState). It is never written.
type partitionPhase uint8

const (
	partitionNonExistent partitionPhase = iota // never created, or deleted
	partitionNew                               // assigned, but no leader was ever elected
	partitionOnline                            // has a leader
	partitionOffline                           // had a leader, which is gone
)

// String is Apache's name of the phase.
func (p partitionPhase) String() string {
	return [...]string{"NonExistentPartition", "NewPartition", "OnlinePartition", "OfflinePartition"}[p]
}

// follows reports whether a partition may go from one phase to the next.
func (p partitionPhase) follows(from partitionPhase) bool {
	switch p {
	case partitionNew:
		return from == partitionNonExistent
	case partitionOnline, partitionOffline:
		return from != partitionNonExistent
	default:
		return from == partitionOffline
	}
}

// replicaPhase is where one replica stands in the controller's memory (Apache's ReplicaState).
type replicaPhase uint8

const (
	replicaNonExistent        replicaPhase = iota
	replicaNew                             // being created
	replicaOnline                          // on a live broker
	replicaOffline                         // its broker or directory is gone, or it was told to stop
	replicaDeletionStarted                 // told to delete its log
	replicaDeletionSuccessful              // said that it did
	replicaDeletionIneligible              // cannot be deleted now
)

// String is Apache's name of the phase.
func (r replicaPhase) String() string {
	return [...]string{"NonExistentReplica", "NewReplica", "OnlineReplica", "OfflineReplica", "ReplicaDeletionStarted",
		"ReplicaDeletionSuccessful", "ReplicaDeletionIneligible"}[r]
}

// follows reports whether a replica may go from one phase to the next.
func (r replicaPhase) follows(from replicaPhase) bool {
	switch r {
	case replicaNew:
		return from == replicaNonExistent
	case replicaOnline, replicaOffline:
		return from == replicaNew || from == replicaOnline || from == replicaOffline || from == replicaDeletionIneligible
	case replicaDeletionStarted:
		return from == replicaOffline
	case replicaDeletionSuccessful:
		return from == replicaDeletionStarted
	case replicaDeletionIneligible:
		return from == replicaOffline || from == replicaDeletionStarted
	default:
		return from == replicaDeletionSuccessful
	}
}
