package server

import (
	"net/netip"
	"testing"
	"time"
)

var ip1, ip2 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")

// mustEnter fails unless a connection is let in.
func mustEnter(t *testing.T, a *admission, listener string, ip netip.Addr) {
	t.Helper()
	if full, err := a.enter(listener, ip); full != nil || err != nil {
		t.Fatalf("%s from %v: full %v, %v", listener, ip, full != nil, err)
	}
}

func mustBeFull(t *testing.T, a *admission, listener string, ip netip.Addr) <-chan struct{} {
	t.Helper()
	full, err := a.enter(listener, ip)
	if full == nil || err != nil {
		t.Fatalf("%s from %v was not held: %v", listener, ip, err)
	}
	return full
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Case 105.
func TestConnectionsPerIP(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsPerIPMax = 5
	limits.ConnectionsPerIPOverrides = map[netip.Addr]int{ip2: 1}
	a := newAdmission(limits, "")
	for range 5 {
		mustEnter(t, a, "A", ip1)
	}
	mustEnter(t, a, "A", ip2)
	for _, ip := range []netip.Addr{ip1, ip2} {
		if _, err := a.enter("A", ip); err != errTooManyFromIP {
			t.Errorf("one more from %v: %v", ip, err)
		}
	}
	for range 10_000 {
		a.leave("A", ip1)
		mustEnter(t, a, "A", ip1)
	}
	if _, err := a.enter("A", ip1); err != errTooManyFromIP {
		t.Errorf("after churn: %v", err)
	}
	limits.ConnectionsPerIPMax = 6
	a.setLimits(limits)
	mustEnter(t, a, "A", ip1)
}

func TestConnectionsMax(t *testing.T) {
	limits := DefaultLimits()
	limits.ConnectionsMax = 3
	limits.Listeners = map[string]ListenerLimits{"B": {ConnectionsMax: 1, ConnectionRateMax: Unlimited}}
	a := newAdmission(limits, "BROKERS")
	mustEnter(t, a, "B", ip1)
	full := mustBeFull(t, a, "B", ip1)
	mustEnter(t, a, "A", ip1)
	if isClosed(full) {
		t.Error("told that a place is free when one was taken")
	}
	a.leave("B", ip1)
	if !isClosed(full) {
		t.Error("not told of a free place")
	}
	mustEnter(t, a, "A", ip1)
	mustEnter(t, a, "A", ip1)
	full = mustBeFull(t, a, "A", ip1)
	mustEnter(t, a, "BROKERS", ip1) // not held to the broker's limit
	if n := a.excess(); n != 1 {
		t.Errorf("excess %d, want 1", n)
	}
	limits.ConnectionsMax = 5
	a.setLimits(limits)
	if !isClosed(full) || a.excess() != 0 {
		t.Error("not told of higher limits")
	}
}

func TestConnectionsLeaveDescriptorsToFiles(t *testing.T) {
	a := newAdmission(DefaultLimits(), "BROKERS")
	if a.most >= descriptorsMax() || a.most <= 0 {
		t.Fatalf("%d connections with %d descriptors", a.most, descriptorsMax())
	}
	a.most = 2
	mustEnter(t, a, "A", ip1)
	mustEnter(t, a, "A", ip1)
	mustBeFull(t, a, "A", ip1)
	mustEnter(t, a, "BROKERS", ip1)
	if n := a.excess(); n != 1 {
		t.Errorf("excess %d, want 1", n)
	}
}

func TestPacer(t *testing.T) {
	now := time.Unix(1000, 0)
	var p pacer
	for i := range 10 {
		if d := p.delay(now, 10); d != 0 {
			t.Errorf("connection %d of the burst waits %v", i, d)
		}
	}
	for i := range 5 {
		if d, want := p.delay(now, 10), time.Duration(i+1)*100*time.Millisecond; d != want {
			t.Errorf("connection %d after the burst waits %v, want %v", i, d, want)
		}
	}
	if d := p.delay(now.Add(time.Hour), 10); d != 0 {
		t.Errorf("after an hour of rest: %v", d)
	}
	if d := (&pacer{}).delay(now, Unlimited); d != 0 {
		t.Errorf("without a rate: %v", d)
	}
}

func TestRateIsTheStricterOfListenerAndBroker(t *testing.T) {
	now := time.Unix(1000, 0)
	limits := DefaultLimits()
	limits.ConnectionRateMax = 2
	limits.Listeners = map[string]ListenerLimits{"SLOW": {ConnectionsMax: Unlimited, ConnectionRateMax: 1}}
	a := newAdmission(limits, "BROKERS")
	a.arrive("SLOW", now)
	if d := a.arrive("SLOW", now); d != time.Second {
		t.Errorf("second on the slow listener waits %v", d)
	}
	if d := a.arrive("A", now); d != 500*time.Millisecond {
		t.Errorf("third on the broker waits %v", d)
	}
	if d := a.arrive("BROKERS", now); d != 0 {
		t.Errorf("a broker waits %v", d)
	}
}

func TestNoiseIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	var n noise
	if !n.allow(ip1, now) || n.allow(ip1, now.Add(59*time.Second)) || !n.allow(ip2, now) || !n.allow(ip1, now.Add(time.Minute)) {
		t.Error("not once a minute for each address")
	}
	later := now.Add(time.Hour)
	ip := ip1
	allowed := 0
	for range 2 * noiseMax {
		if ip = ip.Next(); n.allow(ip, later) {
			allowed++
		}
	}
	if len(n.last) > noiseMax || allowed > noiseMax {
		t.Errorf("%d addresses remembered, %d messages", len(n.last), allowed)
	}
	if !n.allow(ip1, later.Add(time.Minute)) {
		t.Error("full for ever")
	}
}
