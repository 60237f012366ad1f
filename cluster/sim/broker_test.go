package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

const (
	lagMax             = 10*time.Second + 7*time.Microsecond // a moment that nothing else has
	fetchWaitMax       = 500 * time.Millisecond
	fetchBackoff       = 300 * time.Millisecond
	checkpointInterval = 5*time.Second + 3*time.Microsecond
	sessionTimeout     = 6 * time.Second
	registerInterval   = 200 * time.Millisecond
	logDir             = "/logs"
)

// broker is one of the cluster: a disk that outlives the lives of its process.
type broker struct {
	id    cluster.BrokerID
	disk  *vfs.Mem
	lives int
	life  *life      // nil while it is down
	held  []*message // for its controller, which waits for the store
}

// life is one run of a broker's process.
type life struct {
	w      *world
	id     cluster.BrokerID
	number int

	line         *storeLine
	logs         *log.Manager
	fetchers     *replica.Fetchers
	replicas     *replica.Manager
	registration *metastore.Registration
	controller   *controller.Controller
	coordinators []*coordinator // of transactions, by partition
	sessions     fetchSessions

	ctx       context.Context
	cancel    context.CancelFunc
	working   sync.WaitGroup // requests that are being served, and the start
	answers   atomic.Bool    // it is registered
	stopping  bool
	diskFails atomic.Bool // each write to the disk fails
	closing   sync.Once
}

var errDisk = errors.New("input/output error")

// boot starts a broker.
func (w *world) boot(id cluster.BrokerID) {
	b := w.brokers[id]
	b.lives++
	l := &life{w: w, id: id, number: b.lives, line: newStoreLine(w, id)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	logger := w.logger.With().Int32("broker", int32(id)).Logger()
	disk := vfs.Faulty{FS: b.disk, Fail: func(op vfs.Op, _ string) error {
		if l.diskFails.Load() && op != vfs.OpRead && op != vfs.OpStat {
			return errDisk
		}
		return nil
	}}
	stray, err := admin.Strays(l.ctx, w.admin, id)
	w.must(err)
	l.logs, err = log.Open(log.ManagerOptions{FS: disk, Dirs: []string{logDir}, Identity: log.Identity{ClusterID: "sim", BrokerID: int32(id)},
		TopicConfig: w.topicConfig, Stray: stray, Logger: logger})
	if err != nil {
		w.breaks("broker %d does not start: %v", id, err)
		return
	}
	l.fetchers = replica.NewFetchers(replica.FetcherOptions{PerLeader: 1, Backoff: fetchBackoff, Logger: logger,
		Dial: func(leader cluster.BrokerID) replica.Leader { return &leaderLine{life: l, to: leader} }})
	l.replicas = replica.New(replica.Options{BrokerID: id, ClusterID: "sim", Logs: l.logs, Config: w.topicConfig, LagTimeMax: lagMax,
		CheckpointInterval: checkpointInterval, Proposer: proposer{l}, Fetchers: l.fetchers, Listener: listener{l}, Logger: logger})
	store := metastore.New(l.line)
	l.registration = store.NewRegistration(cluster.Broker{ID: id, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "host", Port: 9000 + int32(id)}}})
	config := controller.DefaultConfig()
	config.AutoLeaderRebalanceEnable = false
	config.UncleanLeaderElectionEnable = w.seams.unclean
	l.controller = controller.New(controller.Options{ID: id, Store: store, Registration: l.registration, Config: config, Logger: logger,
		Dial: func(to cluster.Broker) controller.Peer { return &controlLine{l, to.ID} }})
	for n := range shards {
		l.coordinators = append(l.coordinators, l.newCoordinator(n, store))
	}
	b.life = l
	w.tracef("broker %d starts", id)
	l.working.Go(l.join)
}

// join registers the broker, which may have to wait for the end of its former session, and then stands for controller.
func (l *life) join() {
	for {
		_, err := l.registration.Register(l.ctx)
		if err == nil {
			break
		}
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(registerInterval):
		}
	}
	l.answers.Store(true)
	l.controller.Start()
}

// serving returns a broker's life if it answers.
func (w *world) serving(id cluster.BrokerID) *life {
	if b := w.brokers[id]; b != nil && b.life != nil && b.life.answers.Load() {
		return b.life
	}
	return nil
}

// kill ends a process without a chance to write anything. keep is what becomes of unsynced writes: 1 as when the machine goes on.
func (w *world) kill(id cluster.BrokerID, keep float64) {
	b := w.brokers[id]
	l := b.life
	if l == nil {
		return
	}
	w.tracef("broker %d is killed", id)
	b.disk = b.disk.Crash(rand.New(rand.NewPCG(w.rnd.Uint64(), 0)), keep)
	b.life, b.held = nil, nil
	l.end()
	w.in(sessionTimeout, func() {
		w.stored = true
		w.must(l.line.session.Close())
	})
}

