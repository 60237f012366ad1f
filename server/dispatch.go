package server

import (
	"fmt"
	"runtime/debug"

	"gokafka/handlers"
	"gokafka/protocol"
)

const keyAPIVersions = 18

// entry is an API with what is counted about it.
type entry struct {
	api      handlers.API
	plan     *codePlan
	counters apiCounters
}

// dispatchTable has the entries by key; nil where there is none.
type dispatchTable []*entry

func newDispatchTable(apis []handlers.API) dispatchTable {
	var t dispatchTable
	for _, a := range apis {
		for len(t) <= int(a.Key) {
			t = append(t, nil)
		}
		t[a.Key] = &entry{api: a, plan: responsePlan(a.Key)}
	}
	return t
}

// lookup finds who handles the request, nil if nobody.
func (t dispatchTable) lookup(key int16) *entry {
	if key < 0 || int(key) >= len(t) {
		return nil
	}
	return t[key]
}

// begin finds the API of a request, decodes it and runs its first stage. An error closes the connection, without an answer.
func (c *conn) begin(frame []byte) (exchange, error) {
	h, body, err := protocol.ReadHeader(frame)
	if err != nil {
		return exchange{}, rejected(err)
	}
	e := c.server.table.lookup(h.Key)
	if e == nil {
		return exchange{}, rejected(fmt.Errorf("key %d is not handled", h.Key))
	}
	e.counters.requests.Add(1)
	e.counters.requestBytes.Add(uint64(len(frame)))
	x := exchange{entry: e, call: c.call(h)}
	if h.Version < e.api.Min || h.Version > e.api.Max {
		if h.Key != keyAPIVersions {
			return x, rejected(fmt.Errorf("key %d version %d is not handled", h.Key, h.Version))
		}
		x.answer.Response = handlers.UnsupportedApiVersions(e.api)
		return x, nil
	}
	err = c.firstStage(&x, body)
	c.softwareName, c.softwareVersion = x.call.SoftwareName, x.call.SoftwareVersion
	return x, err
}

// firstStage decodes a request and runs its handler.
func (c *conn) firstStage(x *exchange, body []byte) (err error) {
	defer recovered(&err)
	req := x.entry.api.New()
	if err := protocol.DecodeRequest(req, x.call.Version, body); err != nil {
		return rejected(err)
	}
	if !protocol.KeepsFrame(x.call.Key, x.call.Version) {
		c.frames.Release() // a fetch may wait long, and needs nothing of it
	}
	x.answer, x.wait, err = x.entry.api.Begin(c.ctx, x.call, req)
	return err
}

// recovered turns a panic into an error, so that it ends one connection only.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("handler panicked: %v\n%s", r, debug.Stack())
	}
}

// call is what the handler is told about the request.
func (c *conn) call(h protocol.Header) *handlers.Call {
	if string(h.ClientID) != c.clientIDBytes {
		c.clientIDBytes = string(h.ClientID)
		c.clientID = protocol.Text(h.ClientID)
	}
	return &handlers.Call{
		Key: h.Key, Version: h.Version, CorrelationID: h.CorrelationID, ClientID: c.clientID,
		Listener: c.listener.Name, Principal: anonymous, Peer: c.peer, Received: c.received,
		SoftwareName: c.softwareName, SoftwareVersion: c.softwareVersion,
	}
}

// anonymous is the principal of a connection that did not authenticate.
const anonymous = "User:ANONYMOUS"

// rejection is an error that a peer causes by what it sends.
type rejection struct{ error }

func (r rejection) Unwrap() error { return r.error }

func rejected(err error) error { return rejection{err} }
