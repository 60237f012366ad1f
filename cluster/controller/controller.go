package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// ErrNotController answers what only the elected controller may do.
var ErrNotController = fmt.Errorf("broker is not the controller: %w", kerr.NotController)

// Config is what server.properties says of the controller.
type Config struct {
	DeleteTopicEnable                  bool          // delete.topic.enable
	AutoLeaderRebalanceEnable          bool          // auto.leader.rebalance.enable
	LeaderImbalanceCheckInterval       time.Duration // leader.imbalance.check.interval.seconds
	LeaderImbalancePerBrokerPercentage int           // leader.imbalance.per.broker.percentage
	UncleanLeaderElectionEnable        bool          // unclean.leader.election.enable, the only one that may change later
}

// DefaultConfig is Apache's.
func DefaultConfig() Config {
	return Config{DeleteTopicEnable: true, AutoLeaderRebalanceEnable: true, LeaderImbalanceCheckInterval: 300 * time.Second, LeaderImbalancePerBrokerPercentage: 10}
}

// Options is what a Controller is made of.
type Options struct {
	ID           cluster.BrokerID
	Store        *metastore.Store
	Registration *metastore.Registration // renewed when the session was lost; nil in tests that register brokers themselves
	Dial         Dial
	Config       Config
	Logger       zerolog.Logger
}

// Controller is one broker's candidate: it stands in every election and, when elected, decides who leads. One goroutine, the event
// loop, does everything; the methods hand it their question and wait for the answer.
type Controller struct {
	options Options
	logger  zerolog.Logger
	unclean atomic.Bool
	active  atomic.Int32 // id of the elected controller as this broker knows it, -1 for none

	events  chan event
	watcher *metastore.Watcher // of /controller and of the session
	cancel  context.CancelFunc
	stopped chan struct{}
	wg      sync.WaitGroup

	// These belong to the loop.
	term    *term // nil unless elected
	expired bool  // the session was lost and the next one has not come yet
}

// event is something for the loop to do. Its error is logged; metastore.ErrControllerMoved ends the term.
type event struct {
	name string
	run  func(ctx context.Context) error
}

// eventsMax is how many questions wait for the loop before those who ask wait themselves.
const eventsMax = 256

// New returns a controller that does nothing until Start.
func New(o Options) *Controller {
	c := &Controller{options: o, logger: o.Logger.With().Int32("controller", int32(o.ID)).Logger(),
		events: make(chan event, eventsMax), watcher: metastore.NewWatcher(), stopped: make(chan struct{})}
	c.unclean.Store(o.Config.UncleanLeaderElectionEnable)
	c.active.Store(-1)
	return c
}

// Start begins to stand in elections. The broker must be registered by then.
func (c *Controller) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.options.Store.Subscribe(c.watcher)
	c.wg.Go(func() { c.loop(ctx) })
}

// Stop resigns, releasing /controller so that another broker is elected at once, and ends the loop.
func (c *Controller) Stop() {
	c.cancel()
	c.wg.Wait()
	c.options.Store.Unsubscribe(c.watcher)
}

// IsActive reports whether this broker is the controller.
func (c *Controller) IsActive() bool { return c.ActiveID() == c.options.ID }

// ActiveID is the id of the controller as this broker last read it; -1 for none.
func (c *Controller) ActiveID() cluster.BrokerID { return cluster.BrokerID(c.active.Load()) }

func (c *Controller) loop(ctx context.Context) {
	defer close(c.stopped)
	c.handle(ctx, event{"startup", c.startUp})
	seek := time.NewTicker(claimBackoff)
	defer seek.Stop()
	for ctx.Err() == nil {
		c.step(ctx, seek.C)
	}
	c.retire()
}

// step waits for the next thing to do and does it. The end of the term goes before anything that the term would do. Without a term its
// channels are nil, and so never ready. As long as no controller is known one is sought at intervals: there may be nothing left that would
// tell, after a term that could not begin, a store that failed, or a controller that was gone again before anybody saw it.
func (c *Controller) step(ctx context.Context, seek <-chan time.Time) {
	select {
	case <-c.watcher.Ready():
		c.handleOwn(ctx)
		return
	default:
	}
	t := c.term
	if c.expired || c.ActiveID() != -1 {
		seek = nil
	}
	select {
	case <-ctx.Done():
	case <-c.watcher.Ready():
		c.handleOwn(ctx)
	case <-t.watched():
		c.handleWatched(ctx, t.watcher.Take())
	case <-t.answers():
		c.handleAnswers(ctx, t.link.answers.take())
	case <-t.behind():
		c.handle(ctx, event{"brokers behind", t.resync})
	case <-t.rebalanceDue():
		c.handle(ctx, event{"rebalance", t.rebalance})
	case <-seek:
		c.handle(ctx, event{"no controller", c.startUp})
	case e := <-c.events:
		c.handle(ctx, e)
	}
}

// handleOwn runs the handlers of the watch of /controller and of the session.
func (c *Controller) handleOwn(ctx context.Context) {
	for _, e := range c.watcher.Take() {
		c.handle(ctx, c.ownEvent(e))
	}
}

// handleWatched runs the handlers of a term's watches, unless the term ends among them.
func (c *Controller) handleWatched(ctx context.Context, events []metastore.Event) {
	of := c.term
	for _, e := range events {
		if c.term != of {
			return
		}
		c.handle(ctx, of.eventOf(e))
	}
}

// handleAnswers hears what brokers said, unless the term ends over it.
func (c *Controller) handleAnswers(ctx context.Context, answers []answer) {
	of := c.term
	for _, a := range answers {
		if c.term != of {
			return
		}
		c.handle(ctx, event{"answer", func(ctx context.Context) error { return of.answered(ctx, a) }})
	}
}

func (c *Controller) handle(ctx context.Context, e event) {
	if e.run == nil {
		return
	}
	err := e.run(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, metastore.ErrControllerMoved):
		c.logger.Info().Err(err).Str("event", e.name).Msg("controller moved")
		c.handle(ctx, event{"controller change", c.maybeResign})
	default:
		c.logger.Error().Err(err).Str("event", e.name).Msg("controller event failed")
	}
}

// ask has the loop run a function in this broker's term, and waits for its result. Without a term, or when the loop ends, it is
// ErrNotController.
func ask[T any](ctx context.Context, c *Controller, name string, f func(context.Context, *term) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	reply := make(chan result, 1)
	e := event{name, func(ctx context.Context) error {
		if c.term == nil {
			reply <- result{err: ErrNotController}
			return nil
		}
		value, err := f(ctx, c.term)
		if err != nil && ctx.Err() != nil { // the loop is ending, whoever asked must look for the next controller
			err = ErrNotController
		}
		reply <- result{value, err}
		if errors.Is(err, metastore.ErrControllerMoved) {
			return err
		}
		return nil
	}}
	var none T
	select {
	case c.events <- e:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-c.stopped:
		return none, ErrNotController
	}
	select {
	case r := <-reply:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-c.stopped:
		return none, ErrNotController
	}
}
