package admin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
)

// Image is the cluster as this broker knows it.
type Image interface {
	Metadata() *cluster.Metadata
	// AwaitMetadata blocks until an image satisfies the condition, or ctx ends.
	AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error
}

// Controller is what is asked of this broker's controller.
type Controller interface {
	// IsActive reports whether this broker is the cluster's controller.
	IsActive() bool
}

// Options are the parts that an Admin works with.
type Options struct {
	Config     *config.Broker
	Store      *metastore.Store
	Image      Image
	Controller Controller
	Loggers    *Loggers // nil: loggers cannot be described
	Logger     zerolog.Logger
}

// Admin does administrative requests. Its methods may be called concurrently.
type Admin struct {
	Options
	random func(n int) int // where an assignment begins

	mu       sync.Mutex // guards creating
	creating map[string]bool
}

// New returns an Admin.
func New(o Options) *Admin {
	return &Admin{Options: o, random: rand.IntN, creating: map[string]bool{}}
}

// Error is a refusal: a code for the wire and a text for people.
type Error struct {
	Code    *kerr.Error
	Message string // empty: the client gets none
}

// Error is the message, or what the code means.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.Message
	}
	return e.Message
}

// Unwrap gives the error its code on the wire.
func (e *Error) Unwrap() error { return e.Code }

func refuse(code *kerr.Error, text string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(text, args...)}
}

// MessageOf is the text that a client gets with an error; nil for none. What the client did not cause is not explained to it, since
// the text might hold what it must not see. An error of another package is explained when it is one of Kafka's own, alone or with
// a text behind it.
func MessageOf(err error) *string {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Message == "" {
			return nil
		}
		return &e.Message
	}
	if e, ok := errors.AsType[*config.InvalidError](err); ok {
		return &e.Message
	}
	code, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return nil
	}
	if err == error(code) {
		return new(strings.TrimSuffix(code.Description, ".") + ".")
	}
	if text, ok := strings.CutPrefix(err.Error(), code.Error()+": "); ok {
		return &text
	}
	return nil
}

// errTimedOut is the answer when the image did not show a change in time.
var errTimedOut = &Error{Code: kerr.RequestTimedOut}

// await waits until the image satisfies the condition or the time is over.
func (a *Admin) await(ctx context.Context, timeout time.Duration, satisfied func(*cluster.Metadata) bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_ = a.Image.AwaitMetadata(ctx, satisfied) // the caller looks at the image
}

// allLed reports whether every partition of a topic below count has a leader.
func allLed(m *cluster.Metadata, topic string, count int) bool {
	t := m.Topic(topic)
	if t == nil || len(t.Partitions) < count {
		return false
	}
	for p := range count {
		if s := t.Partitions[int32(p)]; s == nil || s.Leader == cluster.NoLeader {
			return false
		}
	}
	return true
}

// created is a topic that was made or grown, and how many partitions it is to have.
type created struct {
	name  string
	count int
	err   *error // where its outcome stands
}

// awaitLeaders waits until all topics without an error have their leaders; those that do not in time have timed out.
func (a *Admin) awaitLeaders(ctx context.Context, timeout time.Duration, topics []created) {
	pending := topics[:0:0]
	for _, t := range topics {
		if *t.err == nil {
			pending = append(pending, t)
		}
	}
	led := func(m *cluster.Metadata) bool {
		for len(pending) > 0 && allLed(m, pending[0].name, pending[0].count) {
			pending = pending[1:] // leaders that come and go do not matter once seen
		}
		return len(pending) == 0
	}
	if timeout > 0 && len(pending) > 0 {
		a.await(ctx, timeout, led)
	}
	m := a.Image.Metadata()
	for _, t := range pending {
		if timeout <= 0 || !allLed(m, t.name, t.count) {
			*t.err = errTimedOut
		}
	}
}
