package handlers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
	"gokafka/protocol"
)

// Fetch sessions (KIP-227): a reader of many partitions names them once. Its next requests carry only what it wants
// changed, and the answers only partitions in which something has changed. The broker keeps the list, in a cache of
// bounded size; a reader whose session is evicted is told so and begins anew.

// Session ids and epochs with a meaning.
const (
	noSession         int32 = 0
	sessionEpochFirst int32 = 0  // the request begins a session
	sessionEpochFinal int32 = -1 // the request ends it, or never wanted one
)

// sessionIdleMax is how long a session is safe from others that want its place, and how young a session must be to be
// spared by those that are larger.
const sessionIdleMax = 2 * time.Minute

var (
	errSessionNotFound = fmt.Errorf("no such fetch session: %w", kerr.FetchSessionIDNotFound)
	errSessionEpoch    = fmt.Errorf("request is not the next one of its fetch session: %w", kerr.InvalidFetchSessionEpoch)
	errSessionTopicID  = fmt.Errorf("fetch session and request differ in using topic ids: %w", kerr.FetchSessionTopicIDError)
)

// nextSessionEpoch follows an epoch. It wraps to 1, since 0 means a new session.
func nextSessionEpoch(epoch int32) int32 {
	switch {
	case epoch < 0:
		return sessionEpochFinal
	case epoch == math.MaxInt32:
		return 1
	}
	return epoch + 1
}

// sessionKey names a partition in a session: by the topic's id if the session uses ids, else by its name.
type sessionKey struct {
	topic     string
	id        protocol.TopicID
	partition int32
}

func keyOf(q *replica.FetchPartition) sessionKey {
	if q.TopicID.IsZero() {
		return sessionKey{topic: q.Topic, partition: q.Partition}
	}
	return sessionKey{id: q.TopicID, partition: q.Partition}
}

// sessionPartition is a partition of a session, and what the reader was told of it last.
type sessionPartition struct {
	watch         *replica.StandingWatch // with what the reader wants of it
	highWatermark int64
	logStart      int64
}

// tell reports whether the reader must hear of a result, and remembers what it then knows.
func (s *sessionPartition) tell(r *protocol.FetchPartition) bool {
	must := r.Records.Len() > 0 || r.PreferredReadReplica >= 0 || r.DivergingEpoch != nil
	if s.highWatermark != r.HighWatermark {
		s.highWatermark, must = r.HighWatermark, true
	}
	if s.logStart != r.LogStartOffset {
		s.logStart, must = r.LogStartOffset, true
	}
	if r.ErrorCode != 0 {
		s.highWatermark, must = -1, true
	}
	return must
}

// fetchSession is one reader's list of partitions. Those that gave records are read after the others next time, so that all get
// their turn when the limits are small.
//
// A request is about the partitions to which something has happened since the reader heard of them. What nobody tells a session (that retention
// removed records, say) it finds by looking at all of them every replica.WholeEvery.
type fetchSession struct {
	id         int32
	privileged bool // a follower's
	usesIDs    bool
	created    time.Time
	standing   *replica.Standing

	used atomic.Int64 // when, in Unix nanoseconds
	size atomic.Int64 // partitions, as of used

	mu         sync.Mutex              // of what follows; not taken together with the cache's
	epoch      int32                   // that the next request must carry
	wholeAt    time.Time               // when it was about all partitions
	unnamed    map[sessionKey]struct{} // partitions of ids that are of no topic known so far
	closed     bool
	partitions map[sessionKey]*sessionPartition
}

func (s *fetchSession) find(q *replica.FetchPartition) *sessionPartition {
	return s.partitions[keyOf(q)]
}

// setLocked adds a partition or changes what is wanted of it. What the reader knows of it stays.
func (s *fetchSession) setLocked(q *replica.FetchPartition) *sessionPartition {
	key := keyOf(q)
	p := s.partitions[key]
	if p == nil {
		p = &sessionPartition{watch: s.standing.Add(*q), highWatermark: -1, logStart: -1}
		s.partitions[key] = p
	} else {
		p.watch.Set(*q)
	}
	if s.closed {
		p.watch.Close()
	}
	if q.Topic == "" {
		s.unnamed[key] = struct{}{}
	}
	return p
}

func (s *fetchSession) forgetLocked(key sessionKey) {
	if p := s.partitions[key]; p != nil {
		p.watch.Close()
		delete(s.partitions, key)
		delete(s.unnamed, key)
	}
}

// close takes the watches of a session that is out of the cache from the partitions. A request of it that is under way is still answered.
func (s *fetchSession) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, p := range s.partitions {
		p.watch.Close()
	}
	s.standing.Wake() // nothing else does any more
}

