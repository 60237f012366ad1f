package txn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func at(topic string, numbers ...int32) []protocol.TopicPartition {
	var all []protocol.TopicPartition
	for _, n := range numbers {
		all = append(all, protocol.TopicPartition{Topic: topic, Partition: n})
	}
	return all
}

// The bytes that Apache Kafka 3.9.2 wrote for one id's first transaction. It has the topics of a record in the order of a hash, which is
// nobody's to repeat: here they are by name.
func TestRecordsAreApaches(t *testing.T) {
	if got, want := appendKey(nil, "tx-one"), unhex(t, "0000 0006 74782d6f6e65"); !bytes.Equal(got, want) {
		t.Errorf("key %x, want %x", got, want)
	}
	head := "0000 0000000000000000 0000 0000ea60 "
	for _, test := range []struct {
		name string
		m    metadata
		want string
	}{
		{"empty", metadata{timeoutMillis: 60000, state: Empty, updatedAt: 0x1a201c9117b, startedAt: -1},
			head + "00 ffffffff 000001a201c9117b ffffffffffffffff"},
		{"ongoing", metadata{timeoutMillis: 60000, state: Ongoing, updatedAt: 0x1a201c916d1, startedAt: 0x1a201c914ae,
			partitions: newPartitionSet(append(at("txt", 0), at("__consumer_offsets", 2)...))},
			head + `01 00000002 0012 5f5f636f6e73756d65725f6f666673657473 00000001 00000002 0003 747874 00000001 00000000
			000001a201c916d1 000001a201c914ae`},
		{"complete", metadata{timeoutMillis: 60000, state: CompleteCommit, updatedAt: 0x1a201c916d1, startedAt: 0x1a201c914ae},
			head + "04 00000000 000001a201c916d1 000001a201c914ae"},
	} {
		got, want := test.m.appendTo(nil), unhex(t, test.want)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", test.name, got, want)
		}
		back, err := parseMetadata(want)
		if err != nil || !bytes.Equal(back.appendTo(nil), want) {
			t.Errorf("%s: read as %+v, %v", test.name, back, err)
		}
	}
}

// What is written is what others read.
func TestRecordsAreKmsgs(t *testing.T) {
	m := metadata{Producer: Producer{4000, 7}, timeoutMillis: 9, state: PrepareAbort, updatedAt: 11, startedAt: 10,
		partitions: newPartitionSet(append(at("b", 2, 0, 1, 0), at("a", 5)...))}
	var v kmsg.TxnMetadataValue
	if err := v.ReadFrom(m.appendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if v.ProducerID != 4000 || v.ProducerEpoch != 7 || v.TimeoutMillis != 9 || v.State != kmsg.TransactionStatePrepareAbort ||
		v.LastUpdateTimestamp != 11 || v.StartTimestamp != 10 || len(v.Topics) != 2 || len(v.Topics[1].Partitions) != 3 {
		t.Errorf("%+v", v)
	}
}

func TestParseMetadata(t *testing.T) {
	// Version 1, which brokers in KRaft mode write: compact lengths and tags.
	flexible := "0001 0000000000000005 0003 0000ea60 01 02 04 747874 03 00000001 00000000 00 000000000000000b 000000000000000a 00"
	m, err := parseMetadata(unhex(t, flexible))
	if err != nil || m.Producer != (Producer{5, 3}) || m.state != Ongoing || len(m.partitions) != 2 || m.updatedAt != 11 || m.startedAt != 10 {
		t.Errorf("version 1: %+v, %v", m, err)
	}
	tagged := flexible[:len(flexible)-2] + "02 00 01 aa 05 00"
	if _, err := parseMetadata(unhex(t, tagged)); err != nil {
		t.Errorf("tags: %v", err)
	}
	good := (&metadata{state: Ongoing, partitions: at("t", 1)}).appendTo(nil)
	for cut := range good {
		if _, err := parseMetadata(good[:cut]); err == nil {
			t.Errorf("cut to %d bytes: no error", cut)
		}
	}
	for name, b := range map[string][]byte{
		"version 2": unhex(t, "0002"), "state 6": unhex(t, "0000 0000000000000000 0000 0000ea60 06 ffffffff 00000000000000000000000000000000"),
		"state -1": unhex(t, "0000 0000000000000000 0000 0000ea60 ff ffffffff 00000000000000000000000000000000"),
	} {
		if _, err := parseMetadata(b); !errors.Is(err, errVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseMetadata(unhex(t, "0000 ffffffffffffffff 0000 0000ea60 00 ffffffff 00000000000000000000000000000000")); !errors.Is(err, errCut) {
		t.Errorf("no producer id: %v", err)
	}
	if _, err := parseKey(unhex(t, "0001 0001 78")); !errors.Is(err, errVersion) {
		t.Errorf("key of version 1: %v", err)
	}
	if _, err := parseKey(unhex(t, "0000 0002 78")); !errors.Is(err, errCut) {
		t.Errorf("cut key: %v", err)
	}
}

// Newest counts, tombstones forget, and what is not understood is skipped.
func TestLoad(t *testing.T) {
	record := func(id string, m *metadata) protocol.Record {
		r := protocol.Record{Key: appendKey(nil, id)}
		if m != nil {
			r.Value = m.appendTo(nil)
		}
		return r
	}
	batch := func(records ...protocol.Record) []byte {
		b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, records...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	stored := batch(record("a", &metadata{timeoutMillis: 1}), record("b", &metadata{timeoutMillis: 2}))
	stored = append(stored, batch(record("a", &metadata{timeoutMillis: 3}))...)
	stored = append(stored, batch(record("b", nil), protocol.Record{Value: []byte{0}}, protocol.Record{Key: []byte{0, 9}},
		protocol.Record{Key: appendKey(nil, "a"), Value: []byte{0, 9}})...)
	l := loader{logger: zerolog.Nop(), txns: map[string]*Transaction{}}
	if err := l.add(stored); err != nil {
		t.Fatal(err)
	}
	if len(l.txns) != 1 || l.txns["a"] == nil || l.txns["a"].timeoutMillis != 3 {
		t.Errorf("%+v", l.txns)
	}
	stored[16] = 7
	if err := l.add(stored); err == nil {
		t.Error("no error from a log that is none")
	}
}

// Whatever stands in the log, reading it ends, and what is made of it can be served.
func FuzzLoad(f *testing.F) {
	f.Add(appendKey(nil, "x"), (&metadata{state: PrepareCommit, partitions: at("t", 1, 2)}).appendTo(nil))
	f.Add(appendKey(nil, ""), []byte{0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		l := loader{logger: zerolog.Nop(), txns: map[string]*Transaction{}}
		b, err := protocol.AppendBatch(nil, protocol.BatchOptions{}, protocol.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		if err := l.add(b); err != nil {
			t.Fatal(err)
		}
		now := time.UnixMilli(1 << 40)
		for id, txn := range l.txns {
			finish := func() {
				txn.Marked(txn.unmarked)
				txn.Apply(now)
			}
			if txn.Resume(now) {
				finish()
			}
			next, err := txn.Init(now, &InitRequest{TransactionalID: id, Expected: NoProducer}, 5)
			if err != nil && txn.Apply(now) {
				finish()
				next, err = txn.Init(now, &InitRequest{TransactionalID: id, Expected: NoProducer}, 5)
			}
			if err != nil || next.Epoch < 0 || next.state != Empty {
				t.Fatalf("%+v: %+v, %v", txn, next, err)
			}
		}
	})
}
