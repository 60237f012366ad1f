// Package sim tests the cluster by simulation: some brokers in one process, with a network, disks and a metadata store that misbehave by
// a seed, under a clock that jumps. It has tests only.
//
//	go test ./cluster/sim -seed=N -steps=M -args -trace   one run, with what happened
//	make sim                                              hundreds of seeds
//	go test ./cluster/sim -run Dialogues -rewrite         the dialogues' replies anew
//
// What runs is what a broker runs: replica.Manager with its fetchers and its queue of proposals, log.Manager on vfs.Mem, controller.Controller
// over a session of metastore.Embedded, txn.Coordinator with its markers. Simulated is only what lies between them: each request, each answer
// and each operation of the store is a message that waits for its turn in one queue.
//
// # Determinism
//
// Everything happens in a bubble of testing/synctest. One goroutine, the world's, takes the next message, or the next fault or the next wish of
// a client, lets the clock jump to its moment, delivers it, and waits until every other goroutine is blocked before it takes the next.
// Messages that were sent meanwhile are sorted by what they are before the dice are cast for them. So whatever two goroutines do at one
// moment, in whatever order, must come to the same; where it did not, production code was made so that it does: proposals of
// one moment go to the controller in one request, in order, and the controller hears of the end of its term first. A controller that waits for the
// store is not disturbed: what it is asked waits at its door, as it would in its queue. A transaction coordinator pauses for nanoseconds before it
// appends and goes on, one partition's alone, and sends each marker by itself; which markers are in a queue when its sender looks is
// a race still, so that transactions with coordinators are repeated exactly with GOMAXPROCS=1 only. How far a broker comes in the moment of its
// death is chance, too: it asks nothing more, and who waits for its answer hears that the connection is gone. Else the same seed gives the same
// trace, and a test holds that.
//
// # What is checked
//
// After each step: one leader in each epoch, epochs only grow, a leader is in its ISR and elected from the one before, offsets are dense; what a
// leader's high watermark passed never changes, all members of the ISR that are up have it, no replica's own high watermark passes something
// else; what is acknowledged by all in-sync replicas is below the high watermark, what a consumer reads is too; an idempotent producer's record is
// there once; the end of a transaction is in the log when it is acknowledged, and who reads decided records gets those of committed transactions and no
// others; if its marker is not committed yet, it must come to that. Where transactions have coordinators (TestTransactions): a marker says what was decided, by a record of __transaction_state that is
// committed before it, so that the outcome is the same in all partitions; when the coordinator's log has a transaction complete, all its partitions have
// the marker; whoever is told of an end finds it decided so; a producer's states follow each other, and its epochs only grow; nobody is served in an epoch
// after a client was given a later one of the same id, except that it may be told how its transaction ended.
//
// At the end the faults stop, and everything must come to rest: replicas equal and in sync, no transaction open, every request answered, every
// record read.
//
// A check that never fails proves nothing, so some faults of design are planted between the parts (seams), and the seeds must find each.
//
// # What is not
//
// Sockets and frames: requests travel as the values that cluster/peer makes of them, and a fetch session is kept without its bytes. Handlers,
// groups, txn.Verifier (each question goes to the coordinator by itself), several markers in one request, blocks of producer ids, epochs that
// are used up, ids that expire, retention and compaction. A broker has one log directory. Disks lose unsynced writes only in runs where every
// append is synced, because Kafka promises nothing for the others; the dialogues have some of those.
package sim
