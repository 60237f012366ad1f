package txn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

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
	fresh    int64
	shown    int        // bytes of the log that were shown
	jobs     markerJobs // since the last "markers"
	replies  []string
}

// markerJobs keeps what would be sent.
type markerJobs struct{ all []*markerJob }

func (m *markerJobs) enqueue(j *markerJob) { m.all = append(m.all, j) }

func newDialogue(t *testing.T) *dialogue {
	d := &dialogue{t: t, now: time.UnixMilli(1_000_000), fresh: 4000, journal: &memJournal{}, settings: DefaultSettings()}
	d.shard = newShard(t.Context(), 0, &d.settings, d.journal, &d.jobs)
	d.shard.epoch.Store(5)
	return d
}

func (d *dialogue) say(format string, a ...any) {
	d.replies = append(d.replies, fmt.Sprintf(format, a...))
}

// do carries out one command: a verb and its arguments.
func (d *dialogue) do(line string) []string {
	d.replies = nil
	words := strings.Fields(line)
	d.run(words[0], words[1:])
	return d.replies
}

func (d *dialogue) run(verb string, args []string) {
	switch verb {
	case "init":
		d.init(args[0], args[1:])
	case "add":
		d.event(args[0], func(now time.Time, t *Transaction) (*metadata, error) {
			return t.AddPartitions(now, producer(args[1]), partitionsOf(args[2:]))
		})
	case "commit", "abort":
		d.event(args[0], func(now time.Time, t *Transaction) (*metadata, error) {
			return t.End(now, producer(args[1]), verb == "commit")
		})
	case "verify":
		d.event(args[0], func(_ time.Time, t *Transaction) (*metadata, error) {
			errs, err := t.Verify(producer(args[1]), partitionsOf(args[2:]))
			for i, err := range errs {
				d.say("%s %s", args[2+i], verdict(err))
			}
			return nil, err
		})
	case "written":
		d.written(args[0], args[1:])
	default:
		d.control(verb, args)
	}
}

// control has the commands about what surrounds the transactions.
func (d *dialogue) control(verb string, args []string) {
	switch verb {
	case "tick":
		pause, err := time.ParseDuration(args[0])
		if err != nil {
			d.t.Fatal(err)
		}
		d.now = d.now.Add(pause)
	case "overdue":
		d.shard.abortOverdue(d.now)
	case "expire":
		d.shard.forgetIdle(d.now)
	case "unstick":
		d.shard.unstick(d.now)
	case "hold":
		d.journal.hold()
	case "release":
		d.release(errorNamed(args))
	case "refuse":
		d.journal.refuse = errorNamed(args)
	case "reload":
		d.reload()
	case "set":
		d.shard.txns[args[0]].Producer = producer(args[1])
	case "log":
		d.log()
	case "markers":
		d.markers()
	case "state":
		d.state()
	default:
		d.t.Fatalf("unknown command %q", verb)
	}
}

// init is InitProducerID, with or without a producer that goes on.
func (d *dialogue) init(id string, args []string) {
	r := &InitRequest{TransactionalID: id, TimeoutMillis: 60000, Expected: NoProducer}
	for _, a := range args {
		if ms, ok := strings.CutPrefix(a, "timeout="); ok {
			n, _ := strconv.Atoi(ms)
			r.TimeoutMillis = int32(n)
		} else {
			r.Expected = producer(a)
		}
	}
	fresh := int64(noFreshID)
	for {
		given, needsID := NoProducer, false
		d.shard.change(d.now, id, initialize(r, fresh, &given), func(err error) {
			if needsID = errors.Is(err, errNeedsID); needsID {
				return
			}
			if err != nil {
				d.say("%s: %s", id, verdict(err))
			} else {
				d.say("%s: %d/%d", id, given.ID, given.Epoch)
			}
		})
		if !needsID {
			return
		}
		fresh = d.fresh
		d.fresh++
	}
}

func (d *dialogue) event(id string, e func(now time.Time, t *Transaction) (*metadata, error)) {
	d.shard.change(d.now, id, known(e), func(err error) { d.say("%s: %s", id, verdict(err)) })
}

