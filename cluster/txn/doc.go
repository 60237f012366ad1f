// Package txn coordinates transactions, and hands out the ids of their producers.
//
// # Shape
//
// A transactional id belongs to one partition of __transaction_state, by its hash (PartitionFor). The broker that leads the partition is
// the id's coordinator and has one shard for it, which one goroutine at a time may touch, in its turn. A Transaction
// is a pure state machine: it takes an event and the time, and returns what is to be written to the log and what the client is told
// once that is committed. It opens nothing, starts nothing and reads no clock.
//
//	handler ──call──▶ shard ──event, now──▶ Transaction
//	   ▲              │ ▲ ▲                     │
//	   └─── answer ───┘ │ └── metadata, verdict ┘
//	                  │ └───────── written ─────┐
//	                  ├─ append; the committer waits until it is replicated, and tells the shard in the same order
//	                  └─ Markers: what is decided goes to the leaders of the partitions, until all have it
//
// A transaction goes Empty → Ongoing → PrepareCommit or PrepareAbort → CompleteCommit or CompleteAbort, and from there to Ongoing or Empty
// again. With the Prepare record it is decided, and its producer answered; whoever loads the record brings it to its end. While something is
// on its way to the log, or markers to their partitions, all requests for the id are told to come back (CONCURRENT_TRANSACTIONS).
//
// Verifier asks coordinators, here or elsewhere, for the leaders of partitions (KIP-890).
//
// # The log is the truth
//
// A write takes effect when it is committed, in the order of the log, however long that takes, so the state in memory is always what
// replaying the partition would give. This departs from Apache Kafka, which takes a write back in memory when its replicas are slow although
// the log has it, and which counts a fenced producer's next epoch before it is written. A client is kept waiting for request.timeout.ms
// at most, and then told COORDINATOR_NOT_AVAILABLE as there.
//
// # Other departures, all where Apache can lose its way
//
//   - A coordinator that takes over waits until what it has read is committed (COORDINATOR_LOAD_IN_PROGRESS). Apache acts at once on what may
//     still be lost: it sends markers of a commit that its own successor may not know of, and aborts in the other partitions.
//   - A partition whose log cannot be read stays in COORDINATOR_LOAD_IN_PROGRESS and is tried again; it is not served half loaded. Single
//     records that are not understood are skipped, and do not end the load.
//   - A partition counts as deleted, and needs no marker, when the cluster's store does not have it. The broker's image may lack a topic
//     that is new; Apache takes its word for it, and leaves a transaction open forever.
//   - A leader that stays one in a new epoch keeps what it has; Apache loads it again.
//   - A producer that lost the answer to InitProducerID may ask again more than once, also at the end of its epochs, where
//     Apache answers UNKNOWN_SERVER_ERROR.
//   - A producer that goes on after an error aborts the open transaction only if it is its own; Apache looks at the producer id alone, so
//     that a request which comes late aborts what its own producer has begun since, and fences it.
//   - AddPartitionsToTxn waits a moment for the end of the transaction before, instead of sending its producer into a pause that is longer.
//   - Verifications of one id that come together are asked one after the other; Apache refuses the first with NETWORK_EXCEPTION.
package txn
