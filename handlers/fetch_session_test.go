package handlers

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

var sessionStart = time.Unix(1_700_000_000, 0)

// sessionClient speaks to a cache as a reader does: it sends a request and gets an answer in which every partition has the
// marks, and the records, that say tells.
type sessionClient struct {
	t        *testing.T
	cache    *fetchSessions
	image    *cluster.Metadata
	version  int16
	follower bool
	now      time.Time
	say      func(tp protocol.TopicPartition, a *protocol.FetchPartition)
}

func newSessionClient(t *testing.T, slots int) *sessionClient {
	return &sessionClient{t: t, cache: newFetchSessions(slots), image: topicImage("a", "b", "c"), version: 12, now: sessionStart,
		say: func(protocol.TopicPartition, *protocol.FetchPartition) {}}
}

func topicImage(names ...string) *cluster.Metadata {
	r := &cluster.UpdateMetadataRequest{}
	for _, name := range names {
		for partition := range int32(3) {
			r.States = append(r.States, cluster.PartitionState{TopicPartition: protocol.TopicPartition{Topic: name, Partition: partition}, TopicID: topicID(name)})
		}
	}
	m, _ := cluster.NewMetadata("").With(r)
	return m
}

func topicID(name string) protocol.TopicID { return protocol.TopicID{15: name[0]} }

