package sim

import (
	"errors"
	"sync"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// Fetch sessions as leaders and followers keep them, less what they look like on the wire.

// sessionAt is a follower's place in its session: which one, and the request of it that comes next, of which 0 begins it.
type sessionAt struct{ number, epoch int }

// next is the place after an answer.
func (at sessionAt) next(err error) sessionAt {
	if err != nil {
		return sessionAt{number: at.number + 1}
	}
	return sessionAt{at.number, at.epoch + 1}
}

var errNoSession = errors.New("no such fetch session, or not its next request")

// fetchSessions are those of a leader, one for each follower.
type fetchSessions struct {
	mu sync.Mutex
	of map[cluster.BrokerID]*fetchSession
}

type fetchSession struct {
	next     sessionAt
	standing *replica.Standing
	watches  map[protocol.TopicPartition]*replica.StandingWatch
	wholeAt  time.Time
}

// begin takes a follower's next request.
func (x *fetchSessions) begin(from cluster.BrokerID, at sessionAt, asks []replica.FetchAsk, whole bool) (*replica.Standing, []replica.FetchPartition, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.of[from]
	if at.epoch == 0 {
		if s != nil {
			s.keep(nil)
		}
		s = &fetchSession{next: at, standing: replica.NewStanding(), watches: map[protocol.TopicPartition]*replica.StandingWatch{}}
		if x.of == nil {
			x.of = map[cluster.BrokerID]*fetchSession{}
		}
		x.of[from] = s
	}
	if s == nil || s.next != at {
		return nil, nil, errNoSession
	}
	s.next = at.next(nil)
	for _, a := range asks {
		s.set(a)
	}
	if whole {
		s.keep(asks)
	}
	if now := time.Now(); now.Sub(s.wholeAt) >= replica.WholeEvery {
		s.wholeAt = now
		for _, w := range s.watches {
			w.Open()
		}
	}
	return s.standing, s.standing.Begin(1, nil), nil
}

func (s *fetchSession) set(a replica.FetchAsk) {
	q := replica.FetchPartition{TopicPartition: a.TopicPartition, TopicID: a.TopicID, Offset: a.Offset, LogStart: a.LogStart,
		BytesMax: 1 << 20, LeaderEpoch: a.Epoch, LastFetchedEpoch: a.LastEpoch}
	if w := s.watches[a.TopicPartition]; w != nil {
		w.Set(q)
	} else {
		s.watches[a.TopicPartition] = s.standing.Add(q)
	}
}

// keep ends the watches of partitions that are not among the asks.
func (s *fetchSession) keep(asks []replica.FetchAsk) {
	asked := map[protocol.TopicPartition]bool{}
	for _, a := range asks {
		asked[a.TopicPartition] = true
	}
	for tp, w := range s.watches {
		if !asked[tp] {
			w.Close()
			delete(s.watches, tp)
		}
	}
}
