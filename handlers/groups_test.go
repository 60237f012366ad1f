package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/group"
	"gokafka/cluster/metastore"
	"gokafka/protocol"
)

var apacheGroups = flag.String("apache-groups", "", "address of an Apache broker with id 70 at port 19160, one offsets partition and no initial rebalance delay, to record testdata/groups.apache.json")

// TestGroupsAnswerLikeApache plays one script with each version of the group APIs and compares every answer with Apache's,
// field by field.
func TestGroupsAnswerLikeApache(t *testing.T) {
	const file = "testdata/groups.apache.json"
	if *apacheGroups != "" {
		recordGroups(t, file, *apacheGroups)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []goldenAnswer
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	b := newGroupBroker(t)
	s := &groupScript{t: t, ask: b.ask}
	s.play()
	for i := range max(len(want), len(s.answers)) {
		switch {
		case i >= len(want) || i >= len(s.answers) || want[i].Step != s.answers[i].Step:
			t.Fatalf("step %d differs: record the golden file anew", i)
		case indent(want[i].Response) != indent(s.answers[i].Response):
			t.Errorf("%s: answer differs from Apache's\n%s", want[i].Step, diff(indent(want[i].Response), indent(s.answers[i].Response)))
		}
	}
}

func recordGroups(t *testing.T, file, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	topic := kmsg.NewPtrCreateTopicsRequest()
	topic.TimeoutMillis = 10_000
	topic.Topics = append(topic.Topics, newTopicRequest("t", 2, 1))
	exchange(t, conn, 0, topic)
	find := kmsg.NewPtrFindCoordinatorRequest()
	for {
		if exchange(t, conn, 0, find).(*kmsg.FindCoordinatorResponse).ErrorCode == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second) // until it is loaded
	s := &groupScript{t: t, ask: func(req kmsg.Request) kmsg.Response { return exchange(t, conn, 1, req) }}
	s.play()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(s.answers); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// groupScript asks a broker and notes its answers, with member ids by the names that it gives them.
type groupScript struct {
	t       *testing.T
	ask     func(kmsg.Request) kmsg.Response
	answers []goldenAnswer
	ids     []string
}

func (s *groupScript) step(name string, req kmsg.Request) kmsg.Response {
	s.t.Helper()
	resp := s.ask(req)
	s.learn(resp)
	if l, ok := resp.(*kmsg.ListGroupsResponse); ok {
		slices.SortFunc(l.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	}
	text := indent(normal(s.t, resp))
	for i, id := range s.ids {
		text = strings.ReplaceAll(text, id, fmt.Sprintf("<member %d>", i))
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		s.t.Fatal(err)
	}
	step := fmt.Sprintf("%s v%d: %s", kmsg.NameForKey(req.Key()), req.GetVersion(), name)
	s.answers = append(s.answers, goldenAnswer{Step: step, Response: v})
	return resp
}

// learn keeps the ids that a broker makes up: those end in a UUID.
func (s *groupScript) learn(resp kmsg.Response) {
	if j, ok := resp.(*kmsg.JoinGroupResponse); ok && len(j.MemberID) > 36 {
		s.ids = append(s.ids, j.MemberID)
	}
}

func (s *groupScript) play() {
	s.find()
	for v := int16(0); v <= 9; v++ {
		s.life(v)
		s.refusals(v)
	}
	for v := int16(5); v <= 9; v++ {
		s.static(v)
	}
	s.storage()
	s.deletion()
}

func (s *groupScript) find() {
	for v := int16(0); v <= 6; v++ {
		for kind := int8(0); kind <= 3; kind++ {
			if kind == coordinatesTransaction || v == 0 && kind > 0 {
				continue // another coordinator's; not in version 0
			}
			r := kmsg.NewPtrFindCoordinatorRequest()
			r.Version, r.CoordinatorType, r.CoordinatorKey = v, kind, "g"
			r.CoordinatorKeys = []string{"g", "h", ""}
			s.step(fmt.Sprint("kind ", kind), r)
		}
	}
}

func joinGroupRequest(v int16, id, member string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID = v, id, member
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 30_000, 30_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff}
	r.Protocols = append(r.Protocols, p)
	return r
}

func syncGroupRequest(v int16, id, member string, generation int32) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = v, id, member, generation
	r.ProtocolType, r.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = member, []byte("mine")
	r.GroupAssignment = append(r.GroupAssignment, a)
	return r
}

func heartbeatRequest(v int16, id, member string, generation int32) *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.Generation = v, id, member, generation
	return r
}

