package protocol

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// memoryRange is a FileRange over bytes that counts its releases.
type memoryRange struct {
	*bytes.Reader
	released *int
}

func newMemoryRange(b []byte, released *int) memoryRange {
	return memoryRange{Reader: bytes.NewReader(b), released: released}
}

func (m memoryRange) File() (*os.File, int64) { return nil, 0 }
func (m memoryRange) Current() bool           { return true }
func (m memoryRange) Release()                { *m.released++ }

// flatten reads a whole reply.
func flatten(t testing.TB, r *Reply) []byte {
	t.Helper()
	var out []byte
	for _, c := range r.Chunks {
		if c.Range == nil {
			out = append(out, c.Bytes...)
			continue
		}
		b := make([]byte, c.Range.Len())
		if _, err := c.Range.ReadAt(b, 0); err != nil {
			t.Fatalf("read range: %v", err)
		}
		out = append(out, b...)
	}
	return out
}

// randomFetchResponse makes an answer and what kmsg's own type looks like for it.
func randomFetchResponse(r *rand.Rand, version int16, released *int) (*FetchResponse, *kmsg.FetchResponse, int) {
	ours := &FetchResponse{Version: version, ThrottleMillis: r.Int32(), ErrorCode: int16(r.IntN(100)), SessionID: r.Int32()}
	theirs := kmsg.NewPtrFetchResponse()
	theirs.Version, theirs.ThrottleMillis, theirs.ErrorCode, theirs.SessionID = version, ours.ThrottleMillis, ours.ErrorCode, ours.SessionID
	theirs.Topics = []kmsg.FetchResponseTopic{}
	ranges := 0
	for range r.IntN(4) {
		topic, k := FetchTopic{Topic: randomString(r, 200), TopicID: NewTopicID()}, kmsg.NewFetchResponseTopic()
		k.Topic, k.TopicID = topic.Topic, topic.TopicID
		for range r.IntN(4) {
			p, kp := randomFetchPartition(r, released)
			if p.Records.Range != nil {
				ranges++
			}
			topic.Partitions, k.Partitions = append(topic.Partitions, p), append(k.Partitions, kp)
		}
		ours.Topics, theirs.Topics = append(ours.Topics, topic), append(theirs.Topics, k)
	}
	for range r.IntN(3) {
		n, k := FetchNode{ID: r.Int32(), Host: randomString(r, 60), Port: r.Int32()}, kmsg.NewFetchResponseBroker()
		if r.IntN(2) == 0 {
			rack := randomString(r, 5)
			n.Rack = &rack
		}
		k.NodeID, k.Host, k.Port, k.Rack = n.ID, n.Host, n.Port, n.Rack
		ours.Nodes = append(ours.Nodes, n)
		if version >= 16 {
			theirs.Brokers = append(theirs.Brokers, k)
		}
	}
	return ours, theirs, ranges
}

func randomFetchPartition(r *rand.Rand, released *int) (FetchPartition, kmsg.FetchResponseTopicPartition) {
	p, k := NewFetchPartition(r.Int32(), int16(r.IntN(100))), kmsg.NewFetchResponseTopicPartition()
	k.HighWatermark = -1 // kmsg has no default for it
	if r.IntN(3) > 0 {
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica = r.Int64(), r.Int64(), r.Int64(), r.Int32()
		k.HighWatermark, k.LastStableOffset, k.LogStartOffset, k.PreferredReadReplica = p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica
	}
	k.Partition, k.ErrorCode = p.Partition, p.ErrorCode
	if r.IntN(3) == 0 {
		p.DivergingEpoch = &EpochEndOffset{Epoch: r.Int32(), EndOffset: r.Int64()}
		k.DivergingEpoch.Epoch, k.DivergingEpoch.EndOffset = p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset
	}
	if r.IntN(3) == 0 {
		p.CurrentLeader = &LeaderIDAndEpoch{ID: r.Int32(), Epoch: r.Int32()}
		k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
	}
	if r.IntN(2) == 0 {
		p.AbortedTransactions, k.AbortedTransactions = []AbortedTransaction{}, []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range r.IntN(3) {
			a, ka := AbortedTransaction{ProducerID: r.Int64(), FirstOffset: r.Int64()}, kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			ka.ProducerID, ka.FirstOffset = a.ProducerID, a.FirstOffset
			p.AbortedTransactions, k.AbortedTransactions = append(p.AbortedTransactions, a), append(k.AbortedTransactions, ka)
		}
	}
	k.RecordBatches = []byte(randomString(r, 400))
	switch r.IntN(3) {
	case 0:
		p.Records.Bytes = k.RecordBatches
	case 1:
		p.Records.Range = newMemoryRange(k.RecordBatches, released)
	default:
		k.RecordBatches = []byte{}
	}
	return p, k
}

func randomString(r *rand.Rand, max int) string {
	b := make([]byte, r.IntN(max))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

func TestFetchResponseEncodesAsKmsgDoes(t *testing.T) {
	for version := int16(0); version <= 17; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(version), 7))
			for range 300 {
				released := 0
				ours, theirs, ranges := randomFetchResponse(r, version, &released)
				reply := ours.Encode()
				got, want := flatten(t, reply), theirs.AppendTo(nil)
				if !bytes.Equal(got, want) {
					t.Fatalf("encoded %+v:\n got %x\nwant %x", ours, got, want)
				}
				if reply.Len() != len(want) {
					t.Fatalf("reply says %d bytes, has %d", reply.Len(), len(want))
				}
				reply.Release()
				if released != ranges {
					t.Fatalf("%d ranges released, want %d", released, ranges)
				}
			}
		})
	}
}

func BenchmarkFetchResponseEncode(b *testing.B) {
	released := 0
	partitions := make([]FetchPartition, 50)
	for i := range partitions {
		partitions[i] = NewFetchPartition(int32(i), 0)
		partitions[i].Records.Range = newMemoryRange(make([]byte, 1024), &released)
	}
	resp := &FetchResponse{Version: 17, Topics: []FetchTopic{{Topic: "orders", Partitions: partitions}}}
	b.ReportAllocs()
	for b.Loop() {
		resp.Encode().Release()
	}
}
