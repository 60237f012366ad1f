package peer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/replica"
	"gokafka/protocol"
)

func ask(topic string, id byte, partition int32, offset int64) replica.FetchAsk {
	return replica.FetchAsk{TopicPartition: protocol.TopicPartition{Topic: topic, Partition: partition}, Offset: offset, TopicID: protocol.TopicID{id}}
}

// said is what a request says: session, then what is asked for, then what is forgotten.
func said(req *kmsg.FetchRequest) string {
	parts := []string{fmt.Sprintf("%d/%d", req.SessionID, req.SessionEpoch)}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			parts = append(parts, fmt.Sprintf("%s%d-%d@%d", t.Topic, t.TopicID[0], p.Partition, p.FetchOffset))
		}
	}
	var gone []string
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			gone = append(gone, fmt.Sprintf("!%s%d-%d", t.Topic, t.TopicID[0], p))
		}
	}
	slices.Sort(gone)
	return strings.Join(append(parts, gone...), " ")
}

type step struct {
	version int16
	asks    []replica.FetchAsk
	said    string
	lost    bool  // the answer never comes
	code    int16 // of the answer
	id      int32
	again   bool
}

func TestSessionSaysWhatChanged(t *testing.T) {
	a0, a1, b0 := ask("a", 1, 0, 5), ask("a", 1, 1, 6), ask("b", 2, 0, 7)
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"only changes", []step{
			{17, []replica.FetchAsk{a0, a1, b0}, "0/0 a1-0@5 a1-1@6 b2-0@7", false, 0, 9, false},
			{17, []replica.FetchAsk{b0, a1, a0}, "9/1", false, 0, 9, false},
			{17, []replica.FetchAsk{a0, ask("a", 1, 1, 8), b0}, "9/2 a1-1@8", false, 0, 9, false},
			{17, []replica.FetchAsk{a0}, "9/3 !a1-1 !b2-0", false, 0, 9, false},
			{17, []replica.FetchAsk{a0, b0}, "9/4 b2-0@7", false, 0, 9, false},
		}},
		{"a topic made anew", []step{
			{17, []replica.FetchAsk{a0, b0}, "0/0 a1-0@5 b2-0@7", false, 0, 9, false},
			{17, []replica.FetchAsk{ask("a", 3, 0, 0), b0}, "9/1 a3-0@0 !a1-0", false, 0, 9, false},
		}},
		{"a topic that gets its id while another has none", []step{
			{12, []replica.FetchAsk{ask("a", 0, 0, 5), ask("b", 0, 0, 7)}, "0/0 a0-0@5 b0-0@7", false, 0, 9, false},
			{12, []replica.FetchAsk{a0, ask("b", 0, 0, 7)}, "9/1 a1-0@5", false, 0, 9, false},
		}},
		{"no session granted", []step{
			{17, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 0, false},
			{17, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 0, false},
		}},
		{"an answer that is lost", []step{
			{17, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 9, false},
			{17, []replica.FetchAsk{a0, b0}, "9/1 b2-0@7", true, 0, 0, false},
			{17, []replica.FetchAsk{a0, b0}, "9/0 a1-0@5 b2-0@7", false, 0, 10, false},
			{17, []replica.FetchAsk{a0, b0}, "10/1", false, 0, 10, false},
		}},
		{"a leader that forgot", []step{
			{17, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 9, false},
			{17, []replica.FetchAsk{a0}, "9/1", false, kerr.FetchSessionIDNotFound.Code, 0, true},
			{17, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 11, false},
			{17, []replica.FetchAsk{a0}, "11/1", false, kerr.InvalidFetchSessionEpoch.Code, 0, true},
			{17, []replica.FetchAsk{a0}, "11/0 a1-0@5", false, 0, 12, false},
		}},
		{"from names to ids", []step{
			{12, []replica.FetchAsk{a0}, "0/0 a1-0@5", false, 0, 9, false},
			{17, []replica.FetchAsk{a0}, "9/0 a1-0@5", false, 0, 10, false},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { follow(t, tt.steps) })
	}
}

