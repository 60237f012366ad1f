package log

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Errors that callers tell apart. Those that wrap a kerr error are what a client sees for them.
var (
	// ErrOffsetOutOfRange: the offset lies before the log's start or after the end that the reader may see.
	ErrOffsetOutOfRange = fmt.Errorf("offset out of range: %w", kerr.OffsetOutOfRange)
	// ErrUnexpectedOffset: a follower was given a batch that begins before its log's end.
	ErrUnexpectedOffset = errors.New("unexpected offset in append")
	// ErrOutOfOrderSequence: a producer's batch does not follow its last one.
	ErrOutOfOrderSequence = fmt.Errorf("out of order sequence number: %w", kerr.OutOfOrderSequenceNumber)
	// ErrProducerEpoch: the producer's epoch is older than one seen.
	ErrProducerEpoch = fmt.Errorf("producer epoch is fenced: %w", kerr.InvalidProducerEpoch)
	// ErrTransactionState: a batch does not fit the producer's transaction, or the transaction was not verified.
	ErrTransactionState = fmt.Errorf("record does not belong to the producer's transaction: %w", kerr.InvalidTxnState)
	// ErrCoordinatorFenced: a transaction marker came from a coordinator that has been replaced.
	ErrCoordinatorFenced = fmt.Errorf("transaction coordinator is fenced: %w", kerr.TransactionCoordinatorFenced)
	// ErrBatchTooLarge: the batch does not fit into a segment.
	ErrBatchTooLarge = fmt.Errorf("batch is larger than the segment size: %w", kerr.RecordListTooLarge)
	// ErrInconsistentTopicID: the log belongs to another topic of the same name.
	ErrInconsistentTopicID = fmt.Errorf("log has another topic id: %w", kerr.InconsistentTopicID)
	// ErrStorage: the log's directory is offline after an I/O error, or the log was closed or deleted.
	ErrStorage = fmt.Errorf("log directory is offline: %w", kerr.KafkaStorageError)
	// ErrLocked: another process uses the directory.
	ErrLocked = errors.New("log directory is locked by another process")
)

// StorageError is an I/O error; its directory is offline from then on.
type StorageError struct {
	Dir string // one of log.dirs
	Op  string // "append to t-0"
	Err error
}

// Error names the directory and the operation.
func (e *StorageError) Error() string { return fmt.Sprintf("%s in %s: %v", e.Op, e.Dir, e.Err) }

// Unwrap gives the cause and the Kafka error for clients.
func (e *StorageError) Unwrap() []error { return []error{e.Err, ErrStorage} }

// CorruptError is a batch, or a file, that cannot be what was written.
type CorruptError struct {
	File     string
	Position int64 // byte in the file
	Err      error
}

// Error names the place.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %v", e.File, e.Position, e.Err)
}

// Unwrap gives the cause and the Kafka error for clients.
func (e *CorruptError) Unwrap() []error { return []error{e.Err, kerr.CorruptMessage} }

// isOffsetOrCorrupt tells errors that say something of the request or of one batch from errors of the disk.
func isOffsetOrCorrupt(err error) bool {
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		return true
	}
	return errors.Is(err, ErrOffsetOutOfRange) || errors.Is(err, protocol.ErrCorrupt) || errors.Is(err, fs.ErrNotExist)
}
