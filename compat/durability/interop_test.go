package durability

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/load"
)

// contents are what a topic holds, in the order of each partition.
func contents(all []*kgo.Record) map[int32][]string {
	out := map[int32][]string{}
	for _, r := range all {
		out[r.Partition] = append(out[r.Partition], fmt.Sprintf("%d %d %s=%s %v", r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, r.Headers))
	}
	return out
}

func same(t *testing.T, got, want map[int32][]string) {
	t.Helper()
	if a, b := fmt.Sprint(got), fmt.Sprint(want); a != b {
		t.Fatalf("records differ:\n%.2000s\n%.2000s", a, b)
	}
}

// fill produces keyed records with every codec, idempotently, and commits an offset for a group.
func fill(t *testing.T, addr, topic string) {
	t.Helper()
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		c := load.Client(t, addr, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec))
		var all []*kgo.Record
		for i := range 300 {
			all = append(all, &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%9), Value: fmt.Appendf(nil, "value %d %s", i, strings.Repeat("x", i)),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{byte(i)}}}})
		}
		if err := c.ProduceSync(context.Background(), all...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 17, LeaderEpoch: -1, Metadata: "kept"})
	if err := kadm.NewClient(load.Client(t, addr)).CommitAllOffsets(context.Background(), "carried", offsets); err != nil {
		t.Fatal(err)
	}
}

func committed(t *testing.T, addr, topic string) string {
	t.Helper()
	a := kadm.NewClient(load.Client(t, addr))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		offsets, err := a.FetchOffsets(context.Background(), "carried")
		if o, ok := offsets.Lookup(topic, 0); err == nil && ok && o.Err == nil {
			return fmt.Sprint(o.At, o.Metadata)
		}
		if time.Now().After(end) {
			t.Fatalf("the group's offset is not there: %v %v", offsets, err)
		}
	}
}

// znodes describe topics to ZooKeeper, ids, assignment and leader epochs included, as the controller that made them would have.
func znodes(t *testing.T, addr string) map[string]string {
	t.Helper()
	m, err := kadm.NewClient(load.Client(t, addr)).Metadata(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{"/cluster": "", "/cluster/id": encode(t, map[string]any{"version": "1", "id": m.Cluster}),
		"/brokers": "", "/brokers/topics": "", "/config": "", "/config/topics": ""}
	for name, topic := range m.Topics {
		partitions, node := map[string][]int32{}, "/brokers/topics/"+name
		out[node+"/partitions"] = ""
		for id, p := range topic.Partitions {
			partitions[fmt.Sprint(id)] = p.Replicas
			at := fmt.Sprintf("%s/partitions/%d", node, id)
			out[at] = ""
			out[at+"/state"] = encode(t, map[string]any{"version": 1, "controller_epoch": 1, "leader": p.Leader, "leader_epoch": p.LeaderEpoch, "isr": p.ISR})
		}
		out[node] = encode(t, map[string]any{"version": 3, "topic_id": base64.RawURLEncoding.EncodeToString(topic.ID[:]), "partitions": partitions,
			"adding_replicas": map[string]any{}, "removing_replicas": map[string]any{}})
		config := map[string]string{}
		if topic.IsInternal {
			config = map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
		}
		out["/config/topics/"+name] = encode(t, map[string]any{"version": 1, "config": config})
	}
	return out
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// plant creates znodes, parents first.
func plant(addr string, nodes map[string]string) error {
	c, _, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	for depth := 1; depth < 10; depth++ {
		for path, value := range nodes {
			if strings.Count(path, "/") != depth {
				continue
			}
			if _, err := c.Create(path, []byte(value), 0, zk.WorldACL(zk.PermAll)); err != nil {
				return fmt.Errorf("create %s: %w", path, err)
			}
		}
	}
	return nil
}

// A stopped broker's directory under Apache, which finds the topics in its ZooKeeper under the same ids, serves the same
// records and offsets, and takes more. That Apache's own directory passes is the proof of the test.
func TestDirectoryUnderApache(t *testing.T) {
	compat.Each(t, map[string]string{"offsets.topic.num.partitions": "3", "log.segment.bytes": "100000"}, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "carried", 2)
		fill(t, b.Addr(), "carried")
		want := contents(load.ReadAll(t, b.Addr(), "carried"))
		nodes := znodes(t, b.Addr())
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		dumpAll(t, b.Dir())

		dir := compat.Dir(t, "carried")
		compat.CopyDir(t, b.Dir(), filepath.Join(dir, "data"))
		a, err := apache.Start(apache.Options{Dir: dir, Properties: map[string]string{"offsets.topic.num.partitions": "3"},
			Prepare: func(z *apache.ZooKeeper) error { return plant(z.Addr, nodes) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		same(t, contents(load.ReadAll(t, a.Addr(), "carried")), want)
		if got := committed(t, a.Addr(), "carried"); got != "17kept" && got != "17 kept" {
			t.Errorf("the group's offset is %q", got)
		}
		fill(t, a.Addr(), "carried")
	})
}

// dumpAll has Apache's tool look through every file of a log directory; it must find nothing wrong.
func dumpAll(t *testing.T, dir string) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*/*.log", "*/*.index", "*/*.timeindex", "*/*.snapshot"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	out, err := apache.RunTool("", "dump-log", "--deep-iteration", "--files", strings.Join(files, ","))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		for _, bad := range []string{"isvalid: false", "ismatch", "Exception", "non-consecutive", "Invalid", "orrupt", "Found timestamp", "Found invalid"} {
			if strings.Contains(line, bad) {
				t.Errorf("dump-log: %s", line)
			}
		}
	}
}

// A partition that Apache wrote, put in the place of one of ours, is served as it is.
func TestApachesPartition(t *testing.T) {
	a := compat.Start(t, "apache", map[string]string{"log.segment.bytes": "100000"})
	create(t, a.Addr(), "carried", 2)
	fill(t, a.Addr(), "carried")
	want := contents(load.ReadAll(t, a.Addr(), "carried"))
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range compat.Names() {
		t.Run(name, func(t *testing.T) {
			b := compat.Start(t, name, nil)
			create(t, b.Addr(), "carried", 2)
			if err := b.Stop(); err != nil {
				t.Fatal(err)
			}
			for p := range 2 {
				replace(t, filepath.Join(a.Dir(), fmt.Sprintf("carried-%d", p)), filepath.Join(b.Dir(), fmt.Sprintf("carried-%d", p)))
			}
			dropCheckpoints(t, b.Dir())
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			same(t, contents(load.ReadAll(t, b.Addr(), "carried")), want)
			fill(t, b.Addr(), "carried")
		})
	}
}

// replace puts the files of one partition in the place of another's, whose topic id stays.
func replace(t *testing.T, from, to string) {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(to, "partition.metadata"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	compat.CopyDir(t, from, to)
	if err := os.WriteFile(filepath.Join(to, "partition.metadata"), id, 0o644); err != nil {
		t.Fatal(err)
	}
}

// dropCheckpoints makes a broker look at its logs as after a crash: what it had written down is about other files.
func dropCheckpoints(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{".kafka_cleanshutdown", "recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}
