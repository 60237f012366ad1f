package handlers

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/protocol"
)

// Call is what a handler knows of a request beside its body.
type Call struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string // empty when absent
	Listener      string // name of the listener that it came in on
	Principal     string // "User:ANONYMOUS" without authentication
	Peer          netip.AddrPort
	Received      time.Time

	SoftwareName, SoftwareVersion string // what the client said in ApiVersions, may be empty
}

// ClientHost is the peer as Java prints an InetAddress, with its slash: the form that groups store and DescribeGroups shows.
func (c *Call) ClientHost() string { return "/" + c.Peer.Addr().Unmap().String() }

// ErrClose, wrapped by a handler's error, closes the connection without an answer, as Apache does for an acks=0 produce that failed.
var ErrClose = errors.New("close the connection")

// Answer is what a handler returns: one of a typed kmsg response, an encoded Reply (Fetch), or neither (acks=0 produce).
type Answer struct {
	Response kmsg.Response
	Reply    *protocol.Reply
}

// Wait finishes a two-stage request. The connection's writer runs it, in request order.
type Wait interface {
	// Known reports whether the answer is known, so that Await does not block. Once it is it stays so.
	Known() bool
	// Await blocks until the answer is known.
	Await(ctx context.Context) (Answer, error)
}

// API is one entry of the table: a key, the versions that are handled, and how.
//
// A handler may keep strings of its request, but the byte slices in it belong to the connection's buffer: they are valid until
// the handler (of a two-stage API: its first stage) returns, and what is kept longer is copied.
type API struct {
	Key, Min, Max int16
	ClusterAction bool // meant for brokers: needs ClusterAction on the cluster once there is an authorizer
	// ClusterActionSince is the first version that ClusterAction is about; older ones are for clients.
	ClusterActionSince int16
	New                func() kmsg.Request
	// Begin runs the request up to where it must wait. A nil Wait means that Answer is complete (and empty for no answer at all).
	Begin func(ctx context.Context, c *Call, req kmsg.Request) (Answer, Wait, error)
}

// Option marks an API.
type Option func(*API)

// ClusterAction marks an API that only brokers may call.
func ClusterAction(a *API) { a.ClusterAction = true }

// ClusterActionSince marks an API whose later versions only brokers may call.
func ClusterActionSince(version int16) Option {
	return func(a *API) { a.ClusterAction, a.ClusterActionSince = true, version }
}

type request[T any] interface {
	*T
	kmsg.Request
}

// on makes the API of a request type that is answered by one call. The key comes from the type, so key and handler cannot disagree.
func on[T any, P request[T], R kmsg.Response](min, max int16, f func(context.Context, *Call, P) (R, error), options ...Option) API {
	return newAPI[T, P](min, max, options, func(ctx context.Context, c *Call, req kmsg.Request) (Answer, Wait, error) {
		resp, err := f(ctx, c, req.(P))
		if err != nil {
			return Answer{}, nil, err
		}
		return Answer{Response: resp}, nil, nil
	})
}

// onReply is on for an API that encodes its own answer.
func onReply[T any, P request[T]](min, max int16, f func(context.Context, *Call, P) (*protocol.Reply, error), options ...Option) API {
	return newAPI[T, P](min, max, options, func(ctx context.Context, c *Call, req kmsg.Request) (Answer, Wait, error) {
		reply, err := f(ctx, c, req.(P))
		return Answer{Reply: reply}, nil, err
	})
}

// onTwoStage makes an API whose first stage runs in request order and whose second waits in the connection's writer.
func onTwoStage[T any, P request[T]](min, max int16, f func(context.Context, *Call, P) (Answer, Wait, error), options ...Option) API {
	return newAPI[T, P](min, max, options, func(ctx context.Context, c *Call, req kmsg.Request) (Answer, Wait, error) {
		return f(ctx, c, req.(P))
	})
}

func newAPI[T any, P request[T]](min, max int16, options []Option, begin func(context.Context, *Call, kmsg.Request) (Answer, Wait, error)) API {
	a := API{Key: P(new(T)).Key(), Min: min, Max: max, New: func() kmsg.Request { return P(new(T)) }, Begin: begin}
	for _, o := range options {
		o(&a)
	}
	return a
}
