package server

import (
	"math"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster/config"
)

func values(t *testing.T, file map[string]string) (*config.Values, *config.Network) {
	t.Helper()
	b, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return b.Current(), b.Network()
}

// Whoever sets the largest value means never.
func TestTimesBeyondADuration(t *testing.T) {
	v, _ := values(t, map[string]string{"offsets.retention.minutes": "2147483647", "leader.imbalance.check.interval.seconds": "9223372036854775807"})
	if d := groupSettings(v, zerolog.Nop()).OffsetsRetention; d != math.MaxInt64 {
		t.Errorf("offsets are kept for %v", d)
	}
	if a, b := times(math.MaxInt32, 5*time.Second), times(3, 5*time.Second); a != math.MaxInt64 || b != 15*time.Second {
		t.Errorf("controlled shutdown takes %v, %v", a, b)
	}
	if d := controllerConfig(v).LeaderImbalanceCheckInterval; d != math.MaxInt64 {
		t.Errorf("leadership is balanced every %v", d)
	}
}

// Every listener has limits of its own; the broker's are the default of each, also of the protected one.
func TestLimitsOfListeners(t *testing.T) {
	v, n := values(t, map[string]string{
		"listeners": "BROKERS://:1,A://:2", "listener.security.protocol.map": "BROKERS:PLAINTEXT,A:PLAINTEXT", "inter.broker.listener.name": "BROKERS",
		"max.connections": "2", "max.connection.creation.rate": "10", "listener.name.brokers.max.connections": "2", "listener.name.a.max.connection.creation.rate": "5",
	})
	limits, err := connectionLimits(v, n)
	if err != nil {
		t.Fatal(err)
	}
	if brokers, a := limits.listener("BROKERS"), limits.listener("A"); brokers != (ListenerLimits{2, 10}) || a != (ListenerLimits{2, 5}) {
		t.Errorf("brokers %+v, others %+v", brokers, a)
	}
	a := newAdmission(limits, protectedListener(n))
	mustEnter(t, a, "A", ip1)
	mustEnter(t, a, "A", ip1)
	mustEnter(t, a, "BROKERS", ip1)
	mustEnter(t, a, "BROKERS", ip1)
	mustBeFull(t, a, "BROKERS", ip1)
}
