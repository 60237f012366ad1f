package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/log"
	"gokafka/protocol"
)

// scenario is what a seed plays: a cluster, its clients, and what befalls it.
type scenario struct {
	*world
	topics      []*topic
	producers   []*producer
	transactors []*transactor
	consumers   []*consumer
	sessions    []*session // the newest of each transactional id
	zombies     []*session
	config      *log.Config
	powerCuts   bool // disks lose what is not synced, and everything is synced
	usual       weather
	calm        bool   // the faults are over
	made        int    // topics
	populate    func() // makes topics and clients
	chores      func() // of operators
}

const (
	brokersOfScenario = 4
	clientInterval    = 400 * time.Millisecond
	faultInterval     = 2500 * time.Millisecond
	adminInterval     = 6 * time.Second
)

func newScenario(seed uint64) *scenario {
	s := &scenario{world: newWorld(seed, brokersOfScenario), config: log.DefaultConfig()}
	s.config.MinInSyncReplicas = 1 + s.rnd.IntN(2)
	s.config.UncleanElection = s.chance(0.15)
	if s.powerCuts = s.chance(0.3); s.powerCuts {
		s.config.FlushMessages = 1
	} else if s.chance(0.5) {
		s.config.SegmentBytesMax = 2000
	}
	s.usual = weather{delay: 5 * time.Millisecond, late: 0.02 * s.rnd.Float64(), lateMax: 4 * time.Second, lost: 0.02 * s.rnd.Float64(),
		twice: 0.02 * s.rnd.Float64(), storeDelay: 4 * time.Millisecond}
	s.network.weather = s.usual
	s.populate, s.chores = s.newTopics, s.administer
	return s
}

// play lets everything begin, and go on for so many steps.
func (s *scenario) play(steps int) {
	for _, id := range s.ids {
		s.boot(id)
	}
	s.run(2*time.Second, steps)
	s.populate()
	s.every(clientInterval, s.client)
	s.every(faultInterval, s.fault)
	s.every(adminInterval, s.chores)
	s.run(time.Hour, steps)
}

func (s *scenario) newTopics() {
	for range 2 {
		s.newTopic()
	}
}

// every does something again and again until calm returns, with pauses around the interval.
func (s *scenario) every(interval time.Duration, do func()) {
	s.in(s.below(2*interval), func() {
		if !s.calm {
			do()
			s.every(interval, do)
		}
	})
}

// newTopic makes a topic with its clients. Names come again when topics were deleted.
func (s *scenario) newTopic() {
	alive := 0
	for _, t := range s.topics {
		if !t.deleted {
			alive++
		}
	}
	name := fmt.Sprintf("t%d", s.made%3)
	if exists, err := s.admin.TopicExists(context.Background(), name); err != nil || exists || alive >= 3 || s.strays(name) {
		return
	}
	s.made++
	var assignments [][]cluster.BrokerID
	for range 1 + s.rnd.IntN(2) {
		assignments = append(assignments, s.someBrokers(3))
	}
	t := s.createTopic(name, s.config, assignments...)
	s.topics = append(s.topics, t)
	for n := range t.partitions {
		for range 2 {
			p := &producer{w: s.world, number: len(s.producers), topic: t, partition: n, acks: replica.AcksAll, idempotent: s.chance(0.6)}
			if !p.idempotent && s.chance(0.4) {
				p.acks = replica.AcksLeader
			}
			s.producers = append(s.producers, p)
		}
		s.transactors = append(s.transactors, &transactor{w: s.world, number: len(s.transactors), topic: t, partition: n})
		s.consumers = append(s.consumers, &consumer{w: s.world, topic: t, partition: n}, &consumer{w: s.world, topic: t, partition: n, decided: true})
	}
}

// strays reports whether a live broker has a log of an earlier topic of that name: one that moved away while the broker was out of reach, and was
// deleted then. It is in the way until the broker starts again, here as in Apache Kafka.
func (s *scenario) strays(name string) bool {
	for _, id := range s.ids {
		if l := s.brokers[id].life; l != nil && slices.ContainsFunc(l.logs.Logs(), func(x *log.Log) bool { return x.TopicPartition().Topic == name }) {
			return true
		}
	}
	return false
}

// someBrokers are so many brokers in any order.
func (s *scenario) someBrokers(n int) []cluster.BrokerID {
	ids := slices.Clone(s.ids)
	s.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:n]
}

// client has some clients act.
func (s *scenario) client() {
	for _, p := range s.producers {
		if s.chance(0.7) {
			p.tick()
		}
	}
	for _, x := range s.transactors {
		if s.chance(0.7) {
			x.tick(false)
		}
	}
	for _, c := range s.consumers {
		if s.chance(0.4) {
			c.tick()
		}
	}
}

