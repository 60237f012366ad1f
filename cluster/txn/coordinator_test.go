package txn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// writtenAt is a broker that takes every marker, or refuses them with an error.
type writtenAt struct {
	mu      sync.Mutex
	markers []cluster.TxnMarker
	err     error            // of the call
	refused map[string]error // by partition
}

func (w *writtenAt) WriteTxnMarkers(_ context.Context, markers []cluster.TxnMarker) ([][]error, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	results := make([][]error, len(markers))
	for i, m := range markers {
		w.markers = append(w.markers, m)
		for _, tp := range m.Partitions {
			results[i] = append(results[i], w.refused[tp.String()])
		}
	}
	return results, nil
}

func (w *writtenAt) Close() error { return nil }

func (w *writtenAt) taken() []cluster.TxnMarker {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.markers
	w.markers = nil
	return all
}

// hangUp makes calls fail, or not any more.
func (w *writtenAt) hangUp(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *writtenAt) refuse(err error, partitions ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = map[string]error{}
	for _, p := range partitions {
		w.refused[p] = err
	}
}

// lab is a coordinator with a journal in memory and three brokers, of which 1 leads t-0 and t-1, 2 leads t-2, and nobody t-3.
type lab struct {
	*Coordinator
	journal *memJournal
	brokers map[cluster.BrokerID]*writtenAt
	image   atomic.Pointer[cluster.Metadata]
	deleted atomic.Bool // partitions that are not in the image are not in the store either
}

func newLab(t *testing.T) *lab {
	l := &lab{journal: &memJournal{}, brokers: map[cluster.BrokerID]*writtenAt{1: {}, 2: {}}}
	l.image.Store(cluster.NewMetadata(""))
	l.lead(1, at("t", 0, 1)...)
	l.lead(2, at("t", 2)...)
	l.lead(cluster.NoLeader, at("t", 3)...)
	markers := NewMarkers(MarkersOptions{
		Image: l.image.Load, Dial: func(id cluster.BrokerID) MarkerWriter { return l.brokers[id] },
		Exists: func(context.Context, protocol.TopicPartition) (bool, error) { return !l.deleted.Load(), nil },
	})
	l.Coordinator = New(Options{Settings: DefaultSettings(), Journal: l.journal, IDs: NewProducerIDs(&tens{next: 4000}), Markers: markers, Partitions: 1})
	t.Cleanup(func() {
		markers.Close()
		l.Close()
	})
	return l
}

// lead changes the image.
func (l *lab) lead(id cluster.BrokerID, partitions ...protocol.TopicPartition) {
	r := &cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{ID: 1}, {ID: 2}}}
	for _, tp := range partitions {
		r.States = append(r.States, cluster.PartitionState{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: id}})
	}
	next, _ := l.image.Load().With(r)
	l.image.Store(next)
}

func (l *lab) begin(t *testing.T, id string, partitions ...protocol.TopicPartition) Producer {
	t.Helper()
	p, err := l.InitProducerID(t.Context(), &InitRequest{TransactionalID: id, TimeoutMillis: 60000, Expected: NoProducer})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AddPartitions(t.Context(), id, p, partitions); err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) state(t *testing.T, id string) State {
	t.Helper()
	d, err := l.Describe(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d.State
}

func inLab(t *testing.T, f func(t *testing.T, l *lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Elected(0, 5)
		synctest.Wait()
		f(t, l)
	})
}

func TestMarkersGoToTheLeaders(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0, 1, 2)...)
		if err := l.End(t.Context(), "x", p, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := l.state(t, "x"); s != CompleteCommit {
			t.Error(s)
		}
		first, second := fmt.Sprint(l.brokers[1].taken()), fmt.Sprint(l.brokers[2].taken())
		if first != "[{4000 0 5 true [t-0 t-1]}]" || second != "[{4000 0 5 true [t-2]}]" {
			t.Error(first, second)
		}
	})
}

// Markers wait for a leader, are sent again where they could not be written, and go to whoever leads by then.
func TestMarkersAreSentAgain(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0, 1, 2, 3)...)
		l.brokers[1].refuse(kerr.NotLeaderForPartition, "t-1")
		l.brokers[2].hangUp(errors.New("hung up"))
		if err := l.End(t.Context(), "x", p, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(10 * strayInterval)
		synctest.Wait()
		if d, err := l.Describe(t.Context(), "x"); err != nil || d.State != PrepareAbort || fmt.Sprint(d.Partitions) != "[t-1 t-2 t-3]" {
			t.Error(d, err)
		}
		l.lead(2, at("t", 1)...)
		l.brokers[2].hangUp(nil)
		time.Sleep(2 * strayInterval)
		synctest.Wait()
		if d, err := l.Describe(t.Context(), "x"); err != nil || d.State != PrepareAbort || fmt.Sprint(d.Partitions) != "[t-3]" {
			t.Error(d, err)
		}
		l.lead(2, at("t", 3)...)
		time.Sleep(2 * strayInterval)
		synctest.Wait()
		if s := l.state(t, "x"); s != CompleteAbort {
			t.Error(s)
		}
	})
}

