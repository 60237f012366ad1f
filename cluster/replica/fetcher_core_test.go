package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// history of a paperLog: the leader epoch and the name of each record, from offset start on. "1a 1b 2c" are two records of epoch 1
// and one of epoch 2.
type paperLog struct {
	start   int64
	records []paperRecord
}

type paperRecord struct {
	epoch cluster.LeaderEpoch
	name  string
}

func write(records string) *paperLog {
	l := &paperLog{}
	for _, f := range strings.Fields(records) {
		l.records = append(l.records, paperRecord{cluster.LeaderEpoch(f[0] - '0'), f[1:]})
	}
	return l
}

func (l *paperLog) String() string {
	var s []string
	for _, r := range l.records {
		s = append(s, fmt.Sprintf("%d%s", r.epoch, r.name))
	}
	return strings.Join(s, " ")
}

func (l *paperLog) End() int64 { return l.start + int64(len(l.records)) }

func (l *paperLog) LatestEpoch() cluster.LeaderEpoch {
	if len(l.records) == 0 {
		return cluster.NoEpoch
	}
	return l.records[len(l.records)-1].epoch
}

// EndOfEpoch answers as a log's epoch cache does.
func (l *paperLog) EndOfEpoch(epoch cluster.LeaderEpoch) EpochEnd {
	switch {
	case epoch < 0 || len(l.records) == 0 || epoch > l.LatestEpoch():
		return EpochEnd{-1, -1}
	case epoch < l.records[0].epoch:
		return EpochEnd{epoch, l.start}
	}
	found := EpochEnd{-1, -1}
	for i, r := range l.records {
		if r.epoch <= epoch {
			found = EpochEnd{r.epoch, l.start + int64(i) + 1}
		}
	}
	return found
}

func (l *paperLog) truncate(offset int64) { l.records = l.records[:offset-l.start] }

// answer is a leader's answer to a fetch.
func (l *paperLog) answer(ask FetchAsk) (records []paperRecord, diverging EpochEnd, err error) {
	diverging = EpochEnd{-1, -1}
	if ask.LastEpoch != cluster.NoEpoch {
		e := l.EndOfEpoch(ask.LastEpoch)
		switch {
		case e.Epoch < 0 || ask.Offset < l.start:
			return nil, diverging, kerr.OffsetOutOfRange
		case e.Epoch < ask.LastEpoch || e.End < ask.Offset:
			return nil, e, nil
		}
	}
	if ask.Offset > l.End() || ask.Offset < l.start {
		return nil, diverging, kerr.OffsetOutOfRange
	}
	return l.records[ask.Offset-l.start:], diverging, nil
}

var tp0 = protocol.TopicPartition{Topic: "t"}

// replicate lets a follower fetch until it has all that the leader has, and returns how it went.
func replicate(t *testing.T, leader, follower *paperLog, highWatermark int64, askEpochs bool) (script []string) {
	t.Helper()
	c := newFetcherCore(time.Second, askEpochs)
	begin := follower.End()
	if follower.LatestEpoch() == cluster.NoEpoch {
		begin = highWatermark
	}
	c.follow(tp0, 9, begin, follower)
	say := func(format string, args ...any) { script = append(script, fmt.Sprintf(format, args...)) }
	carryOut := func(ask FetchAsk, o order) {
		if o.todo == todoTruncate {
			say("truncate %d", o.offset)
			follower.truncate(o.offset)
			c.truncated(&ask, o, follower)
		}
	}
	for range 20 {
		for _, ask := range c.questions(t0) {
			if ask.LastEpoch == cluster.NoEpoch {
				carryOut(ask, c.withoutEpochs(&ask, t0))
				continue
			}
			end := leader.EndOfEpoch(ask.LastEpoch)
			say("epoch %d ends (%d, %d)", ask.LastEpoch, end.Epoch, end.End)
			carryOut(ask, c.epochAnswered(&ask, end, nil, follower, t0))
		}
		for _, ask := range everything(&c, t0) {
			records, diverging, err := leader.answer(ask)
			o := c.fetched(&ask, diverging, err, follower, t0)
			switch o.todo {
			case todoAppend:
				if len(records) == 0 {
					return script
				}
				say("append %d", len(records))
				follower.records = append(follower.records, records...)
				c.appended(&ask, copied{next: follower.End(), lastEpoch: follower.LatestEpoch()}, highWatermark)
			case todoTruncate:
				say("diverging (%d, %d)", diverging.Epoch, diverging.End)
				carryOut(ask, o)
			case todoFindOffset:
				say("out of range")
				o, anew := c.rangeFound(&ask, leader.start, leader.End(), nil, follower, t0)
				if anew {
					say("start anew at %d", o.offset)
					*follower = paperLog{start: o.offset}
					c.truncated(&ask, o, follower)
					continue
				}
				carryOut(ask, o)
			}
		}
	}
	t.Fatalf("no end: %v", script)
	return nil
}

