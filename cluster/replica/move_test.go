package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

var twoDirs = []string{"/a", "/b"}

// dirOf is where the log of tp0 is, and the other directory.
func (b *broker) dirOf() (dir, other string) {
	b.t.Helper()
	p, err := b.Partition(tp0)
	if err != nil || p.View().Log == nil {
		b.t.Fatal("no log", err)
	}
	if dir = p.View().Log.Dir(); dir == twoDirs[0] {
		return dir, twoDirs[1]
	}
	return dir, twoDirs[0]
}

func (b *broker) mustMove(dir string) {
	b.t.Helper()
	if err := b.MoveReplica(tp0, dir); err != nil {
		b.t.Fatal(err)
	}
}

// values are the records of tp0's log.
func (b *broker) values() (all []string) {
	b.t.Helper()
	p, err := b.Partition(tp0)
	if err != nil {
		b.t.Fatal(err)
	}
	eachBatch(b.t, p.View().Log, func(batch protocol.Batch) {
		for r, err := range protocol.Records(batch) {
			if err != nil {
				b.t.Fatal(err)
			}
			all = append(all, string(r.Value))
		}
	})
	return all
}

func eachBatch(t testing.TB, l *log.Log, visit func(protocol.Batch)) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for at := l.LogStartOffset(); at < l.LogEndOffset().Offset; {
		b, err := l.ReadBatches(at, &buf)
		if err != nil {
			t.Fatal(err)
		}
		for batch, err := range protocol.Batches(b) {
			if err != nil {
				t.Fatal(err)
			}
			visit(batch)
			at = batch.NextOffset()
		}
	}
}

func (b *broker) say(values ...string) Appended {
	b.t.Helper()
	a, err := b.Append(tp0, spoken(b.t, values...), AcksLeader, log.AppendOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func spoken(t testing.TB, values ...string) []byte {
	t.Helper()
	var records []protocol.Record
	for _, v := range values {
		records = append(records, protocol.Record{Timestamp: 1000, Value: []byte(v)})
	}
	b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, records...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A leader's log moves while producers append, a follower fetches and acks=all waits: nothing is lost, and all go on in the new files.
func TestLeaderMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokerIn(t, vfs.NewMem(), twoDirs)
		b.live(1, 2)
		b.lead(3, 1, 2)
		from, to := b.dirOf()
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
			b.say(fmt.Sprint(i))
		}
		b.follow(2, 50)
		a := b.say("awaited")
		want = append(want, "awaited")
		acked := make(chan error, 1)
		go func() {
			acks := []Ack{a.Ack(tp0)}
			b.AwaitAcks(t.Context(), time.Now().Add(time.Minute), acks)
			acked <- acks[0].Err
		}()
		read := make(chan FetchResult, 1)
		go func() { read <- b.fetchOne(t.Context(), consumer(time.Minute, 1), wantFrom(50)) }()
		synctest.Wait()
		b.mustMove(to)
		for i := range 50 {
			want = append(want, fmt.Sprint("during ", i))
			b.say(fmt.Sprint("during ", i))
		}
		synctest.Wait()
		if dir, _ := b.dirOf(); dir != to {
			t.Fatalf("the log is in %s, and was to move from %s", dir, from)
		}
		want = append(want, "after")
		b.say("after")
		if got := b.values(); !slices.Equal(got, want) {
			t.Errorf("%d records, want %d: %q", len(got), len(want), got)
		}
		select {
		case err := <-acked:
			t.Fatalf("acks=all is answered before the follower has it: %v", err)
		default:
		}
		if r := <-read; r.Err != nil || r.HighWatermark != 50 || r.Len() > 0 {
			t.Errorf("consumer: %d bytes, high watermark %d, %v", r.Len(), r.HighWatermark, r.Err)
		}
		b.follow(2, 60) // the log's layout is another, its offsets are the same
		if err := <-acked; err != nil {
			t.Error("acks=all:", err)
		}
		r := b.fetchOne(t.Context(), consumer(0, 1), wantFrom(55))
		if got := countRecords(t, &r); r.Err != nil || r.HighWatermark != 60 || got != 5 {
			t.Errorf("consumer: %d records, high watermark %d, %v", got, r.HighWatermark, r.Err)
		}
		r.Release()
	})
}

