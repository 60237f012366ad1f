package handlers

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// mentionsMax is how often a request may name the same thing and be told all about it each time, as Apache tells.
const mentionsMax = 16

// errManyMentions is the answer beyond that. Five bytes name a broker and ask for its settings, which are thirty thousand: a request of
// one megabyte would have an answer of gigabytes.
var errManyMentions = fmt.Errorf("named more than %d times in one request: %w", mentionsMax, kerr.InvalidRequest)

// mentions counts how often a request names each thing.
type mentions[K comparable] map[K]int

// add counts one; with errManyMentions it is one too many.
func (m mentions[K]) add(key K) error {
	if m[key]++; m[key] > mentionsMax {
		return errManyMentions
	}
	return nil
}
