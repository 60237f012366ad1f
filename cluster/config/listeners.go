package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gokafka/cluster"
)

// Network is what the listener settings say together.
type Network struct {
	Listeners    []cluster.Endpoint // where to listen; an empty host means every address, port 0 any free one
	Advertised   []cluster.Endpoint // what clients and brokers are told
	InterBroker  string             // name of the listener that brokers use
	ControlPlane string             // name of the listener for the controller's requests; empty: the same
}

// Listener returns the endpoint to listen on, by name.
func (n *Network) Listener(name string) (cluster.Endpoint, bool) { return find(n.Listeners, name) }

func find(endpoints []cluster.Endpoint, name string) (cluster.Endpoint, bool) {
	i := slices.IndexFunc(endpoints, func(e cluster.Endpoint) bool { return e.Listener == name })
	if i < 0 {
		return cluster.Endpoint{}, false
	}
	return endpoints[i], true
}

// AdvertisedAt completes the advertised endpoints once the listeners are bound: an empty host becomes this machine's name, and
// port 0 the port that the listener of that name got.
func (n *Network) AdvertisedAt(bound func(listener string) int32) []cluster.Endpoint {
	endpoints := slices.Clone(n.Advertised)
	for i := range endpoints {
		if endpoints[i].Host == "" {
			endpoints[i].Host = canonicalHostname()
		}
		if endpoints[i].Port == 0 {
			endpoints[i].Port = bound(endpoints[i].Listener)
		}
	}
	return endpoints
}

// canonicalHostname is what Java's getCanonicalHostName gives: the name that the host's own address resolves to.
func canonicalHostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	if name, err := net.LookupCNAME(host); err == nil && name != "" {
		return strings.TrimSuffix(name, ".")
	}
	return host
}

// ParseNetwork reads and cross-checks the listener settings. Error texts are Apache's.
func (v *Values) ParseNetwork() (*Network, error) {
	protocols, err := v.protocolMap()
	if err != nil {
		return nil, err
	}
	n := &Network{}
	if n.Listeners, err = parseEndpoints(v.String("listeners"), protocols, true); err != nil {
		return nil, err
	}
	n.Advertised = n.Listeners
	if v.Has("advertised.listeners") {
		if n.Advertised, err = parseEndpoints(v.String("advertised.listeners"), protocols, false); err != nil {
			return nil, err
		}
	}
	v.dropControllerListeners(n)
	if n.InterBroker, err = v.interBroker(n, protocols); err != nil {
		return nil, err
	}
	if v.Has("control.plane.listener.name") {
		n.ControlPlane = strings.ToUpper(v.String("control.plane.listener.name"))
	}
	return n, n.check(protocols)
}

// dropControllerListeners leaves out the listeners of a KRaft controller, which this broker has no use for.
func (v *Values) dropControllerListeners(n *Network) {
	isController := func(e cluster.Endpoint) bool {
		return slices.ContainsFunc(splitList(v.String("controller.listener.names")), func(s string) bool { return strings.EqualFold(s, e.Listener) })
	}
	n.Listeners = slices.DeleteFunc(slices.Clone(n.Listeners), isController)
	n.Advertised = slices.DeleteFunc(slices.Clone(n.Advertised), isController)
}

// protocolMap is listener.security.protocol.map, by upper-case listener name. The listeners of a KRaft controller are
// PLAINTEXT when nothing is said of them.
func (v *Values) protocolMap() (map[string]cluster.SecurityProtocol, error) {
	const name = "listener.security.protocol.map"
	protocols := map[string]cluster.SecurityProtocol{}
	entries, err := pairs(name, v.String(name))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if protocols[strings.ToUpper(e.name)], err = securityProtocol(e.value, name); err != nil {
			return nil, err
		}
	}
	for _, listener := range splitList(v.String("controller.listener.names")) {
		if _, ok := protocols[strings.ToUpper(listener)]; !ok && !v.Given(name) {
			protocols[strings.ToUpper(listener)] = cluster.Plaintext
		}
	}
	return protocols, nil
}

