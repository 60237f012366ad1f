package check

import (
	"slices"
	"strings"
	"testing"
)

// copied is a right copy of two partitions, with the gaps in offsets that markers and aborted records leave.
func copied() (all []Record) {
	for n := range 10 {
		for p := range int32(2) {
			all = append(all, Record{Partition: p, Offset: int64(n + n/3), Value: Value(p, n)})
		}
	}
	return all
}

var counts = map[int32]int{0: 10, 1: 10}

// swapped exchanges the values of two records of one partition, as if they had been written in the other order.
func swapped(all []Record) []Record {
	all[4].Value, all[8].Value = all[8].Value, all[4].Value
	return all
}

// doubled has the sixth record at the end of its partition once more.
func doubled(all []Record) []Record {
	again := all[5]
	again.Offset = 100
	return append(all, again)
}

func TestCopy(t *testing.T) {
	if err := Copy(counts, copied()); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]struct {
		plant func([]Record) []Record
		says  string
	}{
		"lost":             {func(a []Record) []Record { return slices.Delete(a, 6, 7) }, "should be"},
		"lost at the end":  {func(a []Record) []Record { return a[:len(a)-1] }, "9 of 10"},
		"partition lost":   {func(a []Record) []Record { return byPartition(a)[1] }, "0 of 10"},
		"twice":            {doubled, "again"},
		"twice in a row":   {func(a []Record) []Record { a[6].Value = a[4].Value; return a }, "again"},
		"out of order":     {swapped, "should be"},
		"offset back":      {func(a []Record) []Record { a[6].Offset = 0; return a }, "offset 0 after"},
		"of another":       {func(a []Record) []Record { a[6].Value = Value(1, 3); return a }, "another partition"},
		"aborted, visible": {func(a []Record) []Record { a[6].Value = "aborted"; return a }, "foreign"},
	} {
		t.Run(name, func(t *testing.T) { caught(t, Copy(counts, fault.plant(copied())), fault.says) })
	}
}

func caught(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("planted fault: the checker says %v, want %q", err, says)
	}
}

func TestSame(t *testing.T) {
	other := byPartition(copied())
	if err := Same(copied(), append(other[1], other[0]...)); err != nil {
		t.Fatalf("the order among partitions is of no matter: %v", err)
	}
	for name, plant := range map[string]func([]Record) []Record{
		"lost":         func(a []Record) []Record { return slices.Delete(a, 6, 7) },
		"twice":        doubled,
		"out of order": swapped,
		"elsewhere":    func(a []Record) []Record { a[19].Offset++; return a },
		"nothing":      func([]Record) []Record { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			if Same(copied(), plant(copied())) == nil || Same(plant(copied()), copied()) == nil {
				t.Error("planted fault not caught")
			}
		})
	}
}

func TestWithin(t *testing.T) {
	if err := Within(slices.Delete(copied(), 3, 6), copied()); err != nil {
		t.Fatal(err)
	}
	caught(t, Within(copied(), slices.Delete(copied(), 3, 4)), "committed records only")
	caught(t, Within(swapped(copied()), copied()), "committed records only")
}

// atomic are transactions 0 (committed), 1 (aborted), 2 (unknown, and in) and 3 (unknown, and out) in three partitions.
func atomic() (outcomes []Outcome, all []Record) {
	for p := range int32(3) {
		all = append(all, Record{p, 0, "0"}, Record{p, 4, "2"})
	}
	return []Outcome{Committed, Aborted, Unknown, Unknown}, all
}

func TestAtomic(t *testing.T) {
	outcomes, all := atomic()
	if err := Atomic(outcomes, 3, all); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]struct {
		plant func([]Record) []Record
		says  string
	}{
		"half of one":   {func(a []Record) []Record { return a[:5] }, "in 2 of 3"},
		"lost":          {func(a []Record) []Record { return []Record{a[1], a[3], a[5]} }, "committed, is in 0"},
		"aborted, in":   {func(a []Record) []Record { a[1].Value, a[3].Value, a[5].Value = "1", "1", "1"; return a }, "aborted, is in 3"},
		"twice":         {func(a []Record) []Record { return append(a, Record{0, 9, "2"}) }, "after"},
		"out of order":  {func(a []Record) []Record { a[0].Value, a[1].Value = a[1].Value, a[0].Value; return a }, "after"},
		"never written": {func(a []Record) []Record { return append(a, Record{0, 9, "4"}) }, "foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			outcomes, all := atomic()
			caught(t, Atomic(outcomes, 3, fault.plant(all)), fault.says)
		})
	}
}
