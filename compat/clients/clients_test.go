package clients

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
)

// at once: the drivers run beside the broker on the same few cores.
const parallel = 3

// each runs a case for every client, a few at a time.
func each(t *testing.T, clients []Client, run func(t *testing.T, c Client)) {
	slots := make(chan struct{}, parallel)
	t.Run("clients", func(t *testing.T) {
		for _, c := range chosen(clients) {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				run(t, c)
			})
		}
	})
}

// chosen are those of the clients that $COMPAT_CLIENTS names, or all.
func chosen(clients []Client) []Client {
	only := os.Getenv("COMPAT_CLIENTS")
	if only == "" {
		return clients
	}
	return slices.DeleteFunc(slices.Clone(clients), func(c Client) bool { return !slices.Contains(strings.Split(only, ","), c.Name) })
}

func admin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

func create(t *testing.T, addr, topic string, partitions int32) {
	t.Helper()
	if _, err := admin(t, addr).CreateTopic(context.Background(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// Every client's records arrive whole and in order, whoever reads them.
func TestProduceConsume(t *testing.T) {
	count := 2000 * compat.Rounds(10)
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		each(t, All, func(t *testing.T, c Client) {
			for _, codec := range c.Codecs[:compat.Rounds(len(c.Codecs))] {
				topic := "pc-" + c.Name + "-" + codec
				create(t, b.Addr(), topic, 3)
				drive(t, c, "produce", b.Addr(), topic, strconv.Itoa(count), codec)
				consumeAll(t, c, b, topic, count)
			}
		})
		if compat.Full() {
			t.Run("each other's", func(t *testing.T) { consumeEachOthers(t, b, count) })
		}
	})
}

func consumeAll(t *testing.T, c Client, b compat.Broker, topic string, count int) {
	t.Helper()
	var got []read
	for line := range strings.Lines(drive(t, c, "consume", b.Addr(), topic, strconv.Itoa(count))) {
		if strings.HasPrefix(line, "record") {
			got = append(got, parse(t, line))
		}
	}
	inOrder(t, got, count)
}

// consumeEachOthers has every client read what others wrote, if it knows their codec.
func consumeEachOthers(t *testing.T, b compat.Broker, count int) {
	each(t, All, func(t *testing.T, c Client) {
		for _, writer := range chosen(All) {
			if codec := writer.Codecs[0]; writer.Name != c.Name && slices.Contains(c.Codecs, codec) {
				consumeAll(t, c, b, "pc-"+writer.Name+"-"+codec, count)
			}
		}
	})
}

// inOrder checks that v-0 … v-(count-1) are all there, offsets dense and values ascending in each partition.
func inOrder(t *testing.T, got []read, count int) {
	t.Helper()
	next, last := map[int32]int64{}, map[int32]int{}
	seen := map[string]bool{}
	for _, r := range got {
		var i int
		if _, err := fmt.Sscanf(r.value, "v-%d", &i); err != nil {
			t.Fatalf("value %q", r.value)
		}
		if r.offset != next[r.partition] {
			t.Fatalf("partition %d: offset %d after %d", r.partition, r.offset, next[r.partition]-1)
		}
		if i < last[r.partition] {
			t.Fatalf("partition %d: v-%d after v-%d", r.partition, i, last[r.partition])
		}
		next[r.partition], last[r.partition] = r.offset+1, i
		seen[r.value] = true
	}
	if len(seen) != count || len(got) != count {
		t.Fatalf("read %d records, %d distinct, want %d", len(got), len(seen), count)
	}
}

// filler produces numbered records to a topic, so many that no value comes twice.
type filler struct {
	client *kgo.Client
	topic  string
	next   int
}

func newFiller(t *testing.T, addr, topic string) *filler {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression())) // not every client brings every codec
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &filler{client: c, topic: topic}
}

