package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gokafka/cluster/metastore"
)

// ownEvent is what the watch of /controller or the session means.
func (c *Controller) ownEvent(e metastore.Event) event {
	switch r := c.options.Registration; {
	case e.Type == metastore.SessionExpired && r != nil && r.Outlived(e):
		return event{} // startUp came first
	case e.Type == metastore.SessionExpired:
		return event{"session expired", c.expire}
	case e.Type == metastore.SessionConnected && c.expired:
		return event{"new session", c.registerAndReelect}
	case e.Path == metastore.PathController && e.Type == metastore.NodeDeleted:
		return event{"reelect", c.reelect}
	case e.Path == metastore.PathController:
		return event{"controller change", c.maybeResign}
	}
	return event{}
}

// startUp stands for the first election, or for one that nothing has called for. The session may have been lost after the broker was
// registered and before the watcher heard of it.
func (c *Controller) startUp(ctx context.Context) error {
	if c.unregistered() {
		return c.registerAndReelect(ctx)
	}
	return c.reelect(ctx)
}

// unregistered reports whether the broker is not registered in this session, yet.
func (c *Controller) unregistered() bool {
	r := c.options.Registration
	return r != nil && r.Stale()
}

// expire ends the term without a word to the store: /controller went with the session.
func (c *Controller) expire(context.Context) error {
	c.expired = true
	c.active.Store(-1)
	c.endTerm()
	return nil
}

// registerAndReelect makes the broker known again in its new session, with a new epoch, and stands for election.
func (c *Controller) registerAndReelect(ctx context.Context) error {
	c.expired = false
	if r := c.options.Registration; r != nil {
		if _, err := r.Register(ctx); err != nil {
			return fmt.Errorf("register broker again: %w", err)
		}
	}
	return c.reelect(ctx)
}

// reelect stands for election unless there is a controller, in the session in which the broker is registered. After a lost session older
// events may still wait, and a term that one of them began would end with the news of the loss, while /controller, of the new session,
// stayed. (Apache drops the older events, and has no new session before it has heard of the loss.)
func (c *Controller) reelect(ctx context.Context) error {
	if err := c.maybeResign(ctx); err != nil {
		return err
	}
	if c.ActiveID() != -1 || c.unregistered() {
		return nil
	}
	claim, err := c.options.Store.ClaimController(ctx, c.options.ID)
	if errors.Is(err, metastore.ErrNotElected) {
		return c.maybeResign(ctx)
	}
	if err != nil {
		return fmt.Errorf("claim controller: %w", err)
	}
	if c.unregistered() { // since a moment ago
		return c.release(ctx, claim)
	}
	c.logger.Info().Int32("epoch", int32(claim.Epoch)).Msg("elected as controller")
	return c.begin(ctx, claim)
}

// begin starts a term. If that fails the claim is released, so that this or another broker tries again.
func (c *Controller) begin(ctx context.Context, claim metastore.Claim) error {
	c.term = newTerm(c, claim)
	c.active.Store(int32(c.options.ID))
	err := c.term.start(ctx)
	if err == nil {
		return nil
	}
	c.active.Store(-1)
	c.endTerm()
	select { // what failed may well fail again, and here everybody stands for election again
	case <-time.After(claimBackoff):
	case <-ctx.Done():
	}
	return fmt.Errorf("begin controller's term: %w", errors.Join(err, c.release(ctx, claim)))
}

// release gives a claim up, if it still stands.
func (c *Controller) release(ctx context.Context, claim metastore.Claim) error {
	err := c.options.Store.ReleaseController(ctx, claim)
	if errors.Is(err, metastore.ErrControllerMoved) {
		return nil
	}
	return err
}

// claimBackoff is how long a term that could not begin keeps others from trying, so that they do not try without end, and the pause between
// two looks for a controller that nobody has heard of.
const claimBackoff = time.Second

// maybeResign reads who the controller is, and arms the watch. A term ends when it is not this broker.
func (c *Controller) maybeResign(ctx context.Context) error {
	id, _, err := c.options.Store.Controller(ctx, c.watcher)
	if err != nil {
		return fmt.Errorf("read controller: %w", err)
	}
	c.active.Store(int32(id))
	if id != c.options.ID {
		c.endTerm()
	}
	return nil
}

func (c *Controller) endTerm() {
	if c.term != nil {
		c.logger.Info().Msg("resigning as controller")
		c.term.end()
		c.term = nil
	}
}

// releaseTimeout bounds the last write of a stopping controller; the session's end does the same a little later.
const releaseTimeout = 5 * time.Second

// retire ends the loop: the term ends and /controller is given up.
func (c *Controller) retire() {
	if c.term == nil {
		return
	}
	claim := c.term.state.claim
	c.active.Store(-1)
	c.endTerm()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if err := c.release(ctx, claim); err != nil {
		c.logger.Info().Err(err).Msg("release /controller")
	}
}
