package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/conn"
)

// Exchange is one run of a case, at one version. What it sends goes to both brokers and what comes back is compared.
type Exchange struct {
	T *testing.T
	V int16  // the version under test: requests of the case's API are sent at it
	N string // a name that no other run uses, for topics and groups

	suite *Suite
	key   kmsg.Key
	on    string                   // which connection is used
	conns map[string][2]*conn.Conn // by name
	loose bool                     // answers are not compared
	found *[]string                // where differences are gathered instead of being failures
}

// On is the same run on another connection, opened when it is first used.
func (x *Exchange) On(name string) *Exchange {
	y := *x
	y.on = name
	return &y
}

// Unchecked is the same run without comparison, for polling.
func (x *Exchange) Unchecked() *Exchange {
	y := *x
	y.loose = true
	return &y
}

// Answers are what the two brokers sent back, Apache's first.
type Answers [2]answer

type answer struct {
	response kmsg.Response
	body     []byte
	err      error // conn.ErrClosed, conn.ErrSilent, or what the decoder said
}

// Response is what a side answered, or nil.
func (a Answers) Response(side int) kmsg.Response { return a[side].response }

// Send sends one request to both and compares the answers.
func (x *Exchange) Send(req kmsg.Request) Answers {
	x.T.Helper()
	return x.SendEach(func(int) kmsg.Request { return req })
}

// SendEach sends a request that is made for each side (0 is Apache), for what a broker has drawn before: topic ids, member ids.
func (x *Exchange) SendEach(request func(side int) kmsg.Request) Answers {
	x.T.Helper()
	return x.BeginEach(request)()
}

// Begin sends and returns a function that waits for the answers and compares them.
func (x *Exchange) Begin(req kmsg.Request) func() Answers {
	x.T.Helper()
	return x.BeginEach(func(int) kmsg.Request { return req })
}

// BeginEach is Begin with a request for each side.
func (x *Exchange) BeginEach(request func(side int) kmsg.Request) func() Answers {
	x.T.Helper()
	var reqs [2]kmsg.Request
	for i, c := range x.connections() {
		reqs[i] = request(i)
		if kmsg.Key(reqs[i].Key()) == x.key {
			reqs[i].SetVersion(x.V)
		}
		if err := c.SendBytes(conn.Frame(reqs[i], c.ClientID, correlation)); err != nil {
			x.T.Logf("%s: %v", x.suite.names[i], err) // the answer will say that it is closed
		}
	}
	return func() Answers {
		x.T.Helper()
		return x.finish(reqs)
	}
}

// correlation is the id of every request: one is in flight on a connection, and answers must repeat it.
const correlation = 7

func (x *Exchange) finish(reqs [2]kmsg.Request) Answers {
	x.T.Helper()
	var out Answers
	conns := x.connections()
	both(func(i int) { out[i] = receive(conns[i], reqs[i]) })
	if !x.loose {
		x.compare(reqs[0], out)
	}
	if out[0].err != nil || out[1].err != nil {
		x.Reconnect()
	}
	return out
}

