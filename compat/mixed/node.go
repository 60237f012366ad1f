package mixed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gokafka/compat"
	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
	"gokafka/compat/process"
)

// Kind says which broker serves a node.
type Kind string

// The kinds. An Apache broker of another release is "apache" and the version, parted by a blank.
const (
	Apache  Kind = "apache"
	Gokafka Kind = "gokafka"
)

// other is the kind that is to take a node over.
func (k Kind) other() Kind {
	if k == Gokafka {
		return Apache
	}
	return Gokafka
}

// version is the release of an Apache broker.
func (k Kind) version() string {
	return strings.TrimPrefix(strings.TrimPrefix(string(k), string(Apache)), " ")
}

// Node is a broker id with a port and a directory, which stay while brokers of either kind take turns to serve them.
type Node struct {
	compat.Broker // who serves it now, or did last
	ID            int32
	Kind          Kind
	dir, addr     string
	properties    map[string]string
	quiet         int // the end of what is looked through for complaints; 0 for all
}

func newNode(t *testing.T, id int32, kind Kind, properties map[string]string) *Node {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	properties["broker.id"] = fmt.Sprint(id)
	return &Node{ID: id, Kind: kind, dir: compat.Dir(t, fmt.Sprintf("node-%d", id)), addr: fmt.Sprintf("127.0.0.1:%d", port), properties: properties}
}

// begin starts a broker of the node's kind on what the last one left.
func (n *Node) begin() (err error) {
	if n.Kind == Gokafka {
		var b *gokafka.Broker
		if b, err = gokafka.Start(gokafka.Options{Dir: n.dir, Addr: n.addr, Properties: n.properties}); err == nil {
			n.Broker = b
		}
		return err
	}
	var b *apache.Broker
	b, err = apache.Start(apache.Options{Dir: n.dir, Addr: n.addr, Properties: n.properties,
		ZooKeeper: n.properties["zookeeper.connect"], Version: n.Kind.version()})
	if err == nil {
		n.Broker = b
	}
	return err
}

// Addr is host and port.
func (n *Node) Addr() string { return n.addr }

// Dir is the log directory, whichever kind has it.
func (n *Node) Dir() string { return filepath.Join(n.dir, "data") }

// printed is everything that the node's brokers printed so far.
func (n *Node) printed() (string, error) {
	out, err := os.ReadFile(filepath.Join(n.dir, "broker.out"))
	if err != nil {
		return "", fmt.Errorf("read output: %w", err)
	}
	return string(out), nil
}
