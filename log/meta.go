package log

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

const (
	partitionMetadataFile    = "partition.metadata"
	partitionMetadataVersion = "0"
)

// topicMeta is the topic's id, and whether the file has it.
type topicMeta struct {
	mu    sync.Mutex
	id    protocol.TopicID
	saved bool
}

// TopicID is the id of the topic that the log belongs to; zero if it has none.
func (l *Log) TopicID() protocol.TopicID {
	l.meta.mu.Lock()
	defer l.meta.mu.Unlock()
	return l.meta.id
}

// SetTopicID gives the log its topic's id, once: another id is ErrInconsistentTopicID. It is in the file before the first record is.
func (l *Log) SetTopicID(id protocol.TopicID) error {
	l.meta.mu.Lock()
	defer l.meta.mu.Unlock()
	switch {
	case id.IsZero() || l.meta.id == id:
		return nil
	case !l.meta.id.IsZero():
		return fmt.Errorf("set topic id of %v to %v: %w: %v", l.tp, id, ErrInconsistentTopicID, l.meta.id)
	}
	l.meta.id, l.meta.saved = id, false
	return nil
}

// saveTopicID writes partition.metadata if it does not have the id.
func (l *Log) saveTopicID() error {
	l.meta.mu.Lock()
	defer l.meta.mu.Unlock()
	if l.meta.saved || l.meta.id.IsZero() {
		return nil
	}
	content := fmt.Sprintf("version: %s\ntopic_id: %s", partitionMetadataVersion, l.meta.id)
	if err := l.replaceFile(partitionMetadataFile, []byte(content)); err != nil {
		return l.storage("write "+partitionMetadataFile+" of", err)
	}
	l.meta.saved = true
	return nil
}

func (l *Log) loadTopicID() error {
	name := l.dir.join(partitionMetadataFile)
	b, err := vfs.ReadFile(l.dir.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := parsePartitionMetadata(string(b))
	if err != nil {
		return &CorruptError{File: name, Err: err}
	}
	l.meta.id, l.meta.saved = id, true
	return nil
}

func parsePartitionMetadata(text string) (protocol.TopicID, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if v := fields["version"]; v != partitionMetadataVersion {
		return protocol.TopicID{}, fmt.Errorf("version %q is not known", v)
	}
	id, err := protocol.ParseTopicID(fields["topic_id"])
	if err == nil && id.IsZero() {
		err = errors.New("topic id is zero")
	}
	return id, err
}
