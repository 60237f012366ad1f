package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
)

// Peer is a broker as the controller talks to it: a direct call on one node, a connection to another. An error is a failure to
// reach the broker, upon which the same request is sent again; what the broker thinks of the request stands in the response. Only
// UpdateMetadata, which has no response of its own, returns the broker's word as an error, one that wraps a *kerr.Error.
type Peer interface {
	LeaderAndISR(ctx context.Context, r *cluster.LeaderAndISRRequest) (*cluster.LeaderAndISRResponse, error)
	UpdateMetadata(ctx context.Context, r *cluster.UpdateMetadataRequest) error
	StopReplica(ctx context.Context, r *cluster.StopReplicaRequest) (*cluster.StopReplicaResponse, error)
	Close() error
}

// Dial returns a broker's Peer. It does not wait for a connection: the first request does.
type Dial func(b cluster.Broker) Peer

const (
	retryBackoff = 100 * time.Millisecond // between two tries of one request, as in Apache

	// queueMax is how many requests may wait for a broker that is out of reach. One that falls further behind is told everything anew.
	// One event may send many more to a broker that answers; Apache never drops any.
	queueMax = 1000
)

// answer is a broker's response, on its way to the event loop.
type answer struct {
	from     cluster.BrokerID
	epoch    cluster.BrokerEpoch // the incarnation that was asked
	request  any
	response any
}

// answers are what brokers said. No channel waits for the event loop to take them: it goes on telling its broker during a long event.
type answers struct {
	ready chan struct{} // has a value after answers came in since the last take

	mu      sync.Mutex
	waiting []answer
}

func newAnswers() *answers { return &answers{ready: make(chan struct{}, 1)} }

func (q *answers) push(a answer) {
	q.mu.Lock()
	q.waiting = append(q.waiting, a)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *answers) take() []answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = nil
	return taken
}

// links are the controller's channels to the brokers, while it is elected.
type links struct {
	dial    Dial
	logger  zerolog.Logger
	answers *answers
	behind  chan struct{} // has a value after a queue overflowed

	byID map[cluster.BrokerID]*channel // touched by the event loop only
}

func newLinks(dial Dial, logger zerolog.Logger) *links {
	return &links{dial: dial, logger: logger, answers: newAnswers(), behind: make(chan struct{}, 1), byID: map[cluster.BrokerID]*channel{}}
}

// add opens the channel to a broker.
func (l *links) add(ctx context.Context, b cluster.Broker) {
	ctx, cancel := context.WithCancel(ctx)
	ch := &channel{links: l, broker: b, peer: l.dial(b), cancel: cancel, ready: make(chan struct{}, 1), logger: l.logger.With().Int32("broker", int32(b.ID)).Logger()}
	l.byID[b.ID] = ch
	ch.wg.Go(func() { ch.loop(ctx) })
}

// remove closes the channel to a broker, drops what waits for it, and waits until it is quiet.
func (l *links) remove(id cluster.BrokerID) {
	if ch := l.byID[id]; ch != nil {
		delete(l.byID, id)
		ch.close()
	}
}

func (l *links) removeAll() {
	for id := range l.byID {
		l.remove(id)
	}
}

// send queues a request for a broker; it never blocks.
func (l *links) send(to cluster.BrokerID, request any) {
	if ch := l.byID[to]; ch != nil {
		ch.push(request)
	}
}

// channel is the ordered way to one broker: one request at a time, each repeated until it is answered or the broker is gone.
type channel struct {
	links  *links
	broker cluster.Broker
	peer   Peer
	logger zerolog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ready  chan struct{} // has a value while the queue may hold something

	mu      sync.Mutex
	queue   []any
	failing bool // the last call did not reach the broker
	dropped bool // requests were dropped and the loop has not been told
}

func (ch *channel) push(request any) {
	ch.mu.Lock()
	if len(ch.queue) >= queueMax && ch.failing {
		ch.dropLocked()
		select {
		case ch.links.behind <- struct{}{}:
		default:
		}
	}
	ch.queue = append(ch.queue, request)
	ch.mu.Unlock()
	select {
	case ch.ready <- struct{}{}:
	default:
	}
}

