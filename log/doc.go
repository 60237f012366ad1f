// Package log keeps partitions on disk: each Log is one replica's durable, ordered run of record batches, and a Manager owns all logs in the
// broker's directories (log.dirs). It knows nothing of networks, peers or who leads. The bytes are Apache Kafka 3.9's: either broker opens what
// the other left, after a clean stop and after a crash, and Kafka's tools read the files.
//
// # Files
//
//	DIR/                                     one of log.dirs
//	  .lock                                  locked while a broker runs
//	  meta.properties                        whose directory it is
//	  .kafka_cleanshutdown                   only between a clean stop and the next start
//	  recovery-point-offset-checkpoint       up to where each log is durable
//	  log-start-offset-checkpoint            where logs begin that begin within a segment
//	  replication-offset-checkpoint          high watermarks
//	  cleaner-offset-checkpoint              up to where logs are compacted
//	  TOPIC-PARTITION/
//	    00000000000000000000.log             a segment: batches from this offset on
//	    00000000000000000000.index           offset index
//	    00000000000000000000.timeindex       time index
//	    00000000000000000000.txnindex        aborted transactions; only if there are any
//	    00000000000000000042.snapshot        producers' state before this offset
//	    leader-epoch-checkpoint              first offset of each leader epoch
//	    partition.metadata                   topic id
//	  TOPIC-PARTITION.UUID-delete/           a deleted log, to be removed
//	  TOPIC-PARTITION.UUID-future/           a copy of a log in another directory, whose place it is to take
//
// A segment's files get the suffix .deleted when the segment is given up, and are removed a minute later; .cleaned and .swap are compaction's.
//
// All numbers are big-endian. Package protocol draws a batch. The indexes, all with fixed entries in ascending order:
//
//	.index      | offset - base (4) | position of the batch (4) |          the offset is the batch's last one
//	.timeindex  | largest timestamp so far (8) | offset - base (4) |
//	.txnindex   | version 0 (2) | producer id (8) | first offset (8) | marker's offset (8) | last stable offset (8) |
//
//	.snapshot   | version 1 (2) | CRC-32C of what follows (4) | count (4) | then for each producer:
//	            | producer id (8) | epoch (2) | last sequence (4) | last offset (8) | offset delta (4) | timestamp (8) |
//	            | coordinator epoch (4) | first offset of the open transaction (8), or -1 |
//
// A batch gets an index entry when more than index.interval.bytes were appended since the last entry, so the first batch never has one. When a
// segment is closed its largest timestamp becomes the last time entry. The checkpoints are text:
//
//	0                  version
//	1                  number of lines that follow
//	topic 3 1234       topic, partition, offset; of leader-epoch-checkpoint: epoch, offset
//
// # Marks
//
//	start ≤ last stable ≤ high watermark ≤ end            recovery point ≤ end
//
// Records below the start are gone for readers, though perhaps not from the disk. Below the high watermark they are committed, below the last
// stable offset their transactions are decided too, and below the recovery point they are durable. Check walks these and all other
// invariants: offsets and leader epochs ascend through all batches, every batch is intact, index entries are true.
//
// # What a crash may do
//
// An append is one write and no fsync; replication is what makes records safe, and flush.messages or flush.ms, for those who want it, the disk.
// Durable are: a segment that was rolled, soon after; everything after a clean stop; every file that is replaced as a whole, through a
// temporary one. A power cut may lose or tear anything that was not synced, in any order, names included.
//
// So after a start that does not find the marker of a clean stop, all segments from the recovery point on are read again. The log ends before the
// first batch that is not what was written, and before the first gap; what follows is removed. Indexes, producers' state and epochs are
// built anew from the batches. For this to be right the recovery point only moves after an fsync of the log and of every file that recovery
// would not make again below it: leader epochs, partition.metadata, and the directory entries. It falls back with a truncation, which also
// writes the checkpoint if that had a higher one.
//
// An I/O error takes its whole directory offline until the next start, since after a failed write or fsync nobody knows what is on the disk.
// Manager.Failures tells. A failed append changes nothing that readers or producers can see.
//
// # Where it is not as in Apache Kafka
//
//   - The leader epochs are written before a flush, not at once, and partition.metadata before the first append: both are then still in
//     time for recovery, and creating a partition costs no fsync.
//   - Index files of the active segment are not preallocated, but grow by pages. Only crashed brokers leave files that differ in that, and
//     either one rebuilds these.
//   - A gap between segments above the recovery point ends the log, unless compaction made it. Apache keeps what comes after it.
//   - Where recovery builds indexes anew the recovery point goes back to their segment's begin, since they are not durable. Apache leaves it, and
//     a second power cut can lose which transactions were aborted.
//   - A list of aborted transactions ends with the records that are read; Apache's may have some that begin behind them.
//   - An index that contradicts itself or the log is not used; the log is read in its place. Apache trusts its indexes.
//   - A corrupt high watermark checkpoint counts as empty and a corrupt leader epoch file makes the log be read again; Apache takes the directory
//     offline for either.
//   - A partition that a crash has left in two directories at the end of its move between them is kept in one, if the two logs agree. Apache
//     does not start.
//   - Segments whose offsets exceed their index (KAFKA-6264, written before Kafka 1.1) are cut where they do, not split.
//
// # Locks
//
// Log.mu guards everything that an append changes: the active segment, the marks, the producers' state. It is never held across an fsync,
// except those of a truncation, and calls nobody back. Readers take no lock: they load the marks and the list of segments, both replaced as a
// whole, and hold the segment's file, which lives on when the segment is deleted. The size of a segment and its indexes are safe to read while it
// grows; a reader's bound, not the size, says how far it may read.
//
// A truncation makes Log.generation odd, changes the log, and makes it even again. A reader that sees it odd or changed reads again under the
// lock, and a Slice of an older generation is not Current: what it points to may have been overwritten.
//
// Locks are taken in this order: a claim on partitions, to create or delete their logs; the locks of a volume's checkpoints; Log.flushMu; Log.mu;
// Log.epochsMu; then those of a segment's index and of a file, which are held for no longer than one call of the disk.
//
// A disk that hangs holds up only its own logs: what is locked while a disk works belongs to one volume, one log or one file, and background
// work is done for each volume by itself. Those that all share, registry.mu, fileCache.mu and cleaner.mu, are held for no call of a disk. Only the
// cleaner's threads are for all volumes: one that cleans on the disk that hangs, or looks there for work (cleaner.picking), waits.
package log
