package replica

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/log/vfs"
)

// cutter is a controller that agrees to everything, and cuts the power at the very moment at which the leader becomes the last in sync.
type cutter struct {
	agreeing
	cut func()
}

func (c *cutter) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	for _, p := range r.Partitions {
		if len(p.NewISR) == 1 {
			c.cut()
		}
	}
	return c.agreeing.AlterPartition(ctx, r)
}

// darkness is a leader whose power is cut at several moments.
type darkness struct {
	*broker
	disk  *vfs.Mem
	rnd   *rand.Rand
	cutAt func(isr int) bool

	mu    sync.Mutex // the controller cuts too
	chaos *rand.Rand // decides what the disk keeps
	lost  int        // records that were committed and are not there after a cut
	cuts  int
}

func newDarkness(t *testing.T, seed uint64, o func(*Options)) *darkness {
	d := &darkness{disk: vfs.NewMem(), rnd: rand.New(rand.NewPCG(seed, 0)), chaos: rand.New(rand.NewPCG(seed, 1))}
	c := &cutter{cut: d.cut}
	d.broker = newBrokerOn(t, d.disk, "/data", func(options *Options) { options.Proposer = c; o(options) })
	d.live(1, 2, 3)
	return d
}

// cut looks at what the disk would have kept, and counts committed records that are not there.
func (d *darkness) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.Partition(tp0)
	if err != nil {
		d.t.Fatal(err)
	}
	committed := p.View().Log.HighWatermark().Offset
	logs, err := log.Open(log.ManagerOptions{FS: d.disk.Crash(d.chaos, d.chaos.Float64()), Dirs: []string{"/data"},
		Identity: log.Identity{ClusterID: "c", BrokerID: 1}})
	if err != nil {
		d.t.Fatal(err)
	}
	var end int64
	if l, ok := logs.Log(tp0); ok {
		end = l.LogEndOffset().Offset
	}
	if err := logs.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.cuts++
	d.lost += int(max(0, committed-end))
}

// play plays a random life: records are produced, followers fetch or fall silent, and whenever few enough are in sync the power is cut.
func (d *darkness) play(steps int) {
	d.lead(5, 1, 2, 3)
	p, _ := d.Partition(tp0)
	silent := map[cluster.BrokerID]bool{}
	for range steps {
		switch d.rnd.IntN(6) {
		case 0:
			id := cluster.BrokerID(2 + d.rnd.IntN(2))
			silent[id] = !silent[id]
		case 1:
			time.Sleep(2 * lagMax)
			d.fetchAll(p, silent)
			time.Sleep(lagMax)
		default:
			if _, err := d.produce(1+d.rnd.IntN(3), AcksLeader); err != nil {
				d.t.Fatal(err)
			}
			d.fetchAll(p, silent)
		}
		synctest.Wait()
		if d.cutAt(len(p.View().ISR)) {
			d.cut()
		}
	}
}

func (d *darkness) fetchAll(p *Partition, silent map[cluster.BrokerID]bool) {
	for _, id := range ids(2, 3) {
		if !silent[id] {
			d.follow(id, p.View().Log.LogEndOffset().Offset)
		}
	}
}

// Case 21 (KIP-966): the last replica in sync loses power, and nothing that was committed is lost. Without syncing it is, which
// shows that the test can tell.
func TestLastInSyncKeepsWhatWasCommitted(t *testing.T) {
	for _, test := range []struct {
		syncing Syncing
		minISR  int
		cutAt   func(isr int) bool
		loses   bool
	}{
		{SyncNever, 2, func(isr int) bool { return isr == 1 }, true},
		{SyncLast, 1, func(isr int) bool { return isr == 1 }, false},
		{SyncLast, 2, func(isr int) bool { return isr == 1 }, false},
		{SyncLast, 2, func(isr int) bool { return isr == 2 }, true},
		{SyncMinimum, 2, func(isr int) bool { return isr <= 2 }, false},
		{SyncMinimum, 3, func(isr int) bool { return true }, false},
	} {
		t.Run(string(test.syncing), func(t *testing.T) {
			lost, cuts := 0, 0
			for seed := range uint64(40) {
				synctest.Test(t, func(t *testing.T) {
					d := newDarkness(t, seed, func(o *Options) { o.Syncing = test.syncing })
					d.config.MinInSyncReplicas, d.cutAt = test.minISR, test.cutAt
					d.play(60)
					if d.lost > 0 && !test.loses {
						t.Errorf("seed %d: %d committed records are gone after %d cuts", seed, d.lost, d.cuts)
					}
					lost, cuts = lost+d.lost, cuts+d.cuts
				})
			}
			if cuts < 100 || lost == 0 && test.loses {
				t.Errorf("%d records lost in %d cuts: the test proves nothing", lost, cuts)
			}
		})
	}
}

