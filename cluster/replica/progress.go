package replica

import (
	"time"

	"gokafka/cluster"
	"gokafka/log"
)

// unknownOffset is what a leader knows of a follower that has not fetched since the leader was elected.
const unknownOffset = -1

// Progress is a leader's view of one follower: how far it came, and when it last had everything.
//
// A follower is caught up at the time of a fetch that asks for the leader's log end. Under steady traffic it never
// asks for exactly that, so one that asks for what was the end at its previous fetch counts as caught up at that
// fetch's time: it is at most one round behind.
type Progress struct {
	ID          cluster.BrokerID
	End         log.Position        // its log end, which is the offset that it asked for last; unknownOffset before
	LogStart    int64               // its log start; unknownOffset before the first fetch
	BrokerEpoch cluster.BrokerEpoch // of the incarnation that fetched; -1 when it did not say
	CaughtUp    time.Time           // the last moment at which it had all that the leader had; zero: never

	lastFetch    time.Time
	lastFetchEnd int64 // the leader's log end at lastFetch
}

func newProgress(id cluster.BrokerID) Progress {
	return Progress{ID: id, End: log.Position{Offset: unknownOffset}, LogStart: unknownOffset, BrokerEpoch: -1}
}

// fetched records a fetch from position at by the follower, whose log starts at logStart.
func (p *Progress) fetched(at log.Position, logStart, leaderEnd int64, epoch cluster.BrokerEpoch, now time.Time) {
	switch {
	case at.Offset >= leaderEnd:
		p.CaughtUp = later(p.CaughtUp, now)
	case at.Offset >= p.lastFetchEnd:
		p.CaughtUp = later(p.CaughtUp, p.lastFetch)
	}
	p.End, p.LogStart, p.BrokerEpoch = at, logStart, epoch
	p.lastFetch, p.lastFetchEnd = now, max(leaderEnd, p.lastFetchEnd)
}

// reset prepares for a new leader epoch. A member of the ISR gets the benefit of the doubt for one lag time; a
// follower outside of it must show itself first, so that it neither holds back the high watermark nor joins by old
// merit. What is known of followers survives when the leader stays the leader.
func (p *Progress) reset(leaderEnd int64, newLeader, inSync bool, now time.Time) {
	seen := time.Time{}
	if inSync {
		seen = now
	}
	if newLeader {
		*p = newProgress(p.ID)
		p.CaughtUp, p.lastFetchEnd = seen, unknownOffset
		return
	}
	p.CaughtUp, p.lastFetch, p.lastFetchEnd = seen, seen, leaderEnd
}

// lag is how far behind a follower may be and still count as in sync.
type lag struct {
	time     time.Duration // replica.lag.time.max.ms
	messages int64         // replica.lag.max.messages; 0: any number
}

// caughtUp reports whether the follower has all, or had all lately and is not too far behind now.
func (p *Progress) caughtUp(leaderEnd int64, now time.Time, max lag) bool {
	return p.End.Offset == leaderEnd || now.Sub(p.CaughtUp) <= max.time && !p.tooFarBehind(leaderEnd, max)
}

// tooFarBehind is Kafka 0.8's other rule for who is out of sync. It does not judge a follower that has not been heard of yet.
func (p *Progress) tooFarBehind(leaderEnd int64, max lag) bool {
	return max.messages > 0 && p.End.Offset != unknownOffset && leaderEnd-p.End.Offset > max.messages
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
