package handlers

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

var apacheAddr = flag.String("apache", "", "address of an Apache broker with the settings of apacheSettings, to record testdata/admin.apache.json")

// apacheSettings are those of the broker that the golden answers were recorded from.
var apacheSettings = map[string]string{
	"broker.id": "90", "listeners": "PLAINTEXT://127.0.0.1:19180", "log.dirs": "data", "zookeeper.connect": "127.0.0.1:21899",
	"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
	"group.initial.rebalance.delay.ms": "0",
	"ssl.key.password":                 "geheim", "log.retention.hours": "100", "background.threads": "8",
	"listener.name.plaintext.ssl.keystore.password": "x", "custom.thing": "1", "compression.type": "gzip",
}

// goldenAnswer is a golden line: what was asked, and the answer's fields, sorted and without what differs between any two brokers.
type goldenAnswer struct {
	Step     string
	Response any
}

// TestAdminAnswersLikeApache runs one script of administrative requests and compares each answer with Apache's, field by field.
func TestAdminAnswersLikeApache(t *testing.T) {
	const file = "testdata/admin.apache.json"
	if *apacheAddr != "" {
		record(t, file, *apacheAddr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []goldenAnswer
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	b := newAdminBroker(t)
	for i, s := range adminSteps() {
		if i >= len(want) || want[i].Step != s.name {
			t.Fatalf("step %d is %q, the golden file has another: record it anew", i, s.name)
		}
		got := normal(t, b.ask(t, s.request))
		if g, w := indent(got), indent(want[i].Response); g != w {
			t.Errorf("%s: answer differs from Apache's\n%s", s.name, diff(w, g))
		}
		b.settle(t)
	}
}

func indent(v any) string {
	b, _ := json.MarshalIndent(v, "", " ")
	return string(b)
}

// diff lists the lines that only one side has.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for i, j := 0, 0; i < len(w) || j < len(g); {
		switch {
		case i < len(w) && j < len(g) && w[i] == g[j]:
			i, j = i+1, j+1
		case i < len(w) && (j >= len(g) || !slices.Contains(g[j:min(len(g), j+40)], w[i])):
			out = append(out, "- "+w[i])
			i++
		default:
			out = append(out, "+ "+g[j])
			j++
		}
	}
	return strings.Join(out[:min(len(out), 60)], "\n")
}

func record(t *testing.T, file, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var answers []goldenAnswer
	for i, s := range adminSteps() {
		answers = append(answers, goldenAnswer{Step: s.name, Response: normal(t, exchange(t, conn, int32(i), s.request))})
		time.Sleep(300 * time.Millisecond) // a change of settings takes effect after its goldenAnswer
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(answers); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exchange(t *testing.T, conn net.Conn, id int32, req kmsg.Request) kmsg.Response {
	t.Helper()
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("golden")).AppendRequest(nil, req, id)); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		t.Fatalf("key %d: %v", req.Key(), err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	body = body[4:]
	if req.IsFlexible() {
		body = body[1:]
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// normal turns a response into plain JSON values that can be compared.
func normal(t *testing.T, resp kmsg.Response) any {
	t.Helper()
	b, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return normalValue(v)
}

func normalValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "UnknownTags")
		delete(v, "Documentation")
		for _, k := range []string{"TopicID", "ClusterID"} {
			if id, ok := v[k]; ok {
				v[k] = !strings.Contains(fmt.Sprint(id), "0 0 0 0 0 0 0 0 0 0 0") // there is one or not
			}
		}
		for k := range v {
			v[k] = normalValue(v[k])
		}
		if name := v["Name"]; name == "log.dirs" || name == "log.dir" {
			return map[string]any{"Name": name}
		}
		return v
	case []any:
		for i := range v {
			v[i] = normalValue(v[i])
		}
		if len(v) > 0 {
			if m, ok := v[0].(map[string]any); ok && m["Source"] == nil || ok && m["ReadOnly"] != nil { // synonyms have an order
				slices.SortFunc(v, func(a, b any) int { return strings.Compare(sortKey(a), sortKey(b)) })
			}
		}
		if len(v) == 0 {
			return nil
		}
		return v
	}
	return v
}

func sortKey(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var key string
	for _, k := range []string{"Topic", "Name", "ResourceType", "ResourceName", "Partition", "ErrorCode"} {
		key += fmt.Sprint(m[k], "|")
	}
	return key
}

