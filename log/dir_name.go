package log

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"gokafka/protocol"
)

// Suffixes of a partition's directory in a transient state: "topic-partition.uuid-suffix".
const (
	deleteDirSuffix = "-delete" // to be removed
	futureDirSuffix = "-future" // being copied from another directory
	strayDirSuffix  = "-stray"  // does not belong to this broker; kept for a human to look at
)

// dirNameMax is the longest name of a directory that file systems allow, in bytes.
const dirNameMax = 255

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
