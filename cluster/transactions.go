package cluster

import (
	"unicode/utf16"

	"gokafka/protocol"
)

// TxnMarkers ends one producer's transaction in some of the partitions that one broker leads: an entry of WriteTxnMarkers.
type TxnMarkers struct {
	ProducerID    int64
	ProducerEpoch int16
	Commit        bool // else abort
	// CoordinatorEpoch is the leader epoch of the coordinator's partition of __transaction_state. It fences coordinators that
	// do not know yet that another has taken their place.
	CoordinatorEpoch LeaderEpoch
	Partitions       []protocol.TopicPartition
}

// TxnVerification asks a transaction's coordinator whether partitions belong to it: an entry of AddPartitionsToTxn with verifyOnly
// (KIP-890).
type TxnVerification struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Partitions      []protocol.TopicPartition
}

// CoordinatorPartition is the partition of an internal topic that holds a group or a transactional id, and so says who coordinates
// it: Java's hash of the id, modulo the number of partitions.
func CoordinatorPartition(id string, partitions int32) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(id)) {
		h = 31*h + int32(unit)
	}
	if h < 0 {
		h = max(-h, 0) // the least int32 has no counterpart, and counts as 0
	}
	return h % partitions
}
