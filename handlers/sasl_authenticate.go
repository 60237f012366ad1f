package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslAuthenticate carries the tokens of a SASL exchange.
//
// Behaviour: as with saslHandshake, the connection answers it while it authenticates; here it is out of place.
//
// Versions: 1 session lifetime (KIP-368) · 2 flexible.
func saslAuthenticate() API {
	return on(0, 2, func(_ context.Context, _ *Call, req *kmsg.SASLAuthenticateRequest) (*kmsg.SASLAuthenticateResponse, error) {
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.IllegalSaslState.Code
		resp.ErrorMessage = kmsg.StringPtr("SaslAuthenticate request received after successful authentication")
		return resp, nil
	})
}
