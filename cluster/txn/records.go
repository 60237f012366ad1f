package txn

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"

	"gokafka/protocol"
)

// The records of __transaction_state. Keys and values begin with an int16 version; a nil value is a tombstone. Apache 3.9 writes
// version 0 of both while there is ZooKeeper, and reads values of version 1, which has compact lengths and tags.
const (
	keyVersion           = 0
	valueVersion         = 0
	flexibleValueVersion = 1
)

var (
	// errVersion marks records of a version that is not known: of a newer coordinator.
	errVersion = errors.New("unknown version")
	// errCut marks records that do not hold what their version says.
	errCut = errors.New("malformed")
)

func appendKey(b []byte, id string) []byte {
	b = binary.BigEndian.AppendUint16(b, keyVersion)
	return kbin.AppendString(b, id)
}

func parseKey(b []byte) (string, error) {
	r := kbin.Reader{Src: b}
	if version := r.Int16(); version != keyVersion {
		return "", fmt.Errorf("read key of version %d: %w", version, errVersion)
	}
	id := r.String()
	if r.Complete() != nil {
		return "", fmt.Errorf("read key %x: %w", b, errCut)
	}
	return id, nil
}

// appendTo appends the record's value. Only Empty has no list of partitions; a completed transaction has one without entries.
func (m *metadata) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, valueVersion)
	b = kbin.AppendInt64(b, m.ID)
	b = kbin.AppendInt16(b, m.Epoch)
	b = kbin.AppendInt32(b, m.timeoutMillis)
	b = kbin.AppendInt8(b, int8(m.state))
	if m.state == Empty {
		b = kbin.AppendInt32(b, -1)
	} else {
		b = m.partitions.appendTo(b)
	}
	b = kbin.AppendInt64(b, m.updatedAt)
	return kbin.AppendInt64(b, m.startedAt)
}

// appendTo appends the partitions by topic.
func (s partitionSet) appendTo(b []byte) []byte {
	topicsAt := len(b)
	var topics, numbers uint32
	numbersAt := 0
	b = append(b, 0, 0, 0, 0)
	for i, tp := range s {
		if i == 0 || s[i-1].Topic != tp.Topic {
			topics++
			b = kbin.AppendString(b, tp.Topic)
			numbers, numbersAt = 0, len(b)
			b = append(b, 0, 0, 0, 0)
		}
		numbers++
		b = kbin.AppendInt32(b, tp.Partition)
		binary.BigEndian.PutUint32(b[numbersAt:], numbers)
	}
	binary.BigEndian.PutUint32(b[topicsAt:], topics)
	return b
}

// parseMetadata reads a value. Whatever it holds, reading it takes memory in proportion to its length.
func parseMetadata(b []byte) (metadata, error) {
	v := valueReader{Reader: kbin.Reader{Src: b}}
	version := v.Int16()
	if version < 0 || version > flexibleValueVersion {
		return metadata{}, fmt.Errorf("read value of version %d: %w", version, errVersion)
	}
	v.flexible = version >= flexibleValueVersion
	m := metadata{Producer: Producer{ID: v.Int64(), Epoch: v.Int16()}, timeoutMillis: v.Int32(), state: State(v.Int8()), last: NoProducer}
	partitions := v.partitions()
	m.updatedAt, m.startedAt = v.Int64(), v.Int64()
	v.tags()
	switch {
	case v.Complete() != nil || m.ID < 0 || m.Epoch < 0:
		return metadata{}, fmt.Errorf("read value %x: %w", b, errCut)
	case !m.state.inLog():
		return metadata{}, fmt.Errorf("read state %d: %w", int8(m.state), errVersion)
	case m.state != Empty:
		m.partitions = newPartitionSet(partitions)
	}
	return m, nil
}

// valueReader reads either encoding.
type valueReader struct {
	kbin.Reader
	flexible bool
}

// count is the length of an array: never more than there are bytes.
func (v *valueReader) count() int {
	if v.flexible {
		return int(v.CompactArrayLen())
	}
	return int(v.ArrayLen())
}

func (v *valueReader) string() string {
	if v.flexible {
		return v.CompactString()
	}
	return v.String()
}

// tags skips tagged fields, none of which is known.
func (v *valueReader) tags() {
	if !v.flexible {
		return
	}
	for n := v.Uvarint(); n > 0 && v.Ok(); n-- {
		v.Uvarint()
		v.Span(int(v.Uvarint()))
	}
}

func (v *valueReader) partitions() []protocol.TopicPartition {
	var all []protocol.TopicPartition
	for n := v.count(); n > 0 && v.Ok(); n-- {
		topic := v.string()
		for n := v.count(); n > 0 && v.Ok(); n-- {
			all = append(all, protocol.TopicPartition{Topic: topic, Partition: v.Int32()})
		}
		v.tags()
	}
	return all
}