// fetchSessions is the cache of sessions.
type fetchSessions struct {
	slots int // max.incremental.fetch.session.cache.slots

	mu       sync.Mutex
	sessions map[int32]*fetchSession
}

func newFetchSessions(slots int) *fetchSessions {
	return &fetchSessions{slots: slots, sessions: map[int32]*fetchSession{}}
}

// fetchContext is what one request means to its session.
type fetchContext struct {
	err     error         // the request is refused
	session *fetchSession // nil: sessionless, or a full request whose session is made with its answer
	wants   bool          // a session, if there is room
	epoch   int32         // of the request
	usesIDs bool
}

// resolve finds out what a request is to its session, and appends the partitions that are to be read to dst. They have no
// topic name where the id is unknown.
func (c *fetchSessions) resolve(r *kmsg.FetchRequest, image *cluster.Metadata, bytesMin int, now time.Time, dst []replica.FetchPartition) (fetchContext, []replica.FetchPartition) {
	x := fetchContext{epoch: r.SessionEpoch, usesIDs: r.Version >= 13}
	if r.SessionEpoch == sessionEpochFirst || r.SessionEpoch == sessionEpochFinal {
		c.drop(r.SessionID)
		x.wants = r.SessionEpoch == sessionEpochFirst
		return x, appendWanted(dst, r, image)
	}
	s := c.find(r.SessionID)
	if s == nil {
		x.err = errSessionNotFound
		return x, dst
	}
	var empty bool
	if dst, empty, x.err = s.advance(r, image, bytesMin, now, dst); x.err != nil {
		return x, dst
	}
	if empty {
		c.drop(s.id)
		return x, appendWanted(dst, r, image)
	}
	x.session = s
	return x, dst
}

func (c *fetchSessions) find(id int32) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

// advance takes a session's next request, and appends what is to be read; empty tells that no partition is left.
func (s *fetchSession) advance(r *kmsg.FetchRequest, image *cluster.Metadata, bytesMin int, now time.Time, dst []replica.FetchPartition) (reads []replica.FetchPartition, empty bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != r.SessionEpoch:
		return dst, false, errSessionEpoch
	case s.usesIDs != (r.Version >= 13):
		return dst, false, errSessionTopicID
	}
	s.updateLocked(r, image)
	s.used.Store(now.UnixNano())
	s.size.Store(int64(len(s.partitions)))
	if len(s.partitions) == 0 {
		return dst, true, nil
	}
	s.epoch = nextSessionEpoch(s.epoch)
	if now.Sub(s.wholeAt) >= replica.WholeEvery {
		s.wholeAt = now
		s.openAllLocked()
	}
	s.nameLocked(image)
	return s.standing.Begin(bytesMin, dst), false, nil
}

// updateLocked carries out what a request changes in the list.
func (s *fetchSession) updateLocked(r *kmsg.FetchRequest, image *cluster.Metadata) {
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			q := wanted(t, j, r.Version, image)
			s.setLocked(&q)
		}
	}
	for i := range r.ForgottenTopics {
		t := &r.ForgottenTopics[i]
		key := sessionKey{topic: t.Topic}
		if s.usesIDs {
			key = sessionKey{id: t.TopicID}
		}
		for _, key.partition = range t.Partitions {
			s.forgetLocked(key)
		}
	}
}

// openAllLocked has the next fetch look at all partitions.
func (s *fetchSession) openAllLocked() {
	for _, p := range s.partitions {
		p.watch.Open()
	}
}

// nameLocked finds the names of ids that were unknown before.
func (s *fetchSession) nameLocked(image *cluster.Metadata) {
	for key := range s.unnamed {
		if name := nameOf(key.id, image); name != "" {
			s.partitions[key].watch.Rename(name)
			delete(s.unnamed, key)
		}
	}
}

func appendWanted(dst []replica.FetchPartition, r *kmsg.FetchRequest, image *cluster.Metadata) []replica.FetchPartition {
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			dst = append(dst, wanted(t, j, r.Version, image))
		}
	}
	return dst
}

func wanted(t *kmsg.FetchRequestTopic, j int, version int16, image *cluster.Metadata) replica.FetchPartition {
	p := &t.Partitions[j]
	q := replica.FetchPartition{
		TopicPartition: protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition},
		Offset:         p.FetchOffset, LogStart: p.LogStartOffset, BytesMax: p.PartitionMaxBytes,
		LeaderEpoch: optionalEpoch(p.CurrentLeaderEpoch), LastFetchedEpoch: optionalEpoch(p.LastFetchedEpoch),
	}
	if version >= 13 {
		q.TopicID = t.TopicID
		q.Topic = nameOf(q.TopicID, image)
	}
	return q
}

