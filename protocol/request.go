package protocol

import (
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DecodeRequest reads a body into req, which it gives its version. The body passes the guard before, so that decoding takes
// memory and time in proportion to its size. Byte slices of the request point into the body. Strings are copies, and UTF-8:
// what is not is replaced by U+FFFD, as Java reads it.
func DecodeRequest(req kmsg.Request, version int16, body []byte) error {
	validUTF8, err := checkRequest(req.Key(), version, body)
	if err != nil {
		return err
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("decode request, key %d version %d: %w", req.Key(), version, err)
	}
	if !validUTF8 {
		if err := mendStrings(reflect.ValueOf(req).Elem()); err != nil {
			return fmt.Errorf("decode request, key %d version %d: %w", req.Key(), version, err)
		}
	}
	return nil
}

// mendStrings makes every string in a request valid. No client that works sends others, so it may take its time. One of them that would be
// too long then is refused: Apache fails when it comes to write it.
func mendStrings(v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		s := Text([]byte(v.String()))
		if len(s) > stringMax {
			return errLongString
		}
		v.SetString(s)
	case reflect.Pointer:
		if !v.IsNil() {
			return mendStrings(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := mendStrings(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).CanSet() {
				continue
			}
			if err := mendStrings(v.Field(i)); err != nil {
				return err
			}
		}
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
