package group

import (
	"container/heap"
	"time"
)

// alarms tells which group's deadline is next.
type alarms struct {
	queue alarmQueue
	of    map[*Group]*alarm
}

type alarm struct {
	group *Group
	at    time.Time
	index int
}

func newAlarms() alarms { return alarms{of: map[*Group]*alarm{}} }

// set moves a group's alarm; the zero time removes it.
func (a *alarms) set(g *Group, at time.Time) {
	e := a.of[g]
	switch {
	case e == nil && at.IsZero():
	case e == nil:
		e = &alarm{group: g, at: at}
		a.of[g] = e
		heap.Push(&a.queue, e)
	case at.IsZero():
		delete(a.of, g)
		heap.Remove(&a.queue, e.index)
	case !at.Equal(e.at):
		e.at = at
		heap.Fix(&a.queue, e.index)
	}
}

// next is the earliest alarm, zero without any.
func (a *alarms) next() time.Time {
	if len(a.queue) == 0 {
		return time.Time{}
	}
	return a.queue[0].at
}

// due returns a group whose time has come, or nil. Setting its alarm anew is the caller's.
func (a *alarms) due(now time.Time) *Group {
	if len(a.queue) == 0 || a.queue[0].at.After(now) {
		return nil
	}
	return a.queue[0].group
}

type alarmQueue []*alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *alarmQueue) Push(x any) {
	e := x.(*alarm)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
