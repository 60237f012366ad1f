package log

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gokafka/protocol"
)

// benchmarkBatch is a batch of about 64 KiB of records whose values are half compressible, as JSON is.
func benchmarkBatch(b *testing.B, valueSize int, codec protocol.Codec) []byte {
	random := rand.New(rand.NewPCG(7, 7))
	records := make([]protocol.Record, 64<<10/valueSize)
	for i := range records {
		value := bytes.Repeat([]byte{'x'}, valueSize)
		for j := 0; j < valueSize; j += 2 {
			value[j] = byte('a' + random.IntN(16))
		}
		records[i] = protocol.Record{Timestamp: 1_700_000_000_000 + int64(i), Value: value, Key: fmt.Append(nil, "key-", i)}
	}
	batch, err := protocol.AppendBatch(nil, protocol.BatchOptions{Compression: protocol.Compression{Codec: codec}}, records...)
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, codec := range []protocol.Codec{protocol.None, protocol.Gzip, protocol.Snappy, protocol.LZ4, protocol.Zstd} {
			b.Run(fmt.Sprintf("%d/%v", size, codec), func(b *testing.B) {
				batch := benchmarkBatch(b, size, codec)
				v := validation{config: DefaultConfig(), now: time.UnixMilli(1_700_000_000_000)}
				count := protocol.Batch(batch).Count()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.validate(batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/record")
				b.ReportMetric(float64(64<<10)*float64(b.N)/b.Elapsed().Seconds()/1e6, "MB/s")
			})
		}
	}
}

func BenchmarkRecompress(b *testing.B) {
	for _, codec := range []protocol.Codec{protocol.Gzip, protocol.Snappy, protocol.LZ4, protocol.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			batch := benchmarkBatch(b, 100, protocol.None)
			config := DefaultConfig()
			config.Messages.CompressionType = codec.String()
			v := validation{config: config, now: time.UnixMilli(1_700_000_000_000)}
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			for b.Loop() {
				if _, err := v.validate(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
