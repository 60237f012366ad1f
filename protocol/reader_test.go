package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// referenceRecords reads the records of an uncompressed payload in the plainest way, straight from the format's description.
func referenceRecords(payload []byte, count int) (records []Record, err error) {
	in := bytes.NewReader(payload)
	long := func(r *bytes.Reader) int64 {
		v, e := binary.ReadVarint(r)
		err = errors.Join(err, e)
		return v
	}
	number := func(r *bytes.Reader) int64 {
		before := r.Len()
		v := long(r)
		if before-r.Len() > 5 {
			err = errors.New("an int of more than five bytes")
		}
		return int64(int32(v))
	}
	field := func(r *bytes.Reader) []byte {
		n := number(r)
		if err != nil || n < 0 {
			return nil
		}
		if n > int64(r.Len()) {
			err = io.ErrUnexpectedEOF
			return nil
		}
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b)
		return b
	}
	for range count {
		body := bytes.NewReader(field(in))
		if _, e := body.ReadByte(); err != nil || e != nil {
			return nil, errors.Join(err, e)
		}
		r := Record{Timestamp: long(body), Offset: number(body)}
		r.Key, r.Value = field(body), field(body)
		headers := number(body)
		if headers < 0 || headers > int64(body.Len()) {
			return nil, fmt.Errorf("%d headers", headers)
		}
		for range headers {
			key := field(body)
			if key == nil {
				return nil, errors.New("header without a key")
			}
			r.Headers.Add(string(key), field(body))
		}
		if err != nil || body.Len() > 0 {
			return nil, fmt.Errorf("%d bytes left: %w", body.Len(), err)
		}
		records = append(records, r)
	}
	if in.Len() > 0 {
		return nil, errors.New("bytes left")
	}
	return records, err
}

// payloadBatch is a batch header over a payload as it is.
func payloadBatch(codec Codec, count int32, payload []byte) Batch {
	b := append(make([]byte, BatchOverhead), payload...)
	writeBatchHeader(b, &BatchOptions{Compression: Compression{Codec: codec}}, count-1, count)
	Batch(b).UpdateCRC()
	return b
}

func readAll(b Batch, o ReadOptions) (records []Record, err error) {
	r := NewRecordReader(b, o)
	defer r.Close()
	for r.Next() {
		c := *r.Record()
		c.Key, c.Value, c.Headers.raw = bytes.Clone(c.Key), bytes.Clone(c.Value), bytes.Clone(c.Headers.raw)
		records = append(records, c)
	}
	return records, r.Err()
}

// FuzzRecords holds the reader, plain, compressed and skimming, against the reference.
func FuzzRecords(f *testing.F) {
	for _, n := range []int{1, 3, 12} {
		records := sampleRecords(n)
		for i := range records {
			records[i].Value = records[i].Value[:min(len(records[i].Value), 70)]
		}
		b, err := AppendBatch(nil, BatchOptions{}, records...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[BatchOverhead:], uint8(n))
	}
	f.Fuzz(func(t *testing.T, payload []byte, count uint8) {
		want, wantErr := referenceRecords(payload, int(count))
		if count == 0 {
			return // such a batch is empty, whatever follows
		}
		for _, codec := range []Codec{None, LZ4} {
			stored := payload
			if codec == LZ4 {
				stored = compress(t, codec, payload)
			}
			b := payloadBatch(codec, int32(count), stored)
			for _, o := range []ReadOptions{{}, {SkipData: true}} {
				got, err := readAll(b, o)
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("%v, %+v: %v, the reference: %v", codec, o, err, wantErr)
				}
				if err == nil {
					for i := range want {
						sameRecord(t, &want[i], &got[i])
					}
				}
				if err != nil && CodeOf(err) != CodeOf(ErrInvalidRecord) && CodeOf(err) != CodeOf(ErrTooLarge) {
					t.Fatalf("%v: %v", codec, err)
				}
			}
		}
	})
}

