package group

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// commitError turns the failure of an append into what OffsetCommit answers.
func commitError(err error) error {
	switch {
	case err == nil:
		return nil
	case is(err, kerr.NetworkException):
		return kerr.CoordinatorLoadInProgress
	case unavailable(err):
		return kerr.CoordinatorNotAvailable
	case moved(err):
		return kerr.NotCoordinator
	case tooLarge(err):
		return kerr.InvalidCommitOffsetSize
	}
	return err
}

// storeError turns the failure of an append into what SyncGroup and JoinGroup answer.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case is(err, kerr.RequestTimedOut):
		return kerr.RebalanceInProgress
	case unavailable(err):
		return kerr.CoordinatorNotAvailable
	case moved(err):
		return kerr.NotCoordinator
	case tooLarge(err):
		return kerr.UnknownServerError
	}
	return err
}

func unavailable(err error) bool {
	return is(err, kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend)
}

func moved(err error) bool { return is(err, kerr.NotLeaderForPartition, kerr.KafkaStorageError) }

func tooLarge(err error) bool {
	return is(err, kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize)
}

func is(err error, any ...*kerr.Error) bool {
	for _, target := range any {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
