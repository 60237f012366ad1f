package metastore

import (
	"net"
	"slices"
	"testing"
	"time"
)

// A lost connection is replaced at once, a server that stays away is not asked without pause.
func TestEnsemblePausesAfterTwoRounds(t *testing.T) {
	var e ensemble
	if err := e.Init([]string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	tries := func(n int) (servers []string, pauses []bool) {
		for range n {
			s, pause := e.Next()
			servers, pauses = append(servers, s), append(pauses, pause)
		}
		return servers, pauses
	}
	servers, pauses := tries(8)
	if servers[0] == servers[1] || !slices.Equal(servers[:2], servers[6:]) {
		t.Errorf("servers are not tried in turn: %v", servers)
	}
	if want := []bool{false, false, false, false, true, false, true, false}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	e.Connected()
	if _, pauses := tries(2); slices.Contains(pauses, true) {
		t.Errorf("pauses after a connection: %v", pauses)
	}
}

// A server that accepts and says nothing, as one does that is just starting, is left while there is time to ask again.
func TestSilentServerIsGivenUpInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const session = 300 * time.Millisecond
	seconds := make(chan struct{})
	go func() { // ends with the listener
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if n == 1 {
				close(seconds)
			}
		}
	}()
	defer l.Close()
	_, err = ConnectZooKeeper(t.Context(), ZooKeeperOptions{Connect: l.Addr().String(), SessionTimeout: session})
	if err == nil {
		t.Fatal("a session with a server that says nothing")
	}
	select {
	case <-seconds:
	default:
		t.Error("the server was asked once only")
	}
}
