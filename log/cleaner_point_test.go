package log

import (
	"context"
	"slices"
	"testing"

	"gokafka/protocol"
)

// How far a log is clean goes back with its end, also on the disk: keys that come twice in what was written since are found.
func TestATruncatedLogIsCleanAsFarAsItWas(t *testing.T) {
	for name, truncate := range map[string]func(*Log) error{
		"to an offset": func(l *Log) error { _, err := l.TruncateTo(2); return err },
		"fully":        func(l *Log) error { return l.TruncateFullyAndStartAt(2) },
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := newCompacting(t, nil)
				c.append(protocol.BatchOptions{}, "a=1", "b=1")
				c.append(protocol.BatchOptions{}, "c=1", "d=1")
				c.roll()
				c.append(protocol.BatchOptions{}, "e=1")
				if !c.clean() {
					t.Fatal("nothing was cleaned")
				}
				if err := truncate(c.l); err != nil {
					t.Fatal(err)
				}
				c.append(protocol.BatchOptions{}, "x=1")
				c.append(protocol.BatchOptions{}, "x=2")
				c.append(protocol.BatchOptions{}, "y=1", "y=2", "y=3")
				if restart {
					c.close()
					c.open()
				}
				c.roll()
				c.append(protocol.BatchOptions{}, "z=1")
				c.clean()
				if got := c.show(); slices.ContainsFunc(got, func(s string) bool { return s == "2: x=1" || s == "4: y=1" || s == "5: y=2" }) {
					t.Errorf("keys come twice (restart %v): %q", restart, got)
				}
				c.close()
			})
		}
	}
}

// A crash after a truncation, and before the cleaner's file says so, is made good for when the log is loaded.
func TestALogThatEndsBelowItsCleanPoint(t *testing.T) {
	c := newCompacting(t, nil)
	c.append(protocol.BatchOptions{}, "a=1", "b=1")
	c.append(protocol.BatchOptions{}, "c=1", "d=1")
	c.roll()
	c.append(protocol.BatchOptions{}, "e=1")
	c.clean()
	points := must(readOffsetCheckpoint(c.mem, "/data", cleanerOffsetFile))
	must(c.l.TruncateTo(2))
	c.close()
	if err := points.write(c.mem, "/data", cleanerOffsetFile); err != nil {
		t.Fatal(err)
	}
	c.open()
	c.append(protocol.BatchOptions{}, "x=1")
	c.append(protocol.BatchOptions{}, "x=2", "y=1", "y=2")
	c.close()
	c.open()
	c.roll()
	c.append(protocol.BatchOptions{}, "z=1")
	c.clean()
	c.expect("0: a=1", "1: b=1", "3: x=2", "5: y=2", "6: z=1")
	c.close()
}

// A truncation that comes between a cleaning and the note of it is not forgotten.
func TestATruncationDuringACleaning(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	c.append(protocol.BatchOptions{}, "a=1", "b=1")
	c.append(protocol.BatchOptions{}, "c=1", "d=1")
	c.roll()
	c.append(protocol.BatchOptions{}, "e=1")
	job, ok := c.m.cleaner.pick(c.clock())
	if !ok {
		t.Fatal("nothing to clean")
	}
	run, err := c.m.cleaner.clean(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	must(c.l.TruncateTo(2))
	c.m.cleaner.done(run, nil)
	if c.m.Cleaned(c.l) {
		t.Error("the log counts as clean up to where it was truncated")
	}
}

// A partition that is made anew under an old name was never cleaned.
func TestANewLogIsNotClean(t *testing.T) {
	c := newCompacting(t, nil)
	c.append(protocol.BatchOptions{}, "a=1", "b=1")
	c.append(protocol.BatchOptions{}, "c=1", "d=1")
	c.roll()
	c.append(protocol.BatchOptions{}, "e=1")
	c.clean()
	if !c.m.Cleaned(c.l) {
		t.Fatal("a log that was cleaned does not say so")
	}
	if err := c.m.Delete(c.l.TopicPartition()); len(err) > 0 {
		t.Fatal(err)
	}
	for range 2 {
		c.close()
		c.open()
		if c.m.Cleaned(c.l) {
			t.Fatal("a log that was just made was cleaned")
		}
	}
	c.append(protocol.BatchOptions{}, "x=1", "x=2")
	c.append(protocol.BatchOptions{}, "y=1", "y=2")
	c.roll()
	c.append(protocol.BatchOptions{}, "z=1")
	c.clean()
	c.expect("1: x=2", "3: y=2", "4: z=1")
	c.close()
}
