package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write the replies in testdata/*.txt anew")

// TestDialogues plays testdata/*.txt: a command, then the reply that is expected, on a clock that only "tick" moves.
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

// playFile plays one file. A command is a line; its reply are the lines after it that are indented. Lines with # and empty
// ones stay as they are.
func playFile(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := newDialogue(t)
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(line, " "):
		case trimmed == "" || trimmed[0] == '#':
			got.WriteString(line)
		default:
			got.WriteString(line)
			for _, reply := range d.do(trimmed) {
				got.WriteString("  " + reply + "\n")
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(want) {
		t.Errorf("%s differs; run with -rewrite and look at the change:\n%s", file, got.String())
	}
}

// dialogue drives one shard by hand, without its goroutines.
type dialogue struct {
	t        *testing.T
	shard    *shard
	journal  *memJournal
	settings Settings
	now      time.Time
	args     map[string]string
	ids      map[string]string // last member id by client
	waiting  []waitingRequest
	replies  []string
}

type waitingRequest struct {
	name   string
	answer chan Answer
}

func newDialogue(t *testing.T) *dialogue {
	d := &dialogue{t: t, now: time.UnixMilli(1_000_000), ids: map[string]string{}, journal: &memJournal{}, settings: DefaultSettings()}
	n := 0
	d.settings.NewID = func() string { n++; return strconv.Itoa(n) }
	d.shard = newShard(0, &d.settings, d.journal)
	return d
}

// do carries out one command: a verb, a client, and arguments key=value.
func (d *dialogue) do(line string) []string {
	d.t.Helper()
	words := strings.Fields(line)
	d.args, d.replies = map[string]string{}, nil
	var client string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			d.args[k] = v
		} else if client == "" {
			client = w
		} else {
			d.args[w] = w
		}
	}
	d.run(words[0], client)
	d.collect()
	return d.replies
}

func (d *dialogue) run(verb, client string) {
	switch verb {
	case "join":
		d.request(client, func(t Ticket) { d.shard.join(d.now, t, d.join(client)) })
	case "sync":
		d.event(client, func(g *Group, t Ticket) Effects { return g.Sync(d.now, t, d.sync(client)) })
	case "commit":
		d.request(client, func(t Ticket) { d.shard.commitOffsets(d.now, t, d.commit(client)) })
	case "end":
		d.endTxn(client)
	case "heartbeat":
		d.heartbeat(client)
	case "leave":
		d.leave(client)
	case "tick":
		d.tick(client)
	case "release":
		d.release(client)
	case "reload":
		d.reload()
	case "delete":
		d.request("delete", func(t Ticket) { d.shard.deleteGroup(d.now, t, "g") })
	case "forget":
		d.forget(client)
	case "expire":
		d.shard.expireOffsets(d.now)
	default:
		d.observe(verb, client)
	}
}

// observe has the commands that show or set something.
func (d *dialogue) observe(verb, client string) {
	switch verb {
	case "hold":
		d.journal.hold()
	case "refuse":
		d.journal.refuse = codeNamed(client)
	case "set":
		d.set()
	case "state":
		d.state()
	case "offsets":
		d.offsets(client == "stable")
	case "log":
		d.say("%d batches", d.journal.appends)
	default:
		d.t.Fatalf("unknown command %q", verb)
	}
}

func (d *dialogue) say(format string, args ...any) {
	d.replies = append(d.replies, fmt.Sprintf(format, args...))
}

func (d *dialogue) duration(key string, byDefault time.Duration) time.Duration {
	if v, ok := d.args[key]; ok {
		parsed, err := time.ParseDuration(v)
		if err != nil {
			d.t.Fatal(err)
		}
		return parsed
	}
	return byDefault
}

func (d *dialogue) number(key string, byDefault int) int {
	if v, ok := d.args[key]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			d.t.Fatal(err)
		}
		return n
	}
	return byDefault
}

func (d *dialogue) text(key, byDefault string) string {
	if v, ok := d.args[key]; ok {
		return v
	}
	return byDefault
}

func (d *dialogue) optional(key string) *string {
	if v, ok := d.args[key]; ok {
		return &v
	}
	return nil
}

func (d *dialogue) group() *Group { return d.shard.groups["g"] }

func (d *dialogue) generation() int32 {
	if g := d.group(); g != nil {
		return int32(d.number("gen", int(g.generation)))
	}
	return int32(d.number("gen", 0))
}

// memberID is the id given, or "id=new" for none, or the client's last.
func (d *dialogue) memberID(client string) string {
	switch id, ok := d.args["id"]; {
	case ok && id == "new":
		return ""
	case ok:
		return id
	}
	return d.ids[client]
}

func (d *dialogue) request(name string, f func(Ticket)) {
	answer := make(chan Answer, 1)
	d.shard.tickets++
	d.shard.waiters[d.shard.tickets] = answer
	d.waiting = append(d.waiting, waitingRequest{name, answer})
	f(d.shard.tickets)
}

func (d *dialogue) event(name string, f func(*Group, Ticket) Effects) {
	g := d.group()
	if g == nil {
		d.say("%s: no group", name)
		return
	}
	d.request(name, func(t Ticket) { d.shard.settle(g, f(g, t), d.now) })
}

func (d *dialogue) join(client string) *JoinRequest {
	r := &JoinRequest{
		Group: "g", MemberID: d.memberID(client), InstanceID: d.optional("instance"), ClientID: client, ClientHost: "/127.0.0.1",
		SessionTimeout: d.duration("session", 10*time.Second), RebalanceTimeout: d.duration("rebalance", time.Minute),
		ProtocolType: d.text("type", "consumer"),
	}
	_, r.RequireKnownMemberID = d.args["known"]
	_, r.SkipAssignment = d.args["skip"]
	for _, p := range strings.Split(d.text("protocols", "range:t"), ",") {
		name, topics, ok := strings.Cut(p, ":")
		switch hostile, isHex := strings.CutPrefix(topics, "0x"); {
		case isHex:
			r.Protocols = append(r.Protocols, Protocol{Name: name, Metadata: unhex(d.t, hostile)})
		case ok:
			r.Protocols = append(r.Protocols, Protocol{Name: name, Metadata: subscription(strings.Split(topics, "+")...)})
		}
	}
	return r
}

func (d *dialogue) sync(client string) *SyncRequest {
	r := &SyncRequest{
		Group: "g", MemberID: d.memberID(client), InstanceID: d.optional("instance"), Generation: d.generation(),
		ProtocolType: d.optional("type"), Protocol: d.optional("protocol"), Assignments: map[string][]byte{},
	}
	for _, a := range strings.Split(d.text("assign", ""), ",") {
		if who, what, ok := strings.Cut(a, ":"); ok {
			r.Assignments[d.ids[who]] = []byte(what)
		}
	}
	return r
}

func (d *dialogue) commit(client string) *CommitRequest {
	r := &CommitRequest{Group: "g", MemberID: d.memberID(client), InstanceID: d.optional("instance"), Generation: d.generation()}
	if _, ok := d.args["producer"]; ok {
		r.Producer = &cluster.TxnProducer{TransactionalID: "x", ID: int64(d.number("producer", 0))}
	}
	for _, o := range strings.Split(d.text("offsets", "t-0:1"), ",") {
		name, offset, _ := strings.Cut(o, ":")
		n, err := strconv.Atoi(offset)
		if err != nil {
			d.t.Fatal(err)
		}
		r.Offsets = append(r.Offsets, PartitionOffset{TopicPartition: d.partition(name), CommittedOffset: CommittedOffset{
			Offset: int64(n), LeaderEpoch: -1, Metadata: strings.Repeat("m", d.number("metadata", 0)),
			CommitTimestamp: d.now.UnixMilli(), ExpireTimestamp: -1,
		}})
		if after, ok := d.args["expires"]; ok {
			in, _ := time.ParseDuration(after)
			r.Offsets[len(r.Offsets)-1].ExpireTimestamp = d.now.Add(in).UnixMilli()
		}
	}
	return r
}

// endTxn has a marker written and committed: "end commit producer=7".
func (d *dialogue) endTxn(how string) {
	m := &cluster.TxnMarker{ProducerID: int64(d.number("producer", 0)), Commit: how == "commit"}
	d.shard.queueTxnEnd(d.now, txnEnd{m.ProducerID, d.journal.mark(m), m.Commit}, make(chan error, 1))
}

func (d *dialogue) partition(s string) protocol.TopicPartition {
	topic, partition, _ := strings.Cut(s, "-")
	n, err := strconv.Atoi(partition)
	if err != nil {
		d.t.Fatal(err)
	}
	return protocol.TopicPartition{Topic: topic, Partition: int32(n)}
}

func (d *dialogue) heartbeat(client string) {
	if g := d.group(); g != nil {
		err := g.Heartbeat(d.now, &HeartbeatRequest{MemberID: d.memberID(client), InstanceID: d.optional("instance"), Generation: d.generation()})
		d.shard.settle(g, Effects{}, d.now)
		d.say("%s: %s", client, nameOf(err))
	}
}

func (d *dialogue) leave(client string) {
	g := d.group()
	errs, err, e := g.Leave(d.now, []LeavingMember{{MemberID: d.memberID(client), InstanceID: d.optional("instance")}})
	d.shard.settle(g, e, d.now)
	if err != nil {
		errs = []error{err}
	}
	d.say("%s: %s", client, nameOf(errs[0]))
}

// tick lets time pass, from one alarm to the next.
func (d *dialogue) tick(by string) {
	step, err := time.ParseDuration(by)
	if err != nil {
		d.t.Fatal(err)
	}
	end := d.now.Add(step)
	for next := d.shard.alarms.next(); !next.IsZero() && !next.After(end); next = d.shard.alarms.next() {
		d.now = next
		d.shard.tick(d.now)
		if d.collect(); len(d.replies) > 1000 {
			d.t.Fatal("the clock runs in a circle")
		}
	}
	d.now = end
}

// release commits what is held.
func (d *dialogue) release(code string) {
	outcome := codeNamed(code)
	d.journal.release(outcome)
	for d.shard.flying > 0 {
		f := <-d.shard.inFlight
		if f.wait != nil {
			f.err = outcome
		}
		d.shard.land(f, d.now)
	}
}

// reload is the coordinator's move: a new shard over the same log.
func (d *dialogue) reload() {
	l := newLoader(&d.settings)
	if err := l.add(d.journal.log); err != nil {
		d.t.Fatal(err)
	}
	tickets := d.shard.tickets
	d.shard = newShard(0, &d.settings, d.journal)
	d.shard.tickets, d.waiting = tickets, nil
	d.shard.adopt(l, d.now)
}

func (d *dialogue) forget(partition string) {
	tps := []protocol.TopicPartition{d.partition(partition)}
	d.request("forget", func(t Ticket) {
		verdicts, err := d.shard.deletable("g", tps)
		if err != nil {
			d.shard.answer(Answer{Ticket: t, Errs: []error{err}})
			return
		}
		d.shard.deleteOffsets(d.now, t, d.group(), tps, verdicts)
	})
}

func (d *dialogue) set() {
	d.settings.SizeMax = d.number("size", d.settings.SizeMax)
	d.settings.InitialRebalanceDelay = d.duration("delay", d.settings.InitialRebalanceDelay)
	d.settings.OffsetsRetention = d.duration("retention", d.settings.OffsetsRetention)
}

func (d *dialogue) state() {
	g := d.group()
	if g == nil {
		d.say("none")
		return
	}
	d.say("%s generation=%d type=%q protocol=%q leader=%q pending=%d", g.state, g.generation, g.protocolType, g.protocol, g.leader, g.pending.len())
	for _, m := range g.members.order {
		static := ""
		if m.instanceID != nil {
			static = " instance=" + *m.instanceID
		}
		d.say("%s%s assignment=%q", m.id, static, m.assignment)
	}
}

func (d *dialogue) offsets(stable bool) {
	g := d.group()
	if g == nil {
		d.say("none")
		return
	}
	var all []protocol.TopicPartition
	for _, p := range strings.Split(d.text("of", ""), ",") {
		if p != "" {
			all = append(all, d.partition(p))
		}
	}
	for _, f := range g.Fetch(all, stable) {
		d.say("%s=%d %s", f.TopicPartition, f.Offset, nameOf(f.Err))
	}
}

// collect notes the answers that have come.
func (d *dialogue) collect() {
	rest := d.waiting[:0]
	for _, w := range d.waiting {
		select {
		case a := <-w.answer:
			d.note(w.name, a)
		default:
			rest = append(rest, w)
		}
	}
	d.waiting = rest
}

func (d *dialogue) note(name string, a Answer) {
	switch {
	case a.Join != nil:
		d.noteJoin(name, a.Join)
	case a.Sync != nil && a.Sync.Err != nil:
		d.say("%s: sync %s", name, nameOf(a.Sync.Err))
	case a.Sync != nil:
		d.say("%s: sync %q", name, a.Sync.Assignment)
	default:
		var names []string
		for _, err := range a.Errs {
			names = append(names, nameOf(err))
		}
		d.say("%s: %s", name, strings.Join(names, " "))
	}
}

func (d *dialogue) noteJoin(name string, r *JoinResult) {
	switch { // as clients do
	case r.Err == nil, r.Err == kerr.MemberIDRequired:
		d.ids[name] = r.MemberID
	case r.Err == kerr.UnknownMemberID:
		delete(d.ids, name)
	}
	if r.Err != nil {
		d.say("%s: join %s id=%q", name, nameOf(r.Err), r.MemberID)
		return
	}
	var members []string
	for _, m := range r.Members {
		members = append(members, m.MemberID)
	}
	skip := ""
	if r.SkipAssignment {
		skip = " skip"
	}
	d.say("%s: joined id=%s generation=%d protocol=%s leader=%s members=%v%s", name, r.MemberID, r.Generation, r.Protocol, r.Leader, members, skip)
}

func nameOf(err error) string {
	if err == nil {
		return "ok"
	}
	return kerr.ErrorForCode(protocol.CodeOf(err)).(*kerr.Error).Message
}

func codeNamed(name string) error {
	if name == "" || name == "ok" {
		return nil
	}
	for code := int16(1); code < 130; code++ {
		if ke := kerr.TypedErrorForCode(code); ke.Message == name {
			return ke
		}
	}
	panic("no error " + name)
}

// subscription is what a consumer says of its topics, in version 0.
func subscription(topics ...string) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(len(topics))}
	for _, t := range topics {
		b = append(append(b, 0, byte(len(t))), t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}
