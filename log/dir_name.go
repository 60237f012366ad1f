package log

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/protocol"
)

// Suffixes of a partition's directory in a transient state: "topic-partition.uuid-suffix".
const (
	deleteDirSuffix = "-delete" // to be removed
	futureDirSuffix = "-future" // being copied from another directory
	strayDirSuffix  = "-stray"  // does not belong to this broker; kept for a human to look at
)

// suffixMax is how much longer the longest suffix makes the name of a directory, with the dot and the unique id before it.
const suffixMax = len(".") + 2*len(uuid.UUID{}) + len(futureDirSuffix)

// dirNameMax is the longest name of a directory that file systems allow, in bytes.
const dirNameMax = 255

// topicNameMax is how long a topic's name may be, so that its directories' names are not too long.
const topicNameMax = 249

// checkName refuses a partition that can have no directory. Whoever speaks as the controller may send any name: one with a slash would lie
// elsewhere, one that is too long would be taken for an error of the disk, and one with a blank would spoil the checkpoints of all others.
func checkName(tp protocol.TopicPartition) error {
	isLegal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	illegal := strings.IndexFunc(tp.Topic, func(r rune) bool { return !isLegal(r) }) >= 0
	if illegal || tp.Topic == "" || len(tp.Topic) > topicNameMax || tp.Partition < 0 {
		return fmt.Errorf("no partition can be called %q: %w", tp.String(), kerr.InvalidTopicException)
	}
	return nil
}

// parseDirName splits a directory's name into its partition and its suffix, if it has one.
func parseDirName(name string) (tp protocol.TopicPartition, suffix string, err error) {
	rest := name
	for _, s := range []string{deleteDirSuffix, futureDirSuffix, strayDirSuffix} {
		before, found := strings.CutSuffix(name, s)
		if !found {
			continue
		}
		dot := strings.LastIndexByte(before, '.')
		if dot < 0 || dot == len(before)-1 {
			return tp, "", fmt.Errorf("directory %q is not of the form topic-partition.uniqueId%s", name, s)
		}
		rest, suffix = before[:dot], s
		break
	}
	dash := strings.LastIndexByte(rest, '-')
	if dash <= 0 {
		return tp, "", fmt.Errorf("directory %q is not of the form topic-partition", name)
	}
	partition, err := strconv.ParseInt(rest[dash+1:], 10, 32)
	if err != nil || partition < 0 {
		return tp, "", fmt.Errorf("directory %q is not of the form topic-partition", name)
	}
	return protocol.TopicPartition{Topic: rest[:dash], Partition: int32(partition)}, suffix, nil
}

// suffixedDirName makes a unique name for the partition's directory; a long topic is cut.
func suffixedDirName(tp protocol.TopicPartition, suffix string) string {
	id := uuid.New()
	tail := fmt.Sprintf("-%d.%s%s", tp.Partition, hex.EncodeToString(id[:]), suffix)
	return tp.Topic[:min(len(tp.Topic), dirNameMax-len(tail))] + tail
}
