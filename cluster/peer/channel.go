package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
)

// Options say how to reach a broker.
type Options struct {
	// Endpoint is where the broker is now. It is asked before each connection, since a broker may come back elsewhere.
	Endpoint func(ctx context.Context) (cluster.Endpoint, error)
	ClientID string
	Protocol cluster.ProtocolVersion // inter.broker.protocol.version, which limits the versions of some requests; zero: no limit
	Timeout  time.Duration           // for connecting, and for one request; 0 is 30 s
}

const (
	timeoutDefault = 30 * time.Second

	// responseBytesMax bounds an answer: a fetch may be larger than was asked for by one batch, whose size is itself bounded.
	responseBytesMax = 1 << 30
	// readGrowth bounds what an answer that does not come makes us hold: at most this many times what has arrived.
	readGrowth = 64
	readFirst  = 16 << 10
)

// ErrUnsupported says that the broker speaks no version of the request that this one knows.
var ErrUnsupported = fmt.Errorf("broker speaks no version of the request that this one knows: %w", kerr.UnsupportedVersion)

var (
	errBadAnswer   = errors.New("answer does not fit the request")
	errNotEncoded  = errors.New("only PLAINTEXT listeners are supported between brokers")
	errAnswerBytes = errors.New("answer's size is out of bounds")
)

// Channel is one ordered connection to a broker: one request at a time. It connects when it is first used, and again after an
// error, which may have left the request done or not. Its methods may be called concurrently, but follow each other.
type Channel struct {
	options   Options
	formatter *kmsg.RequestFormatter

	mu       sync.Mutex      // held during a request
	versions map[int16]int16 // highest that the broker speaks, by key
	last     int32           // correlation id
	out      []byte

	connMu sync.Mutex         // held for a moment; taken after mu
	conn   net.Conn           // nil: not connected
	giveUp context.CancelFunc // ends connecting; nil: not under way
}

// NewChannel returns a channel that is not connected yet.
func NewChannel(o Options) *Channel {
	if o.Timeout <= 0 {
		o.Timeout = timeoutDefault
	}
	return &Channel{options: o, formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(o.ClientID))}
}

// Close ends the connection, or the way to it, and the request that is in flight. The next call makes a new one.
func (c *Channel) Close() error {
	c.connMu.Lock()
	conn, giveUp := c.conn, c.giveUp
	c.conn = nil
	c.connMu.Unlock()
	if giveUp != nil {
		giveUp()
	}
	if conn == nil {
		return nil
	}
	if err := abort(conn); !errors.Is(err, net.ErrClosed) { // a context that ended closes too
		return err
	}
	return nil
}

// setConn replaces the connection, and what ends connecting.
func (c *Channel) setConn(conn net.Conn, giveUp context.CancelFunc) {
	c.connMu.Lock()
	defer c.connMu.Unlock()
	c.conn, c.giveUp = conn, giveUp
}

func (c *Channel) current() net.Conn {
	c.connMu.Lock()
	defer c.connMu.Unlock()
	return c.conn
}

// bounds are the lowest and the highest version of a request that will do.
type bounds struct{ lowest, highest int16 }

// atLeast is every version from one on that kmsg knows.
func atLeast(lowest int16) bounds { return bounds{lowest, math.MaxInt16} }

// call sends a request and decodes the answer, whose byte slices point into its own memory.
func call[R kmsg.Response](ctx context.Context, c *Channel, b bounds, req kmsg.Request) (resp R, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.negotiateLocked(ctx, req, b); err != nil {
		return resp, fmt.Errorf("%w: %w", replica.ErrNotSent, err)
	}
	answer, _, err := c.exchangeLocked(ctx, req, nil)
	if err != nil {
		return resp, err
	}
	return answer.(R), nil
}

// negotiateLocked connects if need be and sets the request's version: the highest that both sides know, within bounds and what the protocol
// version allows.
func (c *Channel) negotiateLocked(ctx context.Context, req kmsg.Request, b bounds) error {
	if c.current() == nil {
		if err := c.connectLocked(ctx); err != nil {
			return err
		}
	}
	theirs, known := c.versions[req.Key()]
	version := min(theirs, b.highest, req.MaxVersion(), highest(c.options.Protocol, req.Key()))
	if !known || version < b.lowest {
		return fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), ErrUnsupported)
	}
	req.SetVersion(version)
	return nil
}

