package durability

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/conn"
	"gokafka/compat/load"
)

// What an idempotent producer sends again is told from what it sends anew, whatever happened to the broker in between: nothing is twice
// in the log. Apache remembers the last batch over a restart, gokafka the last five.
func TestRepeatedBatches(t *testing.T) {
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "repeated", 1)
		for sequence := range int32(7) {
			if code, offset := sendSequence(t, b, sequence); code != 0 || offset != int64(sequence) {
				t.Fatalf("sequence %d: %d at %d", sequence, code, offset)
			}
		}
		again(t, b, "at once", 2)
		remembered := int32(2)
		if b.Name() == "apache" {
			remembered = 6
		}
		compat.Restart(t, b)
		again(t, b, "restarted", remembered)
		b.Kill()
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		again(t, b, "killed", remembered)
		deleteBefore(t, b, 4)
		again(t, b, "records deleted", remembered)
		compat.Restart(t, b)
		again(t, b, "restarted again", remembered)
		if all := load.ReadAll(t, b.Addr(), "repeated"); len(all) != 3 {
			t.Errorf("%d records are left, want those from offset 4 to 6", len(all))
		}
	})
}

const outOfOrder = 45 // OUT_OF_ORDER_SEQUENCE_NUMBER

// again sends all batches once more, of which those from the first remembered on are known, and one that leaves a gap.
func again(t *testing.T, b compat.Broker, when string, remembered int32) {
	t.Helper()
	awaitLeader(t, b.Addr(), "repeated")
	for _, sequence := range []int32{0, 1, 2, 3, 4, 5, 6, 9} {
		wantCode, wantOffset := int16(0), int64(sequence)
		if sequence < remembered || sequence > 6 {
			wantCode, wantOffset = outOfOrder, -1
		}
		if code, offset := sendSequence(t, b, sequence); code != wantCode || offset != wantOffset {
			t.Errorf("%s: sequence %d: %d at %d, want %d at %d", when, sequence, code, offset, wantCode, wantOffset)
		}
	}
}

// sendSequence sends a batch of one record of a producer.
func sendSequence(t *testing.T, b compat.Broker, sequence int32) (code int16, offset int64) {
	t.Helper()
	c, err := conn.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	record := kmsg.Record{Value: fmt.Append(nil, sequence)}
	body := record.AppendTo(nil)[1:] // a length of 0 takes one byte
	now := time.Now().UnixMilli()    // producers whose last batch is a day old are forgotten
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now, ProducerID: 77, FirstSequence: sequence,
		NumRecords: 1, Records: slices.Concat(binary.AppendVarint(nil, int64(len(body))), body)}
	bytes := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(bytes[8:], uint32(len(bytes)-12))
	binary.BigEndian.PutUint32(bytes[17:], crc32.Checksum(bytes[21:], crc32.MakeTable(crc32.Castagnoli)))

	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 9, -1, 10_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "repeated"
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = bytes
	topic.Partitions = append(topic.Partitions, partition)
	r.Topics = append(r.Topics, topic)
	resp, err := c.Request(r)
	if err != nil {
		t.Fatal(err)
	}
	p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return p.ErrorCode, p.BaseOffset
}

func deleteBefore(t *testing.T, b compat.Broker, offset int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset("repeated", 0, offset, -1)
	if resp, err := kadm.NewClient(load.Client(t, b.Addr())).DeleteRecords(context.Background(), offsets); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
}
