package replica

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// town is some brokers that follow each other by direct calls, and a controller that says who leads tp0.
type town struct {
	t       *testing.T
	brokers map[cluster.BrokerID]*broker
	cut     map[cluster.BrokerID]*atomic.Bool // unreachable
	epoch   cluster.LeaderEpoch
}

func newTown(t *testing.T, n int) *town {
	return newTownOn(t, n, func(cluster.BrokerID) vfs.FS { return vfs.NewMem() })
}

func newTownOn(t *testing.T, n int, disk func(cluster.BrokerID) vfs.FS) *town {
	w := &town{t: t, brokers: map[cluster.BrokerID]*broker{}, cut: map[cluster.BrokerID]*atomic.Bool{}}
	for i := range n {
		id := cluster.BrokerID(i + 1)
		w.cut[id] = &atomic.Bool{}
		fetchers := NewFetchers(FetcherOptions{PerLeader: 1, Backoff: time.Second, Logger: zerolog.Nop(),
			Dial: func(leader cluster.BrokerID) Leader { return &road{w, id, leader} }})
		w.brokers[id] = newBrokerOn(t, disk(id), "/data", func(o *Options) {
			o.BrokerID, o.Fetchers, o.Proposer = id, fetchers, &agreeing{}
		})
		t.Cleanup(fetchers.Close)
	}
	for _, b := range w.brokers {
		var all []cluster.BrokerID
		for id := range w.brokers {
			all = append(all, id)
		}
		b.live(all...)
	}
	return w
}

// elect makes a broker the leader in the next epoch, and tells those brokers that can be reached.
func (w *town) elect(leader cluster.BrokerID, members ...cluster.BrokerID) {
	w.t.Helper()
	w.epoch++
	for id, b := range w.brokers {
		if w.cut[id].Load() {
			continue
		}
		s := led(w.epoch, cluster.PartitionEpoch(w.epoch), ids(1, 2), members)
		s.Leader = leader
		if err := b.tell(s); err != nil {
			w.t.Fatalf("broker %d: %v", id, err)
		}
	}
}

// records lists the values in a broker's log, with their epochs.
func (w *town) records(id cluster.BrokerID) string {
	w.t.Helper()
	p, err := w.brokers[id].Partition(tp0)
	if err != nil {
		w.t.Fatal(err)
	}
	l := p.View().Log
	var paper paperLog
	eachBatch(w.t, l, func(batch protocol.Batch) {
		for r, err := range protocol.Records(batch) {
			if err != nil {
				w.t.Fatal(err)
			}
			paper.records = append(paper.records, paperRecord{cluster.LeaderEpoch(batch.LeaderEpoch()), string(r.Value)})
		}
	})
	return paper.String()
}

// say appends a record to a leader's log.
func (w *town) say(id cluster.BrokerID, value string) (Appended, error) {
	w.t.Helper()
	b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, protocol.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(value)})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.brokers[id].Append(tp0, b, AcksLeader, log.AppendOptions{})
}

func (w *town) highWatermark(id cluster.BrokerID) int64 {
	w.t.Helper()
	p, err := w.brokers[id].Partition(tp0)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.View().Log.HighWatermark().Offset
}

// settle lets time pass until followers have what there is.
func (w *town) settle() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

// road is a connection from a follower to a leader.
type road struct {
	town     *town
	from, to cluster.BrokerID
}

var errCut = errors.New("no way")

func (r *road) blocked() bool { return r.town.cut[r.from].Load() || r.town.cut[r.to].Load() }

func (r *road) Remembers() bool { return false }

func (r *road) Fetch(ctx context.Context, asks []FetchAsk, _ bool) ([]LeaderAnswer, error) {
	if r.blocked() {
		return nil, errCut
	}
	var parts []FetchPartition
	for _, a := range asks {
		parts = append(parts, FetchPartition{TopicPartition: a.TopicPartition, Offset: a.Offset, LogStart: a.LogStart, BytesMax: 1 << 20,
			LeaderEpoch: a.Epoch, LastFetchedEpoch: a.LastEpoch})
	}
	f := &FetchParams{ReplicaID: r.from, BrokerEpoch: -1, Bound: log.ToLogEnd, LeaderOnly: true, WaitMax: 500 * time.Millisecond, BytesMin: 1, BytesMax: 1 << 20}
	_, results := r.town.brokers[r.to].Fetch(ctx, f, parts, nil)
	if r.blocked() {
		return nil, errCut
	}
	answers := make([]LeaderAnswer, len(results))
	for i := range results {
		x := &results[i]
		a := LeaderAnswer{TopicPartition: asks[i].TopicPartition, Err: x.Err, HighWatermark: x.HighWatermark, LogStart: x.LogStart, Epoch: x.Diverging}
		if x.Records != nil {
			a.Records, a.Err = io.ReadAll(io.NewSectionReader(x.Records, 0, int64(x.Len())))
			x.Release()
		}
		answers[i] = a
	}
	return answers, nil
}

