package group

import (
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

// Protocol is one way in which a member can share the work: for consumers, an assignor and the member's subscription.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest asks to become, or stay, a member of a group. Byte slices in it are kept.
type JoinRequest struct {
	Group            string
	MemberID         string  // empty: give me one
	InstanceID       *string // group.instance.id of a static member (KIP-345)
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol // in order of preference
	Reason           string     // for the broker's log (KIP-800)

	// RequireKnownMemberID makes a new dynamic member come back with the id it is given (KIP-394, version 4).
	RequireKnownMemberID bool
	// SkipAssignment says that the client can be told to lead without assigning (version 9).
	SkipAssignment bool
}

// JoinResult answers a JoinRequest.
type JoinResult struct {
	Err            error // one of kerr's, or nil
	MemberID       string
	Generation     int32 // -1 with an error
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []JoinedMember // for the leader only
}

// JoinedMember is what the leader learns of a member.
type JoinedMember struct {
	MemberID   string
	InstanceID *string
	Metadata   []byte
}

// SyncRequest asks for the member's assignment; the leader's brings everyone's. Byte slices in it are kept.
type SyncRequest struct {
	Group        string
	MemberID     string
	InstanceID   *string
	Generation   int32
	ProtocolType *string // nil: not checked (before version 5)
	Protocol     *string
	Assignments  map[string][]byte // by member id
}

// SyncResult answers a SyncRequest.
type SyncResult struct {
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// HeartbeatRequest says that a member lives.
type HeartbeatRequest struct {
	Group      string
	MemberID   string
	InstanceID *string
	Generation int32
}

// LeavingMember names a member that leaves: by its id, or a static one by its instance id alone.
type LeavingMember struct {
	MemberID   string
	InstanceID *string
	Reason     string
}

// CommitRequest stores offsets for a group.
type CommitRequest struct {
	Group      string
	MemberID   string
	InstanceID *string
	Generation int32 // negative: the group does not use Kafka's membership
	Offsets    []PartitionOffset

	// Producer commits the offsets in its transaction (KIP-98): they count when that is committed. Nil: at once.
	Producer *cluster.TxnProducer
	guard    cluster.TxnGuard // its transaction includes the group, says its coordinator
}

// PartitionOffset is one offset to commit.
type PartitionOffset struct {
	protocol.TopicPartition
	CommittedOffset
}

// CommittedOffset is what a group stored for one partition.
type CommittedOffset struct {
	Offset          int64
	LeaderEpoch     int32 // -1: unknown
	Metadata        string
	CommitTimestamp int64 // milliseconds since the epoch
	ExpireTimestamp int64 // milliseconds; -1: the broker's retention decides
}

// FetchedOffset is the answer for one partition of an offset fetch. Offset is -1 where nothing is committed.
type FetchedOffset struct {
	protocol.TopicPartition
	Err         error
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// Description is a group as DescribeGroups shows it.
type Description struct {
	State        string
	ProtocolType string
	Protocol     string
	Members      []MemberDescription
}

// MemberDescription is one member of a Description. Metadata and Assignment are empty unless the group is stable.
type MemberDescription struct {
	MemberID   string
	InstanceID *string
	ClientID   string
	ClientHost string
	Metadata   []byte
	Assignment []byte
}

// Listing is a group as ListGroups shows it.
type Listing struct {
	Group        string
	ProtocolType string
	State        State
}
