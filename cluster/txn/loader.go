package txn

import (
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"gokafka/protocol"
)

// loader turns a partition's log back into transactions.
type loader struct {
	logger zerolog.Logger
	txns   map[string]*Transaction
}

// add takes whole batches, in order. Records that cannot be understood are skipped, as each stands for itself: better one id
// that begins anew, with a warning, than a partition without coordinator.
func (l *loader) add(batches []byte) error {
	for len(batches) > 0 {
		b, rest, err := protocol.NextBatch(batches)
		if err != nil {
			return fmt.Errorf("read transaction log: %w", err)
		}
		for r, err := range protocol.Records(b) {
			if err != nil {
				return fmt.Errorf("read transaction log at offset %d: %w", b.BaseOffset(), err)
			}
			if err := l.record(r); err != nil && !b.Control() {
				l.logger.Warn().Err(err).Int64("offset", r.Offset).Msg("skipping a record of the transaction log")
			}
		}
		batches = rest
	}
	return nil
}

// LargestProducerID is the largest that transactional ids have in whole batches of a partition's log, NoProducerID if there is none.
func LargestProducerID(batches []byte) (int64, error) {
	l := loader{logger: zerolog.Nop(), txns: map[string]*Transaction{}}
	err := l.add(batches)
	largest := int64(protocol.NoProducerID)
	for _, t := range l.txns {
		largest = max(largest, t.ID)
	}
	return largest, err
}

func (l *loader) record(r *protocol.Record) error {
	if r.Key == nil {
		return errors.New("record without key")
	}
	id, err := parseKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		delete(l.txns, id)
		return nil
	}
	m, err := parseMetadata(r.Value)
	if err != nil {
		return err
	}
	l.txns[id] = &Transaction{id: id, metadata: m}
	return nil
}
