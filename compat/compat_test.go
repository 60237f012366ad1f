package compat_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

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

// A broker that is killed resets connections on which nothing was answered yet but ApiVersions. franz-go would take the end of the stream for refused
// credentials and fail what was to be sent. Apache's ends them, and it depends on the moment whether its clients notice.
func TestKilledBrokerResetsWhoWasNotAnswered(t *testing.T) {
	b := compat.Start(t, "gokafka", nil)
	clients := map[string]*conn.Conn{}
	for name, requests := range map[string][]kmsg.Request{
		"sent nothing":       nil,
		"asked for versions": {kmsg.NewPtrApiVersionsRequest()},
		"asked for metadata": {kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataRequest()}, // after the second answer the first has had its effect
		"asked for both":     {kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataRequest()},
	} {
		c, err := conn.Dial(b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		for _, req := range requests {
			if _, err := c.Request(req); err != nil {
				t.Fatalf("client that %s: %v", name, err)
			}
		}
		clients[name] = c
	}
	b.Kill()
	for name, want := range map[string]error{
		"sent nothing": syscall.ECONNRESET, "asked for versions": syscall.ECONNRESET, "asked for metadata": io.EOF, "asked for both": io.EOF,
	} {
		if _, err := clients[name].Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("client that %s: %v, want %v", name, err, want)
		}
	}
}
