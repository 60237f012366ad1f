// Package replica has the replicas of one broker: it leads partitions and follows others, as the controller says.
//
//	Manager    all replicas by name; applies LeaderAndIsr, StopReplica and UpdateMetadata, one at a time
//	Partition  one replica: a lock around its core, its log, a View for readers, the watches of those who wait
//	core       leadership, epochs, ISR, the followers' progress; pure, without clock or I/O
//	purgatory  requests that wait: blocked goroutines, woken when what they wait for has happened
//	Standing   a fetch session: its watches stay in the partitions from one fetch to the next
//	Fetchers   a loop for each broker that leads what this one follows, and the pure fetcherCore that tells it what to do
//	moves      replicas that go to another of this broker's directories: copied, and put in the place of the log under the partition's lock
//	Journal    the log of an internal topic, as the coordinators use it
//	Verification, MarkerWriter
//	           how transactions begin and end in a partition: their coordinator is asked before their first records, and has markers written
//
// # How an append becomes visible
//
// A leader appends under the partition's lock. Its log end moves, and with it the high watermark as far as every replica of
// the maximal ISR has come, which is at once when the leader is alone in it. Everything that this means for others leaves the
// lock as effects: after it, fetches that have enough bytes now and produce requests whose records are committed now are
// woken, and changes of the ISR go to the controller. A consumer reads by the View and the log's published marks, without the
// lock.
//
// # Locks, in order
//
//	Manager.applyMu  one request of the controller at a time; produce and fetch never take it
//	registry.mu      the map of partitions; held for a look-up
//	Fetchers.mu      which loop fetches what
//	fetcher.mu       one loop's core; held while an answer is carried out, so that a partition can be taken away safely
//	Partition.mu     core and view; read-locked by appends, locked by fetches of followers
//	log.Log's own
//	Standing.placing where a session's watches are
//	watchers.mu      taken after Partition.mu was released
//	Standing.mu      which of a session's watches are open; a leaf
//
// # What a round of replication costs
//
// As much as has happened, however many partitions two brokers share. The leader looks at those partitions of a follower's session in which a watch was
// opened by an event, or that the request names; the follower asks only for what it appended to. What comes without an event (a log start that
// retention moved, a topic id that is new) is found by looking at all every quarter of a second, on either side. Apache Kafka looks at all partitions
// each time, on both sides, and so its acks=all becomes slower with each partition that the brokers have.
//
// # Rules that keep acknowledged records
//
//   - The high watermark waits for the maximal ISR: members that may join or leave by a proposal in flight count as long as
//     they may be members.
//   - It does not move while the ISR is below min.insync.replicas.
//   - A follower's progress counts only if it fetched in the leader's own epoch, and not when it must truncate first.
//   - A follower joins the ISR only when it has all that is committed and the start of the leader's epoch (KIP-320).
//   - While the leader may be the last in sync of several replicas, the high watermark does not pass what is on its disk, and it proposes
//     to be the last only after a sync (below).
//   - A proposal that was refused after an earlier try of it was not answered may still be done. It is taken back by a write that makes the
//     earlier request void, and its members count until then.
//   - The ISR changes by AlterPartition only (KIP-497); this package never writes partition state itself.
//
// # The last in sync and power loss
//
// In Apache Kafka a record is committed when all in-sync replicas have it in memory. That survives the power loss of one of them, because
// a replica that comes back leaves the ISR, unless it was the last in it: then it leads, has lost its tail, and the others cut theirs to match,
// also what they had (KIP-966). Kafka closed this for KRaft with another protocol. Here the wire and the znodes stay as they are, and the
// leader syncs its log at the one moment that matters, by the setting gokafka.isr.sync:
//
//	none  as Apache
//	last  while the ISR is, or by a proposal under way may be, this leader alone: before it proposes that; as soon as it is elected
//	      so or told so; and from then on before anything more is committed
//	min   the same while the ISR is not larger than min.insync.replicas
//
// With last, what was committed is lost only if the last replica loses power before it can have heard that it is the last: when another
// has crashed, that is until the controller has noticed and told. With min the leader's copy is always on disk before that can begin; what
// remains is a leader that dies together with its last follower before that follower, elected, has synced, which is two power
// losses at once, more than min.insync.replicas=2 promises. Appends that come during a sync share the next. No sync happens while more
// replicas are in sync, or in partitions that have one replica only. It is of no use after an unclean election, and none is
// needed after an unclean restart: what was committed is on the disk of the last in sync.
package replica
