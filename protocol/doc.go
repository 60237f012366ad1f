// Package protocol turns bytes into values and back: frames, headers, requests, record batches, error codes.
// It knows no broker state.
//
// # Record batches
//
// A log, the records of a Produce request and those of a Fetch response are the same bytes: entries one after another. All numbers
// are big-endian. Since Kafka 0.11 (KIP-98) an entry is a batch of magic 2:
//
//	 0  base offset       int64   offset of the first record
//	 8  size              int32   bytes that follow this field
//	12  leader epoch      int32   of the leader that appended it
//	16  magic             int8    2
//	17  CRC               uint32  CRC-32C of all that follows
//	21  attributes        int16   bits 0–2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
//	23  last offset delta int32
//	27  base timestamp    int64   milliseconds; with bit 6, the delete horizon
//	35  max timestamp     int64
//	43  producer id       int64   -1 none
//	51  producer epoch    int16
//	53  base sequence     int32
//	57  count             int32   records that follow
//	61  records, compressed together if there is a codec:
//	    length            varint  of the rest of the record
//	    attributes        int8    unused
//	    timestamp delta   varlong
//	    offset delta      varint
//	    key, value        varint length, -1 for null, and bytes
//	    headers           varint count; of each, key and value as above, the key not null
//
// A varint is zig-zag coded, seven bits to the byte, lowest first. Base offset and leader epoch lie before the CRC's range so that the leader can
// stamp them where they are. [Batch] is a view over such bytes, [RecordReader] goes through the records, [BatchBuilder] makes a batch.
//
// The formats before, magic 0 and 1, still come from old producers, still lie in old logs, and are still what old consumers read:
//
//	offset int64 | size int32 | CRC uint32 (IEEE, of what follows) | magic | attributes int8 | timestamp int64 (magic 1) | key | value
//
// with int32 lengths. A compressed set is the value of a wrapper message; legacy.go tells how its offsets count. The log is written
// in magic 2 only: old messages are converted when they come in (package log), and [DownConvert] makes them again for old consumers.
//
// # Bounds
//
// Compressed bytes are decompressed as a stream, so what a batch inflates to does not have to fit in memory; [InflatedMax] and [RecordMax]
// bound the time it takes and the record that is held. LZ4 blocks (at most 4 MiB) and zstd windows (8 MiB) are the largest buffers; zstd
// frames that announce more, which only levels above 19 do, and snappy blocks that reach back more than 4 MiB, are decoded whole, up to 14 MiB.
package protocol