// A follower that becomes the leader and the only one in sync syncs what it has before anything else is committed.
func TestElectedAloneSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDarkness(t, 1, func(o *Options) { o.Syncing = SyncLast })
		d.config.MinInSyncReplicas = 2
		d.lead(5, 1, 2, 3)
		p, _ := d.Partition(tp0)
		d.mustProduce(10)
		d.follow(2, 10)
		d.follow(3, 10)
		if synced := p.View().Log.RecoveryPoint(); synced != 0 {
			t.Errorf("synced to %d with all in sync", synced)
		}
		if err := d.tell(led(6, 6, ids(1, 2, 3), ids(1))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d.cut(); d.lost > 0 || p.View().Log.RecoveryPoint() != 10 {
			t.Errorf("%d records lost, synced to %d", d.lost, p.View().Log.RecoveryPoint())
		}
	})
}

// Appends that come during a sync share the next one, and each is committed by the sync after it.
func TestSyncsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if op == vfs.OpSync {
				syncs.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}}
		b := newBrokerOn(t, disk, "/data", func(o *Options) { o.Syncing = SyncLast })
		b.live(1, 2)
		if err := b.tell(led(5, 5, ids(1, 2), ids(1))); err != nil {
			t.Fatal(err)
		}
		b.mustProduce(1)
		time.Sleep(time.Second) // the first sync has the directory's to do as well
		syncs.Store(0)
		began := time.Now()
		for range 100 {
			a := b.mustProduce(1)
			go func() {
				acks := []Ack{a.Ack(tp0)}
				b.AwaitAcks(t.Context(), began.Add(time.Hour), acks)
				if acks[0].Err != nil || time.Since(began) > 100*time.Millisecond {
					t.Errorf("%v after %v", acks[0].Err, time.Since(began))
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if n := syncs.Load(); n > 10 {
			t.Errorf("%d syncs for 100 appends", n)
		}
	})
}

// Case 57: when the last in sync cannot sync for want of descriptors, its proposal and what it holds back are tried again.
func TestFailedSyncIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int64
		disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if op == vfs.OpSync && strings.HasSuffix(name, ".log") && failures.Add(-1) >= 0 {
				return &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
			}
			return nil
		}}
		b := newBrokerOn(t, disk, "/data", func(o *Options) { o.Syncing, o.Proposer = SyncLast, &agreeing{} })
		b.live(1, 2)
		b.lead(5, 1, 2)
		a := b.mustProduce(1) // of which the follower never hears
		failures.Store(1)
		acks := []Ack{a.Ack(tp0)}
		b.AwaitAcks(t.Context(), time.Now().Add(10*lagMax), acks)
		if acks[0].Err != nil || failures.Load() > 0 {
			t.Errorf("%v, %d failures to come", acks[0].Err, failures.Load())
		}
	})
}

// What must be synced to one disk is, while another hangs.
func TestSyncsWhileADiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		disk := vfs.Faulty{FS: vfs.NewMem(), Fail: func(op vfs.Op, name string) error {
			if op == vfs.OpSync && strings.HasPrefix(name, "/slow") && strings.HasSuffix(name, ".log") {
				<-release
			}
			return nil
		}}
		logs, err := log.Open(log.ManagerOptions{Dirs: []string{"/slow", "/fast"}, FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		b := newBroker(t, func(o *Options) { o.Logs, o.Syncing = logs, SyncLast })
		b.live(1, 2)
		for n := range int32(4 * syncersMax) { // half of them in each directory
			s := led(5, 5, ids(1, 2), ids(1))
			s.Partition = n
			if err := b.tell(s); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range b.registry.online() {
			if _, err := p.AppendAsLeader(batch(t, 1), AcksAll, log.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		for _, p := range b.registry.online() {
			l := p.View().Log
			if committed := l.HighWatermark().Offset == 1; committed != (l.Dir() == "/fast") {
				t.Errorf("%s in %s: committed %v", p, l.Dir(), committed)
			}
		}
		close(release)
		b.Manager.Close()
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkSyncing is what an acks=all append of 1 KiB costs by how many replicas are in sync, with 64 producers who wait for each. The
// follower of a full ISR has everything at once.
func BenchmarkSyncing(b *testing.B) {
	for _, bench := range []struct {
		name    string
		syncing Syncing
		members []cluster.BrokerID
	}{
		{"full ISR/none", SyncNever, ids(1, 2)},
		{"full ISR/last", SyncLast, ids(1, 2)},
		{"alone/none", SyncNever, ids(1)},
		{"alone/last", SyncLast, ids(1)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m := newBrokerOn(b, vfs.OS{}, b.TempDir(), func(o *Options) { o.Syncing = bench.syncing })
			m.live(1, 2)
			if err := m.tell(led(5, 5, ids(1, 2), bench.members)); err != nil {
				b.Fatal(err)
			}
			records := batch(b, 10)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, len(records))
				for pb.Next() {
					copy(buf, records)
					a, err := m.Append(tp0, buf, AcksAll, log.AppendOptions{})
					if err != nil {
						b.Error(err)
						return
					}
					if len(bench.members) > 1 {
						m.follow(2, a.LastOffset+1)
					} else if !a.Committed {
						m.AwaitAcks(b.Context(), time.Now().Add(time.Hour), []Ack{a.Ack(tp0)})
					}
				}
			})
		})
	}
}
