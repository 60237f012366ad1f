package group

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// t0 is the partition that commitOf commits to.
var t0 = []protocol.TopicPartition{{Topic: "t"}}

// commitOfTwo is commitOf with another partition, so that the group outlives t0.
func commitOfTwo(group string, offset int64) *CommitRequest {
	r := commitOf(group, offset)
	other := r.Offsets[0]
	other.Topic = "u"
	r.Offsets = append(r.Offsets, other)
	return r
}

// expectOffset checks what a group has of t0, in memory or in the log; -1 is nothing.
func expectOffset(t *testing.T, where string, g *Group, want int64) {
	t.Helper()
	got := noOffsets(t0)
	if g != nil {
		got = g.Fetch(t0, false)
	}
	if got[0].Offset != want {
		t.Errorf("%s: %d, want %d", where, got[0].Offset, want)
	}
}

func expectFetched(t *testing.T, c *Coordinator, group string, want int64) {
	t.Helper()
	got, err := c.FetchOffsets(t.Context(), group, t0, false)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Offset != want {
		t.Errorf("%s fetches %d, want %d", group, got[0].Offset, want)
	}
}

// inLog is the groups as the next coordinator would read them.
func inLog(t *testing.T, j *memJournal) map[string]*Group {
	t.Helper()
	settings := DefaultSettings()
	l := newLoader(&settings)
	if err := j.read(l.add); err != nil {
		t.Fatal(err)
	}
	return l.groups(time.Now())
}

// expectNothingLeft checks that there are no groups, neither in memory nor in the log.
func expectNothingLeft(t *testing.T, c *Coordinator, j *memJournal) {
	t.Helper()
	if left := inLog(t, j); len(left) != 0 {
		t.Errorf("%d groups are left in the log", len(left))
	}
	if list, err := c.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d groups are left, %v", len(list), err)
	}
}

func TestPartitionsDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 2))
		other := commitOf("h", 1)
		other.Offsets[0].Topic = "u"
		c.Commit(ctx, other)
		c.PartitionsDeleted([]protocol.TopicPartition{{Topic: "t"}, {Topic: "t", Partition: 1}})
		synctest.Wait()
		expectOffset(t, "in the log", inLog(t, j)["g"], -1)
		if list, _ := c.List(ctx); len(list) != 1 || list[0].Group != "h" {
			t.Errorf("%+v", list)
		}
	})
}

// Without enough replicas the tombstones cannot be written. Nobody may read the offsets all the same, and the tombstones come later.
func TestPartitionsDeletedWithoutReplicas(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 2))
		c.Commit(ctx, commitOf("h", 2))
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		expectFetched(t, c, "g", -1)
		if errs := c.Commit(ctx, commitOf("g", 9)); errs[0] != kerr.CoordinatorNotAvailable {
			t.Errorf("%v", errs)
		}
		j.refusing(nil)
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		expectNothingLeft(t, c, j)
	})
}

// The tombstone of a partition that was made again and committed to must not delete the new offset, not even before that is committed.
func TestPartitionsDeletedAndCommittedAnew(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 200))
		c.Commit(ctx, commitOf("txn", 200))
		c.Commit(ctx, commitOf("h", 200))
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		j.refusing(nil)
		if errs := c.Commit(ctx, inTxn(commitOf("txn", 3), 7)); errs[0] != nil {
			t.Fatal(errs)
		}
		j.hold()
		go c.Commit(ctx, commitOf("g", 3))
		synctest.Wait()
		time.Sleep(c.settings.RetentionCheckInterval)
		j.release(nil)
		commitTxn(t, c, j, 7)
		synctest.Wait()
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		for group, want := range map[string]int64{"g": 3, "txn": 3, "h": -1} {
			expectFetched(t, c, group, want)
			expectOffset(t, group+" in the log", inLog(t, j)[group], want)
		}
	})
}

// A commit that was on its way when the partition was deleted is of what is gone.
func TestPartitionsDeletedWithCommitInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 1))
		c.Commit(ctx, inTxn(commitOf("txn", 1), 7))
		c.Commit(ctx, commitOf("txn", 1))
		j.hold()
		go c.Commit(ctx, commitOf("g", 2))
		synctest.Wait()
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		j.release(nil)
		commitTxn(t, c, j, 7)
		synctest.Wait()
		expectFetched(t, c, "g", -1)
		expectFetched(t, c, "txn", -1)
		j.refusing(nil)
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		expectNothingLeft(t, c, j)
	})
}

// As many groups as batches may be in flight are not all: the tombstones of the others follow as soon as there is room.
func TestPartitionsDeletedOfManyGroups(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		for i := range 2*inFlightMax + 5 {
			c.Commit(ctx, commitOf(fmt.Sprint("g", i), 1))
		}
		j.hold()
		c.PartitionsDeleted(t0)
		synctest.Wait()
		for i := range 2*inFlightMax + 5 {
			expectFetched(t, c, fmt.Sprint("g", i), -1)
		}
		j.release(nil)
		synctest.Wait()
		expectNothingLeft(t, c, j)
	})
}

