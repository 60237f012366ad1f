package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// shards is the number of partitions of __transaction_state. A broker has a coordinator for each, so that the markers of two partitions do not meet
// in one queue, in which their order would be chance.
const shards = 2

// Intervals of coordinators are moments that nothing else has.
const (
	overdueInterval    = 2*time.Second + 13*time.Microsecond
	coordinatorTimeout = 4*time.Second + 17*time.Microsecond
)

// coordinator is what a broker has for one partition of __transaction_state.
type coordinator struct {
	*txn.Coordinator
	markers *txn.Markers
}

func (l *life) newCoordinator(shard int, store *metastore.Store) *coordinator {
	settings := txn.DefaultSettings()
	settings.AbortInterval, settings.RequestTimeout = overdueInterval+time.Duration(shard)*time.Microsecond, coordinatorTimeout
	var journal txn.Journal = pacedJournal{&replica.Journal{Manager: l.replicas, Acks: replica.AcksAll}, time.Duration(1 + shard)}
	if l.w.seams.journal != nil {
		journal = l.w.seams.journal(journal)
	}
	c := &coordinator{markers: txn.NewMarkers(txn.MarkersOptions{
		Image: l.replicas.Metadata, Dial: func(to cluster.BrokerID) txn.MarkerWriter { return &markerLine{l, to} },
		Exists: func(ctx context.Context, tp protocol.TopicPartition) (bool, error) {
			return store.TopicExists(ctx, tp.Topic)
		},
		Logger: l.w.logger,
	})}
	c.Coordinator = txn.New(txn.Options{Settings: settings, Journal: journal, IDs: txn.NewProducerIDs(l.idBlock(shard)), Markers: c.markers, Partitions: shards})
	return c
}

func (c *coordinator) close() {
	c.Coordinator.Close()
	c.markers.Close()
}

func (l *life) closeCoordinators() {
	for _, c := range l.coordinators {
		c.close()
	}
}

// resigned tells the coordinator of a partition that the broker does not lead it any more.
func (l *life) resigned(tp protocol.TopicPartition, epoch cluster.LeaderEpoch) {
	if tp.Topic == cluster.TransactionsTopic {
		l.coordinators[tp.Partition].Resigned(tp.Partition, epoch)
	}
}

// idBlock is producer ids that no other coordinator of any life has, at once: those who wait for the controller together would go on together.
type idBlock int64

const idBlockSize = 1000

func (l *life) idBlock(shard int) idBlock {
	return idBlock(((int64(l.number)*brokersOfScenario+int64(l.id))*shards + int64(shard)) * idBlockSize)
}

// AllocateProducerIDs implements what txn.ProducerIDs ask.
func (b idBlock) AllocateProducerIDs(context.Context) (first int64, count int32, err error) {
	return int64(b), idBlockSize, nil
}

// pacedJournal lets everything come to rest before each append and after each wait, and no two shards go on at one moment: it would be chance how
// many batches a fetch brings that waits for the first, and whether a shard has heard of its new epoch.
type pacedJournal struct {
	txn.Journal
	pause time.Duration
}

// Append implements txn.Journal.
func (j pacedJournal) Append(tp protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	time.Sleep(j.pause)
	base, wait, err := j.Journal.Append(tp, batch)
	if wait == nil {
		return base, nil, err
	}
	return base, func(ctx context.Context) error {
		defer time.Sleep(j.pause)
		return wait(ctx)
	}, err
}

// AwaitCommitted implements txn.Journal.
func (j pacedJournal) AwaitCommitted(ctx context.Context, tp protocol.TopicPartition) error {
	defer time.Sleep(j.pause)
	return j.Journal.AwaitCommitted(ctx, tp)
}

// markerLine is a coordinator's connection to a leader, which may be its own broker.
type markerLine struct {
	*life
	to cluster.BrokerID
}

// Close implements txn.MarkerWriter.
func (*markerLine) Close() error { return nil }

// WriteTxnMarkers implements txn.MarkerWriter. Each marker goes to each partition by itself, for the reason that paces the journal.
func (m *markerLine) WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	results := make([][]error, len(markers))
	var calls sync.WaitGroup
	for i, marker := range markers {
		results[i] = make([]error, len(marker.Partitions))
		for j, tp := range marker.Partitions {
			one := marker
			one.Partitions = []protocol.TopicPartition{tp}
			calls.Go(func() { results[i][j] = m.write(ctx, one) })
		}
	}
	calls.Wait()
	return results, nil
}

