package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gokafka/log/vfs"
)

const metaPropertiesFile = "meta.properties"

// NoBroker is the broker id of a directory that belongs to none yet.
const NoBroker int32 = -1

// Identity is whose data a directory holds: what meta.properties says.
type Identity struct {
	ClusterID string // empty: none yet
	BrokerID  int32
}

// ErrIdentity: a directory belongs to another broker or another cluster.
var ErrIdentity = errors.New("log directory belongs to another broker or cluster")

// ReadIdentity reads the identity of the directories, so that a broker whose id is generated finds it again. Directories without one do not
// count; if none has one it is NoBroker without a cluster. Two that differ are ErrIdentity.
func ReadIdentity(fsys vfs.FS, dirs []string) (Identity, error) {
	found, first := Identity{BrokerID: NoBroker}, ""
	for _, dir := range dirs {
		id, ok, err := readIdentity(fsys, dir)
		if err != nil {
			return found, err
		}
		if !ok {
			continue
		}
		if first != "" && id != found {
			return found, fmt.Errorf("%w: %s is of broker %d in cluster %q, %s of broker %d in cluster %q",
				ErrIdentity, first, found.BrokerID, found.ClusterID, dir, id.BrokerID, id.ClusterID)
		}
		found, first = id, dir
	}
	return found, nil
}

func readIdentity(fsys vfs.FS, dir string) (id Identity, ok bool, err error) {
	name := filepath.Join(dir, metaPropertiesFile)
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{BrokerID: NoBroker}, false, nil
	}
	if err != nil {
		return id, false, err
	}
	id, err = parseIdentity(string(b))
	if err != nil {
		return id, false, &CorruptError{File: name, Err: err}
	}
	return id, true, nil
}

// parseIdentity reads the simple lines that Java writes for these keys, with their escaped colons and equal signs.
func parseIdentity(text string) (Identity, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		fields[strings.TrimSpace(key)] = strings.ReplaceAll(strings.TrimSpace(value), `\`, "")
	}
	id := Identity{ClusterID: fields["cluster.id"], BrokerID: NoBroker}
	switch v := fields["version"]; v {
	case "0":
	case "1":
		return id, errors.New("the directory was formatted for KRaft (version=1)")
	default:
		return id, fmt.Errorf("version %q is not known", v)
	}
	if text, ok := fields["broker.id"]; ok {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return id, err
		}
		id.BrokerID = int32(n)
	}
	return id, nil
}

// claim checks that a directory is the identity's, and makes it so if it is nobody's.
func (id Identity) claim(fsys vfs.FS, dir string, now time.Time) error {
	have, ok, err := readIdentity(fsys, dir)
	if err != nil {
		return err
	}
	if have.ClusterID != "" && have.ClusterID != id.ClusterID || have.BrokerID != NoBroker && have.BrokerID != id.BrokerID {
		return fmt.Errorf("%w: %s is of broker %d in cluster %q, and this is broker %d in cluster %q",
			ErrIdentity, dir, have.BrokerID, have.ClusterID, id.BrokerID, id.ClusterID)
	}
	if ok && have == id {
		return nil
	}
	content := fmt.Sprintf("#\n#%s\nbroker.id=%d\nversion=0\ncluster.id=%s\n",
		now.UTC().Format("Mon Jan 02 15:04:05 MST 2006"), id.BrokerID, id.ClusterID)
	return replaceDurably(fsys, filepath.Join(dir, metaPropertiesFile), []byte(content))
}
