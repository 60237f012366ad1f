package load

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Position is where a record is.
type Position struct {
	Partition int32
	Offset    int64
}

// id is what a record's value says: the producer and its count, as in "1.42".
type id struct{ producer, n int32 }

func (i id) String() string { return fmt.Sprintf("%d.%d", i.producer, i.n) }

func parse(value string) (id, error) {
	p, n, ok := strings.Cut(value, ".")
	producer, errP := strconv.ParseInt(p, 10, 32)
	count, errN := strconv.ParseInt(n, 10, 32)
	if err := errors.Join(errP, errN); err != nil || !ok {
		return id{}, fmt.Errorf("read value %q: want PRODUCER.NUMBER", value)
	}
	return id{int32(producer), int32(count)}, nil
}

// Acked is what one producer was told about what it sent.
type Acked struct {
	mu     sync.Mutex
	at     map[id]Position
	given  map[id]bool // given up by the producer: there or not, but not twice
	all    int32       // every number below was acknowledged or given up
	end    int32       // no number from here on was
	failed error       // joined; the first few
}

// unknown is the offset that a producer is told when a broker knows that it has a batch, and not any more where.
const unknown = -1

// Add notes an acknowledgement.
func (a *Acked) Add(value string, at Position) {
	i, err := parse(value)
	if err != nil {
		a.Fail(err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[id]Position{}
	}
	a.at[i] = at
	a.settledLocked(i)
}

// GiveUp notes that a producer does not know what became of a record: it was sent, and not acknowledged in time.
func (a *Acked) GiveUp(value string) {
	i, err := parse(value)
	if err != nil {
		a.Fail(err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given == nil {
		a.given = map[id]bool{}
	}
	a.given[i] = true
	a.settledLocked(i)
}

// GivenUp is how many records were given up.
func (a *Acked) GivenUp() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.given)
}

func (a *Acked) settledLocked(i id) {
	a.end = max(a.end, i.n+1)
	for {
		next := id{i.producer, a.all}
		if _, ok := a.at[next]; !ok && !a.given[next] {
			return
		}
		a.all++
	}
}

// Fail notes that something went wrong that must not.
func (a *Acked) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil || len(a.failed.Error()) < 1000 {
		a.failed = errors.Join(a.failed, err)
	}
}

// Count is how many records were acknowledged so far.
func (a *Acked) Count() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(len(a.at))
}

// AckedIn returns an error unless something was acknowledged in each of so many partitions.
func (a *Acked) AckedIn(partitions int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := map[int32]bool{}
	for _, at := range a.at {
		in[at.Partition] = true
	}
	if len(in) < partitions {
		return fmt.Errorf("something was acknowledged in %d of %d partitions", len(in), partitions)
	}
	return nil
}

// AwaitAcked waits until so many more numbers were acknowledged, and all before them were or were given up: a producer that is stuck with one partition goes
// on with the others.
func (a *Acked) AwaitAcked(t *testing.T, more int32) {
	t.Helper()
	_, began := a.progress()
	target := began + more
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		all, last := a.progress()
		if all >= target {
			return
		}
		if err := a.Err(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("everything below %d is acknowledged, and something up to %d; want everything below %d", all, last, target)
		}
	}
}

func (a *Acked) progress() (all, end int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all, a.end
}

// Err is what failed.
func (a *Acked) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// Check compares a topic with what its idempotent producers were told: every acknowledged record is where it was said to be, nothing
// is there twice, offsets are dense, and in each partition the records of a producer are in the order in which it sent them. Records that
// were never acknowledged may be there too.
type Check struct {
	next   map[int32]int64
	last   map[stream]id
	found  map[id]Position
	errors []error
}

// stream is what one producer sent to one partition.
type stream struct{ partition, producer int32 }

// errorsMax is how many faults a check names; after a loss they tend to be many.
const errorsMax = 10

// Read takes the next record of a partition. Partitions may come in any mixture.
func (c *Check) Read(at Position, value string) {
	if c.next == nil {
		c.next, c.last, c.found = map[int32]int64{}, map[stream]id{}, map[id]Position{}
	}
	if want := c.next[at.Partition]; at.Offset != want {
		c.fail("partition %d: offset %d where %d was to come", at.Partition, at.Offset, want)
	}
	c.next[at.Partition] = at.Offset + 1
	i, err := parse(value)
	if err != nil {
		c.fail("%v: %w", at, err)
		return
	}
	if before, twice := c.found[i]; twice {
		c.fail("%v is twice: at %v and at %v", i, before, at)
	}
	c.found[i] = at
	s := stream{at.Partition, i.producer}
	if last, any := c.last[s]; any && last.n >= i.n {
		c.fail("%v at %v comes after %v", i, at, last)
	}
	c.last[s] = i
}

// Found is how many records were read.
func (c *Check) Found() int { return len(c.found) }

// End compares with what producers were told, and returns everything that was wrong.
func (c *Check) End(producers ...*Acked) error {
	for _, p := range producers {
		p.mu.Lock()
		for i, at := range p.at {
			switch found, ok := c.found[i]; {
			case !ok:
				c.fail("%v was acknowledged at %v and is lost", i, at)
			case found.Partition != at.Partition || found.Offset != at.Offset && at.Offset != unknown:
				c.fail("%v was acknowledged at %v and is at %v", i, at, found)
			}
		}
		p.mu.Unlock()
	}
	return errors.Join(c.errors...)
}

func (c *Check) fail(format string, args ...any) {
	if len(c.errors) < errorsMax {
		c.errors = append(c.errors, fmt.Errorf(format, args...))
	}
}