// written tells that partitions have a transaction's marker.
func (d *dialogue) written(id string, args []string) {
	if t := d.shard.txns[id]; t.Marked(partitionsOf(args)) != nil {
		d.shard.complete(t, d.now)
	}
}

// release commits what is under way.
func (d *dialogue) release(outcome error) {
	d.journal.release(outcome)
	for d.shard.flying > 0 {
		f := <-d.shard.inFlight
		f.await(context.Background())
		d.shard.flying--
		f.then(d.now, f.o)
	}
}

// reload is another coordinator that takes over.
func (d *dialogue) reload() {
	d.shard = newShard(d.t.Context(), 0, &d.settings, d.journal, &d.jobs)
	d.shard.epoch.Store(6)
	l := loader{logger: d.settings.Logger, txns: map[string]*Transaction{}}
	if err := d.journal.Replay(context.Background(), d.shard.tp, 0, l.add); err != nil {
		d.t.Fatal(err)
	}
	d.shard.adopt(l.txns, d.now)
}

// log shows the records that were written since it was shown last, those of one batch in order.
func (d *dialogue) log() {
	for b := range protocol.Batches(d.journal.log[d.shown:]) {
		begin := len(d.replies)
		for r := range protocol.Records(b) {
			id, err := parseKey(r.Key)
			if err != nil {
				d.t.Fatal(err)
			}
			if r.Value == nil {
				d.say("%s tombstone", id)
				continue
			}
			m, err := parseMetadata(r.Value)
			if err != nil {
				d.t.Fatal(err)
			}
			d.say("%s %s", id, show(&m))
		}
		slices.Sort(d.replies[begin:])
	}
	d.shown = len(d.journal.log)
}

func (d *dialogue) markers() {
	for _, j := range d.jobs.all {
		d.say("%s %d/%d coordinator=%d commit=%v %v", j.id, j.marker.ProducerID, j.marker.ProducerEpoch, j.marker.CoordinatorEpoch, j.marker.Commit,
			j.marker.Partitions)
	}
	d.jobs.all = nil
}

func (d *dialogue) state() {
	for _, id := range slices.Sorted(maps.Keys(d.shard.txns)) {
		t := d.shard.txns[id]
		line := id + " " + show(&t.metadata)
		if t.pending != nil {
			line += " pending=" + t.pending.state.String()
		}
		if len(t.unmarked) > 0 {
			line += fmt.Sprint(" unmarked=", []protocol.TopicPartition(t.unmarked))
		}
		d.say("%s", line)
	}
}

func show(m *metadata) string {
	return fmt.Sprintf("%s %d/%d timeout=%d updated=%d started=%d %v", m.state, m.ID, m.Epoch, m.timeoutMillis, m.updatedAt, m.startedAt,
		[]protocol.TopicPartition(m.partitions))
}

// producer reads id/epoch.
func producer(s string) Producer {
	id, epoch, _ := strings.Cut(s, "/")
	n, _ := strconv.ParseInt(id, 10, 64)
	e, _ := strconv.ParseInt(epoch, 10, 16)
	return Producer{ID: n, Epoch: int16(e)}
}

func partitionsOf(names []string) []protocol.TopicPartition {
	var all []protocol.TopicPartition
	for _, name := range names {
		topic, n, _ := strings.Cut(name, "-")
		p, _ := strconv.Atoi(n)
		all = append(all, protocol.TopicPartition{Topic: topic, Partition: int32(p)})
	}
	return all
}

func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke.Message
	}
	return err.Error()
}

var namedErrors = map[string]error{
	"NOT_ENOUGH_REPLICAS": kerr.NotEnoughReplicas, "NOT_ENOUGH_REPLICAS_AFTER_APPEND": kerr.NotEnoughReplicasAfterAppend,
	"NOT_LEADER_OR_FOLLOWER": kerr.NotLeaderForPartition, "MESSAGE_TOO_LARGE": kerr.MessageTooLarge, "KAFKA_STORAGE_ERROR": kerr.KafkaStorageError,
}

func errorNamed(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return namedErrors[args[0]]
}