func commitRequest(v int16, id, member string, generation int32, topic string, partitions ...int32) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.Generation, r.RetentionTimeMillis = v, id, member, generation, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for _, n := range partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata, p.Timestamp, p.LeaderEpoch = n, int64(v)+10, kmsg.StringPtr("meta"), -1, 0
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = append(r.Topics, t)
	return r
}

func fetchOffsetsRequest(v int16, id, topic string, partitions ...int32) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.Group = v, id
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = id
	if topic != "" {
		t, gt := kmsg.NewOffsetFetchRequestTopic(), kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions, gt.Topic, gt.Partitions = topic, partitions, topic, partitions
		r.Topics, g.Topics = append(r.Topics, t), append(g.Topics, gt)
	}
	r.Groups = append(r.Groups, g)
	return r
}

func describeGroupsRequest(v int16, ids ...string) *kmsg.DescribeGroupsRequest {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Version, r.Groups, r.IncludeAuthorizedOperations = v, ids, v >= 3
	return r
}

func listGroupsRequest(v int16, states, types []string) *kmsg.ListGroupsRequest {
	r := kmsg.NewPtrListGroupsRequest()
	r.Version, r.StatesFilter, r.TypesFilter = v, states, types
	return r
}

func deleteGroupsRequest(v int16, ids ...string) *kmsg.DeleteGroupsRequest {
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Version, r.Groups = v, ids
	return r
}

// enter joins as a client would.
func (s *groupScript) enter(v int16, id string) (member string, generation int32) {
	r := s.step("join", joinGroupRequest(v, id, "")).(*kmsg.JoinGroupResponse)
	if r.ErrorCode == kerr.MemberIDRequired.Code {
		r = s.step("join with the id", joinGroupRequest(v, id, r.MemberID)).(*kmsg.JoinGroupResponse)
	}
	return r.MemberID, r.Generation
}

// life is a group of one member, from its join to its end.
func (s *groupScript) life(v int16) {
	id := "life"
	member, generation := s.enter(v, id)
	s.step("heartbeat early", heartbeatRequest(min(v, 4), id, member, generation))
	s.step("commit early", commitRequest(max(v, 1), id, member, generation, "t", 0))
	s.step("describe early", describeGroupsRequest(min(v, 5), id))
	s.step("join again early", joinGroupRequest(v, id, member))
	s.step("sync", syncGroupRequest(min(v, 5), id, member, generation))
	s.step("sync again", syncGroupRequest(min(v, 5), id, member, generation))
	s.step("heartbeat", heartbeatRequest(min(v, 4), id, member, generation))
	s.step("commit", commitRequest(max(v, 1), id, member, generation, "t", 0, 1, 7))
	s.step("fetch", fetchOffsetsRequest(max(v, 1), id, "t", 0, 1, 7))
	s.step("describe", describeGroupsRequest(min(v, 5), id))
	s.step("list", listGroupsRequest(min(v, 5), nil, nil))
	s.step("delete", deleteGroupsRequest(min(v, 2), id))
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group, leave.MemberID = min(v, 5), id, member
	for _, m := range []string{member, member, "nobody"} {
		l := kmsg.NewLeaveGroupRequestMember()
		l.MemberID = m
		leave.Members = append(leave.Members, l)
	}
	s.step("leave", leave)
	s.step("leave again", leave)
	s.step("describe empty", describeGroupsRequest(min(v, 5), id))
	s.step("delete empty", deleteGroupsRequest(min(v, 2), id))
	s.step("describe dead", describeGroupsRequest(min(v, 5), id))
	s.step("delete dead", deleteGroupsRequest(min(v, 2), id))
	s.step("fetch dead", fetchOffsetsRequest(max(v, 1), id, "t", 0, 1))
}

