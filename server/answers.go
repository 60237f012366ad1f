package server

import (
	"errors"
	"sync"

	"gokafka/handlers"
)

// pendingMax is how many answers a connection may owe before no more of its requests are read.
const pendingMax = 16

// answers are what a connection owes, in the order of the requests. While there are any, a writer goroutine finishes and
// sends them; the reader sends only when there are none.
type answers struct {
	mu      sync.Mutex
	room    sync.Cond // signalled when an answer is sent
	queue   []exchange
	pending int // in the queue, and in the writer's hand
	writer  sync.WaitGroup
}

// push queues an answer that has to wait, for itself or behind others, and waits for room first. It reports false for an
// answer that the caller is to send now.
func (a *answers) push(c *conn, x exchange) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.pending == pendingMax {
		a.room.Wait()
	}
	if a.pending == 0 && x.wait == nil {
		return false
	}
	if a.pending == 0 {
		a.writer.Go(c.writeLoop)
	}
	a.pending++
	a.queue = append(a.queue, x)
	return true
}

// next takes the oldest answer, or ends the writer when all are sent. The writer has sent the one before.
func (a *answers) next(first bool) (exchange, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !first {
		a.pending--
		a.room.Signal()
	}
	if len(a.queue) == 0 {
		a.queue = nil
		return exchange{}, false
	}
	x := a.queue[0]
	a.queue[0] = exchange{}
	a.queue = a.queue[1:]
	return x, true
}

// drain waits until nothing is owed.
func (a *answers) drain() { a.writer.Wait() }

func (a *answers) owed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// known reports whether the oldest answer in the queue waits for nothing. It is for the writer, who alone takes it from there.
func (a *answers) known() (known bool, err error) {
	a.mu.Lock()
	some := len(a.queue) > 0
	var wait handlers.Wait
	if some {
		wait = a.queue[0].wait
	}
	a.mu.Unlock()
	if wait == nil {
		return some, nil
	}
	defer recovered(&err)
	return wait.Known(), nil
}

// writeLoop sends what is owed. Once an answer fails the rest is finished without being sent, since what waits has to let go
// of what it holds.
func (c *conn) writeLoop() {
	var failed bool
	for x, ok := c.answers.next(true); ok; x, ok = c.answers.next(false) {
		if err := c.finishAndSend(x, failed); err != nil && !failed {
			failed = true
			_ = c.out.sendHeld()
			c.cancel()
			c.close()
			c.logEnd(err)
		}
	}
}

// finishAndSend holds the answer back if the next one is known: a follower's fetch commits several batches of a producer at a time, and their
// answers then take one write, and one waking of the client.
func (c *conn) finishAndSend(x exchange, failed bool) error {
	if err := c.finish(&x); err != nil {
		x.entry.counters.failures.Add(1)
		x.release()
		return err
	}
	if failed {
		x.release()
		return nil
	}
	more, err := c.answers.known()
	return errors.Join(c.send(x, more), err)
}

// finish runs a request's second stage, if it has one.
func (c *conn) finish(x *exchange) (err error) {
	if x.wait == nil {
		return nil
	}
	defer recovered(&err)
	x.answer, err = x.wait.Await(c.ctx)
	x.wait = nil
	return err
}