func (r *road) EpochEnds(_ context.Context, asks []FetchAsk) ([]LeaderAnswer, error) {
	if r.blocked() {
		return nil, errCut
	}
	var answers []LeaderAnswer
	for _, a := range asks {
		epoch, end, err := r.town.brokers[r.to].EndOffsetForEpoch(a.TopicPartition, a.Epoch, a.LastEpoch)
		answers = append(answers, LeaderAnswer{TopicPartition: a.TopicPartition, Err: err, Epoch: EpochEnd{epoch, end}})
	}
	return answers, nil
}

func (r *road) Range(_ context.Context, a FetchAsk) (start, end int64, err error) {
	if r.blocked() {
		return 0, 0, errCut
	}
	q := OffsetQuery{TopicPartition: a.TopicPartition, Timestamp: EarliestTimestamp, LeaderEpoch: a.Epoch, Bound: log.ToLogEnd, LeaderOnly: true}
	first, err := r.town.brokers[r.to].ListOffset(&q)
	if err != nil {
		return 0, 0, err
	}
	q.Timestamp = LatestTimestamp
	last, err := r.town.brokers[r.to].ListOffset(&q)
	return first.Offset, last.Offset, err
}

func (r *road) Close() error { return nil }

func inTown(t *testing.T, f func(t *testing.T, w *town)) {
	synctest.Test(t, func(t *testing.T) { f(t, newTown(t, 2)) })
}

func TestFollowerCopiesTheLeader(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		for _, v := range []string{"a", "b", "c"} {
			if _, err := w.say(1, v); err != nil {
				t.Fatal(err)
			}
		}
		w.settle()
		if got := w.records(2); got != "1a 1b 1c" {
			t.Errorf("follower has %q", got)
		}
		if a, b := w.highWatermark(1), w.highWatermark(2); a != 3 || b != 3 {
			t.Errorf("high watermarks %d and %d, want 3", a, b)
		}
		p, _ := w.brokers[2].Partition(tp0)
		if epoch, ok := p.View().Log.EpochCache().Latest(); !ok || epoch != 1 {
			t.Errorf("follower's epoch %d, %v", epoch, ok)
		}
	})
}

// Case 1: each knows an epoch by its first record.
func TestLeadersTakeTurns(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		w.say(1, "a")
		w.settle()
		w.elect(2, 1, 2)
		if _, err := w.say(1, "x"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("the old leader appends: %v", err)
		}
		w.say(2, "b")
		w.settle()
		w.elect(1, 1, 2)
		w.say(1, "c")
		w.settle()
		for id := range w.brokers {
			if got := w.records(id); got != "1a 2b 3c" {
				t.Errorf("broker %d has %q", id, got)
			}
		}
	})
}

// Case 5, KIP-279: both have been leader alone; the log of the last one wins, record by record.
func TestFastFailover(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		w.settle()
		w.cut[2].Store(true)
		w.elect(1, 1)
		w.say(1, "x")
		w.cut[2].Store(false)
		w.cut[1].Store(true)
		w.elect(2, 2)
		w.say(2, "y")
		w.cut[2].Store(true)
		w.cut[1].Store(false)
		w.elect(1, 1)
		w.say(1, "z")
		w.cut[2].Store(false)
		w.elect(1, 1)
		w.settle()
		if a, b := w.records(1), w.records(2); a != "2x 4z" || b != a {
			t.Errorf("logs %q and %q", a, b)
		}
	})
}

// Case 3, KIP-101: what a leader wrote alone and nobody copied goes when another one has led since.
func TestForkIsCut(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		w.say(1, "a")
		w.settle()
		w.cut[2].Store(true)
		w.say(1, "lost")
		w.cut[2].Store(false)
		w.cut[1].Store(true)
		w.elect(2, 2)
		w.say(2, "b")
		w.cut[1].Store(false)
		w.elect(2, 2)
		w.settle()
		if a, b := w.records(1), w.records(2); b != "1a 2b" || a != b {
			t.Errorf("logs %q and %q", a, b)
		}
		if high := w.highWatermark(1); high > 2 {
			t.Errorf("case 11: high watermark %d is beyond the log", high)
		}
	})
}

// Case 12: a follower whose log ends before the leader's begins starts anew there.
func TestFollowerBehindTheLeadersStart(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.cut[2].Store(true)
		w.elect(1, 1)
		for _, v := range []string{"a", "b", "c"} {
			w.say(1, v)
		}
		d := []Deletion{{TopicPartition: tp0, Offset: 2}}
		w.brokers[1].DeleteRecords(t.Context(), time.Now(), d)
		w.cut[2].Store(false)
		w.elect(1, 1)
		w.settle()
		p, _ := w.brokers[2].Partition(tp0)
		if got := w.records(2); got != "1c" || p.View().Log.LogStartOffset() != 2 {
			t.Errorf("follower has %q from %d", got, p.View().Log.LogStartOffset())
		}
	})
}

