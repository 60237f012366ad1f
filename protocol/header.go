package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrUnknownKey is the error of a request whose key no broker knows.
var ErrUnknownKey = errors.New("unknown api key")

// Two keys have headers of their own kind.
const (
	keyControlledShutdown = 7
	keyAPIVersions        = 18
)

// Header is what precedes the body of a request.
type Header struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      []byte // points into the frame; empty when absent
}

// ReadHeader reads the header of the request in frame and returns its body too. It comes in three versions, of which key and
// version of the request decide: without client id (ControlledShutdown v0 only), with it, and with tags after it, which
// are skipped. The version itself may be one that nobody serves.
func ReadHeader(frame []byte) (h Header, body []byte, err error) {
	if len(frame) < 8 {
		return h, nil, fmt.Errorf("read header of %d bytes: %w", len(frame), errCut)
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	flexible, known := isFlexible(h.Key, h.Version)
	if !known {
		return h, nil, fmt.Errorf("read header: key %d: %w", h.Key, ErrUnknownKey)
	}
	if h.Key == keyControlledShutdown && h.Version == 0 {
		return h, frame[8:], nil
	}
	w := walker{b: frame[8:], left: memoryBound(len(frame))}
	if h.ClientID, err = w.clientID(); err == nil && flexible {
		err = w.tags(&shape{})
	}
	if err != nil {
		return h, nil, fmt.Errorf("read header, key %d version %d: %w", h.Key, h.Version, err)
	}
	return h, w.b, nil
}

// clientID reads a nullable string, which is never compact: an ApiVersions request has to be readable by brokers that do not
// know its version. Absent and empty are the same.
func (w *walker) clientID() ([]byte, error) {
	n, err := w.int16()
	if err != nil || n <= 0 {
		return nil, err
	}
	id := w.b
	return id[:min(n, len(id))], w.skip(n)
}

// Text is b as a string, with U+FFFD for what is not UTF-8, as Java reads it.
func Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// AppendResponseHeader begins a response frame: four bytes for its size, which EndFrame sets, the correlation id, and in the
// flexible form the end of an empty list of tags. An ApiVersions response never has the tags (KIP-511).
func AppendResponseHeader(b []byte, key, version int16, correlationID int32) []byte {
	b = append(b, 0, 0, 0, 0)
	b = appendInt32(b, correlationID)
	if flexible, _ := isFlexible(key, version); flexible && key != keyAPIVersions {
		b = append(b, 0)
	}
	return b
}

// EndFrame writes the size of the frame that begins b; more is the number of bytes that follow b in it.
func EndFrame(b []byte, more int) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4+more))
}