// A partition that is not in the image is waited for, until the store does not have it either.
func TestMarkersOfDeletedPartitions(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", append(at("t", 0), at("unheard", 0)...)...)
		if err := l.End(t.Context(), "x", p, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * strayInterval)
		synctest.Wait()
		if s := l.state(t, "x"); s != PrepareCommit {
			t.Error(s)
		}
		l.deleted.Store(true)
		time.Sleep(2 * strayInterval)
		synctest.Wait()
		if s := l.state(t, "x"); s != CompleteCommit {
			t.Error(s)
		}
	})
}

// markerQueueFunc is a function that takes markers.
type markerQueueFunc func()

func (f markerQueueFunc) enqueue(*markerJob) { f() }

// The producer is answered before its transaction's markers make work, whether the decision is committed at once or is waited for; not before
// it is committed.
func TestMarkersFollowTheAnswer(t *testing.T) {
	for _, held := range []bool{false, true} {
		d := newDialogue(t)
		d.do("init x")
		d.do("add x 4000/0 t-0")
		sent := 0
		d.shard.markers = markerQueueFunc(func() {
			if sent++; len(d.replies) != 1 || d.replies[0] != "x: ok" {
				t.Errorf("replicas waited for %v: markers after %q", held, d.replies)
			}
		})
		if held {
			d.journal.hold()
		}
		if replies := d.do("commit x 4000/0"); held {
			if len(replies) > 0 || sent > 0 {
				t.Errorf("not committed, and told %q with %d markers", replies, sent)
			}
			d.release(nil)
		}
		if sent != 1 {
			t.Errorf("replicas waited for %v: %d markers", held, sent)
		}
	}
}

// Who is fenced stops: the transaction is another coordinator's, or its producer's successor's.
func TestFencedMarkersEnd(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0, 1)...)
		l.brokers[1].refuse(kerr.TransactionCoordinatorFenced, "t-1")
		if err := l.End(t.Context(), "x", p, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * strayInterval)
		synctest.Wait()
		if d, _ := l.Describe(t.Context(), "x"); d.State != PrepareCommit || fmt.Sprint(d.Partitions) != "[t-1]" {
			t.Error(d)
		}
		if n := len(l.brokers[1].taken()); n != 1 {
			t.Errorf("%d markers", n)
		}
	})
}

// A coordinator that resigned sends no more, and the next one, which loads the decision, sends all again in its own epoch.
func TestSuccessorFinishes(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0, 2)...)
		l.brokers[2].hangUp(errors.New("hung up"))
		if err := l.End(t.Context(), "x", p, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.Resigned(0, 6)
		time.Sleep(2 * strayInterval)
		synctest.Wait()
		l.brokers[1].taken()
		l.brokers[2].hangUp(nil)
		time.Sleep(10 * strayInterval)
		synctest.Wait()
		if m := l.brokers[2].taken(); len(m) > 0 {
			t.Errorf("sent after the end: %v", m)
		}
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.NotCoordinator) {
			t.Error(err)
		}
		l.Elected(0, 7)
		synctest.Wait()
		if s := l.state(t, "x"); s != CompleteCommit {
			t.Error(s)
		}
		if m := fmt.Sprint(l.brokers[1].taken(), l.brokers[2].taken()); m != "[{4000 0 7 true [t-0]}] [{4000 0 7 true [t-2]}]" {
			t.Error(m)
		}
	})
}

// What the coordinator before wrote counts for the next one when it is committed: it may be lost until then, with whatever was done upon it.
func TestSuccessorWaitsForItsLog(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0)...)
		l.journal.hold()
		ended := make(chan error, 1)
		go func() { ended <- l.End(t.Context(), "x", p, true) }()
		synctest.Wait()
		l.Resigned(0, 6)
		l.Elected(0, 7)
		synctest.Wait()
		if err := <-ended; !errors.Is(err, kerr.NotCoordinator) {
			t.Error(err)
		}
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Error(err)
		}
		if m := l.brokers[1].taken(); len(m) > 0 {
			t.Errorf("sent before it is committed: %v", m)
		}
		l.journal.release(nil)
		synctest.Wait()
		if s, m := l.state(t, "x"), fmt.Sprint(l.brokers[1].taken()); s != CompleteCommit || m != "[{4000 0 7 true [t-0]}]" {
			t.Error(s, m)
		}
	})
}