// refusals are what a member can get wrong.
func (s *groupScript) refusals(v int16) {
	id := "refusals"
	s.step("unknown member", joinGroupRequest(v, id, "nobody"))
	s.step("no group", joinGroupRequest(v, "", ""))
	r := joinGroupRequest(v, id, "")
	r.SessionTimeoutMillis = 1
	s.step("short session", r)
	r = joinGroupRequest(v, id, "")
	r.Protocols = nil
	s.step("no protocols", r)
	r = joinGroupRequest(v, id, "")
	r.ProtocolType = ""
	s.step("no type", r)
	s.step("no group", syncGroupRequest(min(v, 5), "", "m", 1))
	s.step("unknown group", syncGroupRequest(min(v, 5), "unheard", "m", 1))
	s.step("unknown group", heartbeatRequest(min(v, 4), "unheard", "m", 1))
	s.step("no group", heartbeatRequest(min(v, 4), "", "m", 1))
	s.step("unknown group", commitRequest(max(v, 1), "unheard", "m", 1, "t", 0))

	member, generation := s.enter(v, id)
	r = joinGroupRequest(v, id, "")
	r.ProtocolType = "connect"
	s.step("other type", r)
	r = joinGroupRequest(v, id, "")
	r.Protocols[0].Name = "other"
	s.step("no common protocol", r)
	s.step("wrong generation", syncGroupRequest(min(v, 5), id, member, generation+1))
	if v >= 5 {
		bare := syncGroupRequest(5, id, member, generation)
		bare.Protocol = nil
		s.step("no protocol", bare)
		bare.Protocol = kmsg.StringPtr("other")
		s.step("another protocol", bare)
	}
	s.step("sync", syncGroupRequest(min(v, 5), id, member, generation))
	s.step("wrong generation", heartbeatRequest(min(v, 4), id, member, generation+1))
	s.step("wrong member", heartbeatRequest(min(v, 4), id, "nobody", generation))
	s.step("wrong generation", commitRequest(max(v, 1), id, member, generation+1, "t", 0))
	s.step("wrong member", commitRequest(max(v, 1), id, "nobody", generation, "t", 0))
	s.step("no member", commitRequest(max(v, 1), id, "", -1, "t", 0))
	s.step("unknown topic", commitRequest(max(v, 1), id, member, generation, "unheard", 0))
	long := commitRequest(max(v, 1), id, member, generation, "t", 0, 1)
	long.Topics[0].Partitions[1].Metadata = kmsg.StringPtr(strings.Repeat("m", 4097))
	s.step("long metadata", long)
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group, leave.MemberID = 0, id, member
	s.step("leave", leave)
	s.step("delete", deleteGroupsRequest(0, id))
}

// static members: their return, and their double.
func (s *groupScript) static(v int16) {
	id := fmt.Sprint("static-", v)
	r := joinGroupRequest(v, id, "")
	r.InstanceID = kmsg.StringPtr("one")
	first := s.step("join", r).(*kmsg.JoinGroupResponse)
	sync := syncGroupRequest(min(v, 5), id, first.MemberID, first.Generation)
	sync.InstanceID = r.InstanceID
	s.step("sync", sync)
	s.step("describe", describeGroupsRequest(min(v, 5), id))
	second := s.step("return", r).(*kmsg.JoinGroupResponse)
	beat := heartbeatRequest(4, id, first.MemberID, second.Generation)
	beat.InstanceID = r.InstanceID
	s.step("the former self", beat)
	s.step("the former self", sync)
	commit := commitRequest(max(v, 7), id, first.MemberID, second.Generation, "t", 0)
	commit.InstanceID = r.InstanceID
	s.step("the former self", commit)
	r.MemberID = first.MemberID
	s.step("the former self", r)
	beat.MemberID = second.MemberID
	s.step("the new self", beat)
	beat.InstanceID = kmsg.StringPtr("two")
	s.step("another instance", beat)
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group = min(v, 5), id
	for _, instance := range []string{"two", "one"} {
		l := kmsg.NewLeaveGroupRequestMember()
		l.InstanceID = kmsg.StringPtr(instance)
		leave.Members = append(leave.Members, l)
	}
	s.step("leave by instance", leave)
	s.step("delete", deleteGroupsRequest(2, id))
}

