package config

import (
	"maps"
	"strings"
	"testing"

	"gokafka/cluster"
)

func network(t *testing.T, settings ...string) (*Network, error) {
	t.Helper()
	file := map[string]string{}
	for _, kv := range settings {
		k, v, _ := strings.Cut(kv, "=")
		file[k] = v
	}
	v, err := parseValues(brokers, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	return v.ParseNetwork()
}

func TestListeners(t *testing.T) {
	n, err := network(t, "listeners=internal://[::1]:9092, EXTERNAL://0.0.0.0:9093,CTL://:0", "advertised.listeners=INTERNAL://10.0.0.1:1,EXTERNAL://host.example:9999,CTL://:0",
		"listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:SASL_SSL,CTL:SSL", "inter.broker.listener.name=internal", "control.plane.listener.name=ctl")
	if err != nil {
		t.Fatal(err)
	}
	want := []cluster.Endpoint{
		{Listener: "INTERNAL", Protocol: cluster.Plaintext, Host: "::1", Port: 9092},
		{Listener: "EXTERNAL", Protocol: cluster.SASLSSL, Host: "0.0.0.0", Port: 9093},
		{Listener: "CTL", Protocol: cluster.SSL, Host: "", Port: 0},
	}
	for i, e := range want {
		if n.Listeners[i] != e {
			t.Errorf("listener %d is %+v, want %+v", i, n.Listeners[i], e)
		}
	}
	if n.InterBroker != "INTERNAL" || n.ControlPlane != "CTL" || n.Advertised[1].Host != "host.example" || n.Advertised[1].Protocol != cluster.SASLSSL {
		t.Errorf("%+v", n)
	}
	told := n.AdvertisedAt(func(listener string) int32 { return 4711 })
	if told[0].Port != 1 || told[2].Port != 4711 || told[2].Host == "" {
		t.Errorf("advertised %+v", told)
	}
	if n.Advertised[2].Port != 0 {
		t.Error("the settings were changed")
	}
}

// Containers of a KRaft broker and controller in one carry settings for a controller that this broker does not have.
func TestControllerListenersAreLeftOut(t *testing.T) {
	n, err := network(t, "process.roles=broker,controller", "controller.listener.names=CONTROLLER", "listeners=PLAINTEXT://:9092,CONTROLLER://:9093")
	if err != nil || len(n.Listeners) != 1 || n.Listeners[0].Listener != "PLAINTEXT" || len(n.Advertised) != 1 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestListenerErrorsAreApaches(t *testing.T) {
	for _, c := range []struct{ settings, want string }{
		{"listeners=PLAINTEXT://:1,SSL://:1", "Each listener must have a different port, listeners: PLAINTEXT://:1,SSL://:1"},
		{"listeners=PLAINTEXT://:1,plaintext://:2", "Each listener must have a different name, listeners: PLAINTEXT://:1,plaintext://:2"},
		{"listeners=FOO://:1", "Error creating broker listeners from 'FOO://:1': No security protocol defined for listener FOO"},
		{"listeners=PLAINTEXT:1", "Error creating broker listeners from 'PLAINTEXT:1': Unable to parse PLAINTEXT:1 to a broker endpoint"},
		{"listeners=PLAINTEXT://:99999", "Error creating broker listeners"},
		{"listeners=", "There must be at least one broker advertised listener."},
		{"listeners=SSL://:1", "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are SSL"},
		{"listeners=PLAINTEXT://0.0.0.0:1", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"advertised.listeners=PLAINTEXT://h:1,SSL://h:2", "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found PLAINTEXT,SSL. The valid options based on the current configuration are PLAINTEXT"},
		{"listener.security.protocol.map=PLAINTEXT:FOO", "Invalid security protocol `FOO` defined in listener.security.protocol.map"},
		{"listener.security.protocol.map=PLAINTEXT", "Error parsing configuration property 'listener.security.protocol.map'"},
		{"inter.broker.listener.name=FOO", "Listener with name FOO defined in inter.broker.listener.name not found in listener.security.protocol.map."},
		{"inter.broker.listener.name=PLAINTEXT;security.inter.broker.protocol=PLAINTEXT", "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."},
		{"control.plane.listener.name=PLAINTEXT", "control.plane.listener.name, when defined, should have a different value from the inter broker listener name. Currently they both have the value PLAINTEXT"},
		{"control.plane.listener.name=SSL", "control.plane.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT"},
	} {
		if _, err := network(t, strings.Split(c.settings, ";")...); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.settings, err, c.want)
		}
	}
}

