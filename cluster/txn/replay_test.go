package txn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// TestMemoryIsTheLog does things at random, and compares what the shard has in memory with what another would load from the log,
// whenever nothing is under way. Whatever happens, epochs do not go back, and what is decided stays decided.
func TestMemoryIsTheLog(t *testing.T) {
	for seed := range uint64(100) {
		r := &random{dialogue: newDialogue(t), Rand: rand.New(rand.NewPCG(seed, 0)), given: map[string]Producer{}}
		for range 300 {
			r.step()
			r.check(seed)
			if t.Failed() {
				return
			}
		}
	}
}

// random drives a shard without a plan.
type random struct {
	*dialogue
	*rand.Rand
	given map[string]Producer // newest by id
	held  bool
}

func (r *random) step() {
	id := fmt.Sprint("id-", r.IntN(3))
	p := r.given[id]
	if r.IntN(8) == 0 {
		p.Epoch-- // a zombie's
	}
	switch r.IntN(12) {
	case 0, 1:
		r.initialize(id, p)
	case 2, 3, 4:
		r.event(id, func(now time.Time, t *Transaction) (*metadata, error) {
			return t.AddPartitions(now, p, at("t", r.Int32N(4), r.Int32N(4)))
		})
	case 5, 6:
		commit := r.IntN(2) == 0
		r.event(id, func(now time.Time, t *Transaction) (*metadata, error) { return t.End(now, p, commit) })
	case 7, 8:
		r.markers()
	default:
		r.surroundings()
	}
}

func (r *random) initialize(id string, p Producer) {
	request := &InitRequest{TransactionalID: id, TimeoutMillis: 1000, Expected: NoProducer}
	if r.IntN(2) == 0 && p.ID > 0 {
		request.Expected = p
	}
	r.fresh++
	var given Producer
	r.shard.change(r.now, id, initialize(request, r.fresh, &given), func(err error) {
		if err == nil {
			r.given[id] = given
		}
	})
	if t := r.shard.txns[id]; t != nil && t.pending == nil && r.IntN(10) == 0 && t.state == Empty {
		r.given[id] = t.Producer // as one that heard of it late
	}
}

// markers writes some of the markers that are on their way.
func (r *random) markers() {
	for _, t := range r.shard.txns {
		if t.state.prepared() && len(t.unmarked) > 0 {
			some := append([]protocol.TopicPartition(nil), t.unmarked[:1+r.IntN(len(t.unmarked))]...)
			if t.Marked(some) != nil {
				r.shard.complete(t, r.now)
			}
			return
		}
	}
}

// surroundings are the log, the clock, and other coordinators.
func (r *random) surroundings() {
	switch r.IntN(8) {
	case 0:
		r.now = r.now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		r.shard.abortOverdue(r.now)
	case 1:
		if r.IntN(4) == 0 {
			r.now = r.now.Add(r.settings.IDExpiration)
		}
		r.shard.forgetIdle(r.now)
	case 2:
		if !r.held {
			r.journal.hold()
			r.held = true
		}
	case 3, 4:
		r.letGo([]error{nil, nil, kerr.NotEnoughReplicasAfterAppend}[r.IntN(3)])
	case 5:
		r.journal.refuse = []error{nil, kerr.NotEnoughReplicas, nil}[r.IntN(3)]
	case 6:
		r.shard.unstick(r.now)
	case 7:
		r.letGo(nil)
		r.journal.refuse = nil
		r.reload()
	}
}

func (r *random) letGo(outcome error) {
	if r.held {
		r.held = false
		r.release(outcome)
	}
}

func (r *random) check(seed uint64) {
	r.replies = nil
	if r.shard.flying > 0 || r.held {
		return
	}
	l := loader{logger: r.settings.Logger, txns: map[string]*Transaction{}}
	if err := r.journal.Replay(context.Background(), r.shard.tp, 0, l.add); err != nil {
		r.t.Fatal(err)
	}
	for id, t := range r.shard.txns {
		if t.pending != nil && !t.state.prepared() {
			r.t.Fatalf("seed %d: %s waits for nothing: %+v", seed, id, t)
		}
		memory := t.metadata
		memory.last = NoProducer
		if t.vacant() {
			r.t.Fatalf("seed %d: %s is kept for nobody", seed, id)
		}
		if stored := l.txns[id]; stored == nil || !reflect.DeepEqual(stored.appendTo(nil), memory.appendTo(nil)) {
			r.t.Fatalf("seed %d: memory has %s, the log %+v", seed, show(&memory), stored)
		}
		if given := r.given[id]; given.ID == t.ID && given.Epoch > t.Epoch {
			r.t.Fatalf("seed %d: %s was given epoch %d and has %d", seed, id, given.Epoch, t.Epoch)
		}
	}
	if len(l.txns) != len(r.shard.txns) {
		r.t.Fatalf("seed %d: %d ids in the log, %d in memory", seed, len(l.txns), len(r.shard.txns))
	}
}