func TestFollowerConverges(t *testing.T) {
	for _, test := range []struct {
		name             string
		leader, follower string
		highWatermark    int64
		fetch, ask       string // how it goes with either way to truncate
	}{
		{"case 2, KIP-101 loss: nothing is cut to the high watermark", "0a 0b", "0a 0b", 1,
			"", "epoch 0 ends (0, 2); truncate 2"},
		{"case 3, KIP-101 fork: the record of the lost epoch goes", "0a 1c", "0a 0b", 2,
			"diverging (0, 1); truncate 1; append 1", "epoch 0 ends (0, 1); truncate 1; append 1"},
		{"case 5, KIP-279: two elections without the other", "1x 3z", "1x 2y", 1,
			"diverging (1, 1); truncate 1; append 1", "epoch 2 ends (1, 1); truncate 1; append 1"},
		{"KIP-279: the leader names an epoch that the follower lacks", "1x 3z", "0w 2y", 0,
			"diverging (1, 1); truncate 1; diverging (0, 0); truncate 0; append 2",
			"epoch 2 ends (1, 1); truncate 1; epoch 0 ends (0, 0); truncate 0; append 2"},
		{"A: follower is a prefix", "1a 1b 2c", "1a 1b", 2, "append 1", "epoch 1 ends (1, 2); truncate 2; append 1"},
		{"B: follower has more of the same epoch", "1a 2c", "1a 1b", 1,
			"diverging (1, 1); truncate 1; append 1", "epoch 1 ends (1, 1); truncate 1; append 1"},
		{"C: the leader has less, without a new epoch", "1a", "1a 1b 1c", 1, "diverging (1, 1); truncate 1", "epoch 1 ends (1, 1); truncate 1"},
		{"D: epochs interleave", "1a 1b 3e 5g", "1a 2c 4f", 1,
			"diverging (3, 3); truncate 2; diverging (1, 2); truncate 1; append 3",
			"epoch 4 ends (3, 3); truncate 2; epoch 2 ends (1, 2); truncate 1; append 3"},
		{"E: empty follower", "1a 2b", "", 0, "truncate 0; append 2", "truncate 0; append 2"},
		{"F: equal", "1a 2b", "1a 2b", 2, "", "epoch 2 ends (2, 2); truncate 2"},
		{"G: case 13, two epochs missed", "1a 3c 5d", "1a 1b", 1,
			"diverging (1, 1); truncate 1; append 2", "epoch 1 ends (1, 1); truncate 1; append 2"},
	} {
		for way, want := range map[bool]string{false: test.fetch, true: test.ask} {
			t.Run(fmt.Sprintf("%s/askEpochs=%v", test.name, way), func(t *testing.T) {
				leader, follower := write(test.leader), write(test.follower)
				script := strings.Join(replicate(t, leader, follower, test.highWatermark, way), "; ")
				if script != want {
					t.Errorf("went: %s\nwant: %s", script, want)
				}
				if follower.String() != test.leader {
					t.Errorf("follower has %q, leader %q", follower, leader)
				}
			})
		}
	}
}

