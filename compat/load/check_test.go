package load

import (
	"strings"
	"testing"
)

// A check that does not see what was planted would not see what happened.
func TestCheck(t *testing.T) {
	type records []string // of partition 0, from offset 0
	for _, c := range []struct {
		name  string
		found records
		acked map[string]int64
		want  string // part of the error; "" is none
	}{
		{"good", records{"1.0", "2.0", "1.1", "1.3"}, map[string]int64{"1.0": 0, "2.0": 1, "1.1": 2, "1.3": 3}, ""},
		{"there though never acknowledged", records{"1.0", "1.1"}, map[string]int64{"1.0": 0}, ""},
		{"acknowledged without an offset", records{"1.0", "1.1"}, map[string]int64{"1.0": 0, "1.1": unknown}, ""},
		{"lost", records{"1.0", "1.2"}, map[string]int64{"1.0": 0, "1.1": 1, "1.2": 2}, "1.1 was acknowledged at {0 1} and is lost"},
		{"lost at the end", records{"1.0"}, map[string]int64{"1.0": 0, "1.1": 1}, "is lost"},
		{"all lost", nil, map[string]int64{"1.0": 0}, "is lost"},
		{"twice", records{"1.0", "1.1", "1.1"}, map[string]int64{"1.0": 0}, "1.1 is twice"},
		{"reordered", records{"1.0", "1.2", "1.1"}, nil, "1.1 at {0 2} comes after 1.2"},
		{"elsewhere", records{"2.0", "1.0"}, map[string]int64{"1.0": 0}, "1.0 was acknowledged at {0 0} and is at {0 1}"},
		{"not ours", records{"hello"}, nil, `read value "hello"`},
		{"no producer", records{".1"}, nil, `read value ".1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var check Check
			for i, value := range c.found {
				check.Read(Position{0, int64(i)}, value)
			}
			var acked Acked
			for value, offset := range c.acked {
				acked.Add(value, Position{0, offset})
			}
			expect(t, check.End(&acked), c.want)
		})
	}
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("found nothing wrong, want %q", want)
	case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
		t.Errorf("%v; want %q", err, want)
	}
}

func TestCheckOfOffsets(t *testing.T) {
	for name, offsets := range map[string][]int64{"gap": {0, 2}, "back": {0, 0}, "not from the start": {1}} {
		var check Check
		for i, offset := range offsets {
			check.Read(Position{3, offset}, id{1, int32(i)}.String())
		}
		if err := check.End(); err == nil || !strings.Contains(err.Error(), "was to come") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a producer gave up may be there or not, and does not keep it from going on.
func TestGivenUp(t *testing.T) {
	var acked Acked
	acked.Add("1.0", Position{0, 0})
	acked.GiveUp("1.1")
	acked.Add("1.3", Position{0, 1})
	if all, end := acked.progress(); all != 2 || end != 4 {
		t.Errorf("settled below %d, and something up to %d", all, end)
	}
	acked.GiveUp("1.2")
	if all, _ := acked.progress(); all != 4 || acked.GivenUp() != 2 {
		t.Errorf("settled below %d, %d given up", all, acked.GivenUp())
	}
	var check Check
	for i, value := range []string{"1.0", "1.3"} {
		check.Read(Position{0, int64(i)}, value)
	}
	expect(t, check.End(&acked), "")
	check.Read(Position{0, 2}, "1.3")
	expect(t, check.End(&acked), "1.3 is twice")
}

func TestCheckOfPartitions(t *testing.T) {
	var check Check
	check.Read(Position{0, 0}, "1.1")
	check.Read(Position{1, 0}, "1.0") // another partition knows no order
	var acked Acked
	acked.Add("1.0", Position{0, 0})
	expect(t, check.End(&acked), "is at {1 0}")
}

func TestReader(t *testing.T) {
	same := []string{"1.0", "1.1", "1.2"}
	for _, c := range []struct {
		name  string
		read  func(r *Seen)
		final []string
		want  string
	}{
		{"good", func(r *Seen) { r.Read(Position{0, 0}, "1.0"); r.Read(Position{0, 1}, "1.1") }, same, ""},
		{"again from what was committed", func(r *Seen) {
			r.Read(Position{0, 0}, "1.0")
			r.Read(Position{0, 1}, "1.1")
			r.Assigned(0)
			r.Read(Position{0, 1}, "1.1")
			r.Read(Position{0, 2}, "1.2")
		}, same, ""},
		{"skipped", func(r *Seen) { r.Read(Position{0, 0}, "1.0"); r.Read(Position{0, 2}, "1.2") }, same, "offset 2 after 0"},
		{"skipped at a rebalance", func(r *Seen) { r.Read(Position{0, 0}, "1.0"); r.Assigned(0); r.Read(Position{0, 2}, "1.2") }, same, "nobody has read 1"},
		{"went back", func(r *Seen) { r.Read(Position{0, 1}, "1.1"); r.Read(Position{0, 0}, "1.0") }, same, "offset 0 after 1"},
		{"changed while it was read", func(r *Seen) { r.Read(Position{0, 0}, "1.0"); r.Assigned(0); r.Read(Position{0, 0}, "2.0") }, same, "was 1.0 and is 2.0"},
		{"changed afterwards", func(r *Seen) { r.Read(Position{0, 0}, "2.0") }, same, "was 2.0 and is 1.0"},
		{"gone afterwards", func(r *Seen) { r.Read(Position{0, 0}, "1.0"); r.Read(Position{0, 1}, "1.1") }, same[:1], "the rest is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen Seen
			c.read(&seen)
			for i, value := range c.final {
				seen.Compare(Position{0, int64(i)}, value)
			}
			expect(t, seen.End(), c.want)
		})
	}
}
