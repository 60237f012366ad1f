package txn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/load"
)

// The tools, in the order in which somebody would use them about a transaction that hangs. In topic "t", partition 0 has a
// transaction that is open and knows its coordinator, partition 1 one that no coordinator knows, from an hour ago.
var steps = []struct {
	line  string
	fails bool
}{
	{line: "transactions --bootstrap-server ADDR list"},
	{line: "transactions --bootstrap-server ADDR list --duration-filter 100000000"},
	{line: "transactions --bootstrap-server ADDR describe --transactional-id open"},
	{line: "transactions --bootstrap-server ADDR describe --transactional-id committed"},
	{line: "transactions --bootstrap-server ADDR describe --transactional-id aborted"},
	{line: "transactions --bootstrap-server ADDR describe --transactional-id fresh"},
	{line: "transactions --bootstrap-server ADDR describe --transactional-id nobody", fails: true},
	{line: "transactions --bootstrap-server ADDR describe-producers --topic t --partition 0"},
	{line: "transactions --bootstrap-server ADDR describe-producers --topic t --partition 1 --broker-id 0"},
	{line: "transactions --bootstrap-server ADDR find-hanging --broker-id 0"},
	{line: "transactions --bootstrap-server ADDR find-hanging --topic t"},
	{line: "transactions --bootstrap-server ADDR find-hanging --topic t --partition 0"},
	{line: "transactions --bootstrap-server ADDR abort --topic t --partition 1 --start-offset 7", fails: true},
	{line: "transactions --bootstrap-server ADDR abort --topic t --partition 1 --start-offset 2"},
	{line: "transactions --bootstrap-server ADDR describe-producers --topic t --partition 1"},
	{line: "transactions --bootstrap-server ADDR find-hanging --broker-id 0"},
	{line: "console-consumer --bootstrap-server ADDR --topic t --partition 1 --offset earliest --isolation-level read_committed --max-messages 1"},
	{line: "console-consumer --bootstrap-server ADDR --topic t --partition 1 --offset earliest --max-messages 2"},
	{line: "get-offsets --bootstrap-server ADDR --topic t"},
}

// Apache's tools for transactions print the same about gokafka as about Apache.
func TestTools(t *testing.T) {
	together(t)
	answers := map[string][]string{}
	own := map[string]string{"transaction.partition.verification.enable": "false", "transaction.state.log.num.partitions": "3"}
	compat.Each(t, own, func(t *testing.T, b compat.Broker) {
		prepare(t, b.Addr())
		for _, s := range steps {
			args := strings.Fields(strings.ReplaceAll(s.line, "ADDR", b.Addr()))
			out, err := apache.RunTool("", args[0], args[1:]...)
			if (err != nil) != s.fails {
				t.Errorf("%s: %v", s.line, err)
			}
			answers[b.Name()] = append(answers[b.Name()], neutral(out))
		}
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		answers[b.Name()] = append(answers[b.Name()], dump(t, b.Dir(), "t-*", "--print-data-log"), dump(t, b.Dir(), "__transaction_state-*", "--transaction-log-decoder"))
	})
	if len(answers) < 2 {
		return // one broker was asked for
	}
	for i, a := range answers["apache"] {
		name := "dump-log"
		if i < len(steps) {
			name = steps[i].line
		}
		if g := answers["gokafka"][i]; a != g {
			t.Errorf("%s\napache:\n%s\ngokafka:\n%s", name, a, g)
		}
	}
}

// prepare leaves transactions in all states that last. They are begun one after another, so that ids and offsets are the same on
// every broker.
func prepare(t *testing.T, addr string) {
	t.Helper()
	a := kadm.NewClient(load.Client(t, addr))
	createTopics(t, a, 2, 1, "t")
	for _, id := range []string{"committed", "aborted", "fresh", "open"} {
		c := load.Client(t, addr, kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(10*time.Minute))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := c.ProducerID(ctx); err != nil {
			t.Fatal(err)
		}
		switch id {
		case "committed":
			transact(t, c, 0, id, kgo.TryCommit)
			transact(t, c, 1, id, kgo.TryCommit)
		case "aborted":
			transact(t, c, 0, id, kgo.TryAbort)
		case "open":
			if err := errors.Join(c.BeginTransaction(), c.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(id)}).FirstErr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	hang(t, addr)
}

// transact runs a transaction of one record, and waits until its marker is there.
func transact(t *testing.T, c *kgo.Client, partition int32, value string, end kgo.TransactionEndTry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := errors.Join(c.BeginTransaction(), c.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: partition, Value: []byte(value)}).FirstErr(), c.EndTransaction(ctx, end))
	if err != nil {
		t.Fatal(err)
	}
	a := kadm.NewClient(c)
	await(t, time.Minute, "end of the transaction of "+value, func(ctx context.Context) error {
		found, err := a.DescribeTransactions(ctx, value)
		if now := found[value]; err == nil && !strings.HasPrefix(now.State, "Complete") {
			err = fmt.Errorf("%s: %w", now.State, now.Err)
		}
		return err
	})
}

// stranger is a producer id that no coordinator has given out.
const stranger = 1000

// hang writes a transactional record of an hour ago for a producer that no coordinator knows: its transaction will not end.
func hang(t *testing.T, addr string) {
	t.Helper()
	r := kmsg.Record{Key: nil, Value: []byte("hanging")}
	body := r.AppendTo(nil)
	r.Length = int32(len(body) - 1) // without the length itself, which is one byte here
	at := time.Now().Add(-time.Hour).UnixMilli()
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, FirstTimestamp: at, MaxTimestamp: at, ProducerID: stranger, NumRecords: 1, Records: r.AppendTo(nil)}
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))

	req, id := kmsg.NewPtrProduceRequest(), "stranger"
	req.TransactionID, req.Acks, req.TimeoutMillis = &id, -1, 30_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1, Records: b}}}}
	resp, err := req.RequestWith(context.Background(), load.Client(t, addr, kgo.MaxVersions(kversion.V3_9_0())))
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("write a transaction that hangs: %v", err)
	}
}

var (
	moments   = regexp.MustCompile(`\b1[0-9]{12}\b`)
	durations = regexp.MustCompile(`TIME [0-9]+( |$)`)
)

// neutral takes times out of what a tool printed, and durations, which follow them; describe-producers has an offset there.
func neutral(s string) string {
	lines := strings.Split(s, "\n")
	producers := strings.Contains(s, "LatestCoordinatorEpoch")
	for i, line := range lines {
		line = strings.Join(strings.Fields(moments.ReplaceAllString(line, "TIME")), " ") // columns are as wide as their widest value
		if !producers {
			line = durations.ReplaceAllString(line, "TIME DURATION$1")
		}
		lines[i] = line
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

var (
	checksums = regexp.MustCompile(`(crc|size|position): [0-9]+`)
	paths     = regexp.MustCompile(`/\S*/`)
)

// dump has dump-log print the segments of some partitions, without what depends on the moment: times, and the checksums and
// positions that follow from them.
func dump(t *testing.T, dir, partitions, decoder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, partitions, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments of %s: %v", partitions, err)
	}
	slices.Sort(files)
	out, err := apache.RunTool("", "dump-log", decoder, "--files", strings.Join(files, ","))
	if err != nil {
		t.Fatal(err)
	}
	out = checksums.ReplaceAllString(moments.ReplaceAllString(out, "TIME"), "$1: N")
	return partitions + "\n" + paths.ReplaceAllString(out, "")
}