// Elections that are told late do not count, and a leader that stays one keeps what it has.
func TestElections(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0)...)
		l.Resigned(0, 4)
		l.journal.hold() // whatever is written from here on is under way
		ended := make(chan error, 1)
		go func() { ended <- l.End(t.Context(), "x", p, true) }()
		synctest.Wait()
		l.Elected(0, 8)
		l.journal.release(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if m := fmt.Sprint(l.brokers[1].taken()); m != "[{4000 0 8 true [t-0]}]" {
			t.Error(m)
		}
		l.Resigned(0, cluster.NoEpoch)
		l.Elected(0, 7)
		synctest.Wait()
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.NotCoordinator) {
			t.Errorf("after an election in an old epoch: %v", err)
		}
	})
}

func TestLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.NotCoordinator) {
			t.Error(err)
		}
		l.journal.unread = errors.New("disk")
		l.Elected(0, 1)
		synctest.Wait()
		if err := l.End(t.Context(), "x", NoProducer, true); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Error(err)
		}
		if _, err := l.List(t.Context(), &Filter{DurationMillis: -1}); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Error(err)
		}
		l.journal.mu.Lock()
		l.journal.unread = nil
		l.journal.mu.Unlock()
		time.Sleep(2 * retryInterval)
		synctest.Wait()
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.TransactionalIDNotFound) {
			t.Error(err)
		}
		l.Close()
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.CoordinatorNotAvailable) {
			t.Error(err)
		}
	})
}

// A producer that begins its next transaction waits until the one before is complete, for a moment.
func TestNextTransactionWaitsForTheOneBefore(t *testing.T) {
	for name, complete := range map[string]bool{"it completes": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				p := l.begin(t, "x", at("t", 0)...)
				l.brokers[1].hangUp(kerr.BrokerNotAvailable)
				if err := l.End(t.Context(), "x", p, true); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				time.AfterFunc(completionPatience/2, func() {
					if complete {
						l.brokers[1].hangUp(nil)
					}
				})
				err := l.AddPartitions(t.Context(), "x", p, at("t", 1))
				if complete && (err != nil || l.state(t, "x") != Ongoing) {
					t.Error(err, l.state(t, "x"))
				}
				if !complete && (!errors.Is(err, kerr.ConcurrentTransactions) || time.Since(began) != completionPatience) {
					t.Error(err, time.Since(began))
				}
				l.brokers[1].hangUp(nil)
			})
		})
	}
}

// Requests that wait when their coordinator goes are told so, and those that wait for replicas for too long.
func TestWaitingRequests(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0)...)
		l.journal.hold()
		began := time.Now()
		if err := l.AddPartitions(t.Context(), "x", p, at("t", 1)); !errors.Is(err, kerr.CoordinatorNotAvailable) || time.Since(began) != 30*time.Second {
			t.Error(err, time.Since(began))
		}
		if err := l.AddPartitions(t.Context(), "x", p, at("t", 2)); !errors.Is(err, kerr.ConcurrentTransactions) {
			t.Error(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := l.InitProducerID(t.Context(), &InitRequest{TransactionalID: "y", TimeoutMillis: 1, Expected: NoProducer})
			waiting <- err
		}()
		synctest.Wait()
		l.Resigned(0, 9)
		if err := <-waiting; !errors.Is(err, kerr.NotCoordinator) {
			t.Error(err)
		}
		l.journal.release(nil)
		l.Elected(0, 10)
		synctest.Wait()
		if errs := l.Verify(t.Context(), "x", p, at("t", 1, 2)); errs[0] != nil || !errors.Is(errs[1], kerr.TransactionAbortable) {
			t.Errorf("what was committed after all: %v", errs)
		}
	})
}

// stalled is a log on a disk that stands still until it is told to go on.
type stalled struct {
	*memJournal
	goOn chan struct{}
}

func (s stalled) Append(tp protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	<-s.goOn
	return s.memJournal.Append(tp, batch)
}

// While a request is at the log the others wait, no longer than request.timeout.ms, and a coordinator that goes ends when it is through.
func TestRequestsTakeTurns(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0)...)
		slow := stalled{l.journal, make(chan struct{})}
		l.led[0].journal = slow
		ended := make(chan error, 1)
		go func() { ended <- l.End(context.Background(), "x", p, true) }()
		synctest.Wait()
		began := time.Now()
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.CoordinatorNotAvailable) || time.Since(began) != 30*time.Second {
			t.Error(err, time.Since(began))
		}
		described := make(chan error, 1)
		go func() {
			_, err := l.Describe(context.Background(), "x")
			described <- err
		}()
		synctest.Wait()
		l.Resigned(0, 6)
		l.Elected(0, 7)
		synctest.Wait()
		if _, err := l.Describe(t.Context(), "x"); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Errorf("a successor that does not wait: %v", err)
		}
		close(slow.goOn)
		if err := <-described; err != nil && !errors.Is(err, kerr.NotCoordinator) { // the last before the end, or too late
			t.Error(err)
		}
		if err := <-ended; err != nil && !errors.Is(err, kerr.NotCoordinator) && !errors.Is(err, kerr.CoordinatorNotAvailable) {
			t.Error(err)
		}
		synctest.Wait()
		if s := l.state(t, "x"); s != CompleteCommit {
			t.Error(s)
		}
	})
}