func TestFollowerOutOfRange(t *testing.T) {
	t.Run("case 12: behind the leader's start", func(t *testing.T) {
		leader, follower := write("1a 1b 2c"), write("1a")
		leader.start, leader.records = 2, leader.records[2:]
		script := strings.Join(replicate(t, leader, follower, 1, false), "; ")
		if script != "out of range; start anew at 2; append 1" || follower.String() != "2c" || follower.start != 2 {
			t.Errorf("went: %s; follower %q from %d", script, follower, follower.start)
		}
	})
	t.Run("after an unclean election of an empty leader", func(t *testing.T) {
		leader, follower := write(""), write("1a 1b")
		if script := strings.Join(replicate(t, leader, follower, 2, false), "; "); script != "out of range; truncate 0" || follower.End() != 0 {
			t.Errorf("went: %s; follower %q", script, follower)
		}
	})
}

// step is one answer that a fetching partition gets, and what must come of it.
func TestFetcherErrors(t *testing.T) {
	for _, test := range []struct {
		err     error
		failed  bool
		delayed bool
	}{
		{kerr.FencedLeaderEpoch, true, false},
		{kerr.UnknownLeaderEpoch, false, true},
		{kerr.NotLeaderForPartition, false, true},
		{kerr.UnknownTopicOrPartition, false, true},
		{kerr.UnknownTopicID, false, true},
		{kerr.InconsistentTopicID, false, true},
		{kerr.KafkaStorageError, false, true},
		{kerr.UnknownServerError, false, true},
	} {
		l := write("1a")
		c := newFetcherCore(time.Second, false)
		c.follow(tp0, 5, 1, l)
		ask := everything(&c, t0)[0]
		if o := c.fetched(&ask, EpochEnd{-1, -1}, test.err, l, t0); o.todo != todoNothing {
			t.Errorf("%v: %v", test.err, o)
		}
		if n := len(everything(&c, t0)); n != 0 {
			t.Errorf("%v: fetched again at once", test.err)
		}
		if delayed := len(everything(&c, t0.Add(time.Second))) == 1; delayed != test.delayed {
			t.Errorf("%v: fetched again after the back-off %v, want %v", test.err, delayed, test.delayed)
		}
		if s := c.states[tp0]; s.failed != test.failed {
			t.Errorf("%v: failed %v", test.err, s.failed)
		}
		c.follow(tp0, 6, 1, l)
		if len(everything(&c, t0)) != 1 {
			t.Errorf("%v: not fetched in the next epoch", test.err)
		}
	}
}

// A leader that has not heard yet that it leads is asked again soon, then ever less often, until it answers.
func TestLeaderThatDoesNotKnowYet(t *testing.T) {
	l := write("1a")
	c := newFetcherCore(time.Second, false)
	c.follow(tp0, 5, 1, l)
	now := t0
	refuse := func(err error) time.Duration {
		ask := everything(&c, now)[0]
		c.fetched(&ask, EpochEnd{-1, -1}, err, l, now)
		pause := c.wakeAt(now).Sub(now)
		now = now.Add(pause)
		return pause
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		if got := refuse(kerr.UnknownLeaderEpoch); got != want*time.Millisecond {
			t.Errorf("pause %v, want %d ms", got, want)
		}
	}
	if got := refuse(kerr.UnknownServerError); got != time.Second {
		t.Errorf("after another error: pause %v", got)
	}
	ask := everything(&c, now)[0]
	c.appended(&ask, copied{next: 1, lastEpoch: cluster.NoEpoch}, 1)
	if got := refuse(kerr.NotLeaderForPartition); got != 10*time.Millisecond {
		t.Errorf("after an answer: pause %v", got)
	}
}

func TestLateAnswersAreIgnored(t *testing.T) {
	l := write("1a")
	for name, meanwhile := range map[string]func(c *fetcherCore){
		"case 14: the epoch changed": func(c *fetcherCore) { c.follow(tp0, 6, 1, l) },
		"the partition was removed":  func(c *fetcherCore) { c.unfollow(tp0) },
		"the offset moved":           func(c *fetcherCore) { c.states[tp0].offset = 7 },
		"it was delayed":             func(c *fetcherCore) { c.delayed(everything(c, t0), t0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newFetcherCore(time.Second, false)
			c.follow(tp0, 5, 1, l)
			ask := everything(&c, t0)[0]
			meanwhile(&c)
			if o := c.fetched(&ask, EpochEnd{0, 0}, nil, l, t0); o.todo != todoNothing {
				t.Errorf("fetched: %v", o)
			}
			c.truncated(&ask, order{offset: 0}, l)
			if s := c.states[tp0]; s != nil && s.epoch == 6 && s.offset != 1 {
				t.Errorf("a late truncation moved the new epoch to %d", s.offset)
			}
		})
	}
}