func compress(t testing.TB, codec Codec, b []byte) []byte {
	var out bytes.Buffer
	c, err := newCompressor(&out, Compression{Codec: codec}, 2)
	if err == nil {
		_, err = c.Write(b)
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.release()
	return out.Bytes()
}

// FuzzBatch feeds anything to all that reads entries of a log. Nothing may panic, and what is accepted must be consistent.
func FuzzBatch(f *testing.F) {
	for _, codec := range codecs {
		b, err := AppendBatch(nil, BatchOptions{Compression: Compression{Codec: codec}}, sampleRecords(4)...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(legacySet(f, 0, codec))
		f.Add(legacySet(f, 1, codec))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for b, err := range Batches(data) {
			if err != nil {
				return
			}
			_ = b.String()
			if b.Size() != len(b) {
				t.Fatalf("size %d of %d bytes", b.Size(), len(b))
			}
			var counts [2]int
			var errs [2]error
			for i, o := range []ReadOptions{{RecordMax: 1 << 16}, {RecordMax: 1 << 16, SkipData: true}} {
				r := NewRecordReader(b, o)
				for r.Next() && counts[i] < 1000 {
					counts[i]++
					for range r.Record().Headers.All() {
					}
				}
				errs[i] = r.Err()
				r.Close()
			}
			if errs[0] == nil && (errs[1] != nil || counts[0] != counts[1]) {
				t.Fatalf("%d records read, %d skimmed: %v", counts[0], counts[1], errs[1])
			}
			if b.Magic() == 0 {
				continue // handed on as it is
			}
			if converted, err := DownConvert(nil, b, 0, 0); err == nil {
				for c, err := range Batches(converted) {
					if err != nil || c.Magic() != 0 || c.CheckCRC() != nil {
						t.Fatalf("converted to %v: %v", c, err)
					}
				}
			}
		}
	})
}

// legacySet is a wrapper with three messages, or the messages themselves.
func legacySet(t testing.TB, magic int8, codec Codec) []byte {
	var set []byte
	for i, r := range sampleRecords(3) {
		r.Offset = int64(i)
		set = appendMessage(set, magic, false, &r)
	}
	if codec == None || codec == Zstd {
		return set
	}
	return appendMessage(nil, magic, false, &Record{Value: compress(t, codec, set)})
}

// bombs are payloads of about 1 MiB that inflate to much more: one large record, or many.
func bombs(t *testing.T) map[string]Batch {
	zeros := make([]byte, 1<<20)
	pump := func(w io.WriteCloser, head []byte, size int) {
		_, err := w.Write(head)
		for ; size > 0 && err == nil; size -= len(zeros) {
			_, err = w.Write(zeros[:min(size, len(zeros))])
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// The record's fields before and after a value of n zeros: the value's last byte serves as the count of headers.
	record := func(n int) []byte {
		body := []byte{0, 0, 0, 1}
		body = appendVarint(body, int64(n))
		return append(appendVarint(nil, int64(len(body)+n+1)), body...)
	}
	m := make(map[string]Batch)
	for name, size := range map[string]int{"256 MiB": 256 << 20, "over the limit": 1<<30 + 1<<20} {
		var z, g bytes.Buffer
		zw, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			t.Fatal(err)
		}
		pump(zw, record(size), size+1)
		m["zstd, "+name] = payloadBatch(Zstd, 1, z.Bytes())
		if size > 256<<20 {
			continue
		}
		gw, err := gzip.NewWriterLevel(&g, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		pump(gw, record(size), size+1)
		m["gzip, "+name] = payloadBatch(Gzip, 1, g.Bytes())
	}
	m["snappy, 64 MiB"] = payloadBatch(Snappy, 1, s2.EncodeSnappy(nil, append(record(64<<20), make([]byte, 64<<20+1)...)))
	m["lz4, 64 MiB"] = payloadBatch(LZ4, 1, compress(t, LZ4, append(record(64<<20), make([]byte, 64<<20+1)...)))
	m["snappy claims 2 GiB"] = payloadBatch(Snappy, 1, append(binary.AppendUvarint(nil, 1<<31-1), 0, 0))
	return m
}

func TestBombsAreReadInBoundedMemory(t *testing.T) {
	const budget = 16 << 20
	for name, b := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			var want error
			switch name {
			case "zstd, over the limit":
				want = ErrTooLarge
			case "snappy claims 2 GiB":
				want = ErrDecompress
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			records, err := readAll(b, ReadOptions{SkipData: true})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, want) || want == nil && len(records) != 1 {
				t.Fatalf("%d records, %v, want %v", len(records), err, want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > budget {
				t.Fatalf("%d bytes were allocated to check %d", used, len(b))
			}
			if _, err := readAll(b, ReadOptions{}); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrDecompress) {
				t.Fatalf("read whole: %v", err)
			}
		})
	}
}

func TestLargeRecordsAreReadWhole(t *testing.T) {
	for _, codec := range codecs {
		value := bytes.Repeat([]byte("0123456789"), 300_000)
		var headers Headers
		headers.Add("large", bytes.Repeat([]byte{1}, 100_000))
		b, err := AppendBatch(nil, BatchOptions{Compression: Compression{Codec: codec}}, Record{Value: []byte("small")}, Record{Value: value, Headers: headers}, Record{Key: value})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []ReadOptions{{}, {SkipData: true}} {
			records, err := readAll(b, o)
			if err != nil || len(records) != 3 || records[1].Key != nil || records[1].Value == nil || records[2].Key == nil || records[2].Value != nil {
				t.Fatalf("%v, %+v: %d records, %v", codec, o, len(records), err)
			}
			if !o.SkipData && (!bytes.Equal(records[1].Value, value) || !bytes.Equal(records[2].Key, value) || !bytes.Equal(records[1].Headers.raw, headers.raw)) {
				t.Fatalf("%v: the large record is not what was written", codec)
			}
		}
	}
}
