package txn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// MarkerWriter writes markers into partitions that one broker leads.
type MarkerWriter interface {
	// WriteTxnMarkers returns what became of each partition, in the order of the markers and of their partitions, or that the broker
	// could not be reached. It is not called concurrently.
	WriteTxnMarkers(ctx context.Context, markers []cluster.TxnMarker) ([][]error, error)
	Close() error // ends what is under way; the next call connects anew
}

// MarkersOptions are what Markers work with.
type MarkersOptions struct {
	Image func() *cluster.Metadata
	Dial  func(leader cluster.BrokerID) MarkerWriter // not connected yet
	// Exists asks the cluster's store whether there is a partition. Only what it does not have is deleted for sure: the image may lack
	// a new topic that the coordinator before knew.
	Exists func(ctx context.Context, tp protocol.TopicPartition) (bool, error)
	Logger zerolog.Logger
}

const (
	// markersMax bounds the transactions in one request, so that its answer comes soon.
	markersMax = 1000
	// strayInterval is the pause before a marker is sent again that could not be written, or had nowhere to go.
	strayInterval = 100 * time.Millisecond
	// existsPatience is how long strays wait for the store to say which partitions there are: it may be away, and most strays do not need it.
	existsPatience = time.Second
)

// Markers brings the markers of decided transactions to the leaders of their partitions, until all have them. Each leader gets one
// request at a time, with all that has gathered meanwhile. What waits is bounded by the transactions that are decided and not complete.
type Markers struct {
	options MarkersOptions
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	senders sync.WaitGroup

	mu       sync.Mutex
	routes   map[cluster.BrokerID]*route
	strays   []parcel // without a leader, or to be sent again
	retrying bool     // somebody looks after them
}

// markerJob is a transaction's markers.
type markerJob struct {
	ctx    context.Context // ends when its coordinator does
	id     string
	marker cluster.TxnMarker
	// written is told of partitions that have the marker, or do not exist any more.
	written func([]protocol.TopicPartition)
}

// parcel is that part of a job which goes to one leader.
type parcel struct {
	*markerJob
	partitions []protocol.TopicPartition
}

// route is the way to one leader.
type route struct {
	writer  MarkerWriter
	queue   []parcel
	sending bool
}