func TestPartitionsTakeTurns(t *testing.T) {
	l := write("1a")
	c := newFetcherCore(time.Second, false)
	tp := func(p int32) protocol.TopicPartition { return protocol.TopicPartition{Topic: "t", Partition: p} }
	for p := range int32(3) {
		c.follow(tp(p), 5, 1, l)
	}
	first := everything(&c, t0)
	c.appended(&first[0], copied{next: 5, lastEpoch: 1}, 9) // got records
	c.appended(&first[1], copied{next: 1, lastEpoch: 1}, 9) // got none
	var order []int32
	for _, ask := range everything(&c, t0) {
		order = append(order, ask.Partition)
	}
	if fmt.Sprint(order) != "[1 2 0]" {
		t.Errorf("order %v; the one that got records goes to the end", order)
	}
	if at := c.wakeAt(t0); !at.IsZero() {
		t.Errorf("nothing is delayed, yet wakes at %v", at)
	}
	c.delayed(first[1:2], t0)
	if at := c.wakeAt(t0); !at.Equal(t0.Add(time.Second)) {
		t.Errorf("wakes at %v", at)
	}
}

// everything is what a leader that remembers nothing is asked for.
func everything(c *fetcherCore, now time.Time) []FetchAsk {
	asks, _ := c.fetches(now, false)
	return asks
}

// An answer is for what was asked in the same round, and for nothing else: not for a partition that is not followed, nor for one that was left out.
func TestAskOf(t *testing.T) {
	c := newFetcherCore(time.Second, false)
	tps := []protocol.TopicPartition{{Topic: "t"}, {Topic: "t", Partition: 1}, {Topic: "t", Partition: 2}}
	for _, tp := range tps {
		c.follow(tp, 5, 0, write("5a"))
	}
	now := time.Now()
	everything(&c, now)
	c.failed(tps[1])
	asks := everything(&c, now)
	if a := c.askOf(tps[2]); len(asks) != 2 || a == nil || *a != asks[1] {
		t.Errorf("%v of %v", a, asks)
	}
	for _, tp := range []protocol.TopicPartition{tps[1], {Topic: "u"}} {
		if a := c.askOf(tp); a != nil {
			t.Errorf("%v was not asked for, and is %v", tp, a)
		}
	}
	c.unfollow(tps[2])
	if a := c.askOf(tps[2]); a != nil {
		t.Errorf("%v is not followed any more, and is %v", tps[2], a)
	}
}

