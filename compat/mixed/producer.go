package mixed

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/load"
)

// Producer is an idempotent producer that sends what it is told, and so can send a batch again after the broker has changed.
type Producer struct {
	c      *Cluster
	client *kgo.Client
	topic  string
	id     int64
	epoch  int16
	sent   []int64 // the offset of each batch, by sequence number
}

// NewProducer asks for a producer id.
func (c *Cluster) NewProducer(topic string) *Producer {
	c.t.Helper()
	p := &Producer{c: c, client: load.Client(c.t, c.Addrs()), topic: topic}
	c.await("producer id", func(ctx context.Context) error {
		resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, p.client)
		if err != nil {
			return err
		}
		p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
		return kerr.ErrorForCode(resp.ErrorCode)
	})
	return p
}

// Send produces the next batch, of one record, to partition 0.
func (p *Producer) Send() {
	p.c.t.Helper()
	p.sent = append(p.sent, p.produce(int32(len(p.sent))))
}

// Repeat sends the last batch again, which is all that a broker knows of a producer that another broker knew before. It is to be
// acknowledged at the offset that it has.
func (p *Producer) Repeat() {
	p.c.t.Helper()
	last := len(p.sent) - 1
	if at := p.produce(int32(last)); at != p.sent[last] {
		p.c.t.Errorf("batch %d is at offset %d, and was acknowledged again at %d", last, p.sent[last], at)
	}
}

func (p *Producer) produce(sequence int32) (offset int64) {
	p.c.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30000
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = batch(p.id, p.epoch, sequence)
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = p.topic, append(t.Partitions, partition)
	req.Topics = append(req.Topics, t)
	p.c.await(fmt.Sprintf("batch %d", sequence), func(ctx context.Context) error {
		resp, err := req.RequestWith(ctx, p.client)
		if err != nil {
			return err
		}
		offset = resp.Topics[0].Partitions[0].BaseOffset
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
	return offset
}

// batch is an idempotent batch of one record.
func batch(id int64, epoch int16, sequence int32) []byte {
	now := time.Now().UnixMilli()
	record := kmsg.Record{Value: fmt.Appendf(nil, "sequence %d", sequence)}
	body := record.AppendTo(nil)[1:] // a length of 0 takes one byte
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now, ProducerID: id, ProducerEpoch: epoch,
		FirstSequence: sequence, NumRecords: 1, Records: append(binary.AppendVarint(nil, int64(len(body))), body...)}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}
