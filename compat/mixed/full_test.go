package mixed

import (
	"testing"

	"gokafka/compat"
)

// What takes long is run in the full form: make mixed, or go test -full ./mixed. One of them alone: -full -run 'TestAtLength/random'.
func TestAtLength(t *testing.T) {
	cases := map[string]func(t *testing.T){
		"isr shrinks and grows":     isrShrinksAndGrows,
		"leader truncates":          leaderTruncates,
		"coordinators change hands": coordinatorsChangeHands,
		"older brokers":             olderBrokers,
		"random sequence":           randomSequence,
	}
	if !compat.Full() {
		cases = map[string]func(t *testing.T){"isr shrinks and grows": isrShrinksAndGrows}
	}
	for name, run := range cases {
		t.Run(name, run)
	}
}
