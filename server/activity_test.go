package server

import (
	"strings"
	"testing"
	"time"
)

// Case 58: durations are measured by the clock that only goes on, so that one that is set forward by an hour makes nobody idle and no frame
// late. Nothing can set it here, so what is looked at is that the reading is there, as a time prints it.
func TestDurationsAreNotOfTheClockOnTheWall(t *testing.T) {
	if !strings.Contains(origin.String(), " m=") {
		t.Errorf("instants count from %v, which has no reading of the other clock", origin)
	}
	began := time.Now()
	var a activity
	a.idle.set(began)
	if age := a.idle.age(began.Add(time.Second)); age != time.Second {
		t.Errorf("idle for %v, want a second", age)
	}
	a.in.begin(began)
	if a.in.overdue(began.Add(transferGrace)) || !a.in.overdue(began.Add(transferGrace+1)) {
		t.Error("a frame of which nothing comes has to end by the grace")
	}
}
