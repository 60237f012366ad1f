package load

import (
	"errors"
	"fmt"
	"sync"
)

// Seen is what the consumers of a group have read, and the proof that nobody reads what is not there to stay: an offset never has
// two values, none is skipped, and none goes back except to what the group had committed when a partition was assigned.
type Seen struct {
	mu     sync.Mutex
	values map[int32][]id  // by partition and offset
	next   map[int32]int64 // of what is assigned and has been read from
	met    map[int32]int64 // how many offsets Compare has come by
	errors []error
	count  int64
}

// Assigned says that a member begins to read a partition.
func (s *Seen) Assigned(partition int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.next, partition)
}

// Read takes the next record that a member was given.
func (s *Seen) Read(at Position, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values, s.next, s.met = map[int32][]id{}, map[int32]int64{}, map[int32]int64{}
	}
	i, err := parse(value)
	if err != nil {
		s.fail("%v: %w", at, err)
		return
	}
	if next, going := s.next[at.Partition]; going && at.Offset != next {
		s.fail("partition %d: read offset %d after %d", at.Partition, at.Offset, next-1)
	}
	s.next[at.Partition] = at.Offset + 1
	s.count++
	known := s.values[at.Partition]
	switch end := int64(len(known)); {
	case at.Offset > end:
		s.fail("partition %d: read offset %d, and nobody has read %d", at.Partition, at.Offset, end)
	case at.Offset == end:
		s.values[at.Partition] = append(known, i)
	case known[at.Offset] != i:
		s.fail("%v was %v and is %v", at, known[at.Offset], i)
	}
}

// Fail notes something else that went wrong.
func (s *Seen) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail("%w", err)
}

// Count is how many records were read, those that were read again included.
func (s *Seen) Count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Ends are the offsets after the last ones that were read.
func (s *Seen) Ends() map[int32]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := map[int32]int64{}
	for p, values := range s.values {
		ends[p] = int64(len(values))
	}
	return ends
}

// Compare takes the records that are there at the end, partition by partition in their order.
func (s *Seen) Compare(at Position, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.values[at.Partition]
	if at.Offset >= int64(len(known)) {
		return // not read by the group
	}
	s.met[at.Partition]++
	if i, err := parse(value); err != nil || known[at.Offset] != i {
		s.fail("%v was %v and is %s", at, known[at.Offset], value)
	}
}

// End returns everything that was wrong.
func (s *Seen) End() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, values := range s.values {
		if met := s.met[p]; met < int64(len(values)) {
			s.fail("partition %d: of %d records that were read, %d are still there, the rest is gone", p, len(values), met)
		}
	}
	return errors.Join(s.errors...)
}

func (s *Seen) fail(format string, args ...any) {
	if len(s.errors) < errorsMax {
		s.errors = append(s.errors, fmt.Errorf(format, args...))
	}
}