// Apache's Csv.parseCsvList leaves empty entries out, its Csv.parseCsvMap only those at the end.
func TestEmptyEntriesOfLists(t *testing.T) {
	v, err := parseValues(brokers, nil, map[string]string{
		"listeners": ",A://h:1,, B://h:2 ,", "advertised.listeners": ",A://h:1,", "inter.broker.listener.name": "A",
		"listener.security.protocol.map": "A:PLAINTEXT , B:SSL, ,", "max.connections.per.ip.overrides": "h : 7,[::1]:8,",
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := v.ParseNetwork()
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Listeners) != 2 || n.Listeners[1].Listener != "B" || n.Listeners[1].Protocol != cluster.SSL || len(n.Advertised) != 1 {
		t.Errorf("%+v", n)
	}
	limits, err := v.ConnectionsPerIP()
	if err != nil || !maps.Equal(limits, map[string]int{"h": 7, "::1": 8}) {
		t.Errorf("%v, %v", limits, err)
	}
	if _, err := network(t, "listener.security.protocol.map=,PLAINTEXT:PLAINTEXT"); err == nil {
		t.Error("an empty entry before others was accepted")
	}
}

func TestOnePortForBothIPVersions(t *testing.T) {
	if _, err := network(t, "listeners=PLAINTEXT://127.0.0.1:1,SSL://[::1]:1"); err != nil {
		t.Error(err)
	}
	if _, err := network(t, "listeners=PLAINTEXT://127.0.0.1:1,SSL://127.0.0.2:1"); err == nil {
		t.Error("two IPv4 listeners on one port were accepted")
	}
}

func TestSettingsOfAListener(t *testing.T) {
	v, err := parseValues(brokers, nil, map[string]string{
		"ssl.client.auth": "none", "listener.name.a.ssl.client.auth": "required", "sasl.jaas.config": "general",
		"listener.name.a.plain.sasl.jaas.config": "a plain", "listener.name.a.sasl.jaas.config": "a",
	})
	if err != nil {
		t.Fatal(err)
	}
	a, errA := v.ForListener("A")
	b, errB := v.ForListener("B")
	if errA != nil || errB != nil || a.String("ssl.client.auth") != "required" || b.String("ssl.client.auth") != "none" {
		t.Errorf("%v %v", errA, errB)
	}
	for _, c := range [][3]string{{"A", "PLAIN", "a plain"}, {"A", "SCRAM-SHA-256", "a"}, {"B", "PLAIN", "general"}} {
		if got := v.ListenerMechanism(c[0], c[1], "sasl.jaas.config"); got != c[2] {
			t.Errorf("%v: %q", c, got)
		}
	}
	if _, err := v.ForListener("a"); err != nil {
		t.Error(err)
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add("PLAINTEXT://[::1]:9092,SSL://h:1", "PLAINTEXT://h:0", "PLAINTEXT:PLAINTEXT,SSL:SSL")
	f.Fuzz(func(t *testing.T, listeners, advertised, protocols string) {
		v, err := parseValues(brokers, nil, map[string]string{"listeners": listeners, "advertised.listeners": advertised, "listener.security.protocol.map": protocols})
		if err != nil {
			return
		}
		n, err := v.ParseNetwork()
		if err != nil {
			return
		}
		if _, ok := find(n.Advertised, n.InterBroker); !ok {
			t.Errorf("brokers cannot reach each other at %+v", n)
		}
		for _, e := range n.Advertised {
			if _, ok := n.Listener(e.Listener); !ok || e.Port < 0 || e.Port > 65535 {
				t.Errorf("%+v is advertised and not listened on", e)
			}
		}
	})
}
