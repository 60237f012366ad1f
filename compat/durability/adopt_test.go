package durability

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/load"
)

var adoption = map[string]string{"offsets.topic.num.partitions": "3", "log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "500",
	"log.initial.task.delay.ms": "500"}

// A whole log directory, of Apache or of gokafka whose store was lost, is served by a gokafka that knows nothing of it: all topics under
// their ids, all records at their offsets, the groups where they were; nothing is deleted, nothing is taken for a repetition. Then the
// directory goes to Apache.
func TestAdoption(t *testing.T) {
	for name, end := range map[string]func(*testing.T, compat.Broker){
		"stopped": func(t *testing.T, b compat.Broker) {
			if err := b.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(_ *testing.T, b compat.Broker) { b.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			compat.Each(t, adoption, func(t *testing.T, b compat.Broker) { adopt(t, b, end) })
		})
	}
}

func adopt(t *testing.T, b compat.Broker, end func(*testing.T, compat.Broker)) {
	furnish(t, b)
	want := inventory(t, b.Addr())
	end(t, b)
	g := adopter(t, b.Dir())
	compareInventories(t, inventory(t, g.Addr()), want)

	goOn(t, g.Addr())
	compat.Restart(t, g)
	want = inventory(t, g.Addr())
	nodes := znodes(t, g.Addr())
	end(t, g)
	dir := compat.Dir(t, "returned")
	compat.CopyDir(t, g.Dir(), filepath.Join(dir, "data"))
	a, err := apache.Start(apache.Options{Dir: dir, Properties: map[string]string{"offsets.topic.num.partitions": "3", "log.cleaner.enable": "false"},
		Prepare: func(z *apache.ZooKeeper) error { return plant(z.Addr, nodes) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	compareInventories(t, inventory(t, a.Addr()), want)
}

// adopter starts a gokafka that has no store on a copy of a log directory.
func adopter(t *testing.T, from string) *gokafka.Broker {
	t.Helper()
	dir := compat.Dir(t, "adopted")
	compat.CopyDir(t, from, filepath.Join(dir, "data"))
	if err := os.Remove(filepath.Join(dir, "data", "metastore.db")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	g, err := gokafka.Start(gokafka.Options{Dir: dir, Properties: adoption})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// furnish makes topics of every kind, over several leader epochs.
func furnish(t *testing.T, b compat.Broker) {
	t.Helper()
	create(t, b.Addr(), "carried", 2, "segment.bytes", "100000")
	create(t, b.Addr(), "eternal", 1, "retention.ms", "-1")
	create(t, b.Addr(), "compacted", 1, "cleanup.policy", "compact", "segment.bytes", "20000", "min.cleanable.dirty.ratio", "0.01")
	create(t, b.Addr(), "empty", 3)
	fill(t, b.Addr(), "carried")
	compat.Restart(t, b)
	awaitLeader(t, b.Addr(), "carried")
	awaitLeader(t, b.Addr(), "compacted")
	awaitLeader(t, b.Addr(), "eternal")
	fill(t, b.Addr(), "carried")
	old := time.UnixMilli(1_500_000_000_000)
	for range 20 {
		produceKeyed(t, b.Addr(), "eternal", 10, old)
		produceKeyed(t, b.Addr(), "compacted", 100, time.Now())
	}
	checkpoint := filepath.Join(b.Dir(), "cleaner-offset-checkpoint")
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if text, err := os.ReadFile(checkpoint); err == nil && strings.Contains(string(text), "compacted 0 ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not name the compacted topic within two minutes", checkpoint)
		}
	}
	commitEnds(t, b.Addr())
}

func produceKeyed(t *testing.T, addr, topic string, n int, at time.Time) {
	t.Helper()
	c := load.Client(t, addr, kgo.DefaultProduceTopic(topic))
	defer c.Close()
	var all []*kgo.Record
	for i := range n {
		all = append(all, &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%7), Value: fmt.Appendf(nil, "%d %s", time.Now().UnixNano(), strings.Repeat("x", 50)), Timestamp: at})
	}
	if err := c.ProduceSync(context.Background(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// commitEnds has a group read everything: it commits the ends, with the leader epochs of the last records.
func commitEnds(t *testing.T, addr string) {
	t.Helper()
	offsets := kadm.Offsets{}
	for _, r := range load.ReadAll(t, addr, "carried") {
		offsets.AddOffset(r.Topic, r.Partition, r.Offset+1, r.LeaderEpoch)
	}
	if err := kadm.NewClient(load.Client(t, addr)).CommitAllOffsets(context.Background(), "readers", offsets); err != nil {
		t.Fatal(err)
	}
}

// inventory is all that a client can find out about a broker's data, by name.
func inventory(t *testing.T, addr string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"carried", "eternal", "compacted", "empty", "__consumer_offsets"} {
		awaitLeader(t, addr, name)
	}
	m, err := kadm.NewClient(load.Client(t, addr)).Metadata(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.Topics.Names() {
		topic := m.Topics[name]
		out[name+": id and partitions"] = fmt.Sprint(topic.ID, topic.Partitions.Numbers())
	}
	for _, topic := range []string{"carried", "eternal"} {
		for p, lines := range contents(load.ReadAll(t, addr, topic)) {
			out[fmt.Sprintf("%s-%d: records", topic, p)] = strings.Join(lines, "\n")
		}
	}
	last := map[string]string{}
	for _, r := range load.ReadAll(t, addr, "compacted") {
		last[string(r.Key)] = fmt.Sprint(r.Offset, string(r.Value))
	}
	out["compacted: last values"] = fmt.Sprint(last)
	for _, group := range []string{"carried", "readers"} {
		out["group "+group] = fmt.Sprint(groupOffsets(t, addr, group))
	}
	return out
}

func groupOffsets(t *testing.T, addr, group string) (lines []string) {
	t.Helper()
	a := kadm.NewClient(load.Client(t, addr))
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		offsets, err := a.FetchOffsets(context.Background(), group)
		if err == nil {
			for _, o := range offsets.Sorted() {
				lines = append(lines, fmt.Sprint(o.Topic, o.Partition, o.At, o.LeaderEpoch, o.Metadata))
			}
			return lines
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func compareInventories(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g := got[name]; g != w {
			t.Errorf("%s: %d bytes, want %d:\n%.1000s\nwant\n%.1000s", name, len(g), len(w), g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s was not there before", name)
		}
	}
}

// goOn uses what was adopted: the group goes on where it was, new producers are not taken for old ones, and the cleaner does not eat what
// is not compacted.
func goOn(t *testing.T, addr string) {
	t.Helper()
	settings, err := kadm.NewClient(load.Client(t, addr)).DescribeTopicConfigs(context.Background(), "compacted", "carried", "__consumer_offsets")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		for _, c := range s.Configs {
			if compacted := s.Name != "carried"; c.Key == "cleanup.policy" && (c.MaybeValue() == "compact") != compacted {
				t.Errorf("%s has cleanup.policy=%s", s.Name, c.MaybeValue())
			}
		}
	}
	reader := load.Client(t, addr, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("carried"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	before := len(load.ReadAll(t, addr, "carried"))
	for range 30 {
		produceKeyed(t, addr, "carried", 10, time.Now())
	}
	if after := len(load.ReadAll(t, addr, "carried")); after != before+300 {
		t.Errorf("%d records after 300 were added to %d", after, before)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var last []*kgo.Record
	for len(last) < 300 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", len(last), err)
		}
		last = append(last, fetches.Records()...)
	}
	for _, r := range last {
		if len(last) != 300 || strings.HasPrefix(string(r.Value), "value") {
			t.Fatalf("the group read %d records, want the 300 new ones; %d/%d is %.40q", len(last), r.Partition, r.Offset, r.Value)
		}
	}
}
