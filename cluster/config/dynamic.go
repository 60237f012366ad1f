package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// listenerStores are the TLS settings that may change dynamically, and then only with a listener's prefix.
var listenerStores = []string{
	"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password", "ssl.truststore.type",
	"ssl.truststore.location", "ssl.truststore.password", "ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.truststore.certificates",
}

// clusterWideListenerSettings may have a listener's prefix in the layer for all brokers too.
var clusterWideListenerSettings = []string{"max.connections", "max.connection.creation.rate", "num.network.threads"}

// threadPools may not be changed by more than the double or the half at once.
var threadPools = []string{"num.io.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads"}

// misplaced names the settings that may not stand in a dynamic layer, and why.
type misplaced struct {
	reason string
	set    string // what Scala calls the set of names in the text
	names  []string
}

// misplacedIn lists what of the names may not be in the dynamic layer of one broker, or of all.
func misplacedIn(names []string, perBroker bool) []misplaced {
	var readOnly, bare, single []string
	for _, name := range names {
		if k := brokers[name]; k != nil && k.Scope == ReadOnly {
			readOnly = append(readOnly, name)
		}
		if slices.Contains(listenerStores, name) {
			bare = append(bare, name)
		}
		if !perBroker && onlyPerBroker(name) {
			single = append(single, name)
		}
	}
	return []misplaced{
		{"Cannot update these configs dynamically", "Set", readOnly},
		{"These security configs can be dynamically updated only per-listener using the listener prefix", "HashSet", bare},
		{"Cannot update these configs at default cluster level, broker id must be specified", "Set", single},
	}
}

func onlyPerBroker(name string) bool {
	if setting, ok := listenerSetting(name); ok {
		return !slices.Contains(clusterWideListenerSettings, setting)
	}
	k := brokers[name]
	return k != nil && k.Scope == PerBroker
}

// Validate checks a whole new dynamic layer, of this broker or of all, as if it were applied now.
func (b *Broker) Validate(props map[string]string, perBroker bool) error {
	names := slices.Sorted(maps.Keys(props))
	for i, m := range misplacedIn(names, perBroker) {
		if len(m.names) > 0 {
			return fmt.Errorf("%s: %s(%s)", m.reason, m.set, strings.Join(m.names, ", "))
		}
		if i == 1 { // Apache looks at types before it looks at levels
			if err := checkTypes(props); err != nil {
				return err
			}
		}
	}
	broker, all := b.layers()
	if perBroker {
		broker = props
	} else {
		all = props
	}
	next, err := b.parse(all, broker)
	if err != nil {
		return err
	}
	if err := checkChange(b.Current(), next); err != nil {
		return fmt.Errorf("Invalid value %s%w for configuration Invalid dynamic configuration", javaException, err)
	}
	return nil
}

// javaException is in Apache's text because it is an exception's cause printed as a value.
const javaException = "org.apache.kafka.common.config.ConfigException: "

