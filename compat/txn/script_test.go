package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/load"
)

// scene is a script for producers a and b. A line ends with what is expected of it: "ok", or "failed", whose kind is the
// client's, and the same whichever broker it spoke to. TOPIC, GROUP and ID are the client's own. What begins with a capital is
// done by the test:
//
//	Restart, Kill     the broker, which comes back
//	State ID S        wait until the transaction is in that state
//	Holds TOPIC V...  what a reader of committed records finds in each partition
//	Offset GROUP N    the offset that the group has committed
type scene struct {
	name  string
	lines []string
}

// librdkafka does not come back from sending offsets when its only broker was away before, whichever broker that is: no scene does so.
var scenes = []scene{
	{"commit", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "offsets a GROUP TOPIC 5 ok", "Offset GROUP -1", "Holds TOPIC",
		"send a TOPIC 1 two ok", "commit a ok", "Holds TOPIC one two", "Offset GROUP 5", "State ID CompleteCommit", "close a ok"}},
	{"abort", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "offsets a GROUP TOPIC 7 ok", "abort a ok", "Offset GROUP -1", "State ID CompleteAbort",
		"begin a ok", "send a TOPIC 1 two ok", "offsets a GROUP TOPIC 8 ok", "commit a ok", "Holds TOPIC two", "Offset GROUP 8", "close a ok"}},
	{"nothing in it", []string{
		"init a ID 60000 ok", "begin a ok", "commit a ok", "begin a ok", "abort a ok", "State ID Empty", "begin a ok", "send a TOPIC 1 one ok", "commit a ok", "Holds TOPIC one", "close a ok"}},
	{"fenced while sending", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "init b ID 60000 ok", "State ID Empty", "begin b ok", "send b TOPIC 1 two ok",
		"send a TOPIC 1 three failed", "commit b ok", "Holds TOPIC two", "close a ok", "close b ok"}},
	{"fenced at commit", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "offsets a GROUP TOPIC 5 ok", "init b ID 60000 ok", "commit a failed",
		"Holds TOPIC", "Offset GROUP -1", "close a ok", "close b ok"}},
	{"fenced at abort", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "init b ID 60000 ok", "begin b ok", "send b TOPIC 1 two ok", "abort a failed",
		"commit b ok", "Holds TOPIC two", "close a ok", "close b ok"}},
	{"fenced with offsets", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 1 one ok", "init b ID 60000 ok", "offsets a GROUP TOPIC 5 failed", "Offset GROUP -1", "Holds TOPIC", "close a ok", "close b ok"}},
	{"timed out", []string{
		"init a ID 2000 ok", "begin a ok", "send a TOPIC 1 one ok", "offsets a GROUP TOPIC 5 ok", "State ID CompleteAbort", "commit a failed", "Holds TOPIC", "Offset GROUP -1", "close a ok",
		"init b ID 60000 ok", "begin b ok", "send b TOPIC 1 two ok", "commit b ok", "Holds TOPIC two", "close b ok"}},
	{"too long a timeout", []string{"init a ID 900001 failed", "init b ID 900000 ok", "close b ok"}},
	{"many partitions", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 20 one ok", "commit a ok", "begin a ok", "send a TOPIC 20 two ok", "abort a ok",
		"begin a ok", "send a TOPIC 20 three ok", "commit a ok", "Holds TOPIC one three", "close a ok"}},
	{"over a restart and a kill", []string{
		"init a ID 60000 ok", "begin a ok", "send a TOPIC 5 one ok", "offsets a GROUP TOPIC 5 ok", "Restart", "send a TOPIC 5 two ok", "commit a ok",
		"Holds TOPIC one two", "Offset GROUP 5", "begin a ok", "send a TOPIC 5 three ok", "Kill", "send a TOPIC 5 four ok", "commit a ok",
		"State ID CompleteCommit", "Holds TOPIC one two three four", "begin a ok", "send a TOPIC 5 five ok", "abort a ok",
		"Holds TOPIC one two three four", "close a ok"}},
}

// stage is where all performers play at once, on one broker.
type stage struct {
	t      *testing.T
	broker compat.Broker
	admin  *kadm.Client
	actors []*actor

	mu    sync.Mutex
	kinds map[string]string // how each failed, by scene, line and client
}

// Transactions go for every client as they do on Apache: what commits, what aborts, who is fenced, and what is read afterwards.
func TestScenes(t *testing.T) {
	together(t)
	kinds := map[string]map[string]string{}
	compat.Each(t, quick, func(t *testing.T, b compat.Broker) {
		s := &stage{t: t, broker: b, admin: kadm.NewClient(load.Client(t, b.Addr())), kinds: map[string]string{}}
		// librdkafka may wait for ever for the coordinator of a group while the topic of offsets is being made.
		await(t, time.Minute, "coordinator of groups", func(ctx context.Context) error {
			_, err := s.admin.FetchOffsets(ctx, "group")
			return err
		})
		dir := compat.Dir(t, "performers")
		for _, p := range Performers {
			s.actors = append(s.actors, engage(t, p, b.Addr(), dir))
		}
		for _, sc := range scenes {
			t.Run(sc.name, func(t *testing.T) { s.play(t, sc) })
		}
		kinds[b.Name()] = s.kinds
	})
	if len(kinds) < 2 {
		return // one broker was asked for
	}
	for line, want := range kinds["apache"] {
		if got := kinds["gokafka"][line]; got != want {
			t.Errorf("%s:\n  apache  %s\n  gokafka %s", line, want, got)
		}
	}
}