func TestFollowerIsBackInTheISR(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1)
		w.say(1, "a")
		w.settle()
		p, _ := w.brokers[1].Partition(tp0)
		if isr := p.View().ISR; len(isr) != 2 {
			t.Errorf("ISR %v after the follower has caught up", isr)
		}
		w.cut[2].Store(true)
		w.say(1, "b")
		time.Sleep(2 * lagMax)
		synctest.Wait()
		if isr := p.View().ISR; len(isr) != 1 || w.highWatermark(1) != 2 {
			t.Errorf("ISR %v, high watermark %d after the follower was cut off", isr, w.highWatermark(1))
		}
		w.cut[2].Store(false)
		w.settle()
		if isr := p.View().ISR; len(isr) != 2 || w.records(2) != "1a 1b" {
			t.Errorf("ISR %v, follower %q after it came back", isr, w.records(2))
		}
	})
}

// Followers that wait for records of other partitions, of which there are none, follow another soon, whoever is told of it first.
func TestIdleFollowersFollowAnotherPartition(t *testing.T) {
	for name, order := range map[string][]cluster.BrokerID{"leader first": ids(1, 2), "follower first": ids(2, 1)} {
		t.Run(name, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				w.elect(1, 1, 2)
				w.say(1, "a")
				w.settle()
				s := led(1, 1, ids(1, 2), ids(1, 2))
				s.Partition = 1
				for _, id := range order {
					if err := w.brokers[id].tell(s); err != nil {
						t.Fatal(err)
					}
					time.Sleep(20 * time.Millisecond)
				}
				begin := time.Now()
				a, err := w.brokers[1].Append(s.TopicPartition, batch(t, 1), AcksAll, log.AppendOptions{})
				if err != nil {
					t.Fatal(err)
				}
				acks := []Ack{a.Ack(s.TopicPartition)}
				w.brokers[1].AwaitAcks(t.Context(), begin.Add(time.Minute), acks)
				if took := time.Since(begin); acks[0].Err != nil || took > 50*time.Millisecond {
					t.Errorf("%v after %v", acks[0].Err, took)
				}
			})
		})
	}
}

// A broker that is about to stop hands over, and does not become a follower that the new leader waits for.
func TestRetiringBrokerDoesNotFollow(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.elect(1, 1, 2)
		w.say(1, "a")
		w.settle()
		w.brokers[1].Retire()
		w.elect(2, 2)
		w.say(2, "b")
		w.settle()
		if got := w.records(1); got != "1a" || w.highWatermark(2) != 2 {
			t.Errorf("the retiring broker has %q, the new leader's high watermark is %d", got, w.highWatermark(2))
		}
	})
}

// Case 23: bytes that cannot be what the leader has are refused, and asked for again.
func TestCorruptBatchIsFetchedAgain(t *testing.T) {
	l := write("")
	c := newFetcherCore(time.Second, false)
	c.follow(tp0, 1, 0, l)
	for _, ask := range c.questions(t0) {
		c.truncated(&ask, c.withoutEpochs(&ask, t0), l)
	}
	ask := everything(&c, t0)[0]
	b := newBroker(t)
	b.live(1, 2)
	s := led(1, 1, ids(2, 1), ids(2))
	s.Leader = 2
	if err := b.tell(s); err != nil {
		t.Fatal(err)
	}
	p, _ := b.Partition(tp0)
	records := batch(t, 1)
	records[len(records)-1] ^= 1
	if _, err := p.appendAsFollower(&ask, &LeaderAnswer{Records: records}); !errors.Is(err, kerr.CorruptMessage) {
		t.Errorf("a flipped bit: %v", err)
	}
	if end := p.View().Log.LogEndOffset().Offset; end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}

// A follower that has no file descriptors left for a while goes on when it has some again.
func TestFollowerWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var short atomic.Bool
		w := newTownOn(t, 2, func(id cluster.BrokerID) vfs.FS {
			return vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
				if id == 2 && short.Load() && (op == vfs.OpOpen || op == vfs.OpCreate) {
					return &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
				}
				return nil
			}}
		})
		w.brokers[2].config.SegmentBytesMax = 100
		w.elect(1, 1, 2)
		w.say(1, "a")
		w.settle()
		short.Store(true)
		w.say(1, "b") // for which a segment is needed
		w.settle()
		short.Store(false)
		w.settle()
		if got := w.records(2); got != "1a 1b" {
			t.Errorf("the follower has %q", got)
		}
	})
}