// end tears a killed process down. What it writes goes to a disk that nobody reads any more.
func (l *life) end() {
	l.line.die()
	l.cancel()
	if l.answers.Load() {
		l.controller.Stop()
	}
	l.closeCoordinators()
	l.fetchers.Close()
	l.replicas.Close()
	_ = l.closeLogs()
	l.working.Wait()
}

// stop ends a broker as SIGTERM does: it hands over what it leads, and then closes everything in order.
func (w *world) stop(id cluster.BrokerID) {
	l := w.serving(id)
	if l == nil || l.stopping {
		return
	}
	l.stopping = true
	w.tracef("broker %d stops", id)
	w.leaving.Go(func() {
		l.handOver()
		l.controller.Stop()
		l.closeCoordinators()
		l.fetchers.Close()
		l.replicas.Close()
		l.cancel()
		l.working.Wait()
		if err := l.closeLogs(); err != nil && !l.diskFails.Load() {
			l.w.report(fmt.Sprint("failed to stop ", id), func() { w.breaks("broker %d does not stop: %v", id, err) })
		}
		l.w.report(fmt.Sprint("stopped ", id), func() { w.stopped(l) })
	})
}

// stopped ends a broker's session, when everything else has ended.
func (w *world) stopped(l *life) {
	b := w.brokers[l.id]
	if b.life != l {
		return // it was killed while it stopped
	}
	w.tracef("broker %d stopped", l.id)
	w.stored = true
	w.must(l.line.Close())
	l.line.die()
	b.life, b.held = nil, nil
}

// closeLogs closes the logs once; a broker may be killed while it stops.
func (l *life) closeLogs() (err error) {
	l.closing.Do(func() { err = l.logs.Close() })
	return err
}

// handOverTries is how often the controller is asked to move away what a stopping broker leads.
const handOverTries = 5

func (l *life) handOver() {
	for range handOverTries {
		left, err := askController(l.ctx, l, "ControlledShutdown", func(to *life) ([]protocol.TopicPartition, error) {
			return to.controller.ControlledShutdown(to.ctx, l.id, l.registration.Epoch())
		})
		if err == nil && len(left) == 0 {
			return
		}
		select {
		case <-time.After(fetchWaitMax):
		case <-l.ctx.Done():
			return
		}
	}
}

// listener takes a broker down whose disk failed: it has only one.
type listener struct{ *life }

// LeadershipChanged implements replica.Listener.
func (l listener) LeadershipChanged(led, followed []replica.Leadership) {
	for _, p := range led {
		if p.Topic == cluster.TransactionsTopic {
			l.coordinators[p.Partition].Elected(p.Partition, p.Epoch)
		}
	}
	for _, p := range followed {
		l.resigned(p.TopicPartition, p.Epoch)
	}
}

// ReplicasStopped implements replica.Listener.
func (l listener) ReplicasStopped(stopped []cluster.StopReplica) {
	for _, s := range stopped {
		l.resigned(s.TopicPartition, s.LeaderEpoch)
	}
}

func (listener) PartitionsDeleted(gone []protocol.TopicPartition) {}

func (listener) BrokersDied([]cluster.BrokerID) {}

func (l listener) DirectoryFailed(log.DirStatus, []protocol.TopicPartition) {
	l.w.report(fmt.Sprint("!disk of ", l.id), func() { l.w.halted(l.life) }) // "!" comes before everything else of that moment
}

func askController[R any](ctx context.Context, l *life, text string, serve func(*life) (R, error)) (R, error) {
	var none R
	id := l.controller.ActiveID()
	if id < 0 {
		return none, controller.ErrNotController
	}
	return call(ctx, l.w, request{from: l.id, to: id, text: fmt.Sprintf("%d>%d %s", l.id, id, text), asks: true, again: true}, serve)
}

func (w *world) halted(l *life) {
	if b := w.brokers[l.id]; b.life == l {
		w.kill(l.id, 1)
	}
}

// proposer takes proposals to the controller.
type proposer struct{ *life }

func (p proposer) BrokerEpoch() cluster.BrokerEpoch { return p.registration.Epoch() }

func (p proposer) AlterPartition(ctx context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	var b strings.Builder
	b.WriteString("AlterPartition")
	for _, a := range r.Partitions {
		fmt.Fprintf(&b, " %v{e%d v%d isr%v}", a.TopicPartition, a.LeaderEpoch, a.PartitionEpoch, a.NewISR)
	}
	return askController(ctx, p.life, b.String(), func(to *life) (*cluster.AlterPartitionResponse, error) {
		return to.controller.AlterPartition(to.ctx, r)
	})
}

// controlLine is a controller's connection to a broker.
type controlLine struct {
	*life
	to cluster.BrokerID
}