func securityProtocol(protocol, setting string) (cluster.SecurityProtocol, error) {
	for p := cluster.Plaintext; p <= cluster.SASLSSL; p++ {
		if strings.EqualFold(p.String(), protocol) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("Invalid security protocol `%s` defined in %s", protocol, setting)
}

func (v *Values) interBroker(n *Network, protocols map[string]cluster.SecurityProtocol) (string, error) {
	const byName, byProtocol = "inter.broker.listener.name", "security.inter.broker.protocol"
	if !v.Has(byName) {
		return strings.ToUpper(v.String(byProtocol)), nil
	}
	if v.Given(byProtocol) {
		return "", fmt.Errorf("Only one of %s and %s should be set.", byName, byProtocol)
	}
	name := strings.ToUpper(v.String(byName))
	if _, ok := protocols[name]; !ok {
		return "", fmt.Errorf("Listener with name %s defined in %s not found in listener.security.protocol.map.", name, byName)
	}
	return name, nil
}

var endpointPattern = regexp.MustCompile(`^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)$`)

// parseEndpoints reads a list of NAME://host:port.
func parseEndpoints(list string, protocols map[string]cluster.SecurityProtocol, distinctPorts bool) ([]cluster.Endpoint, error) {
	var endpoints []cluster.Endpoint
	for _, entry := range csvList(list) {
		e, err := parseEndpoint(entry, protocols)
		if err != nil {
			return nil, fmt.Errorf("Error creating broker listeners from '%s': %w", list, err)
		}
		if _, twice := find(endpoints, e.Listener); twice {
			return nil, fmt.Errorf("Each listener must have a different name, listeners: %s", list)
		}
		if distinctPorts && slices.ContainsFunc(endpoints, func(o cluster.Endpoint) bool { return portsClash(o, e) }) {
			return nil, fmt.Errorf("Each listener must have a different port, listeners: %s", list)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, nil
}

func parseEndpoint(entry string, protocols map[string]cluster.SecurityProtocol) (cluster.Endpoint, error) {
	m := endpointPattern.FindStringSubmatch(entry)
	if m == nil {
		return cluster.Endpoint{}, fmt.Errorf("Unable to parse %s to a broker endpoint", entry)
	}
	port, err := strconv.ParseInt(m[3], 10, 32)
	if err != nil || port < 0 || port > 65535 {
		return cluster.Endpoint{}, fmt.Errorf("port %s of %s is not between 0 and 65535", m[3], entry)
	}
	name := strings.ToUpper(m[1])
	p, ok := protocols[name]
	if !ok {
		return cluster.Endpoint{}, fmt.Errorf("No security protocol defined for listener %s", name)
	}
	return cluster.Endpoint{Listener: name, Protocol: p, Host: m[2], Port: int32(port)}, nil
}

// portsClash allows one port twice only for an IPv4 and an IPv6 address.
func portsClash(a, b cluster.Endpoint) bool {
	if a.Port != b.Port || a.Port == 0 {
		return false
	}
	x, errA := netip.ParseAddr(a.Host)
	y, errB := netip.ParseAddr(b.Host)
	return errA != nil || errB != nil || x.Is4() == y.Is4()
}

func (n *Network) check(protocols map[string]cluster.SecurityProtocol) error {
	names := endpointNames(n.Listeners)
	advertised := endpointNames(n.Advertised)
	switch {
	case len(advertised) == 0:
		return fmt.Errorf("There must be at least one broker advertised listener.")
	case !slices.Contains(advertised, n.InterBroker):
		return fmt.Errorf("inter.broker.listener.name must be a listener name defined in advertised.listeners. "+
			"The valid options based on currently configured listeners are %s", strings.Join(advertised, ","))
	case n.ControlPlane != "" && !slices.Contains(advertised, n.ControlPlane):
		return fmt.Errorf("control.plane.listener.name must be a listener name defined in advertised.listeners. "+
			"The valid options based on currently configured listeners are %s", strings.Join(advertised, ","))
	case n.ControlPlane != "" && n.ControlPlane == n.InterBroker:
		return fmt.Errorf("control.plane.listener.name, when defined, should have a different value from the inter broker listener name. "+
			"Currently they both have the value %s", n.ControlPlane)
	}
	for _, e := range n.Advertised {
		if !slices.Contains(names, e.Listener) {
			return fmt.Errorf("advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. "+
				"Found %s. The valid options based on the current configuration are %s", strings.Join(advertised, ","), strings.Join(names, ","))
		}
		if e.Host == "0.0.0.0" {
			return fmt.Errorf("advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.")
		}
	}
	return nil
}

func endpointNames(endpoints []cluster.Endpoint) []string {
	names := make([]string, len(endpoints))
	for i, e := range endpoints {
		names[i] = e.Listener
	}
	return names
}
