package log_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// testdata/apache is a directory that an Apache Kafka 3.9.2 broker left after a clean stop. The partition has segment.bytes=2500 and
// index.interval.bytes=300; an idempotent producer wrote 12 batches of 3, two transactional ones 18 transactions of 2 gzip batches, half of
// them aborted, and a third one left a transaction open; then the records before offset 5 were deleted.

var golden = protocol.TopicPartition{Topic: "golden"}

// goldenTime is when the directory was written: later the producers would have expired.
func goldenTime() time.Time { return time.UnixMilli(1_795_336_400_000) }

func goldenConfig(c *log.Config) { c.SegmentBytesMax, c.IndexIntervalBytes = 2500, 300 }

// apacheDir copies the directory into memory.
func apacheDir(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	err := filepath.WalkDir("testdata/apache", func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := "/logs" + strings.TrimPrefix(filepath.ToSlash(path), "testdata/apache")
		if e.IsDir() {
			return mem.MkdirAll(to)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return vfs.WriteFile(mem, to, content, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

func openGolden(t *testing.T, mem *vfs.Mem, id log.Identity) *log.Manager {
	t.Helper()
	c := log.DefaultConfig()
	goldenConfig(c)
	m, err := log.Open(log.ManagerOptions{FS: mem, Dirs: []string{"/logs"}, Identity: id, Defaults: c, Now: goldenTime})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var apacheIdentity = log.Identity{ClusterID: "dOVurvpUT4uS6uqEmwJzhg", BrokerID: 87}

// checkGolden compares what readers see of the golden log.
func checkGolden(t *testing.T, l *log.Log) {
	t.Helper()
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	o := l.Offsets()
	if o.Start != 5 || o.End.Offset != 91 || o.HighWatermark.Offset != 91 || o.LastStable.Offset != 90 {
		t.Errorf("offsets %+v", o)
	}
	aborted, err := l.AbortedTransactions(5, 91)
	if err != nil || len(aborted) != 9 || aborted[0].FirstOffset != 39 {
		t.Errorf("aborted transactions %v, %v", aborted, err)
	}
	producers := l.ActiveProducers()
	if len(producers) != 4 || producers[3].TxnFirstOffset != 90 || producers[2].LastSequence != 5 || producers[0].LastSequence != 35 {
		t.Errorf("producers %+v", producers)
	}
	at, ok, err := l.OffsetForTimestamp(1_800_000_003_001)
	if want := (log.TimestampOffset{Timestamp: 1_800_000_003_001, Offset: 10}); err != nil || !ok || at != want {
		t.Errorf("offset for timestamp: %+v, %v, %v", at, ok, err)
	}
	at, ok, err = l.OffsetForTimestamp(1_800_000_105_021)
	if want := (log.TimestampOffset{Timestamp: 1_800_000_105_021, Offset: 88}); err != nil || !ok || at != want {
		t.Errorf("offset for timestamp in a compressed batch: %+v, %v, %v", at, ok, err)
	}
	at, ok, err = l.OffsetOfMaxTimestamp()
	if want := (log.TimestampOffset{Timestamp: 1_800_000_200_000, Offset: 90}); err != nil || !ok || at != want {
		t.Errorf("offset of the largest timestamp: %+v, %v, %v", at, ok, err)
	}
	if id := l.TopicID().String(); id != goldenTopicID(t) {
		t.Errorf("topic id %s", id)
	}
}

func goldenTopicID(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/apache/golden-0/partition.metadata")
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := bytes.Cut(b, []byte("topic_id: "))
	return string(id)
}

// TestApacheClean opens what Apache left after a clean stop, and leaves every file as it was.
func TestApacheClean(t *testing.T) {
	mem := apacheDir(t)
	m := openGolden(t, mem, apacheIdentity)
	l, _ := m.Log(golden)
	checkGolden(t, l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	compareDir(t, mem, "/logs/golden-0", "")
	compareFiles(t, mem, "/logs", []string{".kafka_cleanshutdown", "log-start-offset-checkpoint", "recovery-point-offset-checkpoint", "replication-offset-checkpoint", "meta.properties"}, "testdata/apache")
}

// compareDir compares a log's directory with Apache's, except one file.
func compareDir(t *testing.T, mem *vfs.Mem, dir, except string) {
	t.Helper()
	want, err := os.ReadDir("testdata/apache/golden-0")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range want {
		names = append(names, e.Name())
	}
	got, err := mem.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range got {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("%s: Apache has no such file", e.Name())
		}
	}
	compareFiles(t, mem, dir, slices.DeleteFunc(names, func(n string) bool { return n == except }), "testdata/apache/golden-0")
}

func compareFiles(t *testing.T, mem *vfs.Mem, dir string, names []string, apache string) {
	t.Helper()
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(apache, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := vfs.ReadFile(mem, dir+"/"+name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from Apache's:\n%x\n%x", name, got, want)
		}
	}
}

// TestApacheUnclean opens it as after a crash: with indexes as long as the JVM preallocates them, without what only a clean stop writes.
func TestApacheUnclean(t *testing.T) {
	mem := apacheDir(t)
	for _, name := range []string{".kafka_cleanshutdown", "recovery-point-offset-checkpoint", "golden-0/00000000000000000091.snapshot", "golden-0/00000000000000000048.txnindex"} {
		if err := mem.Remove("/logs/" + name); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int64{".index": 10485760, ".timeindex": 10485756} {
		f, err := mem.Open("/logs/golden-0/00000000000000000072" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
	m := openGolden(t, mem, apacheIdentity)
	l, _ := m.Log(golden)
	checkGolden(t, l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// Recovery makes the indexes a little differently from appends, also Apache's. The rest is the same bytes.
	var names []string
	for _, base := range []int{0, 48, 72, 91} {
		for _, suffix := range []string{"log", "txnindex", "snapshot"} {
			if base == 0 && suffix == "snapshot" || base == 91 && suffix != "snapshot" {
				continue
			}
			names = append(names, fmt.Sprintf("%020d.%s", base, suffix))
		}
	}
	compareFiles(t, mem, "/logs/golden-0", append(names, "leader-epoch-checkpoint", "partition.metadata"), "testdata/apache/golden-0")
}

// TestSameBytesAsApache appends the batches of the golden log one by one, as Apache did: every file comes out the same, byte for byte.
func TestSameBytesAsApache(t *testing.T) {
	mem := vfs.NewMem()
	m := openGolden(t, mem, logtest.Identity)
	id, err := protocol.ParseTopicID(goldenTopicID(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := m.Create(golden, log.CreateOptions{TopicID: id, IsNew: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []int{0, 48, 72} {
		b, err := os.ReadFile(fmt.Sprintf("testdata/apache/golden-0/%020d.log", base))
		if err != nil {
			t.Fatal(err)
		}
		for batch, err := range protocol.Batches(b) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.AppendAsFollower(batch, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.SetHighWatermark(91)
	if _, err := l.IncrementLogStartOffset(5); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, l)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	compareDir(t, mem, "/logs/golden-0", "")
}