func (c *Channel) connectLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	c.setConn(nil, cancel)
	defer c.connected()
	e, err := c.options.Endpoint(ctx)
	if err != nil {
		return err
	}
	if e.Protocol != cluster.Plaintext {
		return fmt.Errorf("listener %s speaks %s: %w", e.Listener, e.Protocol, errNotEncoded)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	if err != nil {
		return fmt.Errorf("connect to broker: %w", err)
	}
	c.setConn(conn, cancel)
	return c.askVersionsLocked(ctx)
}

// connected ends the time in which Close has to end connecting.
func (c *Channel) connected() {
	c.connMu.Lock()
	defer c.connMu.Unlock()
	c.giveUp = nil
}

// askVersionsLocked asks in version 0, which every broker since 0.10 answers.
func (c *Channel) askVersionsLocked(ctx context.Context) error {
	req := kmsg.NewPtrApiVersionsRequest()
	answer, _, err := c.exchangeLocked(ctx, req, nil)
	if err != nil {
		return err
	}
	c.versions = map[int16]int16{}
	for _, k := range answer.(*kmsg.ApiVersionsResponse).ApiKeys {
		c.versions[k.ApiKey] = k.MaxVersion
	}
	return nil
}

// exchangeLocked sends one request and reads its answer into buf, or a larger buffer, which is returned: the answer points into it.
// After an error the connection is closed, since what would come next is not known.
func (c *Channel) exchangeLocked(ctx context.Context, req kmsg.Request, buf []byte) (resp kmsg.Response, _ []byte, err error) {
	conn := c.current()
	if conn == nil {
		return nil, buf, net.ErrClosed
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ctx.Err())
			_ = c.Close() // nothing was buffered that should go out
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(c.options.Timeout)); err != nil {
		return nil, buf, fmt.Errorf("set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = abort(conn) })
	defer stop()
	c.last++
	c.out = c.formatter.AppendRequest(c.out[:0], req, c.last)
	if _, err := conn.Write(c.out); err != nil {
		return nil, buf, fmt.Errorf("send %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	frame, buf, err := readFrame(conn, buf)
	if err != nil {
		return nil, buf, fmt.Errorf("await answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	resp, err = decode(req, c.last, frame)
	return resp, buf, err
}

// abort closes a connection so that what was not sent yet never is: it would be done long after it was given up.
func abort(conn net.Conn) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails if the connection is closed already
	}
	return conn.Close()
}

// readFrame reads one answer with its size into buf if that is large enough, else into memory that grows with what has come, which is
// returned too. No answer follows before the next request, so all that is there is read at once.
func readFrame(r io.Reader, buf []byte) (frame, _ []byte, err error) {
	buf = slices.Grow(buf[:0], readFirst)
	have, err := io.ReadAtLeast(r, buf[:cap(buf)], 4)
	if err != nil {
		return nil, buf, err
	}
	size := int(int32(binary.BigEndian.Uint32(buf[:4])))
	if size < 4 || size > responseBytesMax {
		return nil, buf, fmt.Errorf("%d bytes: %w", size, errAnswerBytes)
	}
	end := 4 + size
	if have > end {
		return nil, buf, fmt.Errorf("%d bytes behind the answer: %w", have-end, errBadAnswer)
	}
	for have < end {
		next := min(end, max(cap(buf), readGrowth*have))
		buf = slices.Grow(buf[:have], next-have)[:next]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return nil, buf, err
		}
		have = next
	}
	return buf[4:end], buf, nil
}

// decode reads an answer: correlation id, tags if the version has them, body.
func decode(req kmsg.Request, correlationID int32, b []byte) (kmsg.Response, error) {
	if got := int32(binary.BigEndian.Uint32(b)); got != correlationID {
		return nil, fmt.Errorf("answer to request %d instead of %d: %w", got, correlationID, errBadAnswer)
	}
	b = b[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		if len(b) == 0 || b[0] != 0 {
			return nil, fmt.Errorf("tags in the header of an answer to %s: %w", kmsg.NameForKey(req.Key()), errBadAnswer)
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("read answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}
