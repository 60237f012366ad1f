package group

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// The bytes that Apache Kafka 3.9.2 wrote: see docs of the internal topics. Ids are shortened.
func TestRecordsAreApaches(t *testing.T) {
	settings := DefaultSettings()
	stable := newGroup("grp-one", &settings, time.Now())
	stable.stateSince = 0x000001a201c9162c
	stable.generation, stable.protocolType, stable.protocol, stable.leader = 1, "consumer", "range", "m"
	stable.members.add(&member{
		id: "m", clientID: "cons1", clientHost: "/127.0.0.1", rebalanceTimeout: 5 * time.Minute, sessionTimeout: 10 * time.Second,
		protocols: listProtocols([]Protocol{{Name: "range", Metadata: []byte{0xaa}}}),
	})
	empty := newGroup("grp-one", &settings, time.Now())
	empty.generation, empty.protocolType, empty.stateSince = 2, "consumer", 0x000001a201c9162c
	offset := PartitionOffset{
		TopicPartition:  protocol.TopicPartition{Topic: "txt"},
		CommittedOffset: CommittedOffset{Offset: 4, LeaderEpoch: -1, Metadata: "plain", CommitTimestamp: 0x000001a201c919fd, ExpireTimestamp: -1},
	}
	expiring := offset
	expiring.ExpireTimestamp = 7
	for _, test := range []struct {
		name       string
		record     protocol.Record
		key, value string
	}{
		{
			"group", metadataRecord(stable, func(*member) []byte { return []byte{0xbb, 0xcc} }),
			"0002 0007 6772702d6f6e65",
			`0003 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 000001a201c9162c 00000001
			0001 6d ffff 0005 636f6e7331 000a 2f3132372e302e302e31 000493e0 00002710 00000001 aa 00000002 bbcc`,
		},
		{
			"empty group", metadataRecord(empty, nil),
			"0002 0007 6772702d6f6e65",
			"0003 0008 636f6e73756d6572 00000002 ffff ffff 000001a201c9162c 00000000",
		},
		{
			"offset", commitRecord("grp-one", &offset),
			"0001 0007 6772702d6f6e65 0003 747874 00000000",
			"0003 0000000000000004 ffffffff 0005 706c61696e 000001a201c919fd",
		},
		{
			"offset with a retention of its own", commitRecord("grp-one", &expiring),
			"0001 0007 6772702d6f6e65 0003 747874 00000000",
			"0001 0000000000000004 0005 706c61696e 000001a201c919fd 0000000000000007",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if want := unhex(t, test.key); !bytes.Equal(test.record.Key, want) {
				t.Errorf("key %x, want %x", test.record.Key, want)
			}
			if want := unhex(t, test.value); !bytes.Equal(test.record.Value, want) {
				t.Errorf("value %x, want %x", test.record.Value, want)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every version that some Kafka wrote is read.
func TestOldValuesAreRead(t *testing.T) {
	settings := DefaultSettings()
	for version := int16(0); version <= valueVersionMax; version++ {
		v := kmsg.OffsetCommitValue{Version: version, Offset: 9, LeaderEpoch: 3, Metadata: "m", CommitTimestamp: 5, ExpireTimestamp: 8}
		got, err := parseCommit(v.AppendTo(nil))
		want := CommittedOffset{Offset: 9, LeaderEpoch: -1, Metadata: "m", CommitTimestamp: 5, ExpireTimestamp: -1}
		if version >= 3 {
			want.LeaderEpoch = 3
		}
		if version == 1 {
			want.ExpireTimestamp = 8
		}
		if err != nil || got != want {
			t.Errorf("offset version %d: %+v, %v", version, got, err)
		}
		protocolName, leader, instance := "range", "m", "i"
		gv := kmsg.GroupMetadataValue{
			Version: version, ProtocolType: "consumer", Generation: 4, Protocol: &protocolName, Leader: &leader, CurrentStateTimestamp: 6,
			Members: []kmsg.GroupMetadataValueMember{{
				MemberID: "m", InstanceID: &instance, SessionTimeoutMillis: 1000, RebalanceTimeoutMillis: 2000,
				Subscription: subscription("t"), Assignment: []byte("a"),
			}},
		}
		g, err := parseGroup("g", gv.AppendTo(nil), &settings, time.Now())
		if err != nil {
			t.Fatalf("group version %d: %v", version, err)
		}
		m := g.members.order[0]
		if g.state != Stable || g.leader != "m" || !g.topics["t"] || string(m.assignment) != "a" {
			t.Errorf("group version %d: %+v %+v", version, g, m)
		}
		if since := g.stateSince; version >= 2 && since != 6 || version < 2 && since != -1 {
			t.Errorf("group version %d: state since %d", version, since)
		}
		if want := map[bool]time.Duration{true: time.Second, false: 2 * time.Second}[version == 0]; m.rebalanceTimeout != want {
			t.Errorf("group version %d: rebalance timeout %v", version, m.rebalanceTimeout)
		}
		if (m.instanceID != nil) != (version >= 3) {
			t.Errorf("group version %d: instance %v", version, m.instanceID)
		}
	}
}

// A partition that Apache Kafka 3.9.2 wrote while it served the script of the handlers' tests: its first batches, and all.
func TestLoadApachesLog(t *testing.T) {
	data, err := os.ReadFile("testdata/offsets-topic.apache.log")
	if err != nil {
		t.Fatal(err)
	}
	member := `Stable generation 1 type "consumer" protocol "range" leader "golden-ID" ` +
		`golden-ID "none" 30s 30s "\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff" "mine"`
	commits := " t-0 {CommittedOffset:{Offset:11 LeaderEpoch:-1 Metadata:meta}} t-1 {CommittedOffset:{Offset:11 LeaderEpoch:-1 Metadata:meta}}"
	for _, test := range []struct {
		batches int
		want    []string
	}{
		{1, []string{"life: " + member}},
		{2, []string{"life: " + member + commits}},
		{3, []string{`life: Empty generation 2 type "consumer" protocol "" leader ""` + commits}},
		{4, nil},
		{math.MaxInt, []string{
			`connect: Empty generation 2 type "connect" protocol "" leader ""`,
			`reader: Empty generation 2 type "consumer" protocol "" leader ""`,
		}},
	} {
		if got := loadBatches(t, data, test.batches); !slices.Equal(got, test.want) {
			t.Errorf("after %d batches:\n%s", test.batches, strings.Join(got, "\n"))
		}
	}
}

// loadBatches describes the groups that the first n batches make, without what differs from run to run.
func loadBatches(t *testing.T, data []byte, n int) []string {
	t.Helper()
	settings := DefaultSettings()
	l := newLoader(&settings)
	for b := range protocol.Batches(data) {
		if n--; n < 0 {
			break
		}
		if err := l.add(b); err != nil {
			t.Fatal(err)
		}
	}
	var described []string
	for id, g := range l.groups(time.Now()) {
		d := uuids.ReplaceAllString(timestamps.ReplaceAllString(durable(g, g), ""), "ID")
		described = append(described, id+": "+strings.Join(strings.Fields(d), " "))
	}
	slices.Sort(described)
	return described
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

var timestamps = regexp.MustCompile(` CommitTimestamp:\d+ ExpireTimestamp:-1| at:\d+`)

// Whatever stands in the log, reading it ends, and what is made of it can be served.
func FuzzLoad(f *testing.F) {
	settings := DefaultSettings()
	o := PartitionOffset{TopicPartition: protocol.TopicPartition{Topic: "t"}}
	r := commitRecord("g", &o)
	f.Add(r.Key, r.Value)
	g := newGroup("g", &settings, time.UnixMilli(1))
	g.protocolType, g.protocol, g.leader = "consumer", "range", "m"
	g.members.add(&member{id: "m", protocols: listProtocols([]Protocol{{Name: "range", Metadata: subscription("t")}})})
	r = metadataRecord(g, func(*member) []byte { return nil })
	f.Add(r.Key, r.Value)
	f.Add([]byte{0, 2, 0, 1, 'g'}, []byte{0, 3, 0, 0})
	f.Add([]byte{0, 9}, []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, protocol.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		l := newLoader(&settings)
		if err := l.add(batch); err != nil {
			t.Fatalf("one bad record must not keep the others from being loaded: %v", err)
		}
		now := time.UnixMilli(1_000_000)
		for _, g := range l.groups(now) {
			g.Loaded(now)
			g.Describe()
			g.Fetch(nil, true)
			g.expired(now)
			for range 20 {
				if next := g.Deadline(); !next.IsZero() {
					now = next
					g.Tick(now)
				}
			}
		}
	})
}

// A subscription is what clients tell each other.
func FuzzSubscription(f *testing.F) {
	f.Add(subscription("a", "b"))
	f.Add([]byte{0, 0, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]bool{}
		if addTopics(topics, b) && len(topics) > len(b) {
			t.Errorf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}