// Close implements controller.Peer.
func (controlLine) Close() error { return nil }

func (c *controlLine) request(what string) request {
	return request{class: byControl, from: c.id, to: c.to, text: fmt.Sprintf("%d>%d %s", c.id, c.to, what), answers: true, again: true}
}

// stale refuses what was meant for an earlier life of the broker.
func (l *life) stale(epoch cluster.BrokerEpoch) error {
	if epoch != -1 && epoch < l.registration.Epoch() {
		return kerr.StaleBrokerEpoch
	}
	return nil
}

// LeaderAndISR implements controller.Peer.
func (c *controlLine) LeaderAndISR(ctx context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error) {
	q := c.request(fmt.Sprintf("LeaderAndIsr ce=%d%s", r.ControllerEpoch, statesText(r.States)))
	return call(ctx, c.w, q, func(to *life) (*cluster.LeaderAndISRResponse, error) {
		if err := to.stale(r.BrokerEpoch); err != nil {
			return &cluster.LeaderAndISRResponse{Err: err}, nil
		}
		resp := to.replicas.ApplyLeaderAndISR(r)
		to.refused(q.text, resp.Err, resp.Partitions)
		if to.w.seams.led != nil && resp.Err == nil {
			to.w.seams.led(to, r)
		}
		return resp, nil
	})
}

// UpdateMetadata implements controller.Peer.
func (c *controlLine) UpdateMetadata(ctx context.Context, r *cluster.UpdateMetadataRequest) error {
	var live []cluster.BrokerID
	for _, b := range r.LiveBrokers {
		live = append(live, b.ID)
	}
	q := c.request(fmt.Sprintf("UpdateMetadata ce=%d live%v%s", r.ControllerEpoch, live, statesText(r.States)))
	_, err := call(ctx, c.w, q, func(to *life) (struct{}, error) {
		if err := to.stale(r.BrokerEpoch); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, to.replicas.ApplyUpdateMetadata(r)
	})
	return err
}

// StopReplica implements controller.Peer.
func (c *controlLine) StopReplica(ctx context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error) {
	var b strings.Builder
	for _, p := range r.Partitions {
		fmt.Fprintf(&b, " %v{e%d delete=%v}", p.TopicPartition, p.LeaderEpoch, p.Delete)
	}
	return call(ctx, c.w, c.request(fmt.Sprintf("StopReplica ce=%d%s", r.ControllerEpoch, b.String())), func(to *life) (*cluster.StopReplicaResponse, error) {
		if err := to.stale(r.BrokerEpoch); err != nil {
			return &cluster.StopReplicaResponse{Err: err}, nil
		}
		resp := to.replicas.ApplyStopReplica(r)
		to.refused("StopReplica", resp.Err, resp.Partitions)
		return resp, nil
	})
}

// refused notes what a broker refused to do for the controller.
func (l *life) refused(text string, err error, errs map[protocol.TopicPartition]error) {
	if err == nil && len(errs) == 0 {
		return
	}
	l.w.report(text, func() {
		if l.w.brokers[l.id].life != l {
			return // how far it came in the moment of its death is chance
		}
		if err != nil {
			l.w.tracef("%d refuses: %s", l.id, code(err))
		}
		for tp, err := range sortedErrors(errs) {
			l.w.tracef("%d refuses %v: %s", l.id, tp, code(err))
		}
	})
}

// sortedErrors goes through errors in the order of partitions.
func sortedErrors(errs map[protocol.TopicPartition]error) iter.Seq2[protocol.TopicPartition, error] {
	return func(yield func(protocol.TopicPartition, error) bool) {
		for _, tp := range slices.SortedFunc(maps.Keys(errs), func(a, b protocol.TopicPartition) int { return cmp.Compare(a.String(), b.String()) }) {
			if !yield(tp, errs[tp]) {
				return
			}
		}
	}
}

// code is Kafka's name of an error.
func code(err error) string {
	if err == nil {
		return "ok"
	}
	if k := (*kerr.Error)(nil); errors.As(err, &k) {
		return k.Message
	}
	return err.Error()
}

func statesText(states []cluster.PartitionState) string {
	var b strings.Builder
	for i := range states {
		s := &states[i]
		fmt.Fprintf(&b, " %v{L%d e%d v%d isr%v}", s.TopicPartition, s.Leader, s.LeaderEpoch, s.PartitionEpoch, s.ISR)
	}
	return b.String()
}

// leaderLine is a follower's connection to a leader.
type leaderLine struct {
	*life
	to      cluster.BrokerID
	session sessionAt
}

// Close implements replica.Leader.
func (leaderLine) Close() error { return nil }