func (m *markerLine) write(ctx context.Context, k cluster.TxnMarker) error {
	text := fmt.Sprintf("%d>%d WriteTxnMarkers %d/%d{c%d commit=%v %v}", m.id, m.to, k.ProducerID, k.ProducerEpoch, k.CoordinatorEpoch, k.Commit, k.Partitions[0])
	q := request{from: m.id, to: m.to, text: text, again: true, timeout: callTimeout + time.Duration(m.to)} // no two leaders' at one moment
	_, err := call(ctx, m.w, q, func(to *life) (struct{}, error) { return struct{}{}, to.writeMarker(k) })
	return err
}

func (l *life) writeMarker(m cluster.TxnMarker) error {
	if l.w.seams.marker != nil && l.w.seams.marker(m) {
		return nil
	}
	w := replica.MarkerWriter{Manager: l.replicas, Timeout: produceTimeout}
	errs, err := w.WriteTxnMarkers(l.ctx, []cluster.TxnMarker{m})
	if err != nil {
		return wire(err)
	}
	return wire(errs[0][0])
}

// verifier asks coordinators whether partitions belong to a transaction, each question in a request of its own.
type verifier struct{ *life }

// Verify implements replica.TxnCoordinators.
func (v verifier) Verify(ctx context.Context, p cluster.TxnProducer, partitions []protocol.TopicPartition) []error {
	shard := cluster.CoordinatorPartition(p.TransactionalID, shards)
	s := v.replicas.Metadata().Partition(protocol.TopicPartition{Topic: cluster.TransactionsTopic, Partition: shard})
	if s == nil || s.Leader < 0 {
		return []error{kerr.CoordinatorNotAvailable}
	}
	q := request{from: v.id, to: s.Leader, text: fmt.Sprintf("%d>%d Verify %s %d/%d %v", v.id, s.Leader, p.TransactionalID, p.ID, p.Epoch, partitions)}
	errs, err := call(ctx, v.w, q, func(to *life) ([]error, error) {
		errs := to.coordinators[shard].Verify(to.ctx, p.TransactionalID, txn.Producer{ID: p.ID, Epoch: p.Epoch}, partitions)
		return []error{wire(errs[0])}, nil
	})
	if err != nil {
		return []error{kerr.NetworkException}
	}
	return errs
}

// appendVerified serves a produce request of a transaction.
func (l *life) appendVerified(tp protocol.TopicPartition, batch []byte, p cluster.TxnProducer) produced {
	v := replica.Verification{Manager: l.replicas, Coordinators: verifier{l}, Enabled: func() bool { return true }}
	appends := []replica.TxnAppend{{TopicPartition: tp, Sequence: protocol.Batch(batch).BaseSequence()}}
	if v.Verify(l.ctx, p, appends); appends[0].Err != nil {
		return produced{-1, wire(appends[0].Err), l}
	}
	return l.append(tp, batch, replica.AcksAll, appends[0].Options)
}

// askCoordinator sends a request to whom a client takes for a coordinator, and tells the world's goroutine what became of it.
func askCoordinator[R any](w *world, to cluster.BrokerID, shard int32, text string, serve func(context.Context, *txn.Coordinator) (R, error), done func(R, error)) {
	q := request{from: clients, to: to, text: fmt.Sprintf("client>%d %s", to, text), again: true, timeout: clientTimeout}
	w.clients.Go(func() {
		r, err := call(context.Background(), w, q, func(l *life) (R, error) {
			r, err := serve(l.ctx, l.coordinators[shard].Coordinator)
			if l.ctx.Err() != nil {
				return r, errTimeout // a process that was killed says nothing
			}
			return r, wire(err)
		})
		w.report(q.text, func() {
			w.tracef("%s is answered: %v %s", q.text, r, code(err))
			done(r, err)
		})
	})
}

// forgetful is the log of a coordinator that does not see open transactions when it takes over.
type forgetful struct{ txn.Journal }

func (f forgetful) Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func([]byte) error) error {
	return f.Journal.Replay(ctx, tp, bytesMax, func(batches []byte) error {
		for b, err := range protocol.Batches(batches) {
			if err != nil {
				return err
			}
			for r, err := range protocol.Records(b) {
				if err != nil {
					return err
				}
				if s, err := parseTxnState(string(r.Value)); err == nil && s.state == txn.Ongoing {
					continue
				}
				if err := visit(b); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// hasty is the log of a coordinator that does not wait for replicas.
type hasty struct{ txn.Journal }

func (h hasty) Append(tp protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	base, _, err := h.Journal.Append(tp, batch)
	return base, nil, err
}

// rash is the log of a coordinator that takes what is there for committed.
type rash struct{ txn.Journal }

func (rash) AwaitCommitted(context.Context, protocol.TopicPartition) error { return nil }

var errNoState = errors.New("no state of a transaction")
