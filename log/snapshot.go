package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"gokafka/log/vfs"
)

const (
	snapshotVersion   = 1
	snapshotHeadSize  = 10 // version, CRC, count
	snapshotEntrySize = 46
	snapshotCRCFrom   = 6 // the CRC covers the count and the entries
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeSnapshot writes the last batch of every producer, by id: the form of a .snapshot file, which doc.go draws.
func encodeSnapshot(producers map[int64]*producerEntry) []byte {
	b := make([]byte, snapshotHeadSize, snapshotHeadSize+len(producers)*snapshotEntrySize)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	binary.BigEndian.PutUint32(b[snapshotCRCFrom:], uint32(len(producers)))
	for _, id := range slices.Sorted(maps.Keys(producers)) {
		e := producers[id]
		b = binary.BigEndian.AppendUint64(b, uint64(id))
		b = binary.BigEndian.AppendUint16(b, uint16(e.epoch))
		last := e.last()
		b = binary.BigEndian.AppendUint32(b, uint32(last.lastSequence))
		b = binary.BigEndian.AppendUint64(b, uint64(last.lastOffset))
		b = binary.BigEndian.AppendUint32(b, uint32(last.delta))
		b = binary.BigEndian.AppendUint64(b, uint64(e.lastTimestamp))
		b = binary.BigEndian.AppendUint32(b, uint32(e.coordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(e.txnFirst))
	}
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[snapshotCRCFrom:], castagnoli))
	return b
}

func decodeSnapshot(b []byte) (map[int64]*producerEntry, error) {
	if len(b) < snapshotHeadSize {
		return nil, fmt.Errorf("%d bytes are too few", len(b))
	}
	if v := binary.BigEndian.Uint16(b); v != snapshotVersion {
		return nil, fmt.Errorf("version %d is not known", v)
	}
	stored, computed := binary.BigEndian.Uint32(b[2:]), crc32.Checksum(b[snapshotCRCFrom:], castagnoli)
	if stored != computed {
		return nil, fmt.Errorf("stored CRC %d, computed %d", stored, computed)
	}
	count, b := int64(binary.BigEndian.Uint32(b[snapshotCRCFrom:])), b[snapshotHeadSize:]
	if int64(len(b)) != count*snapshotEntrySize {
		return nil, fmt.Errorf("%d bytes do not hold %d entries", len(b), count)
	}
	producers := make(map[int64]*producerEntry, count)
	for ; len(b) > 0; b = b[snapshotEntrySize:] {
		producers[int64(binary.BigEndian.Uint64(b))] = decodeSnapshotEntry(b[8:])
	}
	return producers, nil
}

func decodeSnapshotEntry(b []byte) *producerEntry {
	last := producerBatch{
		lastSequence: int32(binary.BigEndian.Uint32(b[2:])),
		lastOffset:   int64(binary.BigEndian.Uint64(b[6:])),
		delta:        int32(binary.BigEndian.Uint32(b[14:])),
		timestamp:    int64(binary.BigEndian.Uint64(b[18:])),
	}
	e := newProducerEntry()
	e.epoch = int16(binary.BigEndian.Uint16(b))
	e.lastTimestamp = last.timestamp
	e.coordinatorEpoch = int32(binary.BigEndian.Uint32(b[26:]))
	e.txnFirst = max(int64(binary.BigEndian.Uint64(b[30:])), noTransaction)
	if last.lastOffset >= 0 {
		e.addBatch(e.epoch, last)
	}
	return e
}

func readSnapshot(fsys vfs.FS, name string) (map[int64]*producerEntry, error) {
	b, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	producers, err := decodeSnapshot(b)
	if err != nil {
		return nil, &CorruptError{File: name, Err: err}
	}
	return producers, nil
}

// writeSnapshotFile writes in place, like Apache Kafka: a torn file fails its CRC and an older one is used.
func writeSnapshotFile(fsys vfs.FS, name string, producers map[int64]*producerEntry, sync bool) error {
	return vfs.WriteFile(fsys, name, encodeSnapshot(producers), sync)
}