func (f *leaderLine) request(what string, asks []replica.FetchAsk) request {
	var b strings.Builder
	fmt.Fprintf(&b, "%d>%d %s", f.id, f.to, what)
	for i := range asks {
		a := &asks[i]
		fmt.Fprintf(&b, " %v@%d{e%d last e%d}", a.TopicPartition, a.Offset, a.Epoch, a.LastEpoch)
	}
	return request{from: f.id, to: f.to, text: b.String(), again: true}
}

// Fetch implements replica.Leader.
func (f *leaderLine) Fetch(ctx context.Context, asks []replica.FetchAsk, whole bool) ([]replica.LeaderAnswer, error) {
	asks = f.asked(asks)
	epoch, at := f.registration.Epoch(), f.session
	answers, err := call(ctx, f.w, f.request(fmt.Sprintf("Fetch %v", at), asks), func(to *life) ([]replica.LeaderAnswer, error) {
		return to.fetch(f.id, epoch, at, asks, whole)
	})
	f.session = at.next(err)
	return answers, err
}

// Remembers implements replica.Leader.
func (f *leaderLine) Remembers() bool { return f.session.epoch > 0 }

// asked is a copy of what is asked, as the network carries it.
func (f *leaderLine) asked(asks []replica.FetchAsk) []replica.FetchAsk {
	copied := append([]replica.FetchAsk(nil), asks...)
	for i := range copied {
		if f.w.seams.ask != nil {
			f.w.seams.ask(&copied[i])
		}
	}
	return copied
}

// fetch serves a follower.
func (l *life) fetch(from cluster.BrokerID, epoch cluster.BrokerEpoch, at sessionAt, asks []replica.FetchAsk, whole bool) ([]replica.LeaderAnswer, error) {
	standing, parts, err := l.sessions.begin(from, at, asks, whole)
	if err != nil {
		return nil, err
	}
	defer standing.End()
	f := replica.FetchParams{ReplicaID: from, BrokerEpoch: epoch, Bound: log.ToLogEnd, LeaderOnly: true, WaitMax: fetchWaitMax, BytesMin: 1, BytesMax: 1 << 20, Standing: standing}
	parts, results := l.replicas.Fetch(l.ctx, &f, parts, nil)
	answers := make([]replica.LeaderAnswer, len(parts))
	for i, r := range results {
		a := replica.LeaderAnswer{TopicPartition: parts[i].TopicPartition, Err: wire(r.Err), HighWatermark: r.HighWatermark, LogStart: r.LogStart, Epoch: r.Diverging}
		if r.Records != nil {
			a.Records = make([]byte, r.Records.Len())
			if _, err := r.Records.ReadAt(a.Records, 0); err != nil {
				a.Err, a.Records = wire(err), nil
			}
			r.Release()
		}
		if r.Diverging.Epoch >= 0 {
			text := fmt.Sprintf("%d tells %d that %v diverges: e%d ends at %d", l.id, from, a.TopicPartition, r.Diverging.Epoch, r.Diverging.End)
			l.w.report(text, func() { l.w.tracef("%s", text) })
		}
		answers[i] = a
	}
	return answers, nil
}

// wire is what is left of an error on the network.
func wire(err error) error { return kerr.ErrorForCode(protocol.CodeOf(err)) }

// EpochEnds implements replica.Leader.
func (f *leaderLine) EpochEnds(ctx context.Context, asks []replica.FetchAsk) ([]replica.LeaderAnswer, error) {
	asks = f.asked(asks)
	return call(ctx, f.w, f.request("OffsetForLeaderEpoch", asks), func(to *life) ([]replica.LeaderAnswer, error) {
		answers := make([]replica.LeaderAnswer, len(asks))
		for i, a := range asks {
			epoch, end, err := to.replicas.EndOffsetForEpoch(a.TopicPartition, a.Epoch, a.LastEpoch)
			answers[i] = replica.LeaderAnswer{TopicPartition: a.TopicPartition, Err: wire(err), Epoch: replica.EpochEnd{Epoch: epoch, End: end}}
		}
		return answers, nil
	})
}

// Range implements replica.Leader.
func (f *leaderLine) Range(ctx context.Context, ask replica.FetchAsk) (start, end int64, err error) {
	found, err := call(ctx, f.w, f.request("ListOffsets", []replica.FetchAsk{ask}), func(to *life) (r [2]int64, err error) {
		for i, timestamp := range []int64{replica.EarliestTimestamp, replica.LatestTimestamp} {
			o, err := to.replicas.ListOffset(&replica.OffsetQuery{TopicPartition: ask.TopicPartition, Timestamp: timestamp, LeaderEpoch: ask.Epoch, Bound: log.ToLogEnd, LeaderOnly: true})
			if err != nil {
				return r, wire(err)
			}
			r[i] = o.Offset
		}
		return r, nil
	})
	return found[0], found[1], err
}
