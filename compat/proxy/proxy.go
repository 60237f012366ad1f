// Package proxy stands between two programs and is the network that fails them: it holds what goes one way or both ways, delays it, or
// breaks the connections. What is held is not lost. It arrives late when the fault is over, as it does after a real partition of a
// network that TCP has outlived, so that requests of another time reach their target.
package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Fault is what happens to connections. The zero value is a good network.
type Fault struct {
	HoldRequests bool          // what the one who dialled sends does not arrive
	HoldAnswers  bool          // what the target sends does not arrive
	Delay        time.Duration // of everything, in each direction
}

// Cut holds both directions.
var Cut = Fault{HoldRequests: true, HoldAnswers: true}

// Proxy passes connections on to one target.
type Proxy struct {
	target   string
	source   func(r *bufio.Reader) string
	listener net.Listener
	wg       sync.WaitGroup
	closed   chan struct{}

	mu      sync.Mutex
	faults  map[string]Fault // by source; "" is for those that have none of their own
	changed chan struct{}    // closed, and made anew, when faults change
	links   map[*link]bool
}

// Start listens at a free port of loopback. source tells who dialled, by the first bytes, which it must only peek at; nil tells nothing.
func Start(target string, source func(r *bufio.Reader) string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if source == nil {
		source = func(*bufio.Reader) string { return "" }
	}
	p := &Proxy{target: target, source: source, listener: l, closed: make(chan struct{}),
		faults: map[string]Fault{}, changed: make(chan struct{}), links: map[*link]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where to dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes what happens to the connections of a source, those that are open included. "" stands for all sources.
func (p *Proxy) Set(source string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[source] = f
	p.wakeLocked()
}

// Heal ends all faults: what was held arrives.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
	p.wakeLocked()
}

// Break closes all connections; what was held is lost.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Close ends the proxy and all connections.
func (p *Proxy) Close() {
	close(p.closed)
	p.listener.Close()
	p.Break()
	p.wg.Wait()
}

func (p *Proxy) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// fault is what happens to a source now, and a channel that is closed when that may have changed.
func (p *Proxy) fault(source string) (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.faults[source]
	if !ok {
		f = p.faults[""]
	}
	return f, p.changed
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // it was gone before it was accepted
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// serve passes one connection on. It dials at once, even while everything is held: the target's backlog would have taken it too.
func (p *Proxy) serve(c net.Conn) {
	defer c.Close()
	target, err := net.Dial("tcp", p.target)
	if err != nil {
		return // nobody is there: the one who dialled sees the connection end
	}
	l := &link{proxy: p, ends: [2]net.Conn{c, target}, done: make(chan struct{})}
	if !p.add(l) {
		l.close()
		return
	}
	defer p.remove(l)
	defer l.close()
	r := bufio.NewReaderSize(c, chunk)
	l.source = p.source(r)
	var wg sync.WaitGroup
	wg.Go(func() { l.pass(r, target, func(f Fault) bool { return f.HoldRequests }) })
	wg.Go(func() { l.pass(target, c, func(f Fault) bool { return f.HoldAnswers }) })
	wg.Wait()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
	}
	p.links[l] = true
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}