func (s *stage) own(client, scene string) (topic string, names *strings.Replacer) {
	base := client + "-" + strings.ReplaceAll(scene, " ", "-")
	return "topic-" + base, strings.NewReplacer("TOPIC", "topic-"+base, "GROUP", "group-"+base, "ID", "id-"+base)
}

func (s *stage) play(t *testing.T, sc scene) {
	var topics []string
	for _, a := range s.actors {
		topic, _ := s.own(a.name, sc.name)
		topics = append(topics, topic)
	}
	createTopics(t, s.admin, int32(sc.partitions()), 1, topics...)
	for _, line := range sc.lines {
		if line == "Restart" || line == "Kill" {
			s.bounce(t, line)
			continue
		}
		var wg sync.WaitGroup
		for _, a := range s.actors {
			wg.Go(func() { s.line(t, sc, a, line) })
		}
		wg.Wait()
		if t.Failed() {
			t.Fatalf("after %q", line)
		}
	}
}

// partitions are as many as the scene writes to.
func (sc scene) partitions() int {
	n := 1
	for _, line := range sc.lines {
		if words := strings.Fields(line); words[0] == "send" {
			var here int
			if _, err := fmt.Sscan(words[3], &here); err == nil {
				n = max(n, here)
			}
		}
	}
	return n
}

func (s *stage) bounce(t *testing.T, how string) {
	if how == "Restart" {
		compat.Restart(t, s.broker)
		return
	}
	s.broker.Kill()
	if err := s.broker.Start(); err != nil {
		t.Fatal(err)
	}
}

// line is one line of a scene for one client. It reports with Errorf: it does not run in the test's goroutine.
func (s *stage) line(t *testing.T, sc scene, a *actor, line string) {
	_, names := s.own(a.name, sc.name)
	words := strings.Fields(names.Replace(line))
	switch words[0] {
	case "Holds":
		s.holds(t, a.name, words[1], sc.partitions(), words[2:])
	case "Offset":
		s.offset(t, words[1], words[2])
	case "State":
		s.state(t, words[1], words[2])
	default:
		last := len(words) - 1
		answer, err := a.tell(strings.Join(words[:last], " "))
		if err != nil {
			t.Error(err)
			return
		}
		got, kind, _ := strings.Cut(answer, " ")
		if got != words[last] {
			t.Errorf("%s: %s: %s, want %s", a.name, line, answer, words[last])
		}
		if got == "failed" {
			s.failed(sc.name+", "+line+", "+a.name, kind)
		}
	}
}

func (s *stage) failed(line, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[line] = kind
}

// holds waits until a reader of committed records finds what is wanted: an answered commit is seen a little later.
func (s *stage) holds(t *testing.T, client, topic string, partitions int, want []string) {
	for p := range partitions {
		err := try(time.Minute, func(ctx context.Context) error {
			got, err := s.committed(ctx, topic, int32(p))
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("partition %d of %s holds %v, want %v", p, topic, got, want)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", client, err)
			return
		}
	}
}

// committed reads up to the last stable offset, below which every transaction has come to its end.
func (s *stage) committed(ctx context.Context, topic string, partition int32) ([]string, error) {
	stable, err := s.admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, stable.Error()); err != nil {
		return nil, err
	}
	return readPartition(ctx, s.broker.Addr(), topic, partition, stable[topic][partition].Offset)
}

// readPartition reads the committed records below an offset. The last record there is a marker, which it asks for too.
func readPartition(ctx context.Context, addr, topic string, partition int32, to int64) (values []string, err error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(0)}}))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for next := int64(0); next < to; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("at %d of %d: %w", next, to, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values, nil
}

func (s *stage) offset(t *testing.T, group, want string) {
	err := try(time.Minute, func(ctx context.Context) error {
		offsets, err := s.admin.FetchOffsets(ctx, group)
		at := int64(-1)
		offsets.Each(func(o kadm.OffsetResponse) { at = o.At })
		if err = errors.Join(err, offsets.Error()); err == nil && fmt.Sprint(at) != want {
			err = fmt.Errorf("%d is committed", at)
		}
		return err
	})
	if err != nil {
		t.Errorf("%s has not committed %s: %v", group, want, err)
	}
}

func (s *stage) state(t *testing.T, id, want string) {
	err := try(time.Minute, func(ctx context.Context) error {
		found, err := s.admin.DescribeTransactions(ctx, id)
		if now := found[id]; err == nil && (now.Err != nil || now.State != want) {
			err = fmt.Errorf("%s: %w", now.State, now.Err)
		}
		return err
	})
	if err != nil {
		t.Errorf("%s is not %s: %v", id, want, err)
	}
}