func both(f func(i int)) {
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func receive(c *conn.Conn, req kmsg.Request) answer {
	frame, err := c.Receive()
	if err != nil {
		return answer{err: err}
	}
	return decode(frame, req)
}

func decode(frame []byte, req kmsg.Request) answer {
	body, err := conn.Body(frame, req, correlation)
	if err != nil {
		return answer{err: err}
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if key := kmsg.Key(req.Key()); key == kmsg.ApiVersions && len(body) > 1 && body[1] == 35 {
		resp.SetVersion(0) // the answer to an unsupported version is in version 0
	}
	if err := resp.ReadFrom(body); err != nil {
		return answer{body: body, err: fmt.Errorf("answer cannot be decoded: %w: %x", err, clip(body))}
	}
	return answer{response: resp, body: body}
}

func clip(b []byte) []byte { return b[:min(len(b), 300)] }

func (x *Exchange) compare(req kmsg.Request, got Answers) {
	x.T.Helper()
	key := kmsg.Key(req.Key())
	title := fmt.Sprintf("%s v%d", key.Name(), req.GetVersion())
	if got[0].err != nil || got[1].err != nil {
		x.compareFailures(title, got)
		return
	}
	x.suite.covered(key, req.GetVersion())
	for _, d := range x.different(key, got) {
		x.fail("%s: %s", title, d)
	}
	if canonical(got[0]) && !canonical(got[1]) {
		x.fail("%s: %s's answer is not what its fields encode to:\n%x\n%x", title, x.suite.names[1], clip(got[1].body), clip(got[1].response.AppendTo(nil)))
	}
}

func (x *Exchange) fail(format string, args ...any) {
	x.T.Helper()
	if x.found != nil {
		*x.found = append(*x.found, fmt.Sprintf(format, args...))
		return
	}
	x.T.Errorf(format, args...)
}

// differently makes a case of what gokafka answers otherwise on purpose, as docs/differences.md says: the answers must not be
// the same, or the difference is gone and the page is wrong. Two brokers of a kind must still agree.
func differently(run func(x *Exchange)) func(x *Exchange) {
	return func(x *Exchange) {
		if x.suite.sides[0].Broker.Name() == x.suite.sides[1].Broker.Name() {
			run(x)
			return
		}
		var found []string
		y := *x
		y.found = &found
		run(&y)
		if len(found) == 0 {
			x.T.Error("the answers are the same: this difference is gone")
		}
		for _, d := range found {
			x.T.Log(d)
		}
	}
}

// canonical says that an answer's bytes are exactly what its fields encode to.
func canonical(a answer) bool { return bytes.Equal(a.body, a.response.AppendTo(nil)) }

func (x *Exchange) compareFailures(title string, got Answers) {
	x.T.Helper()
	if outcome(got[0]) != outcome(got[1]) {
		x.fail("%s: %s %s, %s %s", title, x.suite.names[0], outcome(got[0]), x.suite.names[1], outcome(got[1]))
	}
}

func outcome(a answer) string {
	switch {
	case a.err == nil && a.response != nil:
		return fmt.Sprintf("answered %x", clip(a.body))
	case a.err == nil:
		return "answered " + hex.EncodeToString(clip(a.body))
	case errors.Is(a.err, conn.ErrClosed):
		return "closed the connection"
	case errors.Is(a.err, conn.ErrSilent):
		return "did not answer"
	default:
		return a.err.Error()
	}
}

// Frame sends a frame's content (everything after the size) as it is, and compares what comes back byte for byte.
func (x *Exchange) Frame(content []byte) Answers {
	x.T.Helper()
	return x.Bytes(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
}

// Bytes sends bytes as they are, size and all, and compares what comes back.
func (x *Exchange) Bytes(b []byte) Answers {
	x.T.Helper()
	var out Answers
	conns := x.connections()
	both(func(i int) {
		if err := conns[i].SendBytes(b); err != nil {
			out[i].err = conn.ErrClosed
			return
		}
		out[i].body, out[i].err = conns[i].Receive()
	})
	if !x.loose {
		x.compareFrames(b, out)
	}
	if out[0].err != nil || out[1].err != nil {
		x.Reconnect()
	}
	return out
}

// compareFrames compares what raw bytes were answered with. A key and a version that are known tell how to read the answer.
func (x *Exchange) compareFrames(sent []byte, got Answers) {
	x.T.Helper()
	if got[0].err == nil && got[1].err == nil && len(sent) > 8 {
		if req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(sent[4:]))); req != nil {
			req.SetVersion(int16(binary.BigEndian.Uint16(sent[6:])))
			for i := range got {
				got[i] = decode(got[i].body, req)
			}
			x.compare(req, got)
			return
		}
	}
	x.compareFailures("frame", got)
}

// Until repeats a request until both brokers' answers satisfy done, and then sends it once more to compare. It is for what
// Apache finishes in the background.
func (x *Exchange) Until(req kmsg.Request, done func(kmsg.Response) bool) Answers {
	x.T.Helper()
	return x.UntilEach(func(int) kmsg.Request { return req }, done)
}

// UntilEach is Until with a request for each side.
func (x *Exchange) UntilEach(request func(side int) kmsg.Request, done func(kmsg.Response) bool) Answers {
	x.T.Helper()
	quiet := x.Unchecked()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got := quiet.SendEach(request)
		if got[0].response != nil && got[1].response != nil && done(got[0].response) && done(got[1].response) {
			break
		}
	}
	return x.SendEach(request)
}

// Converge repeats a request until both brokers answer the same, and compares the last answers. It is for settings, which reach
// a broker some time after the request that changed them was answered.
func (x *Exchange) Converge(req kmsg.Request) {
	x.T.Helper()
	quiet := x.Unchecked()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		got := quiet.Send(req)
		if got[0].err == nil && got[1].err == nil && len(x.different(kmsg.Key(req.Key()), got)) == 0 {
			break
		}
	}
	x.Send(req)
}

// different lists where two decoded answers disagree.
func (x *Exchange) different(key kmsg.Key, got Answers) []string {
	r := rules[key]
	answers := comparable([2]kmsg.Response{got[0].response, got[1].response})
	a, b := flatten(x.suite.sides[0], r, answers[0]), flatten(x.suite.sides[1], r, answers[1])
	return differences(x.suite.names, a, b)
}

// Patience sets how long this connection waits for an answer.
func (x *Exchange) Patience(d time.Duration) {
	for _, c := range x.connections() {
		c.Patience = d
	}
}

// Reconnect replaces this connection by a new one.
func (x *Exchange) Reconnect() {
	for _, c := range x.conns[x.on] {
		if c != nil {
			c.Close()
		}
	}
	delete(x.conns, x.on)
}

func (x *Exchange) connections() [2]*conn.Conn {
	if c, ok := x.conns[x.on]; ok {
		return c
	}
	var c [2]*conn.Conn
	for i, s := range x.suite.sides {
		var err error
		if c[i], err = conn.Dial(s.Broker.Addr()); err != nil {
			x.T.Fatal(err)
		}
		c[i].Patience = 15 * time.Second
	}
	x.conns[x.on] = c
	return c
}

func (x *Exchange) close() {
	for _, pair := range x.conns {
		for _, c := range pair {
			c.Close()
		}
	}
}
