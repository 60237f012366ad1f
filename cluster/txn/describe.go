package txn

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Description is a transactional id as DescribeTransactions shows it.
type Description struct {
	Producer
	State         State
	TimeoutMillis int32
	StartedAt     int64                     // milliseconds since the epoch; -1 without a transaction
	Partitions    []protocol.TopicPartition // in order
}

// Describe shows an id, or returns TRANSACTIONAL_ID_NOT_FOUND.
func (c *Coordinator) Describe(ctx context.Context, id string) (Description, error) {
	var d Description
	err := c.change(ctx, id, func(_ time.Time, _ *shard, t *Transaction) (*metadata, error) {
		if t == nil {
			return nil, kerr.TransactionalIDNotFound
		}
		d = Description{Producer: t.Producer, State: t.state, TimeoutMillis: t.timeoutMillis, StartedAt: t.startedAt, Partitions: t.partitions}
		if t.state.prepared() {
			d.Partitions = t.unmarked
		}
		return nil, nil
	})
	if err != nil {
		return Description{}, err
	}
	return d, nil
}

// Filter chooses transactional ids.
type Filter struct {
	ProducerIDs    []int64 // empty for all; List sorts them
	States         []State // nil for all
	DurationMillis int64   // ids whose transaction began longer ago; negative for all
}

// Listing is a transactional id as ListTransactions shows it.
type Listing struct {
	TransactionalID string
	ProducerID      int64
	State           State
}

// List lists the ids that this broker coordinates, in no order. While any partition is being loaded the answer is
// COORDINATOR_LOAD_IN_PROGRESS.
func (c *Coordinator) List(ctx context.Context, f *Filter) ([]Listing, error) {
	if c.ctx.Err() != nil {
		return nil, kerr.CoordinatorNotAvailable
	}
	slices.Sort(f.ProducerIDs) // there may be millions, and each id that a shard has is looked for
	var all []Listing
	for _, s := range c.all() {
		var some []Listing
		_, err := s.do(ctx, func(now time.Time, answer func(error)) {
			for _, t := range s.txns {
				if f.chooses(t, now) {
					some = append(some, Listing{TransactionalID: t.id, ProducerID: t.ID, State: t.state})
				}
			}
			answer(nil)
		})
		switch {
		case err == nil:
			all = append(all, some...)
		case is(err, kerr.CoordinatorLoadInProgress), ctx.Err() != nil:
			return nil, err
		}
	}
	return all, nil
}

func (f *Filter) chooses(t *Transaction, now time.Time) bool {
	if len(f.ProducerIDs) > 0 {
		if _, ok := slices.BinarySearch(f.ProducerIDs, t.ID); !ok {
			return false
		}
	}
	if f.States != nil && !slices.Contains(f.States, t.state) {
		return false
	}
	return f.DurationMillis < 0 || now.UnixMilli()-t.startedAt > f.DurationMillis
}
