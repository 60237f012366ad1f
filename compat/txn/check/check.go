// Package check says what is wrong with what readers found of transactions.
package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Record is one record as a reader got it.
type Record struct {
	Partition int32
	Offset    int64
	Value     string
}

// Value is what the record with this number holds in a partition of the input.
func Value(partition int32, number int) string { return fmt.Sprintf("%d-%d", partition, number) }

// Copy looks at what a reader of committed records found in a copy, in the order in which it came: each partition must
// hold all the numbers of the same partition of the input, counts of them, once and in order.
func Copy(counts map[int32]int, got []Record) error {
	next := map[int32]int{}
	if err := checkOffsets(got); err != nil {
		return err
	}
	for _, r := range got {
		var from int32
		var number int
		if _, err := fmt.Sscanf(r.Value, "%d-%d", &from, &number); err != nil {
			return fmt.Errorf("partition %d, offset %d: foreign value %q", r.Partition, r.Offset, r.Value)
		}
		want := next[r.Partition]
		switch {
		case from != r.Partition:
			return fmt.Errorf("partition %d, offset %d: %s of another partition", r.Partition, r.Offset, r.Value)
		case number < want:
			return fmt.Errorf("partition %d, offset %d: %s again, or too late", r.Partition, r.Offset, r.Value)
		case number > want:
			return fmt.Errorf("partition %d, offset %d: %s where %s should be", r.Partition, r.Offset, r.Value, Value(from, want))
		}
		next[r.Partition]++
	}
	for p, n := range counts {
		if next[p] != n {
			return fmt.Errorf("partition %d: %d of %d records", p, next[p], n)
		}
	}
	return nil
}

// checkOffsets checks that the offsets of each partition ascend.
func checkOffsets(got []Record) error {
	last := map[int32]int64{}
	for _, r := range got {
		if before, ok := last[r.Partition]; ok && r.Offset <= before {
			return fmt.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, before)
		}
		last[r.Partition] = r.Offset
	}
	return nil
}

// Same compares what two readers of committed records found, partition by partition.
func Same(a, b []Record) error {
	one, other := byPartition(a), byPartition(b)
	for p, records := range one {
		for i, r := range records {
			if i >= len(other[p]) {
				return fmt.Errorf("partition %d: one reader has %d records, another %d", p, len(records), len(other[p]))
			}
			if r != other[p][i] {
				return fmt.Errorf("partition %d: record %d is %v for one reader and %v for another", p, i, r, other[p][i])
			}
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("one reader has %d records, another %d", len(a), len(b))
	}
	return nil
}

func byPartition(all []Record) map[int32][]Record {
	out := map[int32][]Record{}
	for _, r := range all {
		out[r.Partition] = append(out[r.Partition], r)
	}
	return out
}

// Within checks that a reader of everything has seen each committed record where a reader of committed records did.
func Within(committed, all []Record) error {
	have := map[Record]bool{}
	for _, r := range all {
		have[r] = true
	}
	for _, r := range committed {
		if !have[r] {
			return fmt.Errorf("%v is there for readers of committed records only", r)
		}
	}
	return checkOffsets(all)
}

// Outcome is what a producer knows about a transaction.
type Outcome int

// Unknown is a transaction whose end was asked for and not answered, or whose producer failed.
const (
	Unknown Outcome = iota
	Committed
	Aborted
)

// Atomic looks at transactions that wrote their number to each of a number of partitions: the committed ones are in all of
// them, the aborted ones in none, those whose outcome is unknown in all or in none; once each, and in the same order everywhere.
func Atomic(outcomes []Outcome, partitions int, got []Record) error {
	if err := checkOffsets(got); err != nil {
		return err
	}
	found := map[int32][]int{}
	for _, r := range got {
		var i int
		if _, err := fmt.Sscanf(r.Value, "%d", &i); err != nil || i < 0 || i >= len(outcomes) {
			return fmt.Errorf("partition %d, offset %d: foreign value %q", r.Partition, r.Offset, r.Value)
		}
		if before := found[r.Partition]; len(before) > 0 && before[len(before)-1] >= i {
			return fmt.Errorf("partition %d, offset %d: transaction %d after %d", r.Partition, r.Offset, i, before[len(before)-1])
		}
		found[r.Partition] = append(found[r.Partition], i)
	}
	for i, outcome := range outcomes {
		in := 0
		for _, numbers := range found {
			if _, ok := slices.BinarySearch(numbers, i); ok {
				in++
			}
		}
		if in != 0 && in != partitions || in == 0 && outcome == Committed || in > 0 && outcome == Aborted {
			return fmt.Errorf("transaction %d, which is %v, is in %d of %d partitions", i, outcome, in, partitions)
		}
	}
	return nil
}

func (o Outcome) String() string { return [...]string{"of unknown outcome", "committed", "aborted"}[o] }

// Ended returns an error as long as a coordinator has a transaction open, or its end is not yet everywhere. That all have ended is not to be
// seen by reading: the coordinator's last record comes after the markers, and a transaction that its client gave up before it wrote
// anything hides nothing from readers until it times out.
func Ended(ctx context.Context, admin *kadm.Client) error {
	listed, err := admin.ListTransactions(ctx, nil, nil)
	if err != nil {
		return fmt.Errorf("list transactions: %w", err)
	}
	for _, x := range listed.Sorted() {
		if x.State != "Empty" && !strings.HasPrefix(x.State, "Complete") {
			return fmt.Errorf("transaction of %s is in state %s", x.TxnID, x.State)
		}
	}
	return nil
}