func (f *filler) fill(t *testing.T, n int) {
	t.Helper()
	var all []*kgo.Record
	for range n {
		all = append(all, &kgo.Record{Value: fmt.Appendf(nil, "n-%d", f.next)})
		f.next++
	}
	if err := f.client.ProduceSync(context.Background(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

var four = []int32{0, 1, 2, 3}

// Groups of each client rebalance as members come and go, miss nothing, and keep their offsets over restarts of the broker,
// clean and not.
func TestGroups(t *testing.T) {
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		var mu sync.Mutex
		fillers := map[string]*filler{}
		t.Run("come and go", func(t *testing.T) {
			each(t, All, func(t *testing.T, c Client) {
				for round := range compat.Rounds(3) {
					group := fmt.Sprintf("group-%s-%d", c.Name, round)
					create(t, b.Addr(), group, 4)
					f := newFiller(t, b.Addr(), group)
					comeAndGo(t, c, b, f)
					mu.Lock()
					fillers[c.Name] = &filler{topic: group, next: f.next}
					mu.Unlock()
				}
			})
		})
		for range compat.Rounds(4) {
			compat.Restart(t, b)
			t.Run("after a restart", func(t *testing.T) { each(t, All, func(t *testing.T, c Client) { resume(t, c, b, fillers[c.Name]) }) })
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			t.Run("after a kill", func(t *testing.T) { each(t, All, func(t *testing.T, c Client) { resume(t, c, b, fillers[c.Name]) }) })
		}
	})
}

// comeAndGo goes through the life of a group of two; it has the name of its topic.
func comeAndGo(t *testing.T, c Client, b compat.Broker, f *filler) {
	group := f.topic
	f.fill(t, 200)
	first := join(t, c, "first", b.Addr(), f.topic, group)
	first.await("alone, reading all", func(held []int32, records []read) bool { return slices.Equal(held, four) && len(records) >= 200 })

	second := join(t, c, "second", b.Addr(), f.topic, group)
	shared := func([]int32, []read) bool {
		both := append(first.holding(), second.holding()...)
		slices.Sort(both)
		return slices.Equal(both, four) && len(second.holding()) > 0
	}
	until(t, "two members share the partitions", func() bool { return shared(nil, nil) })
	f.fill(t, 200)
	until(t, "two members read all", func() bool { return readAll(f.next, first, second) })

	first.leave()
	second.await("alone again", func(held []int32, _ []read) bool { return slices.Equal(held, four) })
	f.fill(t, 100)
	until(t, "the one that stayed reads all", func() bool { return readAll(f.next, first, second) })
	awaitCommitted(t, b.Addr(), group, f.topic, f.next)
	second.leave()
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

func readAll(count int, members ...*member) bool {
	all := map[string]bool{}
	for _, m := range members {
		m.values(all)
	}
	return len(all) == count
}

// awaitCommitted waits until the group has committed everything.
func awaitCommitted(t *testing.T, addr, group, topic string, count int) {
	t.Helper()
	a := admin(t, addr)
	until(t, group+" has committed all", func() bool {
		offsets, err := a.FetchOffsets(context.Background(), group)
		var sum int64
		offsets.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
		return err == nil && sum == int64(count)
	})
}

// resume joins after the broker came back: the member reads exactly what is new.
func resume(t *testing.T, c Client, b compat.Broker, before *filler) {
	if before == nil {
		t.Fatal("the group was not formed before")
	}
	group := before.topic
	awaitCommitted(t, b.Addr(), group, group, before.next)
	f := newFiller(t, b.Addr(), group)
	f.next = before.next
	f.fill(t, 50)
	m := join(t, c, "resumed", b.Addr(), f.topic, group)
	m.await("reads what is new", func(_ []int32, records []read) bool { return len(records) >= 50 })
	awaitCommitted(t, b.Addr(), group, f.topic, f.next)
	m.leave()
	fresh := map[string]bool{}
	m.values(fresh)
	for i := before.next; i < f.next; i++ {
		delete(fresh, fmt.Sprintf("n-%d", i))
	}
	if len(fresh) > 0 {
		t.Errorf("%s read %d records again that were committed before the restart", c.Name, len(fresh))
	}
	before.next = f.next
}

// The admin calls of each client answer on gokafka what they answer on Apache.
func TestAdmin(t *testing.T) {
	var mu sync.Mutex
	answers := map[string]map[string]string{} // client → broker → what it printed
	withAdmin := slices.DeleteFunc(slices.Clone(All), func(c Client) bool { return !c.Admin })
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		awaitCommitted(t, b.Addr(), "nobody", "nothing", 0) // until there is a coordinator, which no client's patience is to be measured by
		each(t, withAdmin, func(t *testing.T, c Client) {
			for round := range compat.Rounds(5) {
				out := neutral(drive(t, c, "admin", b.Addr(), fmt.Sprintf("admin-%s-%d", c.Name, round)), b)
				mu.Lock()
				if answers[c.Name] == nil {
					answers[c.Name] = map[string]string{}
				}
				answers[c.Name][b.Name()] += out
				mu.Unlock()
			}
		})
	})
	for _, c := range withAdmin {
		compareLines(t, c.Name, answers[c.Name])
	}
}