// What is deleted while the partition is loaded must not be read after that.
func TestPartitionsDeletedWhileLoading(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		c.Commit(t.Context(), commitOf("g", 2))
		c.Resigned(0, 2)
		j.unread = errors.New("disk trouble")
		c.Elected(0, 3)
		synctest.Wait()
		for range 2 * requestsMax {
			c.PartitionsDeleted([]protocol.TopicPartition{{Topic: "another"}})
		}
		c.PartitionsDeleted(t0)
		j.readable()
		time.Sleep(loadRetryInterval)
		synctest.Wait()
		expectFetched(t, c, "g", -1)
		expectNothingLeft(t, c, j)
	})
}

// A shard that is too busy to hear of it at once does not miss it.
func TestPartitionsDeletedWhileBusy(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		c.Commit(t.Context(), commitOf("g", 2))
		busy := make(chan struct{})
		for range requestsMax + 1 {
			if err := c.led[0].post(t.Context(), func(time.Time) { <-busy }); err != nil {
				t.Fatal(err)
			}
		}
		c.PartitionsDeleted(t0)
		close(busy)
		expectFetched(t, c, "g", -1)
	})
}

// Who asks after the partitions are deleted does not find the offsets, whatever the shard does first.
func TestPartitionsDeletedBeforeFetch(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, _ *memJournal) {
		elect(c)
		ctx := t.Context()
		for range 20 {
			if errs := c.Commit(ctx, commitOf("g", 2)); errs[0] != nil {
				t.Fatal(errs)
			}
			busy := make(chan struct{})
			if err := c.led[0].post(ctx, func(time.Time) { <-busy }); err != nil {
				t.Fatal(err)
			}
			c.PartitionsDeleted(t0)
			var clients sync.WaitGroup
			clients.Go(func() { expectFetched(t, c, "g", -1) })
			synctest.Wait()
			close(busy)
			clients.Wait()
		}
	})
}

// A partition that is deleted again while its first tombstone is on its way: the second is owed all the same.
func TestPartitionsDeletedTwice(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		c.Commit(t.Context(), commitOfTwo("g", 1))
		j.hold()
		c.PartitionsDeleted(t0)
		synctest.Wait()
		go c.Commit(t.Context(), commitOf("g", 2))
		synctest.Wait()
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		j.release(nil)
		synctest.Wait()
		expectFetched(t, c, "g", -1)
		j.refusing(nil)
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		expectOffset(t, "in the log", inLog(t, j)["g"], -1)
	})
}

// What a transaction brings after the deletion, though written before, is dropped while a tombstone is owed, also if it was loaded.
func TestPartitionsDeletedWithinLoadedTransaction(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 1))
		c.Commit(ctx, inTxn(commitOf("g", 2), 7))
		c.Commit(ctx, commitOf("g", 3))
		c.Resigned(0, 2)
		c.Elected(0, 3)
		synctest.Wait()
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		commitTxn(t, c, j, 7)
		expectFetched(t, c, "g", -1)
		j.refusing(nil)
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		expectNothingLeft(t, c, j)
	})
}

// What a transaction has written before the deletion does not come back with its end, whether the group has an offset there already or not.
func TestPartitionsDeletedWithinTransaction(t *testing.T) {
	for name, committed := range map[string]bool{"beside an offset": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
				elect(c)
				ctx := t.Context()
				if committed {
					c.Commit(ctx, commitOf("g", 1))
				}
				c.Commit(ctx, inTxn(commitOf("g", 2), 7))
				c.PartitionsDeleted(t0)
				synctest.Wait()
				commitTxn(t, c, j, 7)
				expectFetched(t, c, "g", -1)
				time.Sleep(c.settings.RetentionCheckInterval)
				synctest.Wait()
				expectNothingLeft(t, c, j)
			})
		})
	}
}

// Tombstones on their way are not written again.
func TestPartitionsDeletedBuriesOnce(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		c.Commit(t.Context(), commitOfTwo("g", 1))
		j.hold()
		c.PartitionsDeleted(t0)
		time.Sleep(c.settings.RetentionCheckInterval)
		j.release(nil)
		synctest.Wait()
		if j.appends != 2 {
			t.Errorf("%d batches", j.appends)
		}
		expectOffset(t, "in the log", inLog(t, j)["g"], -1)
	})
}

// A group that is deleted takes along the tombstones that it is owed.
func TestDeleteGroupThatIsOwedTombstones(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		c.Commit(t.Context(), commitOf("g", 1))
		j.refusing(kerr.NotEnoughReplicas)
		c.PartitionsDeleted(t0)
		synctest.Wait()
		j.refusing(nil)
		if err := c.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		expectNothingLeft(t, c, j)
		if n := len(c.led[0].owing); n != 0 {
			t.Errorf("%d groups are still owed tombstones", n)
		}
	})
}

// A group that is deleted with a transaction open knows afterwards, too, that a partition of it is gone.
func TestDeleteGroupWithinTransactionOfDeletedPartition(t *testing.T) {
	bubble(t, func(t *testing.T, c *Coordinator, j *memJournal) {
		elect(c)
		ctx := t.Context()
		c.Commit(ctx, commitOf("g", 1))
		c.Commit(ctx, inTxn(commitOf("g", 2), 7))
		c.PartitionsDeleted(t0)
		synctest.Wait()
		if err := c.Delete(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		commitTxn(t, c, j, 7)
		expectFetched(t, c, "g", -1)
		time.Sleep(c.settings.RetentionCheckInterval)
		synctest.Wait()
		expectNothingLeft(t, c, j)
	})
}
