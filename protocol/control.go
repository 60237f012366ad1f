package protocol

import (
	"encoding/binary"
	"fmt"
)

// MarkerType is the type of a control record.
type MarkerType int16

// The control records that end a transaction. Others exist (KRaft's) and are not ours.
const (
	MarkerAbort  MarkerType = 0
	MarkerCommit MarkerType = 1
)

// Marker is the end of one producer's transaction in one partition: the only record of a control batch.
type Marker struct {
	Type MarkerType
	// CoordinatorEpoch is the epoch of the transaction coordinator that wrote it; an older coordinator is fenced by it.
	CoordinatorEpoch int32
}

// ParseMarker reads a control record. Fields that later versions may append are ignored.
func ParseMarker(r *Record) (Marker, error) {
	if len(r.Key) < 4 || int16(binary.BigEndian.Uint16(r.Key)) < 0 {
		return Marker{}, fmt.Errorf("%w: control record with a key of %d bytes", ErrInvalidRecord, len(r.Key))
	}
	m := Marker{Type: MarkerType(binary.BigEndian.Uint16(r.Key[2:])), CoordinatorEpoch: -1}
	if m.Type != MarkerAbort && m.Type != MarkerCommit {
		return m, nil
	}
	if len(r.Value) < 6 || int16(binary.BigEndian.Uint16(r.Value)) < 0 {
		return Marker{}, fmt.Errorf("%w: transaction marker with a value of %d bytes", ErrInvalidRecord, len(r.Value))
	}
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
	return m, nil
}

// MarkerBatch is the control batch that ends a transaction, as the coordinator has it appended. Base offset and leader epoch are the log's to stamp.
func MarkerBatch(producerID int64, epoch int16, m Marker, timestamp int64) ([]byte, error) {
	key := binary.BigEndian.AppendUint16(make([]byte, 2, 4), uint16(m.Type))
	value := binary.BigEndian.AppendUint32(make([]byte, 2, 6), uint32(m.CoordinatorEpoch))
	return AppendBatch(nil, BatchOptions{
		LeaderEpoch:   NoLeaderEpoch,
		Producer:      &Producer{ID: producerID, Epoch: epoch, Sequence: NoSequence},
		Transactional: true,
		Control:       true,
	}, Record{Timestamp: timestamp, Key: key, Value: value})
}
