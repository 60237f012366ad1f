package log

import (
	"slices"
	"sync"
)

// UndefinedOffset and UndefinedEpoch are answers of LeaderEpochCache.EndOffset that know nothing.
const (
	UndefinedOffset int64 = -1
	UndefinedEpoch  int32 = -1
)

type epochEntry struct {
	epoch int32
	start int64 // offset of the epoch's first record
}

// LeaderEpochCache knows at which offset each leader epoch began (KIP-101). Epochs and offsets both grow. Its methods may be called by any
// goroutine; only its log changes it.
//
// The file is not written at each change. What must never happen is that an epoch is missing from it while the records that carry the
// epoch lie below the recovery point, since only records above that are read again at start. So the log writes the file before it moves
// its recovery point, and at close; a flush that has nothing else to do costs no fsync.
type LeaderEpochCache struct {
	mu      sync.RWMutex
	entries []epochEntry
	dirty   bool // differs from the file
}

// Latest is the last epoch.
func (c *LeaderEpochCache) Latest() (epoch int32, ok bool) {
	epoch, _, ok = c.last()
	return epoch, ok
}

// last is the last epoch and its first offset.
func (c *LeaderEpochCache) last() (epoch int32, start int64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return UndefinedEpoch, UndefinedOffset, false
	}
	e := c.entries[len(c.entries)-1]
	return e.epoch, e.start, true
}

// Earliest is the first epoch and its first offset.
func (c *LeaderEpochCache) Earliest() (epoch int32, start int64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return UndefinedEpoch, UndefinedOffset, false
	}
	return c.entries[0].epoch, c.entries[0].start, true
}

// Previous is the largest epoch below the given one.
func (c *LeaderEpochCache) Previous(epoch int32) (earlier int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := c.searchLocked(epoch)
	if i == 0 {
		return UndefinedEpoch, false
	}
	return c.entries[i-1].epoch, true
}

// EpochAt is the epoch of the record at the offset.
func (c *LeaderEpochCache) EpochAt(offset int64) (epoch int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range slices.Backward(c.entries) {
		if e.start <= offset {
			return e.epoch, true
		}
	}
	return UndefinedEpoch, false
}

// EndOffset answers OffsetForLeaderEpoch: the largest epoch known that is not above the requested one, and the offset at which it ended. logEnd
// is the end of the latest. It is undefined for an epoch above all known ones; an epoch below all known ones is answered with itself and
// the start of the first, since its records are gone.
func (c *LeaderEpochCache) EndOffset(requested int32, logEnd int64) (epoch int32, end int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := len(c.entries)
	if requested == UndefinedEpoch || n == 0 || requested > c.entries[n-1].epoch {
		return UndefinedEpoch, UndefinedOffset
	}
	if c.entries[n-1].epoch == requested {
		return requested, logEnd
	}
	higher := c.searchLocked(requested + 1)
	if higher == 0 {
		return requested, c.entries[0].start
	}
	return c.entries[higher-1].epoch, c.entries[higher].start
}

// searchLocked is the index of the first entry whose epoch is not below the given one.
func (c *LeaderEpochCache) searchLocked(epoch int32) int {
	i, _ := slices.BinarySearchFunc(c.entries, epoch, func(e epochEntry, epoch int32) int {
		return int(int64(e.epoch) - int64(epoch))
	})
	return i
}

// assign notes that the epoch begins at start, unless it is not newer. Entries that contradict it are dropped: an earlier epoch that
// never got a record begins at the same offset.
func (c *LeaderEpochCache) assign(epoch int32, start int64) {
	if epoch < 0 || start < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.entries)
	if n > 0 && c.entries[n-1].epoch == epoch && start >= c.entries[n-1].start {
		return
	}
	keep := n
	for keep > 0 && (c.entries[keep-1].epoch >= epoch || c.entries[keep-1].start >= start) {
		keep--
	}
	c.entries = append(c.entries[:keep], epochEntry{epoch, start})
	c.dirty = true
}

// truncateFromEnd drops epochs that begin at or after the offset.
func (c *LeaderEpochCache) truncateFromEnd(end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := len(c.entries)
	for keep > 0 && c.entries[keep-1].start >= end {
		keep--
	}
	c.dirty = c.dirty || keep < len(c.entries)
	c.entries = c.entries[:keep]
}

// truncateFromStart lets the epoch of the offset begin there and drops earlier ones.
func (c *LeaderEpochCache) truncateFromStart(start int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	drop := 0
	for drop < len(c.entries) && c.entries[drop].start <= start {
		drop++
	}
	if drop == 0 {
		return
	}
	c.dirty = c.dirty || drop > 1 || c.entries[0].start != start
	c.entries = slices.Delete(c.entries, 0, drop-1)
	c.entries[0].start = start
}

func (c *LeaderEpochCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = c.dirty || len(c.entries) > 0
	c.entries = nil
}

// unsaved returns the entries if they differ from the file, and takes them for saved; on a failed write the caller calls markDirty.
func (c *LeaderEpochCache) unsaved() (entries []epochEntry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil, false
	}
	c.dirty = false
	return slices.Clone(c.entries), true
}

func (c *LeaderEpochCache) markDirty() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = true
}
