package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslHandshake chooses a SASL mechanism.
//
// Behaviour: on a listener with SASL the connection answers it while it authenticates. A request that gets here comes over a
// listener without SASL, or after authentication: ILLEGAL_SASL_STATE with no mechanism, and the connection goes on.
//
// Versions: 1 the tokens that follow travel in SaslAuthenticate (KIP-152).
func saslHandshake() API {
	return on(0, 1, func(_ context.Context, _ *Call, req *kmsg.SASLHandshakeRequest) (*kmsg.SASLHandshakeResponse, error) {
		resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.ErrorCode = kerr.IllegalSaslState.Code
		return resp, nil
	})
}
