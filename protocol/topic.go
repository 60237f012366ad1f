package protocol

import (
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"
)

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is the partition's directory name, as in Apache Kafka: "topic-partition".
func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// TopicID is a topic's identity since KIP-516; the zero value means that the topic has none.
type TopicID [16]byte

// NewTopicID returns a random id. Like Apache's Uuid it never starts with '-' in its text form, so that
// tools which take an id as an argument do not read it as a flag.
func NewTopicID() TopicID {
	for {
		id := TopicID(uuid.New())
		if id.String()[0] != '-' {
			return id
		}
	}
}

// String is the 22 characters of unpadded URL-safe base64 that Apache writes in znodes and partition.metadata.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// IsZero reports whether the topic has no id.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// ParseTopicID reads the form that String writes.
func ParseTopicID(s string) (TopicID, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(TopicID{}) {
		return TopicID{}, fmt.Errorf("parse topic id %q: not 16 bytes of URL-safe base64", s)
	}
	return TopicID(b), nil
}
