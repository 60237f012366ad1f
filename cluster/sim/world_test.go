package sim

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/log/vfs"
)

// world is the simulated cluster with everything around it. Its goroutine is the only one that casts dice.
type world struct {
	rnd    *rand.Rand
	began  time.Time
	events eventQueue
	number int // of the last event

	network            network
	tree               *metastore.Embedded
	tools              *metastore.Session // neither cut nor slow
	admin              *metastore.Store   // over it
	brokers            map[cluster.BrokerID]*broker
	ids                []cluster.BrokerID
	configs            map[string]*log.Config
	logger             zerolog.Logger
	leaving            sync.WaitGroup // brokers that stop
	clients            sync.WaitGroup // requests of clients
	acked, read, ended int            // batches, records and transactions, so that a run that did nothing is noticed
	coordinated        bool           // transactions have coordinators; else clients write the markers
	stored             bool           // something was done at the store since the last check

	mu      sync.Mutex
	reports []report // what goroutines want the world to do

	check   checker
	seams   seams
	broken  error // the first promise that was not kept
	tracing bool
	trace   bytes.Buffer
	post    func(*message) bool // takes a message away from the network: dialogues
}

// seams are the places between parts at which faults of design are planted, and what the world must know of them.
type seams struct {
	ask     func(*replica.FetchAsk)                                 // changes what a follower asks
	led     func(*life, *cluster.LeaderAndISRRequest)               // after a broker took its roles
	acked   func(appended produced, await func() produced) produced // instead of waiting for acks
	bound   log.Bound                                               // up to which consumers read
	decided log.Bound                                               // up to which consumers of decided records read
	append  func(*life, []byte) []byte                              // changes what is produced; nil: it is not, and answered
	aborted func([]log.AbortedTransaction) []log.AbortedTransaction // changes what a consumer is told
	unclean bool                                                    // the controller elects from outside of the ISR
	journal func(txn.Journal) txn.Journal                           // of transaction coordinators
	marker  func(cluster.TxnMarker) bool                            // is it lost?
}

func newWorld(seed uint64, brokers int) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), network: newNetwork(), brokers: map[cluster.BrokerID]*broker{},
		configs: map[string]*log.Config{}, logger: zerolog.Nop()}
	w.seams.bound, w.seams.decided = log.ToHighWatermark, log.ToLastStable
	var err error
	w.tree, err = metastore.OpenEmbedded("")
	w.must(err)
	w.tools = w.tree.Connect()
	w.admin = metastore.New(w.tools)
	w.must(w.admin.CreatePersistentPaths(context.Background()))
	w.check = newChecker(w)
	for i := range brokers {
		id := cluster.BrokerID(i + 1)
		w.ids = append(w.ids, id)
		w.brokers[id] = &broker{id: id, disk: vfs.NewMem()}
	}
	return w
}

// must is for what cannot fail.
func (w *world) must(err error) {
	if err != nil {
		panic(err)
	}
}

// breaks says that a promise was not kept.
func (w *world) breaks(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf("%8.3f "+format, append([]any{time.Since(w.began).Seconds()}, args...)...)
		w.tracef("BROKEN: %v", w.broken)
	}
}

func (w *world) tracef(format string, args ...any) {
	fmt.Fprintf(&w.trace, "%12.6f ", time.Since(w.began).Seconds())
	fmt.Fprintf(&w.trace, format, args...)
	w.trace.WriteByte('\n')
}

// report is something for the world to do, with what it is.
type report struct {
	text string
	do   func()
}

// report has the world do something before its next step; any goroutine may.
func (w *world) report(text string, do func()) {
	w.mu.Lock()
	w.reports = append(w.reports, report{text, do})
	w.mu.Unlock()
	select {
	case w.network.sent <- struct{}{}:
	default:
	}
}

// settle waits until nothing moves any more, and takes what was sent meanwhile.
func (w *world) settle() {
	for {
		synctest.Wait()
		sent := w.network.take()
		attended := w.attend()
		for _, m := range sent {
			w.dispatch(m)
		}
		if !attended && !w.admit() {
			return
		}
	}
}

// attend does what goroutines reported.
func (w *world) attend() bool {
	w.mu.Lock()
	reports := w.reports
	w.reports = nil
	w.mu.Unlock()
	slices.SortStableFunc(reports, func(a, b report) int { return cmp.Compare(a.text, b.text) })
	for _, r := range reports {
		r.do()
	}
	return len(reports) > 0
}

// admit lets one message in that a controller had no time for.
func (w *world) admit() bool {
	for _, id := range w.ids {
		b := w.brokers[id]
		if len(b.held) > 0 && b.life != nil && !b.life.line.busy() {
			m := b.held[0]
			b.held = b.held[1:]
			w.deliver(m)
			return true
		}
	}
	return false
}

// step does the next thing that happens until the moment; false when that has come.
func (w *world) step(until time.Time) bool {
	for {
		w.settle()
		next := until
		if len(w.events) > 0 && w.events[0].at.Before(until) {
			next = w.events[0].at
		}
		if wait := time.Until(next); wait > 0 && !w.sleep(wait) {
			synctest.Wait()
			w.check.all() // before anybody hears of it
			continue
		}
		w.settle()
		if len(w.events) == 0 || w.events[0].at.After(time.Now()) {
			return false
		}
		e := heap.Pop(&w.events).(*event)
		if e.do != nil {
			e.do()
		} else {
			w.arrive(e.message)
		}
		w.settle()
		w.check.all()
		return true
	}
}

// sleep lets time pass; false when something was sent meanwhile, which may come first.
func (w *world) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.network.sent:
		return false
	}
}

// run lets so much time pass, or so many steps, or less if something breaks.
func (w *world) run(d time.Duration, steps int) {
	until := time.Now().Add(d)
	for n := 0; n < steps && w.broken == nil && w.step(until); n++ {
	}
}

// arrive is the end of a message's way.
func (w *world) arrive(m *message) {
	if m.class != byStore && w.network.cut[link{m.from, m.to}] {
		w.tracef("%s lost in the cut", m.text)
		return
	}
	if b := w.brokers[m.to]; m.asks && b != nil && b.life != nil && (b.life.line.busy() || len(b.held) > 0) {
		b.held = append(b.held, m)
		return
	}
	w.deliver(m)
}

func (w *world) deliver(m *message) {
	if m.class != byStore {
		w.tracef("%s", m.text)
	} else {
		w.tracef("%d %s", m.from, m.text)
	}
	m.deliver()
}

// cutLink cuts or mends both directions between two brokers.
func (w *world) cutLink(a, b cluster.BrokerID, cut bool) {
	w.network.cut[link{a, b}], w.network.cut[link{b, a}] = cut, cut
}

// close ends everything.
func (w *world) close() {
	for _, id := range w.ids {
		w.kill(id, 1)
	}
	w.leaving.Wait()
	w.clients.Wait()
	w.must(w.tree.Close())
}

// topicConfig is the settings of a topic.
func (w *world) topicConfig(topic string) *log.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.configs[topic]
}

// up lists the brokers that answer.
func (w *world) up() []cluster.BrokerID {
	return slices.DeleteFunc(slices.Clone(w.ids), func(id cluster.BrokerID) bool { return w.serving(id) == nil })
}
