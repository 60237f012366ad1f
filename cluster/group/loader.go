package group

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"gokafka/protocol"
)

// loader turns a partition's log back into groups.
type loader struct {
	settings *Settings
	metadata map[string][]byte // newest value by group
	offsets  map[groupPartition]commit
	txn      map[int64]map[groupPartition]commit // of open transactions, by producer id
	last     int64                               // place of the last record
}

type groupPartition struct {
	group string
	protocol.TopicPartition
}

func newLoader(settings *Settings) *loader {
	return &loader{
		settings: settings,
		metadata: map[string][]byte{},
		offsets:  map[groupPartition]commit{},
		txn:      map[int64]map[groupPartition]commit{},
	}
}

// add takes whole batches, in order. Records that cannot be understood are skipped, as each stands for itself: better one
// offset lost, with a warning, than a partition without coordinator.
func (l *loader) add(batches []byte) error {
	for len(batches) > 0 {
		b, rest, err := protocol.NextBatch(batches)
		if err != nil {
			return fmt.Errorf("read group log: %w", err)
		}
		if err := l.batch(b); err != nil {
			return fmt.Errorf("read group log at offset %d: %w", b.BaseOffset(), err)
		}
		batches = rest
	}
	return nil
}

func (l *loader) batch(b protocol.Batch) error {
	l.last = b.NextOffset() - 1
	at := int64(-1)
	for r, err := range protocol.Records(b) {
		if err != nil {
			return err
		}
		if b.Control() {
			return l.marker(b.ProducerID(), r)
		}
		if at < 0 {
			at = r.Offset
		}
		if err := l.record(b, at, r); err != nil {
			l.settings.Logger.Warn().Err(err).Int64("offset", r.Offset).Msg("skipping a record of the group log")
		}
	}
	return nil
}

// marker ends a transaction: its offsets count if it committed, unless newer ones came meanwhile.
func (l *loader) marker(producerID int64, r *protocol.Record) error {
	m, err := protocol.ParseMarker(r)
	if err != nil {
		return err
	}
	if m.Type == protocol.MarkerCommit {
		for key, c := range l.txn[producerID] {
			if old, ok := l.offsets[key]; !ok || old.at < c.at {
				l.offsets[key] = c
			}
		}
	}
	delete(l.txn, producerID)
	return nil
}

func (l *loader) record(b protocol.Batch, at int64, r *protocol.Record) error {
	if r.Key == nil {
		return errors.New("record without key")
	}
	key, err := parseKey(r.Key)
	switch {
	case err != nil:
		return err
	case key.partition == nil && r.Value == nil:
		delete(l.metadata, key.group)
		return nil
	case key.partition == nil:
		l.metadata[key.group] = bytes.Clone(r.Value)
		return nil
	}
	return l.offset(l.offsetsOf(b), groupPartition{key.group, *key.partition}, at, r.Value)
}

// offsetsOf is where a batch's offsets go: to those that count, or to those of its transaction.
func (l *loader) offsetsOf(b protocol.Batch) map[groupPartition]commit {
	if !b.Transactional() {
		return l.offsets
	}
	pending := l.txn[b.ProducerID()]
	if pending == nil {
		pending = map[groupPartition]commit{}
		l.txn[b.ProducerID()] = pending
	}
	return pending
}

func (l *loader) offset(into map[groupPartition]commit, key groupPartition, at int64, value []byte) error {
	if value == nil {
		delete(into, key)
		return nil
	}
	c, err := parseCommit(value)
	if err != nil {
		return err
	}
	into[key] = commit{CommittedOffset: c, at: at}
	return nil
}

// groups makes the groups. One with offsets only, of a consumer that assigns its partitions by hand, is an empty group.
func (l *loader) groups(now time.Time) map[string]*Group {
	groups := make(map[string]*Group, len(l.metadata))
	for id, value := range l.metadata {
		g, err := parseGroup(id, value, l.settings, now)
		if err != nil {
			l.settings.Logger.Warn().Err(err).Msg("skipping a group")
			continue
		}
		groups[id] = g
	}
	group := func(id string) *Group {
		if groups[id] == nil {
			groups[id] = newGroup(id, l.settings, now)
		}
		return groups[id]
	}
	for key, c := range l.offsets {
		group(key.group).offsets.committed[key.TopicPartition] = c
	}
	for producerID, pending := range l.txn {
		for key, c := range pending {
			group(key.group).offsets.addPending(producerID, key.TopicPartition, c)
		}
	}
	return groups
}