// fault does something bad.
func (s *scenario) fault() {
	id := pick(s.world, s.ids)
	switch n := s.rnd.IntN(20); {
	case n < 5:
		s.crash(id)
	case n < 7:
		s.stop(id)
		s.in(3*time.Second+s.below(8*time.Second), func() { s.revive(id) })
	case n < 11:
		s.partitionFor(id, s.below(16*time.Second))
	case n < 14:
		s.severFor(id, s.below(12*time.Second))
	case n < 15:
		if l := s.serving(id); l != nil {
			s.tracef("session of %d expires", id)
			l.line.expire()
		}
	case n < 17:
		s.deposeController()
	case n < 18:
		s.diskError(id)
	default:
		s.storm(s.below(4 * time.Second))
	}
}

func (s *scenario) crash(id cluster.BrokerID) {
	keep := 1.0
	if s.powerCuts {
		keep = s.rnd.Float64()
	}
	s.kill(id, keep)
	s.in(s.below(10*time.Second), func() { s.revive(id) })
}

// revive starts a broker that is down.
func (s *scenario) revive(id cluster.BrokerID) {
	if s.brokers[id].life == nil && s.broken == nil {
		s.boot(id)
	}
}

// partitionFor cuts a broker off from one or all others.
func (s *scenario) partitionFor(id cluster.BrokerID, d time.Duration) {
	from := slices.Clone(s.ids)
	if s.chance(0.5) {
		from = []cluster.BrokerID{pick(s.world, s.ids)}
	}
	s.tracef("%d is cut off from %v for %v", id, from, d)
	for _, other := range from {
		if other != id {
			s.cutLink(id, other, true)
			s.in(d, func() { s.cutLink(id, other, false) })
		}
	}
}

// severFor cuts a broker off from the store. Its session expires if that takes too long.
func (s *scenario) severFor(id cluster.BrokerID, d time.Duration) {
	l := s.serving(id)
	if l == nil || l.line.cut {
		return
	}
	s.tracef("%d is cut off from the store for %v", id, d)
	l.line.sever()
	if d > sessionTimeout {
		s.in(sessionTimeout, func() {
			if s.brokers[id].life == l && l.line.cut {
				s.tracef("session of %d expires", id)
				l.line.expire()
			}
		})
	}
	s.in(d, func() {
		if s.brokers[id].life == l {
			l.line.mend()
		}
	})
}

// deposeController removes /controller, as operators do who want another.
func (s *scenario) deposeController() {
	s.tracef("controller is deposed")
	_, err := s.tools.Write(context.Background(), []metastore.Txn{{metastore.Delete(metastore.PathController, metastore.AnyVersion)}})
	s.must(err)
	s.stored = true
}

// diskError makes a broker's disk refuse writes; it halts, and comes back.
func (s *scenario) diskError(id cluster.BrokerID) {
	if l := s.serving(id); l != nil {
		s.tracef("disk of %d fails", id)
		l.diskFails.Store(true)
		s.in(5*time.Second+s.below(8*time.Second), func() {
			if s.brokers[id].life == l { // nothing was written meanwhile
				l.diskFails.Store(false)
			}
			s.revive(id)
		})
	}
}

// storm makes the network bad for a while.
func (s *scenario) storm(d time.Duration) {
	s.network.weather.late, s.network.weather.lost, s.network.weather.twice = 0.3, 0.2, 0.1
	s.in(d, func() {
		if !s.calm {
			s.network.weather = s.usual
		}
	})
}

// administer does what operators do.
func (s *scenario) administer() {
	living := slices.DeleteFunc(slices.Clone(s.topics), func(t *topic) bool { return t.deleted })
	switch n := s.rnd.IntN(10); {
	case n < 2 || len(living) == 0:
		s.newTopic()
	case n < 3:
		s.deleteTopic(pick(s.world, living))
	case n < 7:
		s.reassign(pick(s.world, living))
	default:
		s.electPreferred(pick(s.world, living))
	}
}

// askElected has the controller do something, if some broker knows it.
func (s *scenario) askElected(text string, do func(*life) error) {
	id := cluster.BrokerID(-1)
	if l := s.serving(pick(s.world, s.ids)); l != nil {
		id = l.controller.ActiveID()
	}
	if id < 0 {
		return
	}
	s.clients.Go(func() {
		_, _ = call(context.Background(), s.world, request{from: clients, to: id, text: fmt.Sprintf("client>%d %s", id, text), asks: true, timeout: clientTimeout},
			func(l *life) (struct{}, error) { return struct{}{}, do(l) })
	})
}

func (s *scenario) reassign(t *topic) {
	to := controller.Reassignment{TopicPartition: t.partition(s.rnd.Int32N(t.partitions)), Replicas: s.someBrokers(2 + s.rnd.IntN(2))}
	s.askElected(fmt.Sprintf("reassign %v to %v", to.TopicPartition, to.Replicas), func(l *life) error {
		_, err := l.controller.AlterPartitionReassignments(l.ctx, []controller.Reassignment{to})
		return err
	})
}

