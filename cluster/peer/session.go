package peer

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// session is the follower's side of a fetch session (KIP-227): the leader remembers what was asked for, so that a request only says
// what has changed since the one before, and an answer only has partitions with news.
//
// An epoch of 0 asks for everything and begins a session, which takes the place of the one whose id comes with it.
type session struct {
	id, epoch int32
	byID      bool // topics are named by ids; that is fixed for the life of a session
	held      map[protocol.TopicPartition]*held
	names     map[protocol.TopicID]string // of the topics that are held
	requests  int64                       // so many were made
	topics    map[string]int              // index in the request being made
}

// held is a partition as the leader knows it.
type held struct {
	ask     replica.FetchAsk
	request int64 // the last that it was wanted in
}

// lost is called when it is not known whether the leader has seen the last request.
func (s *session) lost() { s.epoch = 0 }

// ask fills in what the leader does not know yet. What is held and not asked for is held no more if the asks are the whole; they are in the first request of a
// session.
func (s *session) ask(req *kmsg.FetchRequest, asks []replica.FetchAsk, whole bool, partitionBytesMax int32) {
	if byID := req.Version >= fetchByID; byID != s.byID {
		s.byID = byID
		s.lost()
	}
	if s.epoch == 0 || s.held == nil {
		s.held, s.names, s.topics = map[protocol.TopicPartition]*held{}, map[protocol.TopicID]string{}, map[string]int{}
	}
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	clear(s.topics)
	s.requests++
	for i := range asks {
		a := &asks[i]
		h := s.held[a.TopicPartition]
		if h == nil {
			h = &held{}
			s.held[a.TopicPartition] = h
		} else if h.ask == *a {
			h.request = s.requests
			continue
		} else if s.byID && h.ask.TopicID != a.TopicID {
			s.forget(req, &h.ask)
		}
		h.ask, h.request = *a, s.requests
		s.names[a.TopicID] = a.Topic
		s.add(req, a, partitionBytesMax)
	}
	if whole {
		s.forgetOthers(req, len(asks))
	}
	if len(req.ForgottenTopics) > 0 {
		s.forgetNames()
	}
}

// forgetNames keeps the names of what is held.
func (s *session) forgetNames() {
	clear(s.names)
	for _, h := range s.held {
		s.names[h.ask.TopicID] = h.ask.Topic
	}
}

func (s *session) add(req *kmsg.FetchRequest, a *replica.FetchAsk, partitionBytesMax int32) {
	at, ok := s.topics[a.Topic]
	if !ok {
		at = len(req.Topics)
		s.topics[a.Topic] = at
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = a.Topic, a.TopicID
		req.Topics = append(req.Topics, t)
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.FetchOffset = a.Partition, int32(a.Epoch), a.Offset
	p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes = int32(a.LastEpoch), a.LogStart, partitionBytesMax
	req.Topics[at].Partitions = append(req.Topics[at].Partitions, p)
}

// forgetOthers tells the leader which partitions are not wanted any more, or not for now. So many are wanted.
func (s *session) forgetOthers(req *kmsg.FetchRequest, wanted int) {
	if len(s.held) == wanted {
		return
	}
	for tp, h := range s.held {
		if h.request != s.requests {
			s.forget(req, &h.ask)
			delete(s.held, tp)
		}
	}
}

func (s *session) forget(req *kmsg.FetchRequest, held *replica.FetchAsk) {
	for i := range req.ForgottenTopics {
		if f := &req.ForgottenTopics[i]; f.Topic == held.Topic && f.TopicID == held.TopicID {
			f.Partitions = append(f.Partitions, held.Partition)
			return
		}
	}
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = held.Topic, held.TopicID, []int32{held.Partition}
	req.ForgottenTopics = append(req.ForgottenTopics, f)
}

// answered takes what an answer says of the session. again means that the leader has forgotten it: everything is to be asked for anew.
func (s *session) answered(req *kmsg.FetchRequest, resp *kmsg.FetchResponse) (again bool, err error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		s.epoch = 0
		if errors.Is(err, kerr.FetchSessionIDNotFound) {
			s.id = 0
		}
		gone := errors.Is(err, kerr.FetchSessionIDNotFound) || errors.Is(err, kerr.InvalidFetchSessionEpoch)
		if gone && req.SessionEpoch != 0 {
			return true, nil
		}
		return false, fmt.Errorf("fetch: %w", err)
	}
	switch {
	case req.SessionEpoch == 0:
		if s.id = resp.SessionID; s.id != 0 {
			s.epoch = 1
		}
	case s.epoch == math.MaxInt32:
		s.epoch = 1
	default:
		s.epoch++
	}
	return false, nil
}

// read appends the partitions of an answer.
func (s *session) read(answers []replica.LeaderAnswer, resp *kmsg.FetchResponse) []replica.LeaderAnswer {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if s.byID {
			name = s.names[t.TopicID]
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			answers = append(answers, replica.LeaderAnswer{
				TopicPartition: protocol.TopicPartition{Topic: name, Partition: p.Partition},
				Err:            kerr.ErrorForCode(p.ErrorCode), Records: p.RecordBatches,
				HighWatermark: p.HighWatermark, LogStart: p.LogStartOffset,
				Epoch: replica.EpochEnd{Epoch: cluster.LeaderEpoch(p.DivergingEpoch.Epoch), End: p.DivergingEpoch.EndOffset},
			})
		}
	}
	return answers
}
