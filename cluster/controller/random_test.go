package controller

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

var (
	first = flag.Int("first", 0, "the first seed of TestRandomScripts")
	seeds = flag.Int("seeds", 60, "how many scripts it plays")
)

// TestRandomScripts does whatever operators and accidents do, in any order; when all brokers are back and in sync, everything that was asked is
// done: leaders, ISRs and assignments agree, nothing is under way, and every replica was told.
func TestRandomScripts(t *testing.T) {
	for seed := uint64(*first); seed < uint64(*first+*seeds); seed++ {
		synctest.Test(t, func(t *testing.T) { playRandom(t, seed) })
		if t.Failed() {
			return
		}
	}
}

type improviser struct {
	*stage
	r      *rand.Rand
	script []string
}

// stutterer is a tree whose connection breaks every so many writes, before the answer, and sends the same once more.
type stutterer struct {
	metastore.Tree
	often  int64
	writes atomic.Int64
}

func (s *stutterer) Write(ctx context.Context, txns []metastore.Txn) ([]metastore.TxnResult, error) {
	if s.writes.Add(1)%s.often == 0 {
		if _, err := s.Tree.Write(ctx, txns); err != nil {
			return nil, err
		}
	}
	return s.Tree.Write(ctx, txns)
}

var cast = []cluster.BrokerID{71, 72, 73, 74}

func playRandom(t *testing.T, seed uint64) {
	p := &improviser{stage: newStage(t), r: rand.New(rand.NewPCG(seed, 1))}
	defer p.close()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d\n%s", seed, strings.Join(p.script, "\n"))
		}
	}()
	for _, id := range cast {
		p.do("start", fmt.Sprint(id))
		synctest.Wait()
	}
	for range 40 {
		p.step()
		if p.r.IntN(3) > 0 {
			synctest.Wait()
		}
	}
	p.heal()
	p.check()
}

func (p *improviser) do(command ...string) {
	p.script = append(p.script, strings.Join(command, " "))
	if command[0] == "start" {
		config := DefaultConfig()
		config.AutoLeaderRebalanceEnable = false
		session := p.tree.Connect()
		p.registerOver(&stutterer{Tree: session, often: 3 + p.r.Int64N(9)}, session, brokerID(command[1]), true, config)
		return
	}
	for _, answer := range p.run(command) {
		p.script = append(p.script, "\t"+answer)
	}
}

func (p *improviser) replicas() string {
	n := 1 + p.r.IntN(3)
	ids := make([]cluster.BrokerID, n)
	for i, at := range p.r.Perm(len(cast))[:n] {
		ids[i] = cast[at]
	}
	return idsText(ids)
}

// partitions lists those that are written.
func (p *improviser) partitions() (tps []protocol.TopicPartition) {
	names, err := p.admin.Topics(p.t.Context(), nil)
	p.must(err)
	for _, name := range names {
		topic, err := p.admin.Topic(p.t.Context(), name, nil)
		if err != nil {
			continue
		}
		for index := range int32(len(topic.Partitions)) {
			tps = append(tps, protocol.TopicPartition{Topic: name, Partition: index})
		}
	}
	return tps
}

func (p *improviser) step() {
	alive := slices.Sorted(maps.Keys(p.nodes))
	id := cast[p.r.IntN(len(cast))]
	if p.nodes[id] == nil {
		if p.r.IntN(2) == 0 {
			p.do("start", fmt.Sprint(id))
		}
		return
	}
	tps := p.partitions()
	var tp protocol.TopicPartition
	if len(tps) > 0 {
		tp = tps[p.r.IntN(len(tps))]
	}
	switch what := p.r.IntN(20); {
	case what < 2 && len(alive) > 1:
		p.do("kill", fmt.Sprint(id))
	case what == 2:
		p.do("expire", fmt.Sprint(id))
	case what < 5 || len(tps) == 0:
		name := string(rune('a' + p.r.IntN(3)))
		if exists, err := p.admin.TopicExists(p.t.Context(), name); err == nil && !exists {
			if marked, err := p.admin.TopicMarkedForDeletion(p.t.Context(), name); err == nil && !marked {
				p.do("topic", name, "0:"+p.replicas(), "1:"+p.replicas())
			}
		}
	case what < 8:
		p.do("reassign", tp.String(), p.replicas())
	case what == 8:
		p.do("cancel", tp.String())
	case what == 9:
		if marked, err := p.admin.TopicMarkedForDeletion(p.t.Context(), tp.Topic); err == nil && !marked {
			p.do("delete", tp.Topic)
		}
	case what == 10:
		p.do("faildir", fmt.Sprint(id), tp.String())
	case what == 11:
		p.do("elect", "preferred", tp.String())
	case what == 12:
		p.do("elect", "unclean", tp.String())
	case what == 13:
		p.do("shutdown", fmt.Sprint(id))
		p.do("kill", fmt.Sprint(id))
	case what == 14:
		p.byNode(metastore.PathReassignPartitions, fmt.Sprintf(`{"topic":"%s","partition":%d,"replicas":%s}`, tp.Topic, tp.Partition, p.replicas()))
	case what == 15:
		p.byNode(metastore.PathPreferredElection, fmt.Sprintf(`{"topic":"%s","partition":%d}`, tp.Topic, tp.Partition))
	case what == 16:
		p.grow(tp.Topic)
	default:
		p.sync(tp)
	}
}