// The shard's loop looks after what nobody asks for: transactions that time out, ids that expire, completions that could not be written.
func TestSweeps(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p := l.begin(t, "x", at("t", 0)...)
		time.Sleep(71 * time.Second)
		synctest.Wait()
		if d, _ := l.Describe(t.Context(), "x"); d.State != CompleteAbort || d.Epoch != p.Epoch+1 {
			t.Errorf("%+v", d)
		}
		p = l.begin(t, "y", at("t", 3)...)
		if err := l.End(t.Context(), "y", p, true); err != nil {
			t.Fatal(err)
		}
		l.journal.mu.Lock()
		l.journal.refuse = kerr.NotEnoughReplicas
		l.journal.mu.Unlock()
		l.lead(1, at("t", 3)...)
		time.Sleep(5 * time.Second)
		if s := l.state(t, "y"); s != PrepareCommit {
			t.Error(s)
		}
		l.journal.mu.Lock()
		l.journal.refuse = nil
		l.journal.mu.Unlock()
		time.Sleep(2 * retryInterval)
		if s := l.state(t, "y"); s != CompleteCommit {
			t.Error(s)
		}
		time.Sleep(8 * 24 * time.Hour)
		if all, err := l.List(t.Context(), &Filter{DurationMillis: -1}); err != nil || len(all) > 0 {
			t.Error(all, err)
		}
	})
}

// Transactions that time out together are aborted together, however many they are and though each takes its time to be committed; meanwhile others
// can be begun.
func TestManyTimeOutAtOnce(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		for i := range 4 * inFlightMax {
			l.begin(t, strconv.Itoa(i), at("t", 0)...)
		}
		l.journal.mu.Lock()
		l.journal.takes = time.Millisecond
		l.journal.mu.Unlock()
		time.Sleep(60*time.Second + DefaultSettings().AbortInterval + 10*time.Millisecond)
		l.begin(t, "another", at("t", 1)...)
		time.Sleep(4 * time.Second) // two batches each, one after the other
		for i := range 4 * inFlightMax {
			if s := l.state(t, strconv.Itoa(i)); s != CompleteAbort {
				t.Fatalf("transaction %d is %v", i, s)
			}
		}
	})
}

func TestInitProducerIDRefuses(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		for _, test := range []struct {
			id      string
			timeout int32
			want    error
		}{
			{"", 0, kerr.InvalidRequest}, {"x", 0, kerr.InvalidTransactionTimeout}, {"x", -1, kerr.InvalidTransactionTimeout},
			{"x", 900_001, kerr.InvalidTransactionTimeout}, {"x", math.MaxInt32, kerr.InvalidTransactionTimeout}, {"x", 900_000, nil},
		} {
			p, err := l.InitProducerID(t.Context(), &InitRequest{TransactionalID: test.id, TimeoutMillis: test.timeout, Expected: NoProducer})
			if !errors.Is(err, test.want) || err != nil && p != NoProducer {
				t.Errorf("%q, %d ms: %v, %v", test.id, test.timeout, p, err)
			}
		}
		if err := l.AddPartitions(t.Context(), "", NoProducer, nil); !errors.Is(err, kerr.InvalidRequest) {
			t.Error(err)
		}
	})
}

func TestList(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.begin(t, "open", at("t", 0)...)
		time.Sleep(10 * time.Second)
		p := l.begin(t, "done", at("t", 0)...)
		if err := l.End(t.Context(), "done", p, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		for _, test := range []struct {
			f    Filter
			want int
		}{
			{Filter{DurationMillis: -1}, 2}, {Filter{DurationMillis: -1, ProducerIDs: []int64{p.ID + 9, p.ID, 1, p.ID + 8}}, 1}, {Filter{DurationMillis: -1, ProducerIDs: []int64{1}}, 0},
			{Filter{DurationMillis: -1, States: []State{Ongoing, Dead}}, 1}, {Filter{DurationMillis: -1, States: []State{}}, 0},
			{Filter{DurationMillis: 5000}, 1}, {Filter{DurationMillis: 0}, 2}, {Filter{DurationMillis: 11_000}, 0},
		} {
			if all, err := l.List(t.Context(), &test.f); err != nil || len(all) != test.want {
				t.Errorf("%+v: %v, %v", test.f, all, err)
			}
		}
	})
}
