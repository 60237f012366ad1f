package group

import (
	"slices"
	"strings"
	"time"
)

// pendingMax bounds the ids that are given out and not used yet, which cost a client nothing.
const pendingMax = 10_000

// pendingIDs are the member ids given out with MEMBER_ID_REQUIRED that have not come back.
type pendingIDs struct {
	until map[string]time.Time
	next  time.Time // no later than the first of until; zero without any
}

func newPendingIDs() pendingIDs { return pendingIDs{until: map[string]time.Time{}} }

func (p *pendingIDs) add(id string, until time.Time) {
	p.until[id] = until
	p.consider(until)
}

func (p *pendingIDs) consider(until time.Time) {
	if p.next.IsZero() || until.Before(p.next) {
		p.next = until
	}
}

func (p *pendingIDs) has(id string) bool {
	_, ok := p.until[id]
	return ok
}

func (p *pendingIDs) len() int { return len(p.until) }

func (p *pendingIDs) remove(id string) {
	if delete(p.until, id); len(p.until) == 0 {
		p.next = time.Time{}
	}
}

// expire removes and returns the ids whose time is over.
func (p *pendingIDs) expire(now time.Time) []string {
	if !due(p.next, now) {
		return nil
	}
	var over []string
	p.next = time.Time{}
	for id, until := range p.until {
		if due(until, now) {
			over = append(over, id)
			delete(p.until, id)
		} else {
			p.consider(until)
		}
	}
	slices.SortFunc(over, strings.Compare)
	return over
}
