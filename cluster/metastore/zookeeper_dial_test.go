package metastore

import (
	"slices"
	"testing"
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