// adminBroker is a broker as far as administrative requests go: the real parts over an embedded store, and instead of a controller
// one that gives every partition of the store its first replica as leader.
type adminBroker struct {
	t     *testing.T
	apis  map[int16]API
	admin *admin.Admin
	store *metastore.Store
	image atomic.Pointer[cluster.Metadata]
	apply *admin.Applier
}

func newAdminBroker(t *testing.T) *adminBroker {
	t.Helper()
	cfg, err := config.Load(config.Sources{File: apacheSettings})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := metastore.OpenEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	b := &adminBroker{t: t, apis: map[int16]API{}, store: metastore.New(tree.Connect())}
	ctx := context.Background()
	own := cluster.Broker{ID: 90, Endpoints: cfg.Network().Advertised}
	if err := b.store.CreatePersistentPaths(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.RegisterBroker(ctx, own, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.ClaimController(ctx, 90); err != nil {
		t.Fatal(err)
	}
	b.image.Store(cluster.NewMetadata("golden"))
	loggers := admin.NewLoggers(func(zerolog.Level) {})
	b.admin = admin.New(admin.Options{Config: cfg, Store: b.store, Image: b, Controller: b, Loggers: loggers, Logger: zerolog.Nop()})
	b.apply = admin.NewApplier(admin.ApplierOptions{Admin: b.admin, Topics: func() []string { return nil }, Logger: zerolog.Nop()})
	for _, api := range Table(Deps{Config: cfg, Admin: b.admin, Controller: b, Image: b}) {
		b.apis[api.Key] = api
	}
	b.control(t)
	return b
}

// settle lets the controller act on what the last request wrote, and the broker on changed settings.
func (b *adminBroker) settle(t *testing.T) {
	t.Helper()
	b.control(t)
	if err := b.apply.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// control makes the image what the store says.
func (b *adminBroker) control(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	for _, name := range must(b.store.TopicsMarkedForDeletion(ctx, nil)) {
		if err := b.store.DeleteTopics(ctx, metastore.Claim{ID: 90, Epoch: 1, Version: 1}, []string{name}); err != nil {
			t.Fatal(err)
		}
	}
	r := &cluster.UpdateMetadataRequest{ControllerID: 90, LiveBrokers: must(b.store.Brokers(ctx, nil, nil))}
	for _, found := range must(b.store.TopicAssignments(ctx, must(b.store.Topics(ctx, nil)), nil)) {
		for p, a := range found.Topic.Partitions {
			r.States = append(r.States, cluster.PartitionState{
				TopicPartition: protocol.TopicPartition{Topic: found.Topic.Name, Partition: p}, TopicID: found.Topic.ID, Assignment: a,
				LeaderAndISR: cluster.LeaderAndISR{Leader: a.Replicas[0], ISR: a.Replicas},
			})
		}
	}
	next, _ := cluster.NewMetadata("golden").With(r)
	b.image.Store(next)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *adminBroker) Metadata() *cluster.Metadata { return b.image.Load() }
func (b *adminBroker) IsActive() bool              { return true }

// AwaitMetadata plays the controller once; what then is not there never comes.
func (b *adminBroker) AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error {
	b.control(b.t)
	if !satisfied(b.Metadata()) {
		return context.DeadlineExceeded
	}
	return nil
}

func (b *adminBroker) ElectLeaders(context.Context, bool, []protocol.TopicPartition, time.Duration) (map[protocol.TopicPartition]error, error) {
	return nil, nil
}

func (b *adminBroker) AlterPartitionReassignments(context.Context, map[protocol.TopicPartition][]cluster.BrokerID) (map[protocol.TopicPartition]error, error) {
	return nil, nil
}

func (b *adminBroker) ListPartitionReassignments(context.Context, []protocol.TopicPartition) (map[protocol.TopicPartition]cluster.Assignment, error) {
	return nil, nil
}

// ask sends a request through its wire form, both ways.
func (b *adminBroker) ask(t *testing.T, req kmsg.Request) kmsg.Response {
	t.Helper()
	api := b.apis[req.Key()]
	decoded := api.New()
	decoded.SetVersion(req.GetVersion())
	if err := decoded.ReadFrom(req.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	a, _, err := api.Begin(context.Background(), &Call{Key: req.Key(), Version: req.GetVersion(), Listener: "PLAINTEXT"}, decoded)
	if err != nil {
		t.Fatal(err)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(a.Response.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return resp
}