// What a leader knew of its followers before the move is of other files: the high watermark that follows from it is where it says.
func TestPositionsAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokerIn(t, vfs.NewMem(), twoDirs)
		b.config.SegmentBytesMax = 500
		b.live(1, 2, 3)
		b.lead(3, 1, 2, 3)
		for i := range 10 {
			b.say(fmt.Sprint("a value of some length ", i))
		}
		b.follow(2, 7)
		b.follow(3, 2)
		_, to := b.dirOf()
		b.config = log.DefaultConfig() // another layout
		p, _ := b.Partition(tp0)
		p.View().Log.SetConfig(b.config)
		b.mustMove(to)
		synctest.Wait()
		if now, _ := b.dirOf(); now != to {
			t.Fatal("it has not moved")
		}
		b.follow(3, 10)
		r := b.fetchOne(t.Context(), consumer(0, 1), wantFrom(0))
		if got := countRecords(t, &r); r.Err != nil || r.HighWatermark != 7 || got != 7 {
			t.Errorf("consumer: %d records, high watermark %d, %v", got, r.HighWatermark, r.Err)
		}
		r.Release()
	})
}

// Segments smaller than what is copied at a time are no hindrance.
func TestSmallSegmentsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokerIn(t, vfs.NewMem(), twoDirs)
		b.lead(3, 1)
		for range 20 {
			b.say(string(make([]byte, 900)))
		}
		p, _ := b.Partition(tp0)
		small := log.DefaultConfig()
		small.SegmentBytesMax = 2000
		p.View().Log.SetConfig(small)
		_, to := b.dirOf()
		b.mustMove(to)
		time.Sleep(time.Second)
		if now, _ := b.dirOf(); now != to || len(b.values()) != 20 {
			t.Errorf("the log is in %s with %d records", now, len(b.values()))
		}
	})
}

func countRecords(t testing.TB, r *FetchResult) (n int) {
	t.Helper()
	b := make([]byte, r.Len())
	if len(b) == 0 {
		return 0
	}
	if _, err := r.Records.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	for batch, err := range protocol.Batches(b) {
		if err != nil {
			t.Fatal(err)
		}
		n += int(batch.Count())
	}
	return n
}

