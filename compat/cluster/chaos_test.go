package cluster

import (
	"cmp"
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

var (
	chaosRounds = flag.Int("chaos", 0, "rounds of the campaign; 0 is a short one with chosen faults")
	chaosEach   = flag.Int("chaos.each", 0, "how often the campaign has a broker killed, paused, cut off and stopped, each of these")
	chaosSeed   = flag.Uint64("chaos.seed", uint64(time.Now().UnixNano()), "seed of the faults that the campaign chooses")
	chaosOnly   = flag.String("chaos.only", "", "the one fault to repeat, as the campaign names it")
)

// short are the faults of the campaign without flags, one of each kind.
var short = []string{"controller: kill", "leader: outbound cut off from brokers", "controller: cut off from ZooKeeper", "leader: pause", "all but one killed"}

// Three brokers under load from three kinds of clients go through one fault after another. Afterwards every acknowledged record is there
// once and in order, a consumer group has read all of it, and the replicas are the same to the byte.
func TestChaos(t *testing.T) {
	r := rand.New(rand.NewPCG(*chaosSeed, 0))
	t.Logf("-chaos.seed %d", *chaosSeed)
	ca := startCampaign(t)
	for i, f := range chosen(t, r) {
		// Some faults are over before a session of ZooKeeper or a replica's time to lag is, some last longer than both.
		last := time.Duration(500+r.IntN(7500)) * time.Millisecond
		if *chaosRounds == 0 && *chaosEach == 0 {
			last = 5 * time.Second
		}
		began := time.Now()
		victim := ca.victim(f.role, "load")
		t.Logf("%s round %d: %v (broker %d) for %v", began.Format("15:04:05.000"), i+1, f, victim, last)
		end := f.strike(ca.Cluster, victim)
		time.Sleep(last)
		end()
		healed := time.Now()
		ca.recovers()
		t.Logf("%s recovered in %v, %d acknowledged", time.Now().Format("15:04:05.000"), time.Since(healed).Round(10*time.Millisecond), ca.acked())
		if t.Failed() {
			t.FailNow()
		}
	}
	ca.finish()
}

// chosen are the faults of this run in their order: all that there are come before one comes again.
func chosen(t *testing.T, r *rand.Rand) (all []fault) {
	t.Helper()
	known := faults()
	slices.SortFunc(known, func(a, b fault) int { return cmp.Compare(a.String(), b.String()) })
	byName := func(name string) fault {
		i := slices.IndexFunc(known, func(f fault) bool { return f.String() == name })
		if i < 0 {
			t.Fatalf("there is no fault %q, only %v", name, known)
		}
		return known[i]
	}
	switch {
	case *chaosOnly != "":
		return slices.Repeat([]fault{byName(*chaosOnly)}, max(*chaosRounds, 1))
	case *chaosEach > 0:
		return ofEachKind(r, known, *chaosEach)
	case *chaosRounds == 0:
		for _, name := range short {
			all = append(all, byName(name))
		}
		return all
	}
	for len(all) < *chaosRounds {
		for _, i := range r.Perm(len(known)) {
			all = append(all, known[i])
		}
	}
	return all[:*chaosRounds]
}

// ofEachKind are n faults of each kind that a broker can have, of victims by turns, in an order chosen at random.
func ofEachKind(r *rand.Rand, known []fault, n int) (all []fault) {
	for _, kind := range []string{"kill", "pause", "cut off", "stop"} {
		var some []fault
		for _, f := range known {
			if f.role != "" && strings.Contains(f.name, kind) {
				some = append(some, f)
			}
		}
		for i := range n {
			all = append(all, some[i%len(some)])
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// campaign is a cluster under load.
type campaign struct {
	*Cluster
	franz    *load.Load
	programs []*load.Program
	group    *load.Group
}

const campaignPartitions = 6

func startCampaign(t *testing.T) *campaign {
	c := StartOnNetwork(t, 3, map[string]string{"log.segment.bytes": "262144", "offsets.topic.num.partitions": "3", "replica.lag.time.max.ms": "4000",
		"controller.socket.timeout.ms": "6000", "replica.socket.timeout.ms": "6000"})
	c.Create("load", campaignPartitions)
	ca := &campaign{
		Cluster:  c,
		franz:    load.StartPaced(t, c.Addrs(), "load", time.Millisecond, kgo.ProduceRequestTimeout(5*time.Second)),
		programs: []*load.Program{load.StartJava(t, c.Addrs(), "load", 1, 400), load.StartLibrdkafka(t, c.Addrs(), "load", 2, 400)},
		group:    load.StartGroup(t, c.Addrs(), "load", "readers"),
	}
	for _, p := range ca.programs { // see load.StartJava
		ca.await("every producer in every partition", func(context.Context) error { return p.AckedIn(campaignPartitions) })
	}
	ca.recovers()
	return ca
}

func (ca *campaign) acked() (n int64) {
	n = ca.franz.Count()
	for _, p := range ca.programs {
		n += p.Count()
	}
	return n
}

// recovers waits until everybody goes on: each producer, the group, and all replicas.
func (ca *campaign) recovers() {
	ca.t.Helper()
	ca.AwaitInSync("load")
	ca.franz.AwaitAcked(ca.t, 200)
	for _, p := range ca.programs {
		p.AwaitAcked(ca.t, 200)
	}
	ca.group.AwaitEnds(ca.t, load.EndOffsets(ca.t, ca.Addrs(), "load"))
	ca.AwaitInSync("__consumer_offsets")
	for _, p := range ca.programs {
		if err := p.Err(); err != nil {
			ca.t.Error(err)
		}
	}
}

// finish ends the load and looks at what is there.
func (ca *campaign) finish() {
	t := ca.t
	t.Helper()
	ca.franz.Finish(t)
	acked := []*load.Acked{&ca.franz.Acked}
	for i, p := range ca.programs {
		p.Finish(t)
		acked = append(acked, &p.Acked)
		// See load.StartJava: with most faults none, with a leader that does not know that it is deposed a few batches.
		if n := p.GivenUp(); n > 0 {
			t.Logf("producer %d gave up %d records of %d", i+1, n, p.Count())
			if int64(n) > p.Count()/100 {
				t.Error("too many")
			}
		}
	}
	ends := load.EndOffsets(t, ca.Addrs(), "load")
	ca.group.AwaitEnds(t, ends)
	ca.group.Finish(t)
	ca.AwaitCommitted("readers", "load", ends)
	var check load.Check
	load.Each(t, ca.Addrs(), "load", func(r *kgo.Record) {
		at := load.Position{Partition: r.Partition, Offset: r.Offset}
		check.Read(at, string(r.Value))
		ca.group.Compare(at, string(r.Value))
	})
	if err := check.End(acked...); err != nil {
		t.Errorf("producers: %v", err)
	}
	if err := ca.group.End(); err != nil {
		t.Errorf("group: %v", err)
	}
	t.Logf("%d acknowledged, %d found, %d read by the group", ca.acked(), check.Found(), ca.group.Count())
	for topic, partitions := range map[string]int32{"load": campaignPartitions, "__consumer_offsets": 3} {
		ca.AwaitHighWatermarks(topic, partitions)
	}
	ca.Stop()
	for _, topic := range []string{"load", "__consumer_offsets"} {
		ca.SameLogs(topic)
		ca.SameCheckpoints(topic)
	}
}
