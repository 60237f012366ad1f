package log

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// The checkpoint files of a directory (doc.go draws their frame).
const (
	recoveryPointFile  = "recovery-point-offset-checkpoint"
	highWatermarkFile  = "replication-offset-checkpoint"
	logStartOffsetFile = "log-start-offset-checkpoint"
	cleanerOffsetFile  = "cleaner-offset-checkpoint"
	leaderEpochFile    = "leader-epoch-checkpoint"

	checkpointVersion = 0
)

// offsetCheckpoint is one offset per partition: what the four offset checkpoint files hold.
type offsetCheckpoint map[protocol.TopicPartition]int64

// readOffsetCheckpoint reads a file of the directory; a missing or empty one has no entries.
func readOffsetCheckpoint(fsys vfs.FS, dir, name string) (offsetCheckpoint, error) {
	c := offsetCheckpoint{}
	err := readCheckpoint(fsys, filepath.Join(dir, name), func(line []byte) error {
		tp, offset, err := parseOffsetLine(line)
		c[tp] = offset
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// write replaces the file. The lines are sorted, so that equal content makes equal bytes.
func (c offsetCheckpoint) write(fsys vfs.FS, dir, name string) error {
	tps := make([]protocol.TopicPartition, 0, len(c))
	for tp := range c {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	b := checkpointHead(len(c))
	for _, tp := range tps {
		b = append(b, tp.Topic...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(tp.Partition), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, c[tp], 10)
		b = append(b, '\n')
	}
	return replaceDurably(fsys, filepath.Join(dir, name), b)
}

func parseOffsetLine(line []byte) (tp protocol.TopicPartition, offset int64, err error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return tp, 0, fmt.Errorf("line %q does not have three fields", line)
	}
	partition, err := strconv.ParseInt(string(fields[1]), 10, 32)
	if err != nil {
		return tp, 0, err
	}
	offset, err = strconv.ParseInt(string(fields[2]), 10, 64)
	return protocol.TopicPartition{Topic: string(fields[0]), Partition: int32(partition)}, offset, err
}

// readEpochs reads a log's leader-epoch-checkpoint.
func readEpochs(fsys vfs.FS, name string) ([]epochEntry, error) {
	var entries []epochEntry
	err := readCheckpoint(fsys, name, func(line []byte) error {
		e, err := parseEpochLine(line)
		entries = append(entries, e)
		return err
	})
	return entries, err
}

func parseEpochLine(line []byte) (e epochEntry, err error) {
	fields := bytes.Fields(line)
	if len(fields) != 2 {
		return e, fmt.Errorf("line %q does not have two fields", line)
	}
	epoch, err := strconv.ParseInt(string(fields[0]), 10, 32)
	if err != nil {
		return e, err
	}
	start, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return epochEntry{epoch: int32(epoch), start: start}, err
}

func encodeEpochs(entries []epochEntry) []byte {
	b := checkpointHead(len(entries))
	for _, e := range entries {
		b = strconv.AppendInt(b, int64(e.epoch), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, e.start, 10)
		b = append(b, '\n')
	}
	return b
}

func checkpointHead(count int) []byte { return fmt.Appendf(nil, "%d\n%d\n", checkpointVersion, count) }

// readCheckpoint passes each entry line to parse. The file counts its lines so that a cut one is noticed.
func readCheckpoint(fsys vfs.FS, name string, parse func(line []byte) error) error {
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(b) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := parseCheckpoint(b, parse); err != nil {
		return &CorruptError{File: name, Err: err}
	}
	return nil
}

func parseCheckpoint(b []byte, parse func(line []byte) error) error {
	version, rest, err := checkpointNumber(b)
	if err != nil {
		return err
	}
	if version != checkpointVersion {
		return fmt.Errorf("version %d is not known", version)
	}
	count, rest, err := checkpointNumber(rest)
	if err != nil {
		return err
	}
	n := int64(0)
	for line := range bytes.Lines(rest) {
		if err := parse(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
		n++
	}
	if n != count {
		return fmt.Errorf("%d entries instead of %d", n, count)
	}
	return nil
}

func checkpointNumber(b []byte) (n int64, rest []byte, err error) {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	n, err = strconv.ParseInt(string(line), 10, 32)
	return n, rest, err
}

// replaceDurably replaces a file's content so that after it returns the new content survives a crash.
func replaceDurably(fsys vfs.FS, name string, content []byte) error {
	if err := vfs.ReplaceFile(fsys, name, content); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}