// A leader that remembers is asked for what was appended to, until something else happens, and for everything now and then.
func TestOnlyChangesAreAskedFor(t *testing.T) {
	l := write("5a")
	tp := func(p int32) protocol.TopicPartition { return protocol.TopicPartition{Topic: "t", Partition: p} }
	for name, test := range map[string]struct {
		meanwhile func(c *fetcherCore)
		after     time.Duration
		forgotten bool
		want      string
	}{
		"nothing":   {want: "[]"},
		"an append": {meanwhile: func(c *fetcherCore) { c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3) }, want: "[1@3]"},
		"two appends to one": {meanwhile: func(c *fetcherCore) {
			c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3)
			c.appended(c.askOf(tp(1)), copied{next: 4, lastEpoch: 5}, 4)
		}, want: "[1@4]"},
		"an answer without records": {meanwhile: func(c *fetcherCore) { c.appended(c.askOf(tp(1)), copied{next: 1, lastEpoch: cluster.NoEpoch}, 1) }, want: "[]"},
		"records were deleted": {meanwhile: func(c *fetcherCore) {
			c.appended(c.askOf(tp(1)), copied{next: 1, lastEpoch: cluster.NoEpoch, startMoved: true}, 1)
		}, want: "[1@1]"},
		"an append after a failure": {meanwhile: func(c *fetcherCore) {
			c.failed(tp(2))
			c.fetches(t0, true)
			c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3)
		}, want: "[1@3]"},
		"an append, long ago":           {meanwhile: func(c *fetcherCore) { c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3) }, after: WholeEvery, want: "[0@1 2@1 1@3]"},
		"an append, the leader forgot":  {meanwhile: func(c *fetcherCore) { c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3) }, forgotten: true, want: "[0@1 2@1 1@3]"},
		"one more is followed":          {meanwhile: func(c *fetcherCore) { c.follow(tp(3), 5, 1, l) }, want: "[0@1 1@1 2@1 3@1]"},
		"one is not followed any more":  {meanwhile: func(c *fetcherCore) { c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 3); c.unfollow(tp(1)) }, want: "[0@1 2@1]"},
		"one failed":                    {meanwhile: func(c *fetcherCore) { c.failed(tp(1)) }, want: "[0@1 2@1]"},
		"one was refused":               {meanwhile: func(c *fetcherCore) { c.refused(c.states[tp(1)], kerr.UnknownLeaderEpoch, t0) }, want: "[0@1 2@1]"},
		"one was truncated":             {meanwhile: func(c *fetcherCore) { c.truncated(c.askOf(tp(1)), order{offset: 0, complete: true}, l) }, want: "[0@1 2@1 1@0]"},
		"the leader could not be asked": {meanwhile: func(c *fetcherCore) { c.allDelayed(t0) }, want: "[]"},
		"one has to wait for others": {meanwhile: func(c *fetcherCore) {
			c.throttled = func(q protocol.TopicPartition) bool { return q == tp(1) }
			c.appended(c.askOf(tp(1)), copied{next: 3, lastEpoch: 5}, 9)
		}, want: "[0@1 2@1]"},
	} {
		c := newFetcherCore(time.Second, false)
		for p := range int32(3) {
			c.follow(tp(p), 5, 1, l)
		}
		c.fetches(t0, false)
		if again, whole := c.fetches(t0, true); len(again) != 0 || whole {
			t.Errorf("asked for %v at once again, whole: %v", again, whole)
		}
		if test.meanwhile != nil {
			test.meanwhile(&c)
		}
		asks, _ := c.fetches(t0.Add(test.after), !test.forgotten)
		got := make([]string, len(asks))
		for i, a := range asks {
			got[i] = fmt.Sprintf("%d@%d", a.Partition, a.Offset)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: asked for %v, want %s", name, got, test.want)
		}
	}
}

// A leader of which nothing is followed any more is asked for nothing, and not for the changes in nothing.
func TestNothingIsAskedForWhenNothingIsFollowed(t *testing.T) {
	c := newFetcherCore(time.Second, false)
	c.follow(tp0, 5, 1, write("5a"))
	c.fetches(t0, false)
	c.unfollow(tp0)
	for range 2 {
		if asks, whole := c.fetches(t0, true); len(asks) != 0 || !whole {
			t.Errorf("asks %v, whole: %v", asks, whole)
		}
	}
}

// BenchmarkFetcherRound is what a round of fetching costs a follower before and after the request, per partition of a thousand of which one has
// records.
func BenchmarkFetcherRound(b *testing.B) {
	const n = 1000
	b.ReportAllocs()
	c := newFetcherCore(time.Second, false)
	for i := range n {
		c.follow(protocol.TopicPartition{Topic: "t", Partition: int32(i)}, 5, 0, write("5a"))
	}
	now := time.Now()
	for b.Loop() {
		c.questions(now)
		c.fetches(now, true)
		a := *c.askOf(protocol.TopicPartition{Topic: "t", Partition: n / 2})
		if o := c.fetched(&a, EpochEnd{-1, -1}, nil, write("5a"), now); o.todo != todoAppend {
			b.Fatal(o)
		}
		c.appended(&a, copied{next: a.Offset + 1, lastEpoch: 5}, a.Offset+1)
	}
}