// Records that a follower's log loses in a truncation are removed from the copy, too.
func TestCopyFollowsTheLog(t *testing.T) {
	m, err := log.Open(log.ManagerOptions{FS: vfs.NewMem(), Dirs: twoDirs, Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	l, err := m.Create(tp0, log.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := twoDirs[0]
	if l.Dir() == other {
		other = twoDirs[1]
	}
	future, err := m.CreateFuture(tp0, other)
	if err != nil {
		t.Fatal(err)
	}
	write := func(epoch int32, values ...string) {
		t.Helper()
		for _, v := range values {
			if _, err := l.AppendAsLeader(spoken(t, v), epoch, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	catchUp := func(what string) {
		t.Helper()
		buf := make([]byte, moveChunk)
		for n, err := copyChunk(l, future, buf); n > 0 || err != nil; n, err = copyChunk(l, future, buf) {
			if err != nil {
				t.Fatal(what, err)
			}
		}
		o, f := l.Offsets(), future.Offsets()
		if o.Start != f.Start || o.End.Offset != f.End.Offset || o.HighWatermark.Offset != f.HighWatermark.Offset {
			t.Errorf("%s: copy has %+v, log %+v", what, f, o)
		}
		if a, b := checksum(t, l), checksum(t, future); a != b {
			t.Errorf("%s: copy has\n%s\nlog\n%s", what, b, a)
		}
	}
	write(1, "a", "b", "c", "d")
	catchUp("copied")
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"truncated", func() error { _, err := l.TruncateTo(2); return err }},
		{"other records in their place", func() error {
			write(1, "e")
			catchUp("one more")
			if _, err := l.TruncateTo(2); err != nil {
				return err
			}
			write(2, "x", "y", "z")
			return nil
		}},
		{"an epoch in between is gone", func() error {
			write(3, "f")
			write(5, "g", "h")
			catchUp("more epochs")
			if _, err := l.TruncateTo(5); err != nil {
				return err
			}
			write(4, "i", "j", "k", "l")
			return nil
		}},
		{"an epoch without records", func() error { return l.AssignEpoch(8, l.LogEndOffset().Offset) }},
		{"deleted from the start", func() error {
			l.RaiseHighWatermark(l.LogEndOffset())
			_, err := l.IncrementLogStartOffset(4)
			return err
		}},
		{"begun anew", func() error {
			if err := l.TruncateFullyAndStartAt(100); err != nil {
				return err
			}
			write(9, "m")
			return nil
		}},
		{"truncated fully", func() error { return l.TruncateFullyAndStartAt(0) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		catchUp(step.name)
	}
}

// checksum tells every batch of a log.
func checksum(t *testing.T, l *log.Log) (all string) {
	t.Helper()
	eachBatch(t, l, func(b protocol.Batch) { all += fmt.Sprintln(b) })
	return all
}

func TestMoveErrors(t *testing.T) {
	b := newBrokerIn(t, vfs.NewMem(), twoDirs)
	b.live(1, 2)
	b.lead(3, 1)
	elsewhere := led(0, 0, ids(2), ids(2))
	elsewhere.Partition, elsewhere.Leader = 1, 2
	_ = b.tell(elsewhere) // is not for this broker, and known from now on
	dir, other := b.dirOf()
	tp := func(partition int32) protocol.TopicPartition {
		return protocol.TopicPartition{Topic: "t", Partition: partition}
	}
	for _, test := range []struct {
		tp   protocol.TopicPartition
		dir  string
		want error
	}{
		{tp(0), dir, nil},
		{tp(0), "/elsewhere", kerr.LogDirNotFound},
		{tp(1), other, kerr.ReplicaNotAvailable},
		{tp(2), other, kerr.UnknownTopicOrPartition},
	} {
		if err := b.MoveReplica(test.tp, test.dir); !errors.Is(err, test.want) {
			t.Errorf("%v to %s: %v, want %v", test.tp, test.dir, err, test.want)
		}
	}
	comes := led(1, 1, ids(2, 1), ids(2))
	comes.Partition, comes.Leader = 1, 2
	if err := b.tell(comes); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Partition(tp(1)); err != nil || p.View().Log.Dir() != other {
		t.Errorf("the replica was not made where it was asked for: %v", err)
	}
}

// What is throttled takes its time, can be called back, and goes on after a restart. A replica that is deleted takes its copy with it.
func TestMoveIsGivenUp(t *testing.T) {
	mem := vfs.NewMem()
	slow := NewThrottles(Window{11, time.Second}, Window{11, time.Second})
	slow.Moves.SetRate(1000)
	throttled := func(o *Options) { o.Throttles = slow }
	synctest.Test(t, func(t *testing.T) {
		b := newBrokerIn(t, mem, twoDirs, throttled)
		b.lead(3, 1)
		for range 300 {
			b.say(string(make([]byte, 10_000)))
		}
		dir, other := b.dirOf()
		b.mustMove(other)
		time.Sleep(time.Second)
		future, ok := b.host.logs.Future(tp0)
		if now, _ := b.dirOf(); !ok || now != dir || future.LogEndOffset().Offset == 0 {
			t.Fatalf("3 MB at 1 kB/s: moved to %s, future log %v", now, ok)
		}
		b.mustMove(dir)
		if _, ok := b.host.logs.Future(tp0); ok {
			t.Error("a move back to where the log is does not give up the copy")
		}
		b.mustMove(other)
		time.Sleep(time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBrokerIn(t, mem, twoDirs)
		b.lead(4, 1)
		_, other := b.dirOf()
		time.Sleep(time.Second)
		if dir, _ := b.dirOf(); dir != other || len(b.values()) != 300 {
			t.Errorf("after a restart the log is in %s with %d records", dir, len(b.values()))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		slow.Moves.SetRate(0)
		b := newBrokerIn(t, mem, twoDirs, throttled)
		b.lead(5, 1)
		_, other := b.dirOf()
		b.mustMove(other)
		time.Sleep(time.Second)
		if _, ok := b.host.logs.Future(tp0); !ok {
			t.Fatal("it has moved, and nothing may be copied")
		}
		r := b.ApplyStopReplica(&cluster.StopReplicaRequest{ControllerEpoch: 1,
			Partitions: []cluster.StopReplica{{TopicPartition: tp0, LeaderEpoch: -2, Delete: true}}})
		if err := r.Partitions[tp0]; err != nil {
			t.Fatal(err)
		}
		if _, ok := b.host.logs.Future(tp0); ok {
			t.Error("the copy of a deleted replica stays")
		}
	})
}

// A directory that fails ends the moves to it; the replica stays where it is.
func TestMoveToADirectoryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Pointer[string]
		b := newBrokerIn(t, vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if dir := broken.Load(); dir != nil && op == vfs.OpWrite && name[:2] == *dir {
				return errors.New("the disk is broken")
			}
			return nil
		}}, twoDirs)
		b.lead(3, 1)
		b.say("one")
		dir, other := b.dirOf()
		broken.Store(&other)
		b.mustMove(other)
		synctest.Wait()
		if now, _ := b.dirOf(); now != dir {
			t.Errorf("the log is in %s", now)
		}
		b.say("two")
		if _, ok := b.host.logs.Future(tp0); ok {
			t.Error("there is a future log on a directory that failed")
		}
		if err := b.MoveReplica(tp0, other); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("a move to it: %v", err)
		}
	})
}

// A change of the ISR that waits for the log to be synced still goes out if the log moves meanwhile.
func TestMoveDuringASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var slow atomic.Pointer[string]
		disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if dir := slow.Load(); dir != nil && op == vfs.OpSync && strings.HasPrefix(name, *dir) && strings.HasSuffix(name, ".log") {
				<-release
			}
			return nil
		}}
		controller := &agreeing{}
		b := newBrokerIn(t, disk, twoDirs, func(o *Options) { o.Syncing, o.Proposer = SyncLast, controller })
		b.live(1, 2)
		b.lead(3, 1, 2)
		dir, other := b.dirOf()
		slow.Store(&dir)
		a := b.say("one")
		time.Sleep(2 * lagMax) // the follower does not come: its removal waits for the disk
		if controller.asked > 0 {
			t.Fatal("the change went out before the log was synced")
		}
		b.mustMove(other)
		time.Sleep(time.Second)
		if now, _ := b.dirOf(); now != other {
			t.Fatal("it has not moved")
		}
		close(release)
		acks := []Ack{a.Ack(tp0)}
		b.AwaitAcks(t.Context(), time.Now().Add(lagMax/4), acks)
		if acks[0].Err != nil || controller.asked != 1 {
			t.Errorf("%v, the controller was asked %d times", acks[0].Err, controller.asked)
		}
	})
}