// want makes a request for partitions written "a0", and to forget those written "-a0".
func (c *sessionClient) want(id, epoch int32, partitions ...string) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.SessionID, r.SessionEpoch = c.version, id, epoch
	for _, p := range partitions {
		name, forget := strings.CutPrefix(p, "-")
		topic, partition := name[:1], int32(name[1]-'0')
		if forget {
			r.ForgottenTopics = append(r.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: topic, TopicID: topicID(topic), Partitions: []int32{partition}})
			continue
		}
		q := kmsg.NewFetchRequestTopicPartition()
		q.Partition = partition
		t := kmsg.FetchRequestTopic{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{q}}
		if c.version >= 13 {
			t.Topic, t.TopicID = "", topicID(topic)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// fetch sends a request and returns the session of the answer and the partitions told of in it.
func (c *sessionClient) fetch(id, epoch int32, partitions ...string) (session int32, told string, err error) {
	c.t.Helper()
	x, wants := c.cache.resolve(c.want(id, epoch, partitions...), c.image, 1, c.now, nil)
	if x.err != nil {
		return noSession, "", x.err
	}
	answers, tell := make([]protocol.FetchPartition, len(wants)), make([]bool, len(wants))
	for i, q := range wants {
		answers[i] = protocol.NewFetchPartition(q.Partition, 0)
		answers[i].HighWatermark, answers[i].LogStartOffset = 10, 0
		c.say(q.TopicPartition, &answers[i])
	}
	session, err = c.cache.finish(&x, wants, answers, tell, c.follower, c.now)
	var list []string
	for i, q := range wants {
		if tell[i] {
			list = append(list, fmt.Sprintf("%s%d", q.Topic, q.Partition))
		}
	}
	return session, strings.Join(list, " "), err
}

// expect is fetch with its answer checked.
func (c *sessionClient) expect(session int32, told string, wantErr error, id, epoch int32, partitions ...string) {
	c.t.Helper()
	gotID, gotTold, err := c.fetch(id, epoch, partitions...)
	if gotID != session || gotTold != told || !errors.Is(err, wantErr) {
		c.t.Errorf("fetch(%d, %d, %v) = session %d, told %q, %v; want %d, %q, %v", id, epoch, partitions, gotID, gotTold, err, session, told, wantErr)
	}
}

func TestIncrementalSessionTellsWhatIsNew(t *testing.T) {
	c := newSessionClient(t, 10)
	id, told, _ := c.fetch(0, 0, "a0", "a1", "b0")
	if id == noSession || told != "a0 a1 b0" {
		t.Fatalf("a full request: session %d, told %q", id, told)
	}
	c.expect(id, "", nil, id, 1)

	c.say = func(tp protocol.TopicPartition, a *protocol.FetchPartition) {
		if tp.Partition == 1 {
			a.HighWatermark = 11
		}
	}
	c.expect(id, "a1", nil, id, 2)
	c.expect(id, "", nil, id, 3)

	c.expect(id, "c0", nil, id, 4, "c0")
	c.expect(id, "", nil, id, 5, "-a1", "-c0")
	c.say = func(tp protocol.TopicPartition, a *protocol.FetchPartition) { a.LogStartOffset = 5 }
	c.expect(id, "a0 b0", nil, id, 6)

	c.say = func(tp protocol.TopicPartition, a *protocol.FetchPartition) {
		a.LogStartOffset = 5
		if tp.Topic == "b" {
			*a = protocol.NewFetchPartition(tp.Partition, kerr.NotLeaderForPartition.Code)
			a.LogStartOffset = 5
		}
	}
	c.expect(id, "b0", nil, id, 7)
	c.expect(id, "b0", nil, id, 8) // an error is told each time
	c.say = func(_ protocol.TopicPartition, a *protocol.FetchPartition) { a.LogStartOffset = 5 }
	c.expect(id, "b0", nil, id, 9) // and its end
	c.expect(id, "", nil, id, 10)
}

func TestPartitionsWithRecordsGoToTheEnd(t *testing.T) {
	c := newSessionClient(t, 10)
	id, _, _ := c.fetch(0, 0, "a0", "a1", "b0")
	withRecords := ""
	c.say = func(tp protocol.TopicPartition, a *protocol.FetchPartition) {
		if fmt.Sprintf("%s%d", tp.Topic, tp.Partition) == withRecords {
			a.Records.Bytes = []byte("records")
		}
	}
	for epoch, step := range []struct{ records, order string }{{"a0", "a0 a1 b0"}, {"a1", "a1 b0 a0"}, {"a0", "b0 a0 a1"}, {"", "b0 a1 a0"}} {
		_, wants := peek(c, id)
		if order := strings.Join(wants, " "); order != step.order {
			t.Errorf("order %q, want %q", order, step.order)
		}
		withRecords = step.records
		c.expect(id, step.records, nil, id, int32(epoch)+1)
	}
}

// peek lists a session's partitions in their order.
func peek(c *sessionClient, id int32) (*fetchSession, []string) {
	s := c.cache.sessions[id]
	var order []string
	s.nameLocked(c.image)
	for _, q := range s.standing.Begin(1, nil) {
		order = append(order, fmt.Sprintf("%s%d", q.Topic, q.Partition))
	}
	return s, order
}

func TestSessionErrors(t *testing.T) {
	c := newSessionClient(t, 10)
	id, _, _ := c.fetch(0, 0, "a0")
	c.expect(0, "", kerr.FetchSessionIDNotFound, id+1, 1)
	c.expect(0, "", kerr.InvalidFetchSessionEpoch, id, 2)
	c.expect(id, "", nil, id, 1)
	c.expect(0, "", kerr.InvalidFetchSessionEpoch, id, 1) // the same again
	c.version = 13
	c.expect(0, "", kerr.FetchSessionTopicIDError, id, 2)
	c.version = 12
	c.expect(0, "a0", nil, id, sessionEpochFinal, "a0") // closes it
	c.expect(0, "", kerr.FetchSessionIDNotFound, id, 2)
	c.expect(0, "a0 b0", nil, 0, sessionEpochFinal, "a0", "b0") // sessionless
	c.expect(0, "", nil, 0, 0)                                  // no partitions, no session
}

func TestFullRequestReplacesTheSession(t *testing.T) {
	c := newSessionClient(t, 10)
	first, _, _ := c.fetch(0, 0, "a0")
	second, told, _ := c.fetch(first, 0, "b0")
	if second == first || second == noSession || told != "b0" || len(c.cache.sessions) != 1 {
		t.Errorf("sessions %d and %d, told %q, %d in the cache", first, second, told, len(c.cache.sessions))
	}
}

func TestSessionWithoutPartitionsEnds(t *testing.T) {
	c := newSessionClient(t, 10)
	id, _, _ := c.fetch(0, 0, "a0")
	c.expect(0, "", nil, id, 1, "-a0")
	c.expect(0, "", kerr.FetchSessionIDNotFound, id, 2)
}

func TestSessionEpochWraps(t *testing.T) {
	for epoch, want := range map[int32]int32{0: 1, 1: 2, math.MaxInt32: 1, -1: -1} {
		if got := nextSessionEpoch(epoch); got != want {
			t.Errorf("after %d comes %d, want %d", epoch, got, want)
		}
	}
}

// A reader that is answered while a request of the same session has gone on (the client timed out and asked again) is not
// told what it would count twice.
func TestOvertakenRequest(t *testing.T) {
	c := newSessionClient(t, 10)
	id, _, _ := c.fetch(0, 0, "a0")
	x, wants := c.cache.resolve(c.want(id, 1), c.image, 1, c.now, nil)
	c.expect(id, "", nil, id, 2)
	answers, told := []protocol.FetchPartition{protocol.NewFetchPartition(0, 0)}, make([]bool, 1)
	if got, err := c.cache.finish(&x, wants, answers, told, false, c.now); got != id || !errors.Is(err, kerr.InvalidFetchSessionEpoch) || told[0] {
		t.Errorf("finish = %d, %v, told %v", got, err, told)
	}
}

func TestTopicIDSessionResolvesNamesLater(t *testing.T) {
	c := newSessionClient(t, 10)
	c.version = 13
	c.image = topicImage("a")
	id, told, _ := c.fetch(0, 0, "a0", "b1")
	if told != "a0 1" {
		t.Fatalf("told %q; the id of b has no name yet", told)
	}
	c.image = topicImage("a", "b")
	_, order := peek(c, id)
	if !slices.Equal(order, []string{"a0", "b1"}) {
		t.Errorf("partitions %v after the topic became known", order)
	}
	c.expect(id, "", nil, id, 1, "-b1")
	if _, order := peek(c, id); len(order) != 1 {
		t.Errorf("partitions %v after one was forgotten by its id", order)
	}
}

func TestEviction(t *testing.T) {
	full := func(t *testing.T) (c *sessionClient, ids [3]int32) {
		c = newSessionClient(t, 3)
		ids[0], _, _ = c.fetch(0, 0, "a0")
		ids[1], _, _ = c.fetch(0, 0, "a0", "a1")
		c.follower = true
		ids[2], _, _ = c.fetch(0, 0, "a0")
		c.follower = false
		return c, ids
	}
	gone := func(c *sessionClient, id int32) bool { return c.cache.sessions[id] == nil }

	t.Run("the young are safe from their equals", func(t *testing.T) {
		c, _ := full(t)
		c.expect(noSession, "a0 a1 b0", nil, 0, 0, "a0", "a1", "b0")
	})
	t.Run("not from a follower, which takes the smallest consumer's place", func(t *testing.T) {
		c, ids := full(t)
		c.follower = true
		if id, _, _ := c.fetch(0, 0, "b0"); id == noSession || !gone(c, ids[0]) || gone(c, ids[1]) || gone(c, ids[2]) {
			t.Errorf("session %d; gone %v %v %v", id, gone(c, ids[0]), gone(c, ids[1]), gone(c, ids[2]))
		}
	})
	t.Run("one idle for long goes first, a follower's too", func(t *testing.T) {
		c, ids := full(t)
		c.now = c.now.Add(time.Minute)
		c.fetch(ids[0], 1)
		c.fetch(ids[1], 1)
		c.now = c.now.Add(sessionIdleMax - time.Minute + 1)
		if id, _, _ := c.fetch(0, 0, "b0"); id == noSession || !gone(c, ids[2]) {
			t.Errorf("session %d, the idle one gone %v", id, gone(c, ids[2]))
		}
	})
	t.Run("the settled go for those that are not smaller", func(t *testing.T) {
		c, ids := full(t)
		for epoch := int32(1); epoch <= 3; epoch++ {
			c.now = c.now.Add(time.Minute)
			for _, id := range ids {
				c.fetch(id, epoch)
			}
		}
		if id, _, _ := c.fetch(0, 0, "b0", "b1", "b2"); id == noSession || !gone(c, ids[0]) {
			t.Errorf("session %d, the smallest gone %v", id, gone(c, ids[0]))
		}
		c.expect(noSession, "b0", nil, 0, 0, "b0")
	})
}

// BenchmarkIncrementalFetch measures the session's part of a consumer's request when nothing has changed.
func BenchmarkIncrementalFetch(b *testing.B) {
	c := newFetchSessions(10)
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.SessionEpoch = 12, 0
	for i := range 100 {
		q := kmsg.NewFetchRequestTopicPartition()
		q.Partition = int32(i)
		r.Topics = append(r.Topics, kmsg.FetchRequestTopic{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{q}})
	}
	image := topicImage()
	x, wants := c.resolve(r, image, 1, sessionStart, nil)
	answers, told := make([]protocol.FetchPartition, len(wants)), make([]bool, len(wants))
	for i := range answers {
		answers[i] = protocol.NewFetchPartition(int32(i), 0)
	}
	id, _ := c.finish(&x, wants, answers, told, false, sessionStart)
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.SessionID, next.SessionEpoch = 12, id, 1
	buf := make([]replica.FetchPartition, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		x, wants := c.resolve(next, image, 1, sessionStart, buf)
		if _, err := c.finish(&x, wants, answers, told, false, sessionStart); err != nil || x.err != nil {
			b.Fatal(err, x.err)
		}
		next.SessionEpoch = nextSessionEpoch(next.SessionEpoch)
	}
}