// storage is groups without members.
func (s *groupScript) storage() {
	for v := int16(0); v <= 9; v++ {
		id := fmt.Sprint("storage-", min(v, 1))
		s.step("nothing yet", fetchOffsetsRequest(v, fmt.Sprint("none-", v), "t", 0, 9))
		c := commitRequest(v, id, "", -1, "t", 1, 9)
		c.Topics[0].Partitions[0].Offset = -int64(v)
		c.Topics[0].Partitions[0].Metadata = nil
		s.step("commit", c)
		s.step("fetch", fetchOffsetsRequest(v, id, "t", 0, 1, 9))
		if v >= 2 {
			s.step("fetch all", fetchOffsetsRequest(v, id, ""))
			s.step("fetch all of none", fetchOffsetsRequest(v, "unheard", ""))
		}
		s.step("a member of no group", commitRequest(max(v, 1), id, "m", 3, "t", 0))
		s.step("empty id", commitRequest(v, "", "", -1, "t", 0))
		s.step("empty id", fetchOffsetsRequest(v, "", "t", 0))
		s.step("nothing", commitRequest(v, id, "", -1, "t"))
	}
	several := fetchOffsetsRequest(8, "storage-1", "t", 1)
	more := fetchOffsetsRequest(8, "unheard", "t", 1)
	several.Groups = append(several.Groups, more.Groups...)
	s.step("several groups", several)
	s.step("list empty", listGroupsRequest(4, []string{"EMPTY", "nonsense"}, nil))
	s.step("list stable", listGroupsRequest(4, []string{"Stable"}, nil))
	s.step("list classic", listGroupsRequest(5, []string{"empty"}, []string{"Classic"}))
	s.step("list consumer", listGroupsRequest(5, nil, []string{"consumer"}))
	s.step("list nonsense", listGroupsRequest(5, nil, []string{"nonsense"}))
}

// deletion of offsets and groups.
func (s *groupScript) deletion() {
	forget := func(name, id, topic string, partitions ...int32) {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = id
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic
		for _, n := range partitions {
			p := kmsg.NewOffsetDeleteRequestTopicPartition()
			p.Partition = n
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
		s.step(name, r)
	}
	forget("unknown group", "unheard", "t", 0)
	forget("no group", "", "t", 0)
	forget("unknown topic", "storage-1", "unheard", 0)
	forget("some", "storage-1", "t", 0, 1, 9)
	s.step("after it", fetchOffsetsRequest(5, "storage-1", ""))
	s.step("after it", describeGroupsRequest(5, "storage-1"))
	member, generation := s.enter(5, "reader")
	forget("during the rebalance", "reader", "t", 0)
	s.step("sync", syncGroupRequest(5, "reader", member, generation))
	forget("subscribed", "reader", "t", 0)
	s.step("empty id", deleteGroupsRequest(2, ""))
	s.step("empty id", describeGroupsRequest(5, ""))
	other := joinGroupRequest(3, "connect", "")
	other.ProtocolType = "connect"
	s.step("join", other)
	forget("not of a consumer group", "connect", "t", 0)
}

// groupBroker has the handlers of groups over a coordinator with a log in memory.
type groupBroker struct {
	t    *testing.T
	apis map[int16]API
	*cluster.Metadata
	offsets map[string]int64
}

func newGroupBroker(t *testing.T) *groupBroker {
	settings := group.DefaultSettings()
	settings.InitialRebalanceDelay = 0
	c := group.New(settings, &groupLog{}, 1)
	t.Cleanup(c.Close)
	c.Elected(0, 0)
	b := &groupBroker{t: t, apis: map[int16]API{}, offsets: map[string]int64{}}
	r := &cluster.UpdateMetadataRequest{LiveBrokers: []cluster.Broker{{
		ID: 70, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 19160}},
	}}}
	for _, tp := range []protocol.TopicPartition{{Topic: "t"}, {Topic: "t", Partition: 1}, {Topic: cluster.OffsetsTopic}} {
		r.States = append(r.States, cluster.PartitionState{TopicPartition: tp, LeaderAndISR: cluster.LeaderAndISR{Leader: 70}})
	}
	image, _ := cluster.NewMetadata("c").With(r)
	for _, api := range Table(Deps{Groups: c, Image: imageOf{image}, LegacyOffsets: b, OffsetMetadataMax: 4096}) {
		b.apis[api.Key] = api
	}
	for { // until it is loaded
		if _, err := c.List(context.Background()); err == nil {
			return b
		}
	}
}

type imageOf struct{ image *cluster.Metadata }

func (i imageOf) Metadata() *cluster.Metadata { return i.image }

func (i imageOf) AwaitMetadata(context.Context, func(*cluster.Metadata) bool) error { return nil }

