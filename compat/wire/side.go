package wire

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/conn"
)

// Side is one of the two brokers, with what must be known of it to make its answers comparable.
type Side struct {
	Broker    compat.Broker
	port      int32
	clusterID string

	mu     sync.Mutex
	tokens map[string]map[string]string // kind → drawn value → its number in order of appearance
}

func newSide(b compat.Broker) (*Side, error) {
	_, port, _ := strings.Cut(b.Addr(), ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("parse port: %w", err)
	}
	s := &Side{Broker: b, port: int32(n), tokens: map[string]map[string]string{}}
	c, err := conn.Dial(b.Addr())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 5
	resp, err := c.Request(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the cluster id: %w", err)
	}
	if id := resp.(*kmsg.MetadataResponse).ClusterID; id != nil {
		s.clusterID = *id
	}
	return s, nil
}

// token names a drawn value by the order in which it was first seen on this side.
func (s *Side) token(kind, value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.tokens[kind]
	if seen == nil {
		seen = map[string]string{}
		s.tokens[kind] = seen
	}
	if _, ok := seen[value]; !ok {
		seen[value] = fmt.Sprintf("<%s %d>", kind, len(seen)+1)
	}
	return seen[value]
}

// known is token for a value that was seen before; others are all alike.
func (s *Side) known(kind, value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens[kind][value]; ok {
		return t
	}
	return "<" + kind + ">"
}

// forget starts the numbering again: cases do not depend on each other.
func (s *Side) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// text replaces what a string holds of this broker alone.
func (s *Side) text(v string) string {
	if s.clusterID != "" {
		v = strings.ReplaceAll(v, s.clusterID, "<cluster id>")
	}
	v = strings.ReplaceAll(v, s.Broker.Addr(), "<address>")
	v = strings.ReplaceAll(v, s.Broker.Dir(), "<dir>")
	return uuid.ReplaceAllStringFunc(v, func(id string) string { return s.token("uuid", id) })
}