// grow adds a partition, unless the topic is on its way out, or changes meanwhile. The mark of one that goes is removed after it, so a topic that
// is there without a mark stays.
func (p *improviser) grow(name string) {
	marked, err := p.admin.TopicMarkedForDeletion(p.t.Context(), name)
	p.must(err)
	topic, err := p.admin.Topic(p.t.Context(), name, nil)
	if marked || errors.Is(err, metastore.ErrNoNode) {
		return
	}
	p.must(err)
	if slices.ContainsFunc(slices.Collect(maps.Values(topic.Partitions)), isReassigned) || len(topic.Partitions) != 2 {
		return
	}
	added := "2:" + p.replicas()
	maps.Copy(topic.Partitions, assignments([]string{added}))
	if err := p.admin.SetTopic(p.t.Context(), topic); !errors.Is(err, metastore.ErrBadVersion) {
		p.must(err)
		p.script = append(p.script, "grow "+name+" "+added)
	}
}

// byNode asks as old tools do, which wait until the request before is done.
func (p *improviser) byNode(path, partition string) {
	create := metastore.Txn{metastore.Create(path, []byte(`{"version":1,"partitions":[`+partition+`]}`), metastore.Persistent)}
	p.script = append(p.script, fmt.Sprintf("put %s %s", path, create[0].Data))
	_, err := p.tree.Connect().Write(p.t.Context(), []metastore.Txn{create})
	p.must(err)
}

// sync has a partition's leader take into the ISR whoever lives, and is not on a failed directory.
func (p *improviser) sync(tp protocol.TopicPartition) {
	states, err := p.admin.PartitionStates(p.t.Context(), []protocol.TopicPartition{tp})
	p.must(err)
	topic, err := p.admin.Topic(p.t.Context(), tp.Topic, nil)
	if err != nil || states[0].Err != nil || p.nodes[states[0].State.Leader] == nil {
		return
	}
	now := states[0].State
	isr := []cluster.BrokerID{}
	for _, id := range append(slices.Clone(now.ISR), without(topic.Partitions[tp.Partition].Replicas, now.ISR...)...) {
		if a := p.nodes[id]; a != nil && !a.failed[tp] {
			isr = append(isr, id)
		}
	}
	p.do("alter", fmt.Sprint(now.Leader), tp.String(), fmt.Sprint("e", now.LeaderEpoch), fmt.Sprint("v", now.PartitionEpoch), idsText(isr))
}

// heal brings everybody back. Those on whose disks nothing failed need not start anew: what the controller has in its memory is part of the check.
func (p *improviser) heal() {
	p.script = append(p.script, "# heal")
	for _, id := range cast {
		a := p.nodes[id]
		if a != nil && len(a.failed) > 0 {
			p.do("kill", fmt.Sprint(id))
			synctest.Wait()
		}
		if p.nodes[id] == nil {
			p.do("start", fmt.Sprint(id))
		}
		synctest.Wait()
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
	for range 3 {
		for _, tp := range p.partitions() {
			p.sync(tp)
			synctest.Wait()
		}
	}
}

var (
	epochOf = regexp.MustCompile(`ce=(\d+)`)
	toldOf  = regexp.MustCompile(`([a-z]-\d)\{L(-?\d+) e(\d+)`)
)

func (p *improviser) check() {
	p.checkNodes()
	told := map[cluster.BrokerID]map[string]int64{} // the leader epoch
	for id, a := range p.nodes {
		told[id] = map[string]int64{}
		a.mu.Lock()
		latest := int64(0)
		for _, l := range a.lines {
			epoch := number(epochOf.FindStringSubmatch(l)[1])
			if latest = max(latest, epoch); epoch == latest && strings.Contains(l, "LeaderAndIsr") { // brokers ignore a controller of the past
				for _, m := range toldOf.FindAllStringSubmatch(l, -1) {
					told[id][m[1]] = number(m[3])
				}
			}
		}
		a.mu.Unlock()
	}
	for _, tp := range p.partitions() {
		topic, err := p.admin.Topic(p.t.Context(), tp.Topic, nil)
		p.must(err)
		states, err := p.admin.PartitionStates(p.t.Context(), []protocol.TopicPartition{tp})
		p.must(err)
		a, now := topic.Partitions[tp.Partition], states[0].State
		if states[0].Err != nil || isReassigned(a) || !slices.Contains(a.Replicas, now.Leader) ||
			!slices.Equal(slices.Sorted(slices.Values(a.Replicas)), slices.Sorted(slices.Values(now.ISR))) {
			p.t.Errorf("%s: %v, state %+v, %v", tp, a, now, states[0].Err)
		}
		for _, id := range a.Replicas {
			if told[id][tp.String()] != int64(now.LeaderEpoch) {
				p.t.Errorf("%s: broker %d heard of epoch %d, it is %d", tp, id, told[id][tp.String()], now.LeaderEpoch)
			}
		}
	}
	c := p.controller()
	if c.term == nil {
		p.t.Fatalf("broker %d is said to be the controller, and has no term", c.ActiveID())
	}
	s := c.term.state
	for _, part := range s.allPartitions() {
		for _, id := range part.assignment.Replicas {
			if part.phase != partitionOnline || part.replicaPhase(id) != replicaOnline {
				p.t.Errorf("%s is %s, replica %d %s", part.tp, part.phase, id, part.replicaPhase(id))
			}
		}
	}
	if len(s.reassigning)+len(s.deleting)+len(s.leaderless) > 0 {
		p.t.Errorf("still reassigning %d, deleting %d, leaderless %d", len(s.reassigning), len(s.deleting), len(s.leaderless))
	}
}
