package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DecodeRequest reads a body into req, whose version is set first. The body passes the guard before, so that decoding takes
// memory and time in proportion to its size. Byte slices of the request point into the body, strings are copies.
func DecodeRequest(req kmsg.Request, version int16, body []byte) error {
	if err := CheckRequest(req.Key(), version, body); err != nil {
		return err
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("decode request, key %d version %d: %w", req.Key(), version, err)
	}
	return nil
}

// AppendResponse appends a whole response frame.
func AppendResponse(b []byte, correlationID int32, resp kmsg.Response) []byte {
	begin := len(b)
	b = AppendResponseHeader(b, resp.Key(), resp.GetVersion(), correlationID)
	b = resp.AppendTo(b)
	EndFrame(b[begin:], 0)
	return b
}