// dropLocked forgets what waits, except what telling everything anew does not say: that replicas are to be stopped or deleted, and that
// topics are gone, of which the controller may know nothing any more. One word about each partition is left of that, so that it stays
// small however long the broker is out of reach.
func (ch *channel) dropLocked() {
	var metadata cluster.UpdateMetadataRequest
	var gone ordered[cluster.PartitionState]
	var stop cluster.StopReplicaRequest
	var stops ordered[cluster.StopReplica]
	for _, request := range ch.queue {
		switch r := request.(type) {
		case *cluster.UpdateMetadataRequest:
			metadata = *r
			for i := range r.States {
				if r.States[i].Leader == cluster.LeaderDuringDelete {
					s, _ := gone.at(r.States[i].TopicPartition)
					*s = r.States[i]
				}
			}
		case *cluster.StopReplicaRequest:
			stop = *r
			for _, p := range r.Partitions {
				s, _ := stops.at(p.TopicPartition)
				p.Delete = p.Delete || s.Delete
				*s = p
			}
		}
	}
	ch.queue, ch.dropped = nil, true
	if metadata.States = gone.items; len(gone.items) > 0 {
		ch.queue = append(ch.queue, &metadata)
	}
	if stop.Partitions = stops.items; len(stops.items) > 0 {
		ch.queue = append(ch.queue, &stop)
	}
}

func (ch *channel) take() []any {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	requests := ch.queue
	ch.queue = nil
	return requests
}

// overflowed lists the brokers whose requests were dropped since it was last asked.
func (l *links) overflowed() []cluster.BrokerID {
	var ids []cluster.BrokerID
	for id, ch := range l.byID {
		ch.mu.Lock()
		if ch.dropped {
			ids, ch.dropped = append(ids, id), false
		}
		ch.mu.Unlock()
	}
	slices.Sort(ids)
	return ids
}

func (ch *channel) close() {
	ch.cancel()
	ch.wg.Wait()
	if err := ch.peer.Close(); err != nil {
		ch.logger.Debug().Err(err).Msg("close connection to broker")
	}
}

func (ch *channel) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch.ready:
		}
		for _, request := range ch.take() {
			if !ch.deliver(ctx, request) {
				return
			}
		}
	}
}

// deliver sends one request until it is answered, and passes the answer on. It is false when the channel was closed.
func (ch *channel) deliver(ctx context.Context, request any) bool {
	for failures := 0; ; failures++ {
		response, err := ch.call(ctx, request)
		ch.called(err)
		if err == nil {
			if response != nil {
				ch.links.answers.push(answer{ch.broker.ID, ch.broker.Epoch, request, response})
			}
			return ctx.Err() == nil
		}
		if failures == 0 && ctx.Err() == nil {
			ch.logger.Warn().Err(err).Msg("broker out of reach of the controller, trying again")
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryBackoff):
		}
	}
}

// called notes whether the broker was reached.
func (ch *channel) called(err error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.failing = err != nil
}

// call sends one request once. A nil response needs no attention.
func (ch *channel) call(ctx context.Context, request any) (response any, err error) {
	switch r := request.(type) {
	case *cluster.LeaderAndISRRequest:
		return orNil(ch.peer.LeaderAndISR(ctx, r))
	case *cluster.StopReplicaRequest:
		return orNil(ch.peer.StopReplica(ctx, r))
	case *cluster.UpdateMetadataRequest:
		err := ch.peer.UpdateMetadata(ctx, r)
		if refusal := (*kerr.Error)(nil); errors.As(err, &refusal) {
			ch.logger.Error().Err(err).Msg("UpdateMetadata refused")
			return nil, nil
		}
		return nil, err
	}
	return nil, nil
}

// orNil keeps a nil pointer from becoming a response that is not nil.
func orNil[T any](response *T, err error) (any, error) {
	if err != nil || response == nil {
		return nil, err
	}
	return response, nil
}
