package protocol

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CodeOf is the error code that stands for err on the wire: 0 for nil, the code of the *kerr.Error that err is or wraps,
// REQUEST_TIMED_OUT for a deadline that passed, and UNKNOWN_SERVER_ERROR for everything else.
//
// It is the only map from errors to codes. A package gives its own error a code by wrapping a kerr error in it.
func CodeOf(err error) int16 {
	if err == nil {
		return 0
	}
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return kerr.RequestTimedOut.Code
	}
	return kerr.UnknownServerError.Code
}
