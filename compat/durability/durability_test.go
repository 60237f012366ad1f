// Package durability ends brokers at bad moments and carries their directories about: what was acknowledged is there, once.
package durability

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"gokafka/compat"
	"gokafka/compat/load"
)

func create(t *testing.T, addr, topic string, partitions int32, configs ...string) {
	t.Helper()
	m := map[string]*string{}
	for i := 0; i+1 < len(configs); i += 2 {
		m[configs[i]] = &configs[i+1]
	}
	if _, err := kadm.NewClient(load.Client(t, addr)).CreateTopic(context.Background(), partitions, 1, m, topic); err != nil {
		t.Fatal(err)
	}
}

// Brokers killed in the middle of load lose nothing that they acknowledged, and an idempotent producer that lives through it
// writes nothing twice.
func TestKillUnderLoad(t *testing.T) {
	kills := 2
	if compat.Full() {
		kills = 15
	}
	compat.Each(t, map[string]string{"log.segment.bytes": "1048576"}, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "load", 3)
		l := load.Start(t, b.Addr(), "load")
		for range kills {
			l.AwaitAcked(t, 5000+rand.Int32N(5000))
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
		}
		l.AwaitAcked(t, 1000)
		l.Finish(t)
		l.Verify(t, load.ReadAll(t, b.Addr(), "load"))
		compat.Restart(t, b)
		l.Verify(t, load.ReadAll(t, b.Addr(), "load"))
	})
}