// NewMarkers returns markers that nobody has to write yet.
func NewMarkers(o MarkersOptions) *Markers {
	m := &Markers{options: o, routes: map[cluster.BrokerID]*route{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close stops sending. What is left is for the next coordinators.
func (m *Markers) Close() {
	m.mu.Lock()
	m.cancel()
	for _, r := range m.routes {
		_ = r.writer.Close() // nothing is buffered that could be lost
	}
	m.mu.Unlock()
	m.senders.Wait()
}

// BrokersDied ends requests to brokers that are not alive any more, which might say nothing for as long as the timeout. Who leads their
// partitions now is asked instead.
func (m *Markers) BrokersDied(ids []cluster.BrokerID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if r := m.routes[id]; r != nil {
			_ = r.writer.Close() // nothing is buffered that could be lost
		}
	}
}

func (m *Markers) enqueue(j *markerJob) { m.dispatch(parcel{j, j.marker.Partitions}) }

// dispatch sends partitions to those who lead them now.
func (m *Markers) dispatch(p parcel) {
	image := m.options.Image()
	leaders := map[cluster.BrokerID][]protocol.TopicPartition{}
	for _, tp := range p.partitions {
		leader := cluster.NoLeader
		if s := image.Partition(tp); s != nil && image.Broker(s.Leader) != nil {
			leader = s.Leader
		}
		leaders[leader] = append(leaders[leader], tp)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil || p.ctx.Err() != nil {
		return
	}
	for leader, partitions := range leaders {
		if leader == cluster.NoLeader {
			m.strayLocked(parcel{p.markerJob, partitions})
		} else {
			m.sendLocked(leader, parcel{p.markerJob, partitions})
		}
	}
}

func (m *Markers) sendLocked(leader cluster.BrokerID, p parcel) {
	r := m.routes[leader]
	if r == nil {
		r = &route{writer: m.options.Dial(leader)}
		m.routes[leader] = r
	}
	r.queue = append(r.queue, p)
	if !r.sending {
		r.sending = true
		m.senders.Go(func() { m.send(r) })
	}
}

// send empties a route's queue.
func (m *Markers) send(r *route) {
	for {
		parcels := m.take(r)
		if len(parcels) == 0 {
			return
		}
		markers := make([]cluster.TxnMarker, len(parcels))
		for i, p := range parcels {
			markers[i] = p.marker
			markers[i].Partitions = p.partitions
		}
		results, err := r.writer.WriteTxnMarkers(m.ctx, markers)
		for i, p := range parcels {
			if err != nil {
				m.stray(p)
			} else {
				m.answered(p, results[i])
			}
		}
		if err != nil && m.ctx.Err() == nil {
			m.options.Logger.Debug().Err(err).Int("transactions", len(parcels)).Msg("could not send transaction markers: trying again")
		}
	}
}

// take returns what to send next, and nothing when the sender may go. What a coordinator that has ended left is dropped: its successor,
// which may be here, has the same markers on their way, and Apache never answers a request that names a partition of a producer twice.
func (m *Markers) take(r *route) []parcel {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.queue = slices.DeleteFunc(r.queue, func(p parcel) bool { return p.ctx.Err() != nil })
	n := min(len(r.queue), markersMax)
	parcels := r.queue[:n:n]
	r.queue = r.queue[n:]
	r.sending = n > 0 && m.ctx.Err() == nil
	if !r.sending {
		r.queue = nil
		return nil
	}
	return parcels
}

// answered sorts what a leader said of a transaction's partitions.
func (m *Markers) answered(p parcel, results []error) {
	var written, again []protocol.TopicPartition
	var fenced error
	for i, tp := range p.partitions {
		switch err := results[i]; {
		case err == nil, is(err, kerr.UnsupportedForMessageFormat, kerr.UnsupportedVersion): // there, a transaction cannot have written
			written = append(written, tp)
		case is(err, kerr.InvalidProducerEpoch, kerr.TransactionCoordinatorFenced):
			fenced = err
		default:
			again = append(again, tp)
			m.options.Logger.Debug().Err(err).Str("transactional-id", p.id).Stringer("partition", tp).Msg("transaction marker was not written: trying again")
		}
	}
	if len(written) > 0 {
		p.written(written)
	}
	switch {
	case fenced != nil:
		m.options.Logger.Warn().Err(fenced).Str("transactional-id", p.id).Msg("another coordinator or producer has taken over: no more markers")
	case len(again) > 0:
		m.stray(parcel{p.markerJob, again})
	}
}

func (m *Markers) stray(p parcel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.strayLocked(p)
}

func (m *Markers) strayLocked(p parcel) {
	if m.ctx.Err() != nil || p.ctx.Err() != nil {
		return
	}
	m.strays = append(m.strays, p)
	if !m.retrying {
		m.retrying = true
		m.senders.Go(m.retry)
	}
}

// retry sends strays again, until there are none.
func (m *Markers) retry() {
	for {
		select {
		case <-time.After(strayInterval):
		case <-m.ctx.Done():
			return
		}
		strays := m.takeStrays()
		if len(strays) == 0 {
			return
		}
		m.redirect(strays)
	}
}

// redirect sends strays to who leads their partitions by now.
func (m *Markers) redirect(strays []parcel) {
	ctx, cancel := context.WithTimeout(m.ctx, existsPatience)
	defer cancel()
	image := m.options.Image()
	for _, p := range strays {
		m.dispatch(parcel{p.markerJob, m.dropDeleted(ctx, image, p)})
	}
}

func (m *Markers) takeStrays() []parcel {
	m.mu.Lock()
	defer m.mu.Unlock()
	strays := m.strays
	m.strays = nil
	m.retrying = len(strays) > 0
	return strays
}

// dropDeleted returns the partitions that may still be there.
func (m *Markers) dropDeleted(ctx context.Context, image *cluster.Metadata, p parcel) (left []protocol.TopicPartition) {
	var gone []protocol.TopicPartition
	for _, tp := range p.partitions {
		if image.Partition(tp) == nil {
			if exists, err := m.options.Exists(ctx, tp); err == nil && !exists {
				gone = append(gone, tp)
				continue
			}
		}
		left = append(left, tp)
	}
	if len(gone) > 0 {
		m.options.Logger.Info().Str("transactional-id", p.id).Int("partitions", len(gone)).Msg("partitions of a transaction were deleted: they need no markers")
		p.written(gone)
	}
	return left
}