func compareLines(t *testing.T, name string, answers map[string]string) {
	t.Helper()
	apache, ours := strings.Split(answers["apache"], "\n"), strings.Split(answers["gokafka"], "\n")
	if dir := os.Getenv("COMPAT_ANSWERS"); dir != "" {
		for broker, s := range answers {
			_ = os.WriteFile(filepath.Join(dir, name+"."+broker), []byte(s), 0o644)
		}
	}
	if len(answers) < 2 {
		return // one broker was asked for
	}
	for i := range max(len(apache), len(ours)) {
		a, b := at(apache, i), at(ours, i)
		if a != b {
			t.Errorf("%s:\n  apache  %s\n  gokafka %s", name, a, b)
		}
	}
}

func at(lines []string, i int) string {
	if i >= len(lines) {
		return "(nothing)"
	}
	return lines[i]
}

var (
	drawn = []*regexp.Regexp{
		regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		regexp.MustCompile(`[A-Za-z0-9+/]{22}==`), // ids as Go prints them
		regexp.MustCompile(`\b1[0-9]{12}\b`),      // times
	}
	identifier = regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`)
	wording    = regexp.MustCompile(`((error_message|errorMessage)"?[=:] ?)("[^"]*"|'[^']*')|(Exception): [^\]\n]*`)
)

// neutral takes out of an answer what belongs to one broker alone: where it is, what it drew, and the wording of its messages.
func neutral(s string, b compat.Broker) string {
	_, port, _ := strings.Cut(b.Addr(), ":")
	s = strings.NewReplacer(b.Dir(), "DIR", port, "PORT").Replace(s)
	for _, r := range drawn {
		s = r.ReplaceAllString(s, "DRAWN")
	}
	s = identifier.ReplaceAllStringFunc(s, func(id string) string {
		if drawnUUID(id) {
			return "DRAWN"
		}
		return id
	})
	return wording.ReplaceAllString(s, "${1}${4} TEXT")
}

// drawnUUID says whether 22 characters are a random UUID (version 4) as Kafka prints it, and not a word of that length.
func drawnUUID(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 16 && b[6]>>4 == 4 && b[8]>>6 == 2
}

// An id without a digit is one too: it comes once in forty brokers.
func TestNeutralIDs(t *testing.T) {
	for s, want := range map[string]bool{
		"a_OFwpFLQ-ycTMAFKEWGug": true,
		"N0G5vCc-Sb2wqUDrZOPyXA": true,
		"min_insync_replicas_on": false,
		"allocateProducerIdsReq": false,
	} {
		if got := drawnUUID(s); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}
