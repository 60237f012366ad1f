// Package group coordinates consumer groups: Kafka's classic group protocol and the offsets that groups commit.
//
// # Shape
//
// A group belongs to one partition of __consumer_offsets, by the hash of its id (PartitionFor). The broker that leads the
// partition is the group's coordinator and runs one shard for it: a loop that owns the partition's groups, so that nothing
// here needs a lock. A Group is a pure state machine: it takes an event and the time, and returns Effects: answers to
// requests that were waiting, and records to write. It opens nothing, starts nothing and reads no clock. The shard carries
// the effects out and calls Tick when a group's Deadline has come.
//
//	handler ──call──▶ shard.loop ──event, now──▶ Group
//	   ▲                 │  ▲                      │
//	   └──── answer ─────┘  └──────  Effects  ◀────┘
//	                     │
//	                     ├─ append (at once, in the loop)
//	                     └─ committer: waits until it is replicated, tells the loop in the same order
//
// # The log is the truth
//
// A write takes effect when it is committed, in the order of the log. So the state in memory is always what replaying the
// partition would give, apart from what the protocol keeps in memory only: rebalances under way and session timers. This
// departs from Apache Kafka in three places where its memory and its log can disagree: a write that times out is still
// applied when it is committed later (Apache forgets it, and shows it again after a restart); tombstones of deleted offsets
// are applied when written, not before; and an offset that an open transaction will commit is not dropped by OffsetDelete,
// since the transaction's marker would bring it back on replay.
//
// Offsets of deleted partitions are the exception: nobody may read them in a topic that is made again under the name, so they leave the
// memory at once, as in Apache. Apache then writes their tombstones whether replicas are missing or not; here they are written like
// everything else, and when that fails they are owed until it works, or until the group commits to the partition anew.
//
// # Transactions
//
// Offsets of a transaction (KIP-98) are kept apart, by producer, until its marker is in the log too. The broker that writes the marker
// tells the shard where it is (CompleteTransaction), which may be late: after a reload that has read it, after tombstones behind it, or a
// second time. So what counts is the marker's place in the log, as in a replay. A marker that comes while the partition is loaded counts
// before anybody can read the groups. Before a batch of a transaction is written its coordinator is asked whether it includes the group
// (KIP-890).
//
// Apache Kafka forgets what a producer has pending for a partition when a later commit of the same fails; here it stays pending, since it
// stays in the log.
//
// # Other departures, all where Apache can leave a request unanswered or a group stuck
//
//   - A member that is removed, or joins again on another connection, has its older request answered
//     (UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS).
//   - A subscription that cannot be parsed leaves the group's topics unknown; it never fails the rebalance.
//   - A partition whose log cannot be read stays in COORDINATOR_LOAD_IN_PROGRESS and is tried again; it is not served half loaded.
//   - A static member replaced in a stable group keeps its session timer.
//   - OffsetDelete and DeleteGroups answer when their tombstones are committed, with an error when they cannot be written.
//   - At most pendingMax member ids per group are given out and not used; a group that came to nothing is dropped at once.
package group