func checkTypes(props map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(props)) {
		k := brokerKey(name)
		if k == nil || k.Scope == ReadOnly {
			continue // custom settings are anyone's
		}
		if _, err := k.parse(props[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkChange says why the running broker cannot go from the old values to the new ones.
func checkChange(old, next *Values) error {
	if err := checkListenerLimits(old, next); err != nil {
		return err
	}
	if err := checkCleaner(old, next); err != nil {
		return err
	}
	for _, name := range threadPools {
		if err := checkPool(name, old.Int(name), next.Int(name)); err != nil {
			return err
		}
	}
	if _, err := next.TopicValues(nil); err != nil {
		return err
	}
	return checkListeners(old, next)
}

// checkListenerLimits refuses limits that would let nobody in to a listener any more. As in Apache the broker's are looked at
// only as those of listeners that have none of their own.
func checkListenerLimits(old, next *Values) error {
	const connections, rate, threads = "max.connections", "max.connection.creation.rate", "num.network.threads"
	n, err := old.ParseNetwork()
	if err != nil {
		return err
	}
	for _, e := range n.Listeners {
		before, err := old.ForListener(e.Listener)
		if err != nil {
			return err
		}
		after, err := next.ForListener(e.Listener)
		if err != nil {
			return err
		}
		changed := before.Int(connections) != after.Int(connections) || before.Int(rate) != after.Int(rate)
		for _, name := range []string{connections, rate} {
			if limit := after.Int(name); changed && limit <= 0 {
				return fmt.Errorf("Invalid %s %d", name, limit)
			}
		}
		if e.Listener == n.ControlPlane {
			continue // has one thread, whatever the setting says
		}
		if err := checkPool(threads, before.Int(threads), after.Int(threads)); err != nil {
			return err
		}
	}
	return nil
}

// checkCleaner is checkPool for the threads of the log cleaner, if there is one, with Apache's other texts.
func checkCleaner(old, next *Values) error {
	const name = "log.cleaner.threads"
	threads, before := next.Int(name), old.Int(name)
	switch {
	case threads == before || !old.Bool("log.cleaner.enable"):
		return nil
	case threads < 1:
		return errors.New("Log cleaner threads should be at least 1")
	case threads < before/2:
		return fmt.Errorf("Log cleaner threads cannot be reduced to less than half the current value %d", before)
	case threads > before*2:
		return fmt.Errorf("Log cleaner threads cannot be increased to more than double the current value %d", before)
	}
	return nil
}

func checkPool(name string, old, next int) error {
	failed := fmt.Sprintf("Dynamic thread count update validation failed for %s=%d", name, next)
	switch {
	case next == old:
		return nil
	case next <= 0:
		return fmt.Errorf("%s, value should be at least 1", failed)
	case next < old/2:
		return fmt.Errorf("%s, value should be at least half the current value %d", failed, old)
	case next > old*2:
		return fmt.Errorf("%s, value should not be greater than double the current value %d", failed, old)
	}
	return nil
}

// checkListeners refuses to take away the listener between brokers, and to change what a kept listener speaks.
func checkListeners(old, next *Values) error {
	before, err := old.ParseNetwork()
	if err != nil {
		return err
	}
	after, err := next.ParseNetwork()
	if err != nil {
		return err
	}
	for _, e := range after.Listeners {
		if was, kept := before.Listener(e.Listener); kept && was.Protocol != e.Protocol {
			return fmt.Errorf("Security protocol cannot be updated for existing listener %s", e.Listener)
		}
	}
	return nil
}

// Decode reads a stored dynamic layer: secrets are decrypted, and what may not be there or is malformed is left out and
// reported in the error, which does not keep the rest from counting.
func (b *Broker) Decode(stored map[string]string, perBroker bool) (map[string]string, error) {
	props := maps.Clone(stored)
	if props == nil {
		props = map[string]string{}
	}
	var errs []error
	refuse := func(name string, err error) {
		delete(props, name)
		errs = append(errs, err)
	}
	for _, m := range misplacedIn(slices.Sorted(maps.Keys(stored)), perBroker) {
		for _, name := range m.names {
			refuse(name, fmt.Errorf("%s: %s is ignored", m.reason, name))
		}
	}
	for name, value := range props {
		if isPassword(name) {
			secret, err := b.decrypt(value)
			if err != nil {
				refuse(name, fmt.Errorf("decode password %s, it is ignored: %w", name, err))
				continue
			}
			props[name] = secret
		} else if err := checkTypes(map[string]string{name: value}); err != nil {
			refuse(name, fmt.Errorf("%w, it is ignored", err))
		}
	}
	return props, errors.Join(errs...)
}

// Encode makes a dynamic layer fit for the store: secrets are encrypted, which needs password.encoder.secret, and may stand in
// the layer of one broker only.
func (b *Broker) Encode(props map[string]string, perBroker bool) (map[string]string, error) {
	stored := maps.Clone(props)
	for name, value := range props {
		if !isPassword(name) {
			continue
		}
		if !perBroker {
			return nil, errors.New("Password config can be defined only at broker level")
		}
		secret, err := b.encrypt(value)
		if err != nil {
			return nil, err
		}
		stored[name] = secret
	}
	return stored, nil
}

// isPassword reports whether a setting of a dynamic layer is a secret, whatever prefix it has.
func isPassword(name string) bool {
	for suffix, k := range brokers {
		if k.Type == Password && k.Scope != ReadOnly && strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