func (s *scenario) electPreferred(t *topic) {
	tps := []protocol.TopicPartition{t.partition(s.rnd.Int32N(t.partitions))}
	s.askElected(fmt.Sprintf("elect preferred of %v", tps), func(l *life) error {
		_, err := l.controller.ElectLeaders(l.ctx, tps, false)
		return err
	})
}

// patience is how long the cluster may take to come to rest, and how many steps that may cost.
const (
	patience       = 3 * time.Minute
	stepsOfHealing = 40_000
)

// heal ends all faults, and waits until the cluster has come to rest.
func (s *scenario) heal() {
	if s.broken != nil {
		return
	}
	s.calm = true
	s.tracef("all faults end")
	s.network.weather, s.network.cut = calm, map[link]bool{}
	for _, id := range s.ids {
		b := s.brokers[id]
		if b.life == nil {
			s.boot(id)
		} else {
			b.life.diskFails.Store(false)
			b.life.line.mend()
		}
		s.in(sessionTimeout+20*time.Second, func() { s.revive(id) }) // it was stopping
	}
	until := time.Now().Add(patience)
	s.finishClients()
	for n := 0; n < stepsOfHealing && s.broken == nil && s.unrest() != ""; n++ {
		if !s.step(until) {
			break
		}
	}
	if why := s.unrest(); why != "" {
		s.breaks("the cluster does not come to rest: %s", why)
	}
}

// finishClients lets producers repeat what is not acknowledged, and consumers read on.
func (s *scenario) finishClients() {
	s.in(clientInterval, func() {
		for _, p := range s.producers {
			if p.batch != nil {
				p.tick()
			}
		}
		for _, x := range s.transactors {
			if x.open() {
				x.tick(true)
			}
		}
		for _, x := range slices.Concat(s.sessions, s.zombies) {
			x.tick(true)
		}
		for _, c := range s.consumers {
			c.tick()
		}
		s.finishClients()
	})
}

// unrest says what is not yet as it is to be in the end.
func (s *scenario) unrest() string {
	for _, p := range s.producers {
		if !p.topic.deleted && p.batch != nil {
			return fmt.Sprintf("producer %d has no answer", p.number)
		}
	}
	for _, x := range s.transactors {
		if !x.topic.deleted && x.open() {
			return fmt.Sprintf("transactor %d is not done", x.number)
		}
	}
	if why := s.unrestOfTransactions(); why != "" {
		return why
	}
	for _, k := range s.check.keys {
		if why := s.unrestOf(k, s.check.histories[k]); why != "" {
			return why
		}
	}
	return s.unread()
}

func (s *scenario) unread() string {
	for _, c := range s.consumers {
		h := s.check.histories[key{c.topic.id, c.partition}]
		if !h.deleting && !h.tainted && c.position < int64(len(h.committed)) {
			return fmt.Sprintf("%v: a consumer is at %d of %d", h.tp, c.position, len(h.committed))
		}
	}
	return ""
}

func (s *scenario) unrestOf(k key, h *history) string {
	if h.deleting {
		return s.undeleted(k, h)
	}
	assigned, err := s.admin.Topic(context.Background(), h.tp.Topic, nil)
	s.must(err)
	a := assigned.Partitions[h.tp.Partition]
	if len(a.Adding)+len(a.Removing) > 0 {
		return fmt.Sprintf("%v is being reassigned: %+v", h.tp, a)
	}
	if !sameBrokers(h.state.ISR, a.Replicas) || h.state.Leader == cluster.NoLeader {
		return fmt.Sprintf("%v has leader %d and ISR %v of %v", h.tp, h.state.Leader, h.state.ISR, a.Replicas)
	}
	if len(h.owed) > 0 && !h.tainted {
		return fmt.Sprintf("%v: %v was acknowledged and is not committed", h.tp, h.owed)
	}
	first := s.check.mirrors[a.Replicas[0]][k]
	for _, id := range a.Replicas {
		m := s.check.mirrors[id][k]
		switch {
		case m == nil || first == nil:
			return fmt.Sprintf("%v: broker %d has no log", h.tp, id)
		case !slices.Equal(m.entries, first.entries):
			return fmt.Sprintf("%v: logs of %d and %d differ", h.tp, a.Replicas[0], id)
		case m.log.HighWatermark().Offset != int64(len(m.entries)):
			return fmt.Sprintf("%v: high watermark of %d is %d of %d", h.tp, id, m.log.HighWatermark().Offset, len(m.entries))
		case m.log.LastStableOffset().Offset != int64(len(m.entries)):
			return fmt.Sprintf("%v: a transaction is open at %d on broker %d", h.tp, m.log.LastStableOffset().Offset, id)
		}
	}
	return ""
}

// undeleted looks for what a deletion left behind.
func (s *scenario) undeleted(k key, h *history) string {
	marked, err := s.admin.TopicMarkedForDeletion(context.Background(), h.tp.Topic)
	s.must(err)
	if marked {
		return fmt.Sprintf("%v is not deleted", h.tp)
	}
	return ""
}

func sameBrokers(a, b []cluster.BrokerID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
