package mixed

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gokafka/compat/load"
)

var (
	seed  = flag.Uint64("seed", 0, "the seed of a random sequence to see again; 0 draws one")
	steps = flag.Int("steps", 0, "how many steps a random sequence has; 0 for 30")
)

// sequence is a cluster under load to which things happen at random.
type sequence struct {
	*Cluster
	random *rand.Rand
	topics int
}

// Whatever happens to a cluster of both kinds, in whatever order: acknowledged records are there once and in order, the group goes on
// where it was, and the copies of the log are the same.
func randomSequence(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if *steps == 0 {
		*steps = 30
	}
	t.Logf("to see this sequence again: -seed %d -steps %d", *seed, *steps)
	random := rand.New(rand.NewPCG(*seed, 0))
	kinds := []Kind{Apache, Gokafka, []Kind{Apache, Gokafka}[random.IntN(2)]}
	random.Shuffle(3, func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	s := &sequence{Cluster: Start(t, map[string]string{"log.segment.bytes": "100000"}, kinds...), random: random}
	s.Create("load", everywhere...)
	l := s.Load("load", smallBatches)
	g := s.Consume("load", "g", 3)
	for step := range *steps {
		s.step(step)
		l.AwaitAcked(t, 200)
	}
	l.Finish(t)
	g.Finish()
	l.Verify(t, load.ReadAll(t, s.Addrs(), "load"))
	s.AwaitInSync("load", "__consumer_offsets")
	s.StopAll()
	s.SameLogs("load")
	for _, id := range s.IDs() {
		s.Dump(id)
	}
}

// step has one thing happen to one node and waits until the cluster is whole again.
func (s *sequence) step(number int) {
	s.t.Helper()
	id := s.IDs()[s.random.IntN(len(s.Nodes))]
	n := s.Nodes[id]
	happenings := []struct {
		what string
		do   func()
	}{
		{"is stopped and replaced by the other kind", func() { s.Stop(id); s.Begin(id, n.Kind.other()) }},
		{"is killed and replaced by the other kind", func() { s.Kill(id); s.Begin(id, n.Kind.other()) }},
		{"is stopped and started", func() { s.Stop(id); s.Begin(id, n.Kind) }},
		{"is killed and started", func() { s.Kill(id); s.Begin(id, n.Kind) }},
		{"is paused for less than its session", func() { s.Pause([]int32{id}, func() { time.Sleep(2 * time.Second) }) }},
		{"is paused for longer than its session", func() { s.Pause([]int32{id}, func() { time.Sleep(7 * time.Second) }) }},
		{"becomes the controller", func() { s.Elect(id) }},
		{"becomes the controller and is killed", func() { s.Elect(id); s.Kill(id); s.Begin(id, n.Kind) }},
		{"gives its partitions back to preferred leaders", func() { s.elect("load") }},
		{"sees a topic made, grown, moved and deleted", s.topic},
		{"loses a replica and gets it back", func() { s.move(id) }},
	}
	h := happenings[s.random.IntN(len(happenings))]
	s.t.Logf("%d: node %d (%s, controller %d) %s", number, id, n.Kind, s.Controller(), h.what)
	h.do()
	s.AwaitInSync("load", "__consumer_offsets")
}

func (s *sequence) topic() {
	s.topics++
	name := fmt.Sprint("topic", s.topics)
	s.Create(name, everywhere...)
	s.AwaitInSync(name)
	s.Fill(name, 3, 10)
	s.grow(name)
	s.Reassign(name, 0, 3, 2)
	s.Delete(name)
}

// move takes a partition of the load away from a node, and gives it back.
func (s *sequence) move(id int32) {
	p := int32(s.random.IntN(3))
	s.Reassign("load", p, s.others(id)...)
	s.Reassign("load", p, everywhere[p]...)
}
