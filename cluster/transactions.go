package cluster

import (
	"unicode/utf16"

	"gokafka/protocol"
)

// TxnMarker is the end of a producer's transaction, as the transaction's coordinator has it written into partitions that took part.
type TxnMarker struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32 // an older one than a partition has seen is fenced
	Commit           bool  // else the transaction is aborted
	Partitions       []protocol.TopicPartition
}

// TxnProducer is a producer that writes in a transaction.
type TxnProducer struct {
	TransactionalID string
	ID              int64
	Epoch           int16
	// Abortable says that the client knows TRANSACTION_ABORTABLE (KIP-890); others are told INVALID_TXN_STATE in its place.
	Abortable bool
}

// TxnGuard ties a coordinator's word that a transaction includes a partition to what is appended on it, so that the word is worth nothing
// once a marker was written in between (KIP-890). Zero goes with transactions that the partition has records of already.
type TxnGuard uint64

// TxnVerification asks a producer's coordinator whether its open transaction includes partitions.
type TxnVerification struct {
	TxnProducer
	Partitions []protocol.TopicPartition
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
