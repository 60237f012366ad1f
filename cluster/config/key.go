package config

import (
	"slices"
	"strings"
)

// Scope says how a broker setting may change while the broker runs (KIP-226).
type Scope int8

// The scopes, with Apache's names for them.
const (
	ReadOnly    Scope = iota // at start only
	PerBroker                // for one broker
	ClusterWide              // for one broker, or for all that have no value of their own
)

// null is the default of a setting that has none, as opposed to the empty string.
const null = "\x00"

// Key is one setting: all that is known of it, said once.
type Key struct {
	Name     string
	Type     Type
	Default  string
	Scope    Scope
	Check    check  // nil: every value of the type is allowed
	Internal bool   // accepted, never listed
	Effect   bool   // this broker acts on it
	Doc      string // few words, for DescribeConfigs; only where Effect is true
}

// parse reads and checks a value.
func (k *Key) parse(text string) (any, error) {
	v, reason := k.Type.parse(text)
	if reason != "" {
		return nil, k.refuse(text, reason)
	}
	if k.Check == nil {
		return v, nil
	}
	if f := k.Check(k.Name, v); f != nil {
		return nil, k.refuse(f.shown, f.reason)
	}
	return v, nil
}

func (k *Key) refuse(value, reason string) error {
	if k.Type.Sensitive() {
		value = Hidden
	}
	return &ValueError{Name: k.Name, Value: value, Reason: reason}
}

// table holds keys by name.
type table map[string]*Key

func newTable(keys []Key) table {
	t := make(table, len(keys))
	for i := range keys {
		t[keys[i].Name] = &keys[i]
	}
	return t
}

// names lists the settings that are shown, in order.
func (t table) names() []string {
	var names []string
	for name, k := range t {
		if !k.Internal {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var (
	brokers = newTable(slices.Concat(brokerKeys, ownKeys))
	topics  = newTable(topicKeys)
	apaches = newTable(brokerKeys) // what can be described

	brokerNames = brokers.names()
	topicNames  = topics.names()
)

const listenerPrefix = "listener.name."

// listenerSetting takes the prefix off a name of the form listener.name.<listener>.<setting>.
func listenerSetting(name string) (setting string, ok bool) {
	rest, ok := strings.CutPrefix(name, listenerPrefix)
	if !ok {
		return "", false
	}
	_, setting, ok = strings.Cut(rest, ".")
	return setting, ok
}

// mechanismSettings may have a SASL mechanism between the listener prefix and their name.
var mechanismSettings = []string{
	"sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class",
	"sasl.server.callback.handler.class", "connections.max.reauth.ms",
}

// unitSynonyms are settings that say the same in different units. The first that is set counts.
var unitSynonyms = [][]string{
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
}

// units is the setting among those that say the same in other units; nil when there are none.
func units(name string) []string {
	i := slices.IndexFunc(unitSynonyms, func(group []string) bool { return slices.Contains(group, name) })
	if i < 0 {
		return nil
	}
	return unitSynonyms[i]
}

// brokerSynonyms lists the names under which a broker setting may have been given, most specific first. With listeners, a
// setting with a listener's prefix falls back to the one without.
func brokerSynonyms(name string, listeners bool) []string {
	if group := units(name); group != nil {
		return group
	}
	if name == "log.flush.interval.ms" {
		return []string{name, "log.flush.scheduler.interval.ms"}
	}
	if setting, ok := listenerSetting(name); ok && listeners {
		return []string{name, baseSetting(setting)}
	}
	return []string{name}
}

func baseSetting(setting string) string {
	for _, s := range mechanismSettings {
		if strings.HasSuffix(setting, s) {
			return s
		}
	}
	return setting
}

// brokerKey finds the key of a broker setting, also of one with a listener's prefix; nil when it is none of Kafka's.
func brokerKey(name string) *Key { return brokers.brokerKey(name) }

func (t table) brokerKey(name string) *Key {
	if k := t[name]; k != nil {
		return k
	}
	if k := dynamicOnly[name]; k != nil {
		return k
	}
	for _, s := range brokerSynonyms(name, true) {
		if k := t[s]; k != nil {
			return k
		}
	}
	return nil
}

// brokerType is Unknown, and with that secret, for what is none of Kafka's settings.
func brokerType(name string) Type {
	if k := apaches.brokerKey(name); k != nil {
		return k.Type
	}
	return Unknown
}

// dynamicOnly are broker settings that no file may set: replication throttles. They are long-lived in the store only.
var dynamicOnly = newTable([]Key{
	{Name: "leader.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Scope: ClusterWide, Check: atLeast(0)},
	{Name: "follower.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Scope: ClusterWide, Check: atLeast(0)},
	{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: Long, Default: "9223372036854775807", Scope: ClusterWide, Check: atLeast(0)},
})

// BrokerDefault is the default and the type of a broker setting; ok is false when there is none of that name.
func BrokerDefault(name string) (text string, t Type, ok bool) { return brokers.standard(name) }

// TopicDefault is BrokerDefault for topic settings.
func TopicDefault(name string) (text string, t Type, ok bool) { return topics.standard(name) }

func (t table) standard(name string) (string, Type, bool) {
	k := t[name]
	if k == nil {
		return "", Unknown, false
	}
	if k.Default == null {
		return "", k.Type, true
	}
	return k.Default, k.Type, true
}
