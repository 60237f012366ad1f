package txn

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// errNeedsID says that a producer needs an id of its own first.
var errNeedsID = errors.New("a fresh producer id is needed")

// writeError turns the failure of an append into what clients are told.
func writeError(err error) error {
	switch {
	case is(err, kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut):
		return kerr.CoordinatorNotAvailable
	case is(err, kerr.NotLeaderForPartition, kerr.KafkaStorageError):
		return kerr.NotCoordinator
	case is(err, kerr.MessageTooLarge, kerr.RecordListTooLarge):
		return kerr.UnknownServerError
	}
	return err
}

func is(err error, any ...*kerr.Error) bool {
	for _, target := range any {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// codeOf is the error of Kafka's in err, or nil.
func codeOf(err error) error {
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke
	}
	return nil
}