// ask sends a request through its wire form, both ways.
func (b *groupBroker) ask(req kmsg.Request) kmsg.Response {
	b.t.Helper()
	api := b.apis[req.Key()]
	decoded := api.New()
	decoded.SetVersion(req.GetVersion())
	if err := decoded.ReadFrom(req.AppendTo(nil)); err != nil {
		b.t.Fatal(err)
	}
	call := &Call{
		Key: req.Key(), Version: req.GetVersion(), Listener: "PLAINTEXT", ClientID: "golden", Received: time.Now(),
		Peer: netip.MustParseAddrPort("127.0.0.1:1"),
	}
	a, _, err := api.Begin(context.Background(), call, decoded)
	if err != nil {
		b.t.Fatal(err)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(a.Response.AppendTo(nil)); err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *groupBroker) ConsumerOffset(_ context.Context, id, topic string, partition int32) (int64, error) {
	if offset, ok := b.offsets[fmt.Sprint(id, "/", topic, "/", partition)]; ok {
		return offset, nil
	}
	return 0, fmt.Errorf("get offset: %w", metastore.ErrNoNode)
}

func (b *groupBroker) SetConsumerOffset(_ context.Context, id, topic string, partition int32, offset int64) error {
	b.offsets[fmt.Sprint(id, "/", topic, "/", partition)] = offset
	return nil
}

// groupLog is a journal that commits at once.
type groupLog struct {
	log  []byte
	next int64
}

func (l *groupLog) Append(_ protocol.TopicPartition, batch []byte) (int64, func(context.Context) error, error) {
	b := protocol.Batch(batch)
	base := l.next
	b.SetBaseOffset(base)
	l.next = b.NextOffset()
	l.log = append(l.log, batch...)
	return base, nil, nil
}

func (l *groupLog) Verify(context.Context, protocol.TopicPartition, cluster.TxnProducer) (cluster.TxnGuard, error) {
	return 0, nil
}

func (l *groupLog) AppendVerified(tp protocol.TopicPartition, batch []byte, _ cluster.TxnGuard) (int64, func(context.Context) error, error) {
	return l.Append(tp, batch)
}

func (l *groupLog) Replay(_ context.Context, _ protocol.TopicPartition, _ int, visit func([]byte) error) error {
	return visit(l.log)
}

// openGroups take every member.
type openGroups struct{ groupCoordinator }

func (openGroups) Join(context.Context, *group.JoinRequest) group.JoinResult {
	return group.JoinResult{}
}

// A member's id is made of what it calls itself and a UUID, and none of them is written that is too long for a string. Apache joins the
// member, and fails to write that.
func TestJoinGroupWithLongNames(t *testing.T) {
	const most = 0x7fff - 37
	name := func(n int) string { return strings.Repeat("n", n) }
	for _, test := range []struct {
		client, instance int
		code             int16
	}{{most, 0, 0}, {most + 1, 0, kerr.UnknownServerError.Code}, {3 * most, 0, kerr.UnknownServerError.Code},
		{0, most, 0}, {0, most + 1, kerr.UnknownServerError.Code}} {
		r, instance := joinGroupRequest(9, "g", ""), name(test.instance)
		r.InstanceID = &instance
		answer, _, err := joinGroup(openGroups{}).Begin(t.Context(), &Call{Version: 9, ClientID: name(test.client)}, r)
		if err != nil {
			t.Fatal(err)
		}
		if code := answer.Response.(*kmsg.JoinGroupResponse).ErrorCode; code != test.code {
			t.Errorf("client id of %d bytes, instance id of %d: code %d, want %d", test.client, test.instance, code, test.code)
		}
	}
}

func TestNameFilter(t *testing.T) {
	if !newNameFilter(nil).passes("Stable") {
		t.Error("no names pass all")
	}
	f := newNameFilter([]string{"nonsense", "STABLE"})
	for range 2 {
		if !f.passes("Stable") || f.passes("Empty") {
			t.Errorf("passes Stable: %v, Empty: %v", f.passes("Stable"), f.passes("Empty"))
		}
		f.names = []string{"Empty"} // which are read once
	}
}

// Offsets are committed when they are handled, in Apache too, however long the request was on its way.
func TestCommitTimestamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UnixMilli()
		plain := commitRequest(2, "g", "", -1, "t", 0)
		plain.RetentionTimeMillis = 1000
		call := slowCall()
		call.Version = 2
		if o := requestedOffsets(call, plain)[0]; o.CommitTimestamp != now || o.ExpireTimestamp != now+1000 {
			t.Errorf("committed at %d, expires at %d, now is %d", o.CommitTimestamp, o.ExpireTimestamp, now)
		}
		r := kmsg.NewPtrTxnOffsetCommitRequest()
		r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: make([]kmsg.TxnOffsetCommitRequestTopicPartition, 1)}}
		if o := transactionalOffsets(r)[0]; o.CommitTimestamp != now {
			t.Errorf("committed in a transaction at %d, now is %d", o.CommitTimestamp, now)
		}
	})
}
