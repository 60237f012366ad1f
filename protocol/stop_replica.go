package protocol

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// StopReplicaRequest is kmsg's in the order in which Apache's brokers send it: since version 4 the mark of a KRaft controller
// stands before the controller's epoch (KIP-866), which kmsg reads and writes first. Read in kmsg's order, a real request has the
// epoch of a controller long gone.
type StopReplicaRequest struct{ kmsg.StopReplicaRequest }

// kraftMarkSince is the first version of StopReplica with the mark.
const kraftMarkSince = 4

// The mark, one byte, comes after the controller's id, and before its epoch, each of which is four bytes long.
const markBegins, epochEnds = 4, 9

// AppendTo appends the request's body.
func (r *StopReplicaRequest) AppendTo(b []byte) []byte {
	begin := len(b)
	b = r.StopReplicaRequest.AppendTo(b)
	if r.Version >= kraftMarkSince {
		moved := b[begin+markBegins : begin+epochEnds]
		mark := moved[4]
		copy(moved[1:], moved)
		moved[0] = mark
	}
	return b
}

// ReadFrom reads the request's body.
func (r *StopReplicaRequest) ReadFrom(b []byte) error {
	if r.Version >= kraftMarkSince && len(b) >= epochEnds {
		b = slices.Clone(b)
		moved := b[markBegins:epochEnds]
		mark := moved[0]
		copy(moved, moved[1:])
		moved[4] = mark
	}
	return r.StopReplicaRequest.ReadFrom(b)
}
