package log

import (
	"math"
	"slices"
	"testing"
)

// TestEndOffset is the five answers of OffsetForLeaderEpoch.
func TestEndOffset(t *testing.T) {
	c := &LeaderEpochCache{entries: []epochEntry{{2, 10}, {5, 20}, {7, 35}}}
	for _, test := range []struct {
		name      string
		requested int32
		epoch     int32
		end       int64
	}{
		{"undefined", -1, -1, -1},
		{"latest", 7, 7, 50},
		{"above all", 8, -1, -1},
		{"the largest", math.MaxInt32, -1, -1},
		{"below all", 1, 1, 10},
		{"known", 5, 5, 35},
		{"between two", 6, 5, 35},
		{"first", 2, 2, 20},
	} {
		if epoch, end := c.EndOffset(test.requested, 50); epoch != test.epoch || end != test.end {
			t.Errorf("%s: (%d, %d), want (%d, %d)", test.name, epoch, end, test.epoch, test.end)
		}
	}
	if epoch, end := new(LeaderEpochCache).EndOffset(0, 50); epoch != UndefinedEpoch || end != UndefinedOffset {
		t.Errorf("empty: (%d, %d)", epoch, end)
	}
}

func TestEpochChanges(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*LeaderEpochCache)
		want   []epochEntry
		dirty  bool
	}{
		{"same epoch", func(c *LeaderEpochCache) { c.assign(5, 25) }, []epochEntry{{2, 10}, {5, 20}}, false},
		{"new epoch", func(c *LeaderEpochCache) { c.assign(6, 25) }, []epochEntry{{2, 10}, {5, 20}, {6, 25}}, true},
		{"new epoch in place of one without records", func(c *LeaderEpochCache) { c.assign(6, 20) }, []epochEntry{{2, 10}, {6, 20}}, true},
		{"older epoch later", func(c *LeaderEpochCache) { c.assign(3, 30) }, []epochEntry{{2, 10}, {3, 30}}, true},
		{"no epoch", func(c *LeaderEpochCache) { c.assign(-1, 30) }, []epochEntry{{2, 10}, {5, 20}}, false},
		{"cut the end", func(c *LeaderEpochCache) { c.truncateFromEnd(20) }, []epochEntry{{2, 10}}, true},
		{"cut within the last", func(c *LeaderEpochCache) { c.truncateFromEnd(21) }, []epochEntry{{2, 10}, {5, 20}}, false},
		{"cut the start", func(c *LeaderEpochCache) { c.truncateFromStart(22) }, []epochEntry{{5, 22}}, true},
		{"cut within the first", func(c *LeaderEpochCache) { c.truncateFromStart(15) }, []epochEntry{{2, 15}, {5, 20}}, true},
		{"cut before the first", func(c *LeaderEpochCache) { c.truncateFromStart(5) }, []epochEntry{{2, 10}, {5, 20}}, false},
		{"clear", (*LeaderEpochCache).clear, nil, true},
	} {
		c := &LeaderEpochCache{entries: []epochEntry{{2, 10}, {5, 20}}}
		test.change(c)
		if !slices.Equal(c.entries, test.want) || c.dirty != test.dirty {
			t.Errorf("%s: %v, dirty %v; want %v, %v", test.name, c.entries, c.dirty, test.want, test.dirty)
		}
	}
}

func TestEpochAt(t *testing.T) {
	c := &LeaderEpochCache{entries: []epochEntry{{2, 10}, {5, 20}}}
	for offset, want := range map[int64]int32{9: -1, 10: 2, 19: 2, 20: 5, 99: 5} {
		if got, ok := c.EpochAt(offset); got != want || ok != (want >= 0) {
			t.Errorf("epoch at %d is %d, want %d", offset, got, want)
		}
	}
	for epoch, want := range map[int32]int32{2: -1, 3: 2, 5: 2, 9: 5} {
		if got, _ := c.Previous(epoch); got != want {
			t.Errorf("epoch before %d is %d, want %d", epoch, got, want)
		}
	}
}
