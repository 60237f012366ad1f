// Package conn is one raw connection to a broker: it sends a typed request in any version, or any bytes at all, and says
// exactly what came back.
package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrClosed is what a read returns when the broker closed the connection instead of answering.
var ErrClosed = errors.New("connection closed by the broker")

// ErrSilent is what a read returns when nothing came within the connection's patience.
var ErrSilent = errors.New("no answer")

// frameSizeMax bounds what a broker may announce; no answer of the tests comes near it.
const frameSizeMax = 256 << 20

// Conn is a connection. It is used by one goroutine.
type Conn struct {
	net.Conn
	ClientID      string
	Patience      time.Duration // how long Receive waits before it returns ErrSilent
	correlationID int32
}

// Dial connects to a broker.
func Dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("dial broker: %w", err)
	}
	return &Conn{Conn: c, ClientID: "compat", Patience: 30 * time.Second}, nil
}

// Frame encodes a request with its header (client id "compat", the given correlation id) and its size in front.
func Frame(req kmsg.Request, clientID string, correlationID int32) []byte {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	b := f.AppendRequest(nil, req, correlationID)
	if req.Key() == int16(kmsg.ControlledShutdown) && req.GetVersion() == 0 { // its header has no client id, after which the formatter stops
		b = req.AppendTo(b)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	}
	return b
}

// Send writes a request without waiting for its answer.
func (c *Conn) Send(req kmsg.Request) error {
	c.correlationID++
	return c.SendBytes(Frame(req, c.ClientID, c.correlationID))
}

// SendBytes writes bytes as they are.
func (c *Conn) SendBytes(b []byte) error {
	if _, err := c.Write(b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Receive reads one frame and returns what follows the size: header and body. It returns ErrClosed or ErrSilent when there is none.
func (c *Conn) Receive() ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.Patience)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return nil, classify(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > frameSizeMax {
		return nil, fmt.Errorf("answer announces %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.Conn, b); err != nil {
		return nil, classify(err)
	}
	return b, nil
}

func classify(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSilent
	default:
		return fmt.Errorf("receive: %w", err)
	}
}

// Request sends a request at the version that it carries and decodes the answer.
func (c *Conn) Request(req kmsg.Request) (kmsg.Response, error) {
	resp, _, err := c.RequestRaw(req)
	return resp, err
}

// RequestRaw is Request that also returns the answer's body as it came, for comparison with what the decoder understood.
func (c *Conn) RequestRaw(req kmsg.Request) (kmsg.Response, []byte, error) {
	if err := c.Send(req); err != nil {
		return nil, nil, err
	}
	frame, err := c.Receive()
	if err != nil {
		return nil, nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	body, err := Body(frame, req, c.correlationID)
	if err != nil {
		return nil, nil, err
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, body, fmt.Errorf("decode answer: %w", err)
	}
	return resp, body, nil
}

// Body strips the response header and checks the correlation id.
func Body(frame []byte, req kmsg.Request, correlationID int32) ([]byte, error) {
	if len(frame) < 4 {
		return nil, fmt.Errorf("answer of %d bytes has no header", len(frame))
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlationID {
		return nil, fmt.Errorf("answer has correlation id %d, want %d", got, correlationID)
	}
	frame = frame[4:]
	if !req.IsFlexible() || req.Key() == int16(kmsg.ApiVersions) {
		return frame, nil
	}
	if len(frame) == 0 || frame[0] != 0 {
		return nil, errors.New("answer's header carries tags")
	}
	return frame[1:], nil
}

// Ready asks for ApiVersions and Metadata and returns nil when the broker answers both and knows a controller.
func Ready(addr string) error {
	c, err := Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Patience = 5 * time.Second
	if _, err := c.Request(kmsg.NewPtrApiVersionsRequest()); err != nil {
		return fmt.Errorf("ask for versions: %w", err)
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 7
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := c.Request(req)
	if err != nil {
		return fmt.Errorf("ask for metadata: %w", err)
	}
	m := resp.(*kmsg.MetadataResponse)
	if len(m.Brokers) == 0 || m.ControllerID < 0 {
		return errors.New("no controller yet")
	}
	return nil
}