// A disk that hangs holds up the moves to it, not those to others, and not the controller (case 56).
func TestMoveToADirectoryThatHangs(t *testing.T) {
	for _, hangs := range []vfs.Op{vfs.OpMkdir, vfs.OpWrite} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var slow atomic.Pointer[string]
			disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
				if dir := slow.Load(); dir != nil && op == hangs && strings.HasPrefix(name, *dir) && strings.Contains(name, "-future") {
					<-release
				}
				return nil
			}}
			dirs := []string{"/a", "/b", "/c"}
			b := newBrokerIn(t, disk, dirs)
			other := led(3, 3, ids(1), ids(1))
			other.Partition = 1
			if err := b.tell(led(3, 3, ids(1), ids(1)), other); err != nil {
				t.Fatal(err)
			}
			home := map[int32]string{}
			for n := range int32(2) {
				p, err := b.Partition(protocol.TopicPartition{Topic: "t", Partition: n})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.AppendAsLeader(batch(t, 1), AcksLeader, log.AppendOptions{}); err != nil {
					t.Fatal(err)
				}
				home[n] = p.View().Log.Dir()
				dirs = slices.DeleteFunc(dirs, func(dir string) bool { return dir == home[n] })
			}
			slow.Store(&dirs[0])
			go func() {
				if err := b.MoveReplica(tp0, dirs[0]); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			if err := b.tell(led(4, 4, ids(1), ids(1))); err != nil {
				t.Error("the controller:", err)
			}
			if hangs == vfs.OpWrite { // a request that hangs holds up the next ones
				if err := b.MoveReplica(other.TopicPartition, home[0]); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if b.homeOf(other.TopicPartition) != home[0] {
					t.Error("the move to another directory waits")
				}
			}
			close(release)
			synctest.Wait()
			if dir := b.homeOf(tp0); dir != dirs[0] {
				t.Errorf("the log is in %s once the disk works", dir)
			}
		})
	}
}

func (b *broker) homeOf(tp protocol.TopicPartition) string {
	b.t.Helper()
	p, err := b.Partition(tp)
	if err != nil {
		b.t.Fatal(err)
	}
	return p.View().Log.Dir()
}
