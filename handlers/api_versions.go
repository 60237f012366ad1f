package handlers

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// featuresEpoch is the version of the cluster's feature znode. A broker in ZooKeeper mode supports no feature, so none can be
// finalized and the node keeps the version that it was created with.
const featuresEpoch = 0

// softwareName is the form in which a client may give its name and version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersions tells a client which keys and versions it may use.
//
// Behaviour: answered at any time, and with a header of version 0 always, since the client cannot know yet what the broker
// speaks. A version that is not supported is answered before its body is read, by the dispatcher (UnsupportedApiVersions).
//
// Versions: 1 throttle time · 3 the client's software name and version, features (KIP-584) · 4 features whose lowest level is 0.
func apiVersions(advertised *advertisement) API {
	return on(0, 4, func(_ context.Context, c *Call, req *kmsg.ApiVersionsRequest) (*kmsg.ApiVersionsResponse, error) {
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		if req.Version >= 3 {
			if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
				resp.ErrorCode = kerr.InvalidRequest.Code
				return resp, nil
			}
			c.SoftwareName, c.SoftwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
		}
		resp.ApiKeys = advertised.keys
		resp.FinalizedFeaturesEpoch = featuresEpoch
		return resp, nil
	})
}

// UnsupportedApiVersions is the answer to an ApiVersions request of a version that is not in its entry: an error in the form
// of version 0, which every client reads, with the entry, so that the client can ask again (KIP-511).
func UnsupportedApiVersions(entry API) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiKey(entry)}
	return resp
}

// advertisement is the table as ApiVersions shows it. ApiVersions is in the table itself, so it is filled last.
type advertisement struct {
	keys []kmsg.ApiVersionsResponseApiKey
}

func (a *advertisement) set(apis []API) {
	for _, api := range apis {
		a.keys = append(a.keys, apiKey(api))
	}
}

func apiKey(a API) kmsg.ApiVersionsResponseApiKey {
	return kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: a.Min, MaxVersion: a.Max}
}