// optionalEpoch takes every negative epoch as none.
func optionalEpoch(epoch int32) cluster.LeaderEpoch {
	return max(cluster.LeaderEpoch(epoch), cluster.NoEpoch)
}

func nameOf(id protocol.TopicID, image *cluster.Metadata) string {
	if t := image.TopicByID(id); t != nil && !id.IsZero() {
		return t.Name
	}
	return ""
}

// standing is the session as the replicas see it, if the request has one.
func (x *fetchContext) standing() *replica.Standing {
	if x.session == nil {
		return nil
	}
	return x.session.standing
}

// finish decides what of the answer the reader is told: all without an incremental session, else what is news. The
// results are in the order of the partitions that resolve gave; those to be left out lose their place in the result.
func (c *fetchSessions) finish(x *fetchContext, wants []replica.FetchPartition, results []protocol.FetchPartition, told []bool, follower bool, now time.Time) (id int32, err error) {
	if x.session == nil {
		for i := range told {
			told[i] = true
		}
		if !x.wants || len(wants) == 0 {
			return noSession, nil
		}
		return c.create(x, wants, results, follower, now), nil
	}
	s := x.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != nextSessionEpoch(x.epoch) {
		s.wholeAt = time.Time{} // what this request found nobody is told
		return s.id, errSessionEpoch
	}
	for i := range wants {
		p := s.find(&wants[i])
		if p == nil {
			continue
		}
		told[i] = p.tell(&results[i])
		if results[i].Records.Len() > 0 {
			p.watch.ToEnd()
		}
	}
	return s.id, nil
}

// create makes a session of a full request, if there is room.
func (c *fetchSessions) create(x *fetchContext, wants []replica.FetchPartition, results []protocol.FetchPartition, follower bool, now time.Time) int32 {
	s := &fetchSession{privileged: follower, usesIDs: x.usesIDs, created: now, standing: replica.NewStanding(),
		epoch: nextSessionEpoch(sessionEpochFirst), partitions: map[sessionKey]*sessionPartition{}, unnamed: map[sessionKey]struct{}{}}
	s.used.Store(now.UnixNano())
	s.size.Store(int64(len(wants)))
	for i := range wants {
		p := s.setLocked(&wants[i])
		p.highWatermark, p.logStart = results[i].HighWatermark, results[i].LogStartOffset
	}
	evicted, ok := c.insert(s, now)
	evicted.close()
	if !ok {
		return noSession
	}
	return s.id
}

// insert gives a session an id, in the place of another one if there is no room.
func (c *fetchSessions) insert(s *fetchSession, now time.Time) (evicted *fetchSession, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= c.slots {
		if evicted = c.evictLocked(s, now); evicted == nil {
			return nil, false
		}
	}
	s.id = c.newIDLocked()
	c.sessions[s.id] = s
	return evicted, true
}

func (c *fetchSessions) newIDLocked() int32 {
	for {
		id := 1 + rand.Int32N(math.MaxInt32-1)
		if c.sessions[id] == nil {
			return id
		}
	}
}

// evictLocked makes room for a session: by the one that has been idle longest, if it has been for long; else by
// the least one, if the newcomer is not less. Followers are above consumers. A session is safe from its equals for its first
// two minutes, except that a follower may take a consumer's place at any time.
func (c *fetchSessions) evictLocked(newcomer *fetchSession, now time.Time) (evicted *fetchSession) {
	var idlest, least *fetchSession
	for _, s := range c.sessions {
		if idlest == nil || s.used.Load() < idlest.used.Load() {
			idlest = s
		}
		settled := now.Sub(s.created) > sessionIdleMax
		if (settled || newcomer.privileged && !s.privileged) && (least == nil || s.less(least)) {
			least = s
		}
	}
	switch {
	case idlest != nil && now.UnixNano()-idlest.used.Load() > int64(sessionIdleMax):
		evicted = idlest
	case least != nil && !newcomer.less(least):
		evicted = least
	default:
		return nil
	}
	delete(c.sessions, evicted.id)
	return evicted
}

// less orders sessions by worth.
func (s *fetchSession) less(t *fetchSession) bool {
	if s.privileged != t.privileged {
		return !s.privileged
	}
	if a, b := s.size.Load(), t.size.Load(); a != b {
		return a < b
	}
	return s.id < t.id
}

func (c *fetchSessions) drop(id int32) {
	if id != noSession {
		c.take(id).close()
	}
}

// take removes a session from the cache; nil if it is not there.
func (c *fetchSessions) take(id int32) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	delete(c.sessions, id)
	return s
}