func follow(t *testing.T, steps []step) {
	var s session
	for i, st := range steps {
		req := kmsg.NewPtrFetchRequest()
		req.Version = st.version
		s.ask(req, st.asks, true, 1<<20)
		if got := said(req); got != st.said {
			t.Fatalf("step %d says %q, want %q", i, got, st.said)
		}
		if st.lost {
			s.lost()
			continue
		}
		resp := kmsg.NewPtrFetchResponse()
		resp.SessionID, resp.ErrorCode = st.id, st.code
		if again, err := s.answered(req, resp); again != st.again || err != nil {
			t.Fatalf("step %d: again %v, error %v", i, again, err)
		}
	}
}

// What is not asked for is held as it was, unless the asks are the whole.
func TestSessionSaysPartOfWhatChanged(t *testing.T) {
	a0, a1, b0 := ask("a", 1, 0, 5), ask("a", 1, 1, 6), ask("b", 2, 0, 7)
	var s session
	for i, st := range []struct {
		asks  []replica.FetchAsk
		whole bool
		said  string
	}{
		{[]replica.FetchAsk{a0, a1, b0}, true, "0/0 a1-0@5 a1-1@6 b2-0@7"},
		{[]replica.FetchAsk{ask("a", 1, 1, 8)}, false, "9/1 a1-1@8"},
		{nil, false, "9/2"},
		{[]replica.FetchAsk{a0, ask("a", 1, 1, 8), b0}, true, "9/3"},
		{[]replica.FetchAsk{b0}, true, "9/4 !a1-0 !a1-1"},
	} {
		req := kmsg.NewPtrFetchRequest()
		req.Version = fetchMax
		s.ask(req, st.asks, st.whole, 1<<20)
		if got := said(req); got != st.said {
			t.Errorf("step %d says %q, want %q", i, got, st.said)
		}
		resp := kmsg.NewPtrFetchResponse()
		resp.SessionID = 9
		if _, err := s.answered(req, resp); err != nil {
			t.Fatal(err)
		}
	}
}

// A leader that refuses the first request of a session is not asked again at once.
// Topics that come and go leave no names behind, be they forgotten or made anew under the same name.
func TestSessionForgetsNames(t *testing.T) {
	var s session
	for id := byte(1); id < 100; id += 2 {
		for _, asks := range [][]replica.FetchAsk{
			{ask("stays", 200, 0, 0), ask("again", id, 0, 0), ask("goes", 100+id%100, 0, 0)},
			{ask("stays", 200, 0, 0), ask("again", id+1, 0, 0)},
			{ask("stays", 200, 0, 0), ask("again", id, 0, 0)},
		} {
			req := &kmsg.FetchRequest{Version: 17}
			s.ask(req, asks, true, 1)
			if _, err := s.answered(req, &kmsg.FetchResponse{SessionID: 9}); err != nil {
				t.Fatal(err)
			}
			for _, a := range asks {
				if s.names[a.TopicID] != a.Topic {
					t.Fatalf("%s is not known by its id any more", a.Topic)
				}
			}
			if len(s.names) > len(asks) {
				t.Fatalf("%d names of %d topics", len(s.names), len(asks))
			}
		}
	}
}

func TestRefusedSessionIsAnError(t *testing.T) {
	var s session
	req := kmsg.NewPtrFetchRequest()
	req.Version = fetchMax
	s.ask(req, []replica.FetchAsk{ask("a", 1, 0, 0)}, true, 1)
	resp := kmsg.NewPtrFetchResponse()
	resp.ErrorCode = kerr.InvalidFetchSessionEpoch.Code
	if again, err := s.answered(req, resp); again || err == nil {
		t.Errorf("again %v, error %v", again, err)
	}
}

// BenchmarkSession is a request about a thousand partitions of which one has changed.
func BenchmarkSession(b *testing.B) {
	var asks []replica.FetchAsk
	for i := range 1000 {
		asks = append(asks, ask("a", 1, int32(i), 0))
	}
	s := session{}
	s.id, s.epoch, s.byID = 1, 1, true
	b.ReportAllocs()
	for b.Loop() {
		asks[500].Offset++
		req := kmsg.NewPtrFetchRequest()
		req.Version = 17
		s.ask(req, asks, true, 1<<20)
	}
}
