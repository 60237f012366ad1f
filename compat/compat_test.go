package compat_test

import (
	"testing"

	"gokafka/compat"
	"gokafka/compat/conn"
)

// Both brokers start, answer, stop, and come back on the same port.
func TestBrokersRestart(t *testing.T) {
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		compat.Restart(t, b)
		b.Kill()
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ready(b.Addr()); err != nil {
			t.Fatal(err)
		}
	})
}
