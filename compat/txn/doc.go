// Package txn looks at transactions from outside, with stock clients, on both brokers:
//
//   - copiers (Apache's TransactionalMessageCopier, Kafka Streams with exactly_once_v2, franz-go's GroupTransactSession, librdkafka)
//     copy a topic in transactions that commit what was read, while brokers and copiers are killed. Readers of committed records
//     must find each record of the input once, in order, whether they look on or come later (package check).
//   - performers (the Java client, franz-go, librdkafka) play scenes with two producers of one transactional id: commits, aborts,
//     fencing, timeouts, restarts of the broker. What succeeds, and how the rest fails, must be the same on both brokers.
//   - Apache's kafka-transactions and kafka-dump-log print the same about both.
//
// The programs in python/, java/ and ../cmd/txndriver understand:
//
//	copy ADDRESSES INPUT OUTPUT GROUP ID    copies, keeping partitions, until SIGTERM, aborting now and then
//	script ADDRESSES                        does what stdin says, line by line, and answers each with "ok" or "failed KIND":
//	    init P ID MILLISECONDS              makes a producer named P with that transactional id and timeout
//	    begin P, commit P, abort P, close P
//	    send P TOPIC N VALUE                a record to each of the first N partitions; waits for the acknowledgements
//	    offsets P GROUP TOPIC OFFSET        of partition 0
//
// Short, each case runs on one broker of each kind and on three of gokafka. With -full there are -rounds rounds of faults, and clusters of
// Apache and of both kinds as well (which COMPAT_BROKERS=apache and =mixed ask for at any time).
package txn
