package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed alone")
	seedsFlag = flag.Int("seeds", 0, "play so many random seeds")
	stepsFlag = flag.Int("steps", 3000, "how many things happen before the faults end")
	traceFlag = flag.Bool("trace", false, "say what happens")
)

// fixedSeeds are played in every run, beside a random one.
var fixedSeeds = []uint64{1, 2, 3, 4, 5, 6}

// outcome is what a run came to.
type outcome struct {
	broken             error
	trace              string
	acked, read, ended int
}

// simulate plays a seed. plant puts faults of design in, if it is not nil.
func simulate(t *testing.T, seed uint64, steps int, plant func(*scenario)) (o outcome) {
	synctest.Test(t, func(*testing.T) {
		s := newScenario(seed)
		if plant != nil {
			plant(s)
		}
		s.play(steps)
		s.heal()
		s.close()
		o = outcome{s.broken, s.trace.String(), s.acked, s.read, s.ended}
	})
	return o
}

// TestSimulation plays seeds: nothing may break.
func TestSimulation(t *testing.T) { playSeeds(t, nil) }

// TestTransactions plays seeds with transactions that have coordinators.
func TestTransactions(t *testing.T) { playSeeds(t, (*scenario).coordinate) }

// playSeeds plays seeds, none of which may do nothing. A transaction takes many steps of several brokers, so that one seed alone may have a
// calm too short for any of those with coordinators to end; all of them together may not.
func playSeeds(t *testing.T, prepare func(*scenario)) {
	ended := 0
	for _, seed := range seeds() {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			o := simulate(t, seed, *stepsFlag, prepare)
			if *traceFlag {
				t.Log("\n" + o.trace)
			}
			if o.broken != nil {
				t.Fatalf("%v\nsay go test ./cluster/sim -run '^%s$' -seed=%d -steps=%d -args -trace", o.broken, strings.Split(t.Name(), "/")[0], seed, *stepsFlag)
			}
			if o.read == 0 || prepare == nil && (o.acked == 0 || o.ended == 0) {
				t.Errorf("%d batches acknowledged, %d records read, %d transactions ended", o.acked, o.read, o.ended)
			}
			ended += o.ended
		})
	}
	if ended == 0 && *seedFlag == 0 {
		t.Error("no transaction has ended")
	}
}

func seeds() []uint64 {
	switch {
	case *seedFlag != 0:
		return []uint64{*seedFlag}
	case *seedsFlag > 0:
		all := make([]uint64, *seedsFlag)
		for i := range all {
			all[i] = uint64(rand.Uint32())
		}
		return all
	}
	return append(fixedSeeds, uint64(rand.Uint32()))
}

// TestDeterminism plays a seed twice: everything happens alike. With coordinators that takes one processor: which of several markers are in a
// queue when its sender looks is a race else.
func TestDeterminism(t *testing.T) {
	for _, prepare := range []func(*scenario){nil, (*scenario).coordinate} {
		if prepare != nil {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		}
		for _, seed := range fixedSeeds[:3] {
			first := simulate(t, seed, *stepsFlag, prepare)
			if second := simulate(t, seed, *stepsFlag, prepare); first.trace != second.trace {
				t.Errorf("seed %d: %s", seed, firstDifference(first.trace, second.trace))
			}
		}
	}
}

// firstDifference shows where two texts part.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			around := func(lines []string) string {
				return strings.Join(lines[min(max(0, i-3), len(lines)):min(i+4, len(lines))], "\n")
			}
			return fmt.Sprintf("line %d\nwant\n%s\ngot\n%s\n", i+1, around(w), around(g))
		}
	}
	return ""
}
